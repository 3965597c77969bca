"""Progress on stderr, only on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

__all__ = ["download_bar"]


@contextmanager
def download_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A function for `catalogue.fetch` to call: it draws a bar with an estimate, or says once what goes on."""
    terminal = sys.stderr.isatty()
    began = time.monotonic()
    said: set[str] = set()

    def show(what: str, done: int, total: int) -> None:
        if not terminal or not total:
            if what not in said:
                said.add(what)
                size = f" ({total / 1e6:,.0f} MB)" if total else ""
                click.echo(f"{what}{size} …", err=True)
            return
        said.add(what)
        spent = time.monotonic() - began
        left = f"{spent / done * (total - done):4.0f} s left" if done else ""
        filled = 30 * done // total
        bar = "█" * filled + "·" * (30 - filled)
        click.echo(f"\r{what} {bar} {done / 1e6:,.0f}/{total / 1e6:,.0f} MB {left:>12}", nl=False, err=True)

    try:
        yield show
    finally:
        if terminal and said:
            click.echo(err=True)
