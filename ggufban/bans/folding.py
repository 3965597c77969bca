"""Code points -> symbols that compare equal, and where a word begins and ends.

A ban is a promise about text, so text is compared as a reader sees it. Every code point becomes zero or more
*symbols*, one code point at a time, so that folding the pieces of a text and folding the whole give the same:

| level   | symbols of a code point |
|---------|-------------------------|
| `exact` | itself |
| `case`  | invisible code points vanish; else NFD(casefold(NFD(c))) |
| `loose` | as `case` with NFKD; combining marks vanish except U+0306, U+3099, U+309A; ı is i; Hangul stays whole |

At every level a run of white space is one `SPACE`, and an `EDGE` stands wherever a word symbol (letter, mark or
digit) meets one that is not, or the beginning or end of the text:

>>> stream("The  cat!", "case").replace(EDGE, "|")
'|the| |cat|!'

`loose` also sees through look-alikes: `ggufban.bans.lookalikes`.
"""

import unicodedata
from collections.abc import Callable
from functools import cache

__all__ = [
    "EDGE",
    "LEVELS",
    "OTHER",
    "SPACE",
    "SPACING",
    "WORD",
    "fold_char",
    "fold_table",
    "fold_text",
    "folder",
    "is_unspaced",
    "join",
    "kind",
    "stream",
]

EDGE = "\ud800"
"""The symbol between a word and what is not one: a lone surrogate, which never comes out of UTF-8."""
SPACE = " "
"""The symbol of a run of white space."""
LEVELS = ("exact", "case", "loose")
"""The levels of folding, from the strictest to the most forgiving."""

OTHER, WORD, SPACING = 0, 1, 2
"""The kinds of a symbol: neither of the two (also: nothing yet), part of a word, white space."""

_IGNORABLE_RANGES = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt), and U+2800, the blank Braille pattern."""

_IGNORABLE = frozenset(code for low, high in _IGNORABLE_RANGES for code in range(low, high + 1))

_KEPT_MARKS = frozenset("\u0306\u3099\u309a")
"""Marks that make another letter even for a lenient reader: й is not и, が is not か."""

_UNSPACED_NAMES = (
    "CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA",
    "COMBINING KATAKANA-HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR",
)  # fmt: skip
"""How the names of the characters begin whose scripts are written without spaces between words."""


def _fold_uncached(char: str, level: str) -> str:
    if "\ud800" <= char <= "\udfff":
        return "\ufffd"  # not text: it must not be mistaken for an edge
    if char.isspace():
        return SPACE
    if level == "exact":
        return char
    code = ord(char)
    if code in _IGNORABLE:
        return ""
    if level == "case":
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", char).casefold())
    elif 0xAC00 <= code <= 0xD7A3:
        return char
    else:
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
        folded = "".join(
            "i" if mark == "ı" else mark
            for mark in folded
            if mark in _KEPT_MARKS or unicodedata.category(mark) not in ("Mn", "Me")
        )
    return "".join(SPACE if symbol.isspace() else symbol for symbol in folded)


class _Table(dict[int, str]):
    """Code point -> symbols at one level, filled as code points are met; `str.translate` reads it in C."""

    def __init__(self, level: str) -> None:
        super().__init__()
        self.level = level

    def __missing__(self, code: int) -> str:
        symbols = self[code] = _fold_uncached(chr(code), self.level)
        return symbols


class _Kinds(dict[str, int]):
    """Symbol -> its kind, filled as symbols are met."""

    def __missing__(self, symbol: str) -> int:
        is_word = unicodedata.category(symbol)[0] in "LMN"
        found = self[symbol] = SPACING if symbol == SPACE else WORD if is_word else OTHER
        return found


_TABLES = {level: _Table(level) for level in LEVELS}
kind = _Kinds()
"""`kind[symbol]` is `WORD` (categories L, M, N), `SPACING` or `OTHER`."""


def fold_char(char: str, level: str) -> str:
    """The symbols of one code point at a level: `""` if it vanishes, `SPACE` for white space.

    >>> [fold_char(char, "loose") for char in "ßÉﬁ"]
    ['ss', 'e', 'fi']
    """
    return _TABLES[level][ord(char)]


def fold_text(text: str, level: str) -> str:
    """The symbols of every code point of `text`, one after the other: no edges, no runs of white space joined."""
    return text.translate(_TABLES[level])


def fold_table(level: str, kept: str = "") -> dict[int, str]:
    """A table for `str.translate` that folds all but the code points in `kept`, which stay as they are."""
    table = _Table(level)
    table.update(_TABLES[level])
    table.update({ord(char): char for char in kept})
    return table


@cache
def folder(level: str) -> Callable[[str], str]:
    """`fold_char` at one level, as a function of one code point: the same function for every call."""
    table = _TABLES[level]
    return lambda char: table[ord(char)]


def join(symbols: str, last: int = OTHER) -> tuple[str, int]:
    """What folded symbols add to a stream whose last symbol is of kind `last`, and the kind of the new last one.

    Edges are added before the symbol that makes them one; the edge that the end of the text would make is not.

    >>> join("s  ago", WORD)[0].replace(EDGE, "|")
    's| |ago'
    """
    out = []
    for symbol in symbols:
        now = kind[symbol]
        if now == SPACING and last == SPACING:
            continue
        if (now == WORD) != (last == WORD):
            out.append(EDGE)
        out.append(symbol)
        last = now
    return "".join(out), last


def stream(text: str, level: str) -> str:
    """The symbols of a whole text, with its edges, those at its beginning and end included."""
    symbols, last = join(fold_text(text, level))
    return symbols + EDGE if last == WORD else symbols


def is_unspaced(char: str) -> bool:
    """Whether `char` belongs to a script written without spaces: a pattern has no edge beside it.

    These are Han, Hiragana, Katakana, Thai, Lao, Khmer and Myanmar.
    """
    return not char.isascii() and unicodedata.name(char, "").startswith(_UNSPACED_NAMES)
