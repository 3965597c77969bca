"""Bytes -> the symbols they add to a text, and how many bytes each of them stands for."""

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from ggufban.bans.folding import EDGE, SPACING, WORD, fold_char, kind

__all__ = ["Reading", "characters", "read"]


class Reading(NamedTuple):
    """What some bytes add to a stream of symbols."""

    stream: str
    """The symbols, with the edges between them and before the first."""
    last: int
    """The kind of the last symbol of the stream from now on."""
    pending: bytes
    """The bytes of an unfinished character at the end."""
    widths: tuple[int, ...]
    """For each symbol of `stream`, the bytes from its own beginning to that of the next one.

    An edge has 0; of the symbols of one code point the last has them all, so that a match that begins at any of
    them is said to begin where the code point does; bytes that became no symbol are added to the one before.
    """
    lead: int
    """The bytes before the first symbol that became none."""


def characters(data: bytes) -> tuple[list[tuple[str, int]], bytes]:
    r"""The characters of `data` with their length in bytes, and the bytes of an unfinished one at the end.

    Invalid bytes become U+FFFD exactly as in `data.decode("utf-8", errors="replace")`.

    >>> characters(b"a\xc3\xa9\xe2\x82"), characters(b"\xff")
    (([('a', 1), ('é', 2)], b'\xe2\x82'), ([('�', 1)], b''))
    """
    found: list[tuple[str, int]] = []
    begin = 0
    while True:
        try:
            text, used = codecs.utf_8_decode(data[begin:], "strict", False)
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode("utf-8")
            found += _measured(text)
            found.append(("\ufffd", error.end - error.start))
            begin += error.end
        else:
            found += _measured(text)
            return found, data[begin + used :]


def _measured(text: str) -> Iterator[tuple[str, int]]:
    if text.isascii():
        return ((char, 1) for char in text)
    return ((char, len(char.encode("utf-8"))) for char in text)


def read(data: bytes, last: int, level: str) -> Reading:
    """What `data` adds to a stream whose last symbol is of kind `last`."""
    found, pending = characters(data)
    return read_characters(found, pending, last, level)


def read_characters(found: list[tuple[str, int]], pending: bytes, last: int, level: str) -> Reading:
    """What characters, given with their length in bytes, add to a stream whose last symbol is of kind `last`."""
    stream: list[str] = []
    widths: list[int] = []
    lead = 0
    for char, width in found:
        for symbol in fold_char(char, level):
            now = kind[symbol]
            if now == SPACING and last == SPACING:
                continue
            if (now == WORD) != (last == WORD):
                stream.append(EDGE)
                widths.append(0)
            stream.append(symbol)
            widths.append(0)
            last = now
        if widths:
            widths[-1] += width
        else:
            lead += width
    return Reading("".join(stream), last, pending, tuple(widths), lead)
