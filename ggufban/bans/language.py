"""What people write: a line of a ban list -> a `Pattern`, and lines -> a `BanList`.

| line | bans |
|---|---|
| `Paris` | that whole word |
| `delve*`, `*tion`, `*ass*` | words that begin so, that end so, and text anywhere |
| `shivers down` | a phrase, with any white space between its words |
| `—` or `...` | text with no word at that side has no edge there |
| `/not [a-z]+ but/` | what a regular expression over the folded text matches |
| `script:Han` | any character of a Unicode script |
| `token:1234` | that token id, whatever its text |
| `кот ~ru` | a word and all its inflected forms |
| `"#hash"` | quotes: taken literally (a quotation mark inside is written twice) |
| `include FILE` | the lines of another file, named relative to this one |
| `# ...` | a comment, at the beginning of a line or after white space |
"""

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ggufban.bans.folding import EDGE, WORD, fold_text, is_unspaced, join
from ggufban.errors import BanError

__all__ = ["Kind", "Pattern", "parse_line", "parse_lines", "read_file"]

Kind = Literal["text", "regex", "script", "token"]

_SPECIAL = re.compile(r"""[*#"/~:]|\A\s*include\s""")
_COMMENT = re.compile(r"(?:\A|\s)#.*", re.DOTALL)
_QUOTED = re.compile(r'(\*?)"((?:[^"]|"")*)"(\*?)\s*(?:\s#.*)?', re.DOTALL)
_REGEX = re.compile(r"/(.*)/\s*(?:\s#.*)?", re.DOTALL)
_FORMS = re.compile(r"(.*\S)\s+~(\S*)", re.DOTALL)
_INCLUDE = re.compile(r"include\s+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of a ban list: what it says, and where it stands.

    `text` is the line as written, without its comment. `kind` says what it is and `bodies` what it is about: for
    `text` the texts that are banned (several if forms were asked for), for the other kinds the regular
    expression, the name of the script or the digits of the token id. `open_left` and `open_right` tell whether a
    match may begin and end inside a word. Patterns compare by what they ban, not by where they stand.
    """

    text: str = field(compare=False)
    kind: Kind
    bodies: tuple[str, ...]
    open_left: bool = False
    open_right: bool = False
    source: str | None = field(default=None, compare=False)
    line: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.text

    def error(self, message: str) -> BanError:
        """A `BanError` that says where this pattern stands."""
        return BanError(message, source=self.source, line=self.line)

    @property
    def token(self) -> int:
        """The id that a pattern of kind `token` bans."""
        return int(self.bodies[0])

    def needle(self, body: str, level: str) -> str:
        """The string of symbols that one of `bodies` bans, edges included; BanError if it has no symbol.

        For patterns of kind `text`.
        """
        if body.isascii() and body.isalpha():
            middle = body if level == "exact" else body.lower()
            return ("" if self.open_left else EDGE) + middle + ("" if self.open_right else EDGE)
        symbols, last = join(fold_text(body, level))
        if not symbols:
            raise self.error(
                f"{self.text!r} holds only invisible characters, which are ignored at fold={level!r}: "
                "remove the line, or use fold='exact'"
            )
        if symbols[0] == EDGE and (self.open_left or _touches_unspaced(body, level)):
            symbols = symbols[1:]
        if last == WORD and not self.open_right and not _touches_unspaced(body[::-1], level):
            symbols += EDGE
        return symbols


def _touches_unspaced(body: Iterable[str], level: str) -> bool:
    """Whether the first visible character of `body` is one that is written without spaces."""
    return is_unspaced(next(char for char in body if fold_text(char, level)))


def parse_line(line: str, *, source: str | None = None, number: int | None = None) -> Pattern | None:
    """The pattern that a line says, or None for one that is blank or only a comment.

    `include` is not a pattern: `read_file` and `BanList` follow it before they ask here. Raises `BanError`, with
    `source` and `number` in front, for a line that says nothing sensible, and says what to write instead.

    >>> parse_line("delve*  # and delves, delving").bodies, parse_line("# nothing")
    (('delve',), None)
    """
    stripped = line.strip()
    if not _SPECIAL.search(stripped):
        return Pattern(stripped, "text", (stripped,), False, False, source, number) if stripped else None

    def fail(message: str) -> BanError:
        return BanError(message, source=source, line=number)

    if match := _QUOTED.fullmatch(stripped):
        left, body, right = match.groups()
        body = body.replace('""', '"')
        if not body:
            raise fail('"" is an empty pattern: write what is to be banned between the quotes')
        return Pattern(stripped[: match.end(3)], "text", (body,), bool(left), bool(right), source, number)
    if stripped.startswith(('"', '*"')):
        raise fail(
            f"{stripped!r} begins with a quotation mark and does not end with one: close it, and write "
            'a quotation mark inside quotes twice, as in """Hello"" she said"'
        )
    if stripped.startswith("/"):
        if not (match := _REGEX.fullmatch(stripped)):
            raise fail(
                f"{stripped!r} begins like a regular expression and does not end with '/': write /.../, "
                f'or put the text in quotes to ban it as it is: "{stripped}"'
            )
        return Pattern(stripped[: match.end(1) + 1], "regex", (match[1],), False, False, source, number)
    stripped = _COMMENT.sub("", stripped).rstrip()
    return _parse_unquoted(stripped, source, number, fail) if stripped else None


def _parse_unquoted(stripped: str, source: str | None, number: int | None, fail: Callable[[str], BanError]) -> Pattern:
    """The pattern of a line without quotes, slashes and comments that is not blank."""
    keyword, colon, rest = stripped.partition(":")
    rest = rest.strip()
    if colon and keyword == "token":
        if not (rest.isascii() and rest.isdigit()):
            raise fail(f"{stripped!r}: a token id is a whole number from 0, as in token:1234")
        return Pattern(stripped, "token", (str(int(rest)),), False, False, source, number)
    if colon and keyword == "script":
        if not rest:
            raise fail("'script:' needs the name of a Unicode script, as in script:Han")
        return Pattern(stripped, "script", (rest,), False, False, source, number)
    language = None
    if match := _FORMS.fullmatch(stripped):
        body, language = match.groups()
    else:
        body = stripped
    left, right = body.startswith("*"), body.endswith("*") and len(body) > 1
    body = body[left : len(body) - right].strip()
    if not body:
        raise fail(f"{stripped!r} is an empty pattern, which would ban everything: put text beside the *")
    if "*" in body:
        raise fail(
            f"{stripped!r}: a * stands only at the beginning or at the end. To ban the stars themselves write "
            f'"{stripped}" in quotes; for a gap use a regular expression, as in /f[a-z]*k/'
        )
    if language is None:
        return Pattern(stripped, "text", (body,), left, right, source, number)
    if left or right or len(body.split()) > 1:
        raise fail(f"{stripped!r}: forms are those of one whole word, as in: кот ~ru")
    try:
        from ggufban.bans.forms import forms_of

        bodies = tuple(dict.fromkeys((body, *forms_of(body, language))))
    except BanError as error:
        raise fail(str(error)) from None
    return Pattern(stripped, "text", bodies, False, False, source, number)


def parse_lines(
    lines: Iterable[str], source: str, folder: Path, parents: tuple[Path, ...] = (), *, first: int = 1
) -> Iterator[Pattern]:
    """The patterns of lines numbered from `first`, and of the files they include, named relative to `folder`."""
    for number, line in enumerate(lines, first):
        if not _SPECIAL.search(line):  # nearly all lines of nearly all lists
            if stripped := line.strip():
                yield Pattern(stripped, "text", (stripped,), False, False, source, number)
        elif match := _INCLUDE.match(line.strip()):
            name = _COMMENT.sub("", match[1]).strip().strip('"')
            yield from _include(folder / name, source, number, parents)
        elif (pattern := parse_line(line, source=source, number=number)) is not None:
            yield pattern


def _include(path: Path, source: str, number: int, parents: tuple[Path, ...]) -> Iterator[Pattern]:
    whole = Path(os.path.abspath(path))  # noqa: PTH100  (resolve() would follow links, which may lead in circles)
    if whole in parents:
        circle = " -> ".join(p.name for p in (*parents[parents.index(whole) :], whole))
        raise BanError(f"this file includes itself ({circle}): remove one include", source=source, line=number)
    try:
        text = _read_text(path)
    except OSError as error:
        raise BanError(
            f"cannot include {str(path)!r}: {error.strerror}. To ban the words themselves, put the line in quotes",
            source=source,
            line=number,
        ) from None
    yield from parse_lines(_split(text), str(path), path.parent, (*parents, whole))


def read_file(path: str | os.PathLike[str]) -> list[Pattern]:
    """The patterns of a file of lines, in UTF-8, with or without a byte order mark, and any line ends.

    Raises `BanError` if it cannot be read, is not UTF-8, or has a line that says nothing sensible.
    """
    file = Path(path)
    try:
        text = _read_text(file)
    except OSError as error:
        raise BanError(f"cannot read this ban list: {error.strerror}", source=str(file)) from None
    return list(parse_lines(_split(text), str(file), file.parent, (Path(os.path.abspath(file)),)))  # noqa: PTH100


def _split(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _read_text(path: Path) -> str:
    """The text of a file; OSError as usual, BanError if it is not UTF-8."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise BanError("this file is UTF-16: save it as UTF-8", source=str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BanError(
            f"this is not UTF-8 (byte 0x{data[error.start]:02x}): save the file as UTF-8",
            source=str(path),
            line=line,
        ) from None
