"""The command line, run as people run it: `main` with arguments, its streams captured down to the descriptors."""

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ggufban import commands

__all__ = ["Result", "Run"]


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        raise AssertionError("a terminal was read")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config file of this test, empty; nothing else says anything about options."""
    for name in [name for name in os.environ if name.startswith("GGUFBAN_") and name != "GGUFBAN_CACHE"]:
        monkeypatch.delenv(name)
    path = tmp_path / "config.toml"
    path.write_text("")
    monkeypatch.setenv("GGUFBAN_CONFIG", str(path))
    return path


@pytest.fixture
def run(config: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`run("generate", "Hello", stdin=b"…")` is `ggufban generate Hello`; `stdin=None` is a terminal."""

    def run(*arguments: str, stdin: bytes | None = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["ggufban", *arguments])
        source = _Terminal(io.BytesIO()) if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", source)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert isinstance(ended.value.code, int)
        return Result(ended.value.code, *capfd.readouterr())

    return run
