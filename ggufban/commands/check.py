"""`ggufban check`: find what a ban list bans, in any text. No model is loaded."""

import codecs
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from ggufban.bans import BanList
from ggufban.bans.places import Place, find_places
from ggufban.commands.options import ban_options, read_bans
from ggufban.commands.progress import ReadingBar
from ggufban.errors import UsageError

__all__ = ["command"]

_PART = 1 << 17
"""Bytes read at once."""


@click.command("check")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@ban_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Print a JSON object for each match.")
@click.option("--count", is_flag=True, help="Print the number of matches of each file instead.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing, and stop at the first match.")
def command(**options: Any) -> int:
    """Find what a ban list bans, in any text.

    \b
    Examples:
      ggufban check --ban-file slop.txt essay.md
      ggufban generate --ban Paris "Where is the Louvre?" | ggufban check --ban Paris && echo clean

    Prints FILE:LINE:COLUMN: PATTERN: the place. Lines and columns count from 1, columns in characters. Without a
    FILE, or with -, stdin is read. Files may be larger than memory.

    Exit code: 0 clean, 1 matches, 2 wrong usage or a file that cannot be read.
    """
    forms = [name for name in ("as_json", "as_jsonl", "count", "quiet") if options[name]]
    if len(forms) > 1:
        raise UsageError("--json, --jsonl, --count and --quiet exclude each other: give one of them")
    names = options["files"] or ("-",)
    if "-" in names and not options["files"] and sys.stdin.isatty():
        raise UsageError("no text: name a file, as in: ggufban check --ban Paris essay.txt; or pipe one in")
    if "-" in names and "-" in options["ban_file"]:
        raise UsageError("stdin cannot be both the ban list and the text: put one of them into a file")
    bans = read_bans(options)
    if bans is None:
        raise UsageError("nothing to look for: give --ban PATTERN or --ban-file FILE")
    ids = sum(pattern.kind == "token" for pattern in bans)
    if ids and not options["quiet"]:
        _note(f"{ids} of {len(bans)} patterns name token ids, which are looked for in no text")
    printer = _Printer(forms[0] if forms else "", bans, many=len(names) > 1)
    failed = False
    for name in names:
        try:
            printer.check(name)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            failed = True
            _note(f"{name} cannot be read: {error.strerror or error}")
        if printer.found and options["quiet"]:
            break
    printer.close()
    return 2 if failed else 1 if printer.found else 0


@dataclass
class _Text:
    """A text while it is read."""

    name: str
    matches: int = 0
    characters: int = 0
    invalid: int = 0
    """Places that are not UTF-8 and were read as U+FFFD."""

    def read(self, file: BinaryIO, bar: ReadingBar) -> Iterator[str]:
        """The text of a file, part by part, without a byte order mark; what is not UTF-8 becomes U+FFFD."""
        done, rest, ended = 0, b"", False
        while not ended:
            data = file.read1(_PART) if isinstance(file, io.BufferedReader) else file.read(_PART)
            ended = not data
            text, rest = self._decode(rest + data, ended)
            if self.characters == 0:
                text = text.removeprefix("\ufeff")
            self.characters += len(text)
            yield text
            done += len(data)
            bar.update(done)

    def _decode(self, data: bytes, ended: bool) -> tuple[str, bytes]:
        """The text of `data`, and the bytes of an unfinished character at its end."""
        try:
            text, used = codecs.utf_8_decode(data, "strict", ended)
        except UnicodeDecodeError:
            text, used = codecs.utf_8_decode(data, "replace", ended)
            self.invalid += text.count("\ufffd") - data[:used].count(b"\xef\xbf\xbd")
        return text, data[used:]


class _Printer:
    """Checks texts, and prints what was found in the form that was asked for."""

    def __init__(self, form: str, bans: BanList, many: bool) -> None:
        self._form, self._bans, self._many = form, bans, many
        self._in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._all: list[dict[str, Any]] = []
        self._texts: list[_Text] = []
        self.found = 0

    def check(self, name: str) -> None:
        """Look through one file."""
        if name == "-":
            self._check(_Text("(stdin)"), sys.stdin.buffer, 0)
        else:
            with Path(name).open("rb") as file:
                self._check(_Text(name), file, os.fstat(file.fileno()).st_size)

    def _check(self, text: _Text, file: BinaryIO, size: int) -> None:
        bar = ReadingBar(text.name, size)
        for place in find_places(self._bans, text.read(file, bar)):
            text.matches += 1
            self.found += 1
            if self._form == "quiet":
                break
            bar.clear()
            self._show(text.name, place)
        bar.clear()
        self._texts.append(text)
        if self._form == "count":
            click.echo(f"{text.name}:{text.matches}" if self._many else text.matches)
        if text.invalid:
            _note(f"{text.name} is not UTF-8: {text.invalid} places in it were read as U+FFFD")

    def _show(self, name: str, place: Place) -> None:
        if self._form == "as_json":
            self._all.append(_json(name, place))
        elif self._form == "as_jsonl":
            click.echo(json.dumps(_json(name, place), ensure_ascii=False))
        elif self._form == "":
            before, text, after = map(_shown, (place.before, place.text, place.after))
            if self._in_colour:
                text = click.style(text, fg="red", bold=True)
            click.echo(f"{name}:{place.line}:{place.column}: {place.pattern}: {before.lstrip()}{text}{after.rstrip()}")

    def close(self) -> None:
        """Print what comes at the end."""
        if self._form == "as_json":
            whole = {
                "fold": self._bans.fold,
                "patterns": len(self._bans),
                "count": self.found,
                "files": [
                    {
                        "file": text.name,
                        "count": text.matches,
                        "characters": text.characters,
                        "invalid_utf8": text.invalid,
                    }
                    for text in self._texts
                ],
                "matches": self._all,
            }
            click.echo(json.dumps(whole, ensure_ascii=False))


def _shown(text: str) -> str:
    """Text for one line of a terminal: white space as blanks, and no control characters."""
    return "".join(" " if char.isspace() else char if char.isprintable() else "\ufffd" for char in text)


def _json(name: str, place: Place) -> dict[str, Any]:
    return {
        "file": name,
        "line": place.line,
        "column": place.column,
        "start": place.start,
        "end": place.end,
        "pattern": place.pattern.text,
        "pattern_source": place.pattern.source,
        "pattern_line": place.pattern.line,
        "text": place.text,
        "before": place.before,
        "after": place.after,
    }


def _note(message: str) -> None:
    click.echo(f"ggufban: {message}", err=True)
