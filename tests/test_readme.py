"""The README tells the truth: its commands and its Python run as they stand."""

import re
import shlex
from pathlib import Path

import pytest

from tests.commands.cli import run_cli

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.M | re.S)


def commands() -> list[str]:
    """Every `ggufban …` that a reader could paste."""
    found = []
    for kind, body in BLOCKS:
        if kind == "bash":
            for line in body.splitlines():
                found += re.findall(r"(?:\.venv/bin/|^|\| )(ggufban .*?)(?: +# .*)?$", line)
    return found


def test_the_main_command_writes_what_the_readme_shows(smollm2_path: Path) -> None:
    main = next(command for command in commands() if "--ban Paris --temp 0" in command)
    shown = BLOCKS[[body for _, body in BLOCKS].index(next(b for _, b in BLOCKS if main in b)) + 1][1]
    result = run_cli(*shlex.split(main)[1:])
    assert result.returncode == 0
    assert result.stderr == ""
    assert not re.search(r"(?i)\bparis\b", result.stdout)
    # Another CPU may round otherwise, and go another way after some words.
    assert result.stdout.split()[:3] == shown.split()[:3]
    without = run_cli(*shlex.split(main.replace(" --ban Paris", ""))[1:])
    assert "Paris" in without.stdout


@pytest.mark.parametrize("command", commands())
def test_commands_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gemma_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("slop.txt").write_text("tapestry\na testament to\n")
    arguments = shlex.split(command)[1:]
    if arguments[0] == "generate":
        arguments += ["-n", "12"]
    result = run_cli(*arguments, input="Once upon a time")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()


def test_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for kind, body in BLOCKS:
        if kind == "python":
            exec(compile(body, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "1 ' Paris' 0.7" in printed
    assert "'Paris': 1" in printed
