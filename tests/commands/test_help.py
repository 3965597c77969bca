"""What `--help` says, and that the page in docs/ says the same."""

import subprocess
import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import click
import pytest

from ggufban.commands import COMMANDS, cli
from tests.commands.conftest import Run

ROOT = Path(__file__).parent.parent.parent


def make_help() -> ModuleType:
    spec = util.spec_from_file_location("make_help", ROOT / "docs" / "make_help.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CONTEXTS = list(make_help().commands(cli))


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert make_help().page() == written, "run: python docs/make_help.py"


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: context.command_path)
def test_help_says_everything(context: click.Context) -> None:
    command = context.command
    help = command.get_help(context)
    flat = " ".join(help.split())
    assert "Example" in help
    assert f"\n    {context.command_path}" in help  # an example of this very command, its line unbroken
    assert "\b" not in help
    assert "\\b" not in help
    assert max(map(len, help.splitlines())) <= 120  # explanations that keep their lines are written wide
    for parameter in command.params:
        if not isinstance(parameter, click.Option):
            continue
        assert parameter.help, parameter.opts
        for flag in parameter.opts:
            assert flag in help
        if parameter.envvar:
            assert parameter.envvar == "GGUFBAN_" + first_long(parameter).removeprefix("--").upper().replace("-", "_")
            assert f"env var: {parameter.envvar}" in flat
        default = parameter.to_info_dict()["default"]
        if isinstance(default, int | float | str) and not isinstance(default, bool):
            assert f"default: {default}" in flat, parameter.opts


def first_long(option: click.Option) -> str:
    return next(flag for flag in option.opts if flag.startswith("--"))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_the_first_line_of_each(name: str, run: Run) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    assert command.help.splitlines()[0] == COMMANDS[name]
    result = run(name, "-h")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: ggufban {name} ")
    assert f" {COMMANDS[name]} " in " ".join(result.out.split())


def test_a_name_that_is_no_command(run: Run) -> None:
    result = run("genrate")
    assert (result.code, result.out) == (2, "")
    assert "No such command 'genrate'. Did you mean 'generate'?" in result.err
    assert "No such command 'qqq'" in run("qqq").err
    assert run("--nonsense").code == 2


def test_version_and_help(run: Run) -> None:
    assert run("--version").out.startswith("ggufban, version ")
    assert run("--help").out == run("-h").out
    assert "doctor" in run("--help").out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ggufban.commands import main; sys.argv = ['ggufban', '--help']\n"
        "try: main()\n"
        "finally: print(*sorted({'llama_cpp', 'numpy', 'gguf'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stderr.strip() == ""
    assert result.stdout.startswith("Usage: ggufban ")


def test_python_m_and_the_checkout_run_the_same() -> None:
    said = [
        subprocess.run([sys.executable, *how, "--version"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for how in (["-m", "ggufban"], ["cli.py"])
    ]
    assert said[0] == said[1] != ""
