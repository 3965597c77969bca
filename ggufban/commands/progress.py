"""Progress on stderr, only on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

__all__ = ["ReadingBar", "count_bar", "download_bar"]


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


@contextmanager
def count_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function that is told how many of how many are done: on a terminal it draws a bar, after the first second."""
    terminal = sys.stderr.isatty()
    began = shown = time.monotonic()
    drawn = False

    def show(done: int, total: int) -> None:
        nonlocal shown, drawn
        now = time.monotonic()
        if not terminal or now - began < 1.0 or (now - shown < 0.1 and done < total):
            return
        shown, drawn = now, True
        filled = 30 * done // max(1, total)
        left = (now - began) / max(1, done) * (total - done)
        bar = "█" * filled + "·" * (30 - filled)
        click.echo(f"\r{what} {bar} {done:,}/{total:,} {left:4.0f} s left", nl=False, err=True)

    try:
        yield show
    finally:
        if drawn:
            click.echo(f"\r{'':<78}\r", nl=False, err=True)


class ReadingBar:
    """How far a file has been read: drawn on a terminal, once it has lasted two seconds.

    `total` is in bytes, 0 if it is not known.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._is_shown = sys.stderr.isatty()
        self._began = self._drawn = time.monotonic()
        self._width = 0

    def update(self, done: int) -> None:
        """Draw it anew, at most five times a second."""
        now = time.monotonic()
        if not self._is_shown or now - self._began < 2 or now - self._drawn < 0.2:
            return
        self._drawn = now
        text = f"{self._what} {done / 1e6:,.0f} MB"
        if self._total:
            left = (now - self._began) / max(done, 1) * max(0, self._total - done)
            text = f"{self._what} {done / 1e6:,.0f}/{self._total / 1e6:,.0f} MB, {left:.0f} s left"
        click.echo("\r" + text.ljust(self._width), nl=False, err=True)
        self._width = len(text)

    def clear(self) -> None:
        """Wipe it from the terminal, before something else is printed there."""
        if self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=True)
            self._width = 0
