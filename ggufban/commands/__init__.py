"""The command line: options -> calls -> rendering. The only room that imports click.

`main` is the entry point. Each command lives in a file of its own name and is imported when it is used, so that
`ggufban --help` answers at once. Errors of the library become messages here, and nowhere else: exit code 2 for wrong
usage, 1 for what failed, 130 for an interrupt; a broken pipe is silent.
"""

import errno
import os
import sys
import warnings
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click

from ggufban import __version__
from ggufban.errors import GgufbanError, UsageError

__all__ = ["cli", "main"]

COMMANDS = {
    "generate": "Write text in which banned words cannot appear.",
    "chat": "Talk with a model in the terminal, under bans.",
    "inspect": "Show what the model wants to say next, and why it said what it said.",
    "score": "Show how probable a given text is, and what a context changes.",
    "compare": "Compare two models, or two settings, on one text.",
    "evaluate": "Measure what each strategy gives and what it costs.",
    "sweep": "Show what temperature, top-k, top-p and min-p do to one distribution.",
    "check": "Find what a ban list bans, in any text.",
    "bans": "Show what a ban list means.",
    "models": "List, fetch and describe models.",
    "doctor": "Say what runs here, and test it.",
}
"""Every command, and the first line of its help."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command called `name`, imported now."""
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"ggufban.commands.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with; of a name that there is not, the one that was meant."""
        close = [] if args[0] in COMMANDS else get_close_matches(args[0], COMMANDS, n=1)
        if close:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="ggufban")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """See, ban and sample the tokens of a GGUF model, on llama.cpp, without PyTorch.

    \b
    Example:
      ggufban generate "The capital of France is" --ban Paris -n 32

    Every option can also be set by the environment variable shown with it, or in the config file
    (`ggufban doctor` says where it is): flag, then environment, then config file, then default.
    """
    from ggufban.commands.config import defaults, read_config

    name = ctx.invoked_subcommand
    command = cli.get_command(ctx, name) if name else None
    if name and command:
        ctx.default_map = {name: defaults(command, name, read_config())}


def main() -> None:
    """Run the command line and exit with its code."""
    if hasattr(sys.stdout, "reconfigure"):  # a pipe on Windows would otherwise speak the local code page
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding="utf-8", errors="replace")
    warnings.showwarning = _show_warning
    sys.exit(_run())


def _run() -> int:
    try:
        result = cli.main(prog_name="ggufban", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except UsageError as error:
        return _fail(error, 2)
    except GgufbanError as error:
        return _fail(error, 1)
    except OSError as error:
        # Whoever read us has gone: Windows calls it EINVAL, which it also says of a bad file name.
        gone = error.errno == errno.EPIPE or (error.errno == errno.EINVAL and error.filename is None)
        if not gone:
            return _fail(error, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it once more when it ends
        return 1
    return result if isinstance(result, int) else 0


def _fail(error: Exception, code: int) -> int:
    click.echo(f"ggufban: {error}", err=True)
    return code


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"ggufban: {message}", err=True)
