"""docs/inspection.md tells the truth: its commands and its Python run, on its own files, and say what it shows."""

import re
import shlex
from pathlib import Path

import pytest

from tests.commands.cli import run_cli

PAGE = (Path(__file__).parent.parent / "docs" / "inspection.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```([^\n]*)\n(.*?)^```$", PAGE, flags=re.M | re.S)
FILES = {kind.removeprefix("text "): body for kind, body in BLOCKS if kind.startswith("text ")}


def examples() -> list[tuple[str, str]]:
    """(commands, what the page shows of their output)."""
    found = []
    for (kind, body), (after, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind == "bash":
            found.append((body, shown if after == "text" else ""))
    return found


def labels(output: str) -> list[str]:
    """What stands at the beginning of lines of the form `label   value`, and the first line: no figures."""
    found = re.findall(r"^([A-Za-z][A-Za-z ()/]*?)(?: {2,}|$)", output, flags=re.M)
    return sorted(set(found) & set(LABELS))


LABELS = [
    "rank", "entropy", "varentropy", "margin", "nucleus", "tail", "watched", "text", "seed", "finished", "tokens",
    "NLL", "perplexity", "bits a byte", "first choice", "derailment", "verdict", "without", "with", "base", "Q",
    "Mean KLD", "Same top p", "all terms", "semantic entropy", "temp", "top-k", "top-p", "min-p", "bytes",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smollm2_path: Path, gemma_path: Path) -> Path:
    """A folder with the page's own files in it, and both models at hand."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("commands", "shown"), examples(), ids=[c.splitlines()[0][8:60] for c, _ in examples()])
def test_a_command_runs_and_says_what_the_page_shows(commands: str, shown: str, folder: Path) -> None:
    for line in commands.splitlines():
        command, _, target = line.partition(" > ")
        result = run_cli(*shlex.split(command)[1:])
        assert (result.returncode, result.stderr) == (0, ""), command
        assert result.stdout.strip()
        if target:
            Path(target).write_text(result.stdout, encoding="utf-8")
        else:
            assert labels(shown) == (labels(result.stdout) if shown else [])


def test_the_python_runs(capsys: pytest.CaptureFixture[str], smollm2_path: Path) -> None:
    (code,) = [body for kind, body in BLOCKS if kind == "python"]
    exec(compile(code, "inspection.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(" Paris 0.7")
    assert printed[-1] == "0.0"
