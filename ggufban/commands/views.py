"""What the commands that look at a text share: where the text comes from, and in which forms its Trace is shown."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ggufban.errors import UsageError
from ggufban.inspection.text import Trace
from ggufban.inspection.uncertainty import SPANS, spans
from ggufban.rendering.scores import spans_table
from ggufban.rendering.strip import METRICS, heat_strip, legend
from ggufban.rendering.traces import trace_json, trace_lines, write_csv, write_npz

__all__ = [
    "CAVEATS",
    "echo_json",
    "print_exports",
    "print_views",
    "read_bytes",
    "read_text",
    "strip_text",
    "terminal_width",
    "view_options",
]

CAVEATS = """\b
What this cannot say. Probabilities are statistics of the texts that the
model was trained on.
  A probable statement need not be true, nor an improbable one false.
  A model may be sure and wrong: such errors have a low entropy, and nothing
  here shows them.
  A high logit is neither importance nor a reason: it is what comes out, not
  why.
  Raw logits depend on a model's scale: compare probabilities, differences
  or ranks."""
"""Said by every command that shows a model's figures."""


_VIEWS = (
    click.option("--color", "shade", type=click.Choice(list(METRICS)), help="Show the text shaded by a metric."),
    click.option("--spans", "span", type=click.Choice(list(SPANS)), help="Show entropy and loss of every span."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    click.option("--jsonl", "as_jsonl", is_flag=True, help="Print a JSON object for each token, and one for the text."),
    click.option("--csv", "csv_file", metavar="FILE", help="Write a table, one row a token; - is stdout."),
    click.option("--npz", "npz_file", metavar="FILE", help="Write arrays for numpy."),
)


def view_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say in which forms a Trace is shown."""
    for decorator in reversed(_VIEWS):
        function = decorator(function)
    return function


def terminal_width() -> int:
    """Columns to write in: those of the terminal, at least 40; 80 where there is none."""
    if not sys.stdout.isatty():
        return 80
    return max(40, os.get_terminal_size(sys.stdout.fileno()).columns)


def in_colour() -> bool:
    """Whether to write colours: only on a terminal, and not if NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def strip_text(trace: Trace, metric: str) -> str:
    """The heat strip of a text with its legend, in the colours and the width of this terminal."""
    colour = in_colour()
    return f"{heat_strip(trace, metric, colour=colour, width=terminal_width())}\n{legend(metric, colour=colour)}"


def echo_json(whole: Any) -> None:
    """Print strict JSON."""
    click.echo(json.dumps(whole, ensure_ascii=False, allow_nan=False))


def print_exports(trace: Trace, options: dict[str, Any], more: dict[str, Any] | None = None) -> bool:
    """Write a Trace in every form asked for; whether stdout is spoken for, so that no plain text may go there."""
    if options["as_json"] and options["as_jsonl"]:
        raise click.UsageError("--json and --jsonl exclude each other")
    if options["npz_file"]:
        write_npz(trace, options["npz_file"])
    to_stdout = options["csv_file"] == "-"
    if to_stdout:
        write_csv(trace, sys.stdout)
    elif options["csv_file"]:
        with Path(options["csv_file"]).open("w", encoding="utf-8", newline="") as file:
            write_csv(trace, file)
    if options["as_json"]:
        echo_json({**trace_json(trace), **(more or {})})
    elif options["as_jsonl"]:
        for line in trace_lines(trace):
            click.echo(line)
    return bool(to_stdout or options["as_json"] or options["as_jsonl"])


def print_views(trace: Trace, options: dict[str, Any]) -> None:
    """The heat strip and the spans, if they are asked for."""
    if options["shade"]:
        click.echo(strip_text(trace, options["shade"]))
    if options["span"]:
        click.echo(spans_table(spans(trace, options["span"])))


def read_bytes(file: str) -> bytes:
    """A file, or stdin for `-`."""
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None


def read_text(file: str) -> str:
    """A UTF-8 file, or stdin for `-`; one line break at its end is dropped, as llama.cpp does."""
    data = read_bytes(file)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}") from None
    return text.removesuffix("\n").removesuffix("\r")
