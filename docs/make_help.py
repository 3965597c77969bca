"""Writes `docs/commands.md`, the help of every command: `python docs/make_help.py`; a test says when to."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402

from ggufban.commands import cli  # noqa: E402

WIDTH = 100
HEAD = """\
# Commands

What `--help` says of each command. This page is written by `python docs/make_help.py`.
"""


def commands(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A context for a command, then for each of its commands."""
    settings: dict[str, Any] = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    with click.Context(command, parent=parent, info_name=command.name if parent else "ggufban", **settings) as context:
        yield context
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                yield from commands(found, context)


def page() -> str:
    """The page: a heading and the help of every command."""
    parts = [HEAD]
    for context in commands(cli):
        lines = [line.rstrip() for line in context.command.get_help(context).splitlines()]
        parts.append("\n".join([f"## {context.command_path}\n", "```text", *lines, "```\n"]))
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "commands.md").write_text(page(), encoding="utf-8", newline="\n")
