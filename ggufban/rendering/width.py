"""Text as a terminal shows it: how many columns it takes, and bytes that are no text made readable."""

import unicodedata
from collections.abc import Iterator

__all__ = ["char_width", "clip", "display_width", "pad", "show_piece", "show_text", "wrap"]

_INVISIBLE = {"Mn", "Me", "Cf"}


def char_width(char: str) -> int:
    """Columns of one character: 0 for marks and invisible ones, 2 for wide ones (Unicode's East Asian Width), else 1.

    >>> [char_width(c) for c in "aя東\u0301"]
    [1, 1, 2, 0]
    """
    if (unicodedata.category(char) in _INVISIBLE and char != "\u00ad") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def display_width(text: str) -> int:
    """Columns of a text without control characters."""
    return len(text) if text.isascii() else sum(map(char_width, text))


def clip(text: str, width: int) -> str:
    """As much of `text` as fits into `width` columns; `…` at the end says that something is missing.

    >>> clip("inspection", 6), clip("東京都", 4), clip("cat", 6)
    ('inspe…', '東…', 'cat')
    """
    if display_width(text) <= width:
        return text
    used, kept = 0, []
    for char in text:
        used += char_width(char)
        if used > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…" if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` clipped or filled with spaces to exactly `width` columns, at its right side if `right`."""
    text = clip(text, width)
    fill = " " * (width - display_width(text))
    return fill + text if right else text + fill


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def show_text(text: str) -> str:
    r"""`text` on one line, every character of it seen: `\n` and its like as in Python, a mark on a dotted circle.

    >>> show_text("a\n\u0301\u200b")
    'a\\n◌́\\u200b'
    """
    return "".join(_show(char, first) for char, first in _with_first(text))


def _with_first(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it has no letter before it to stand on."""
    alone = True
    for char in text:
        yield char, alone
        alone = not char.isprintable() or char.isspace()


def _show(char: str, alone: bool) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if unicodedata.category(char) in ("Mn", "Me"):
        return "◌" + char if alone else char
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def show_piece(piece: bytes, name: str | None = None) -> str:
    r"""A token's bytes in quotes; bytes that are no whole character as `\xC3`; `name` for a token without text.

    >>> show_piece(b" Paris"), show_piece("é".encode()[:1]), show_piece(b"", "<|im_end|>")
    ("' Paris'", "'\\xC3'", '<|im_end|>')
    """
    if not piece:
        return name or "''"
    shown, rest = [], piece
    while rest:
        try:
            shown.append(show_text(rest.decode("utf-8")))
            break
        except UnicodeDecodeError as error:
            good = rest[: error.start].decode("utf-8")
            shown.append(show_text(good) + "".join(f"\\x{byte:02X}" for byte in rest[error.start : error.end]))
            rest = rest[error.end :]
    return f"'{''.join(shown)}'"


def wrap(text: str, width: int, *, indent: str = "") -> list[str]:
    """Lines of at most `width` columns, broken between words; every line begins with `indent`."""
    lines, line = [], indent
    for word in text.split():
        gap = "" if line == indent else " "
        if gap and display_width(line) + 1 + display_width(word) > width:
            lines.append(line)
            line, gap = indent, ""
        line += gap + word
    return [*lines, line]
