"""Look-alikes at `loose`: `сat` with a Cyrillic с is `cat`, and `сор`, all Cyrillic, is not `cop`.

A word (a run of word symbols) is *mixed* if it has letters of at least two of Latin, Cyrillic and Greek. A symbol
of the text equals one of a needle if they are the same, or if they look alike and the symbol's word is mixed.

To search for that, texts and needles are reduced to *likenesses*: one letter for all that look alike. A needle
whose likeness is found is then compared symbol by symbol, word by word. What is found in a word that is not mixed
yet, and that goes on, is kept as an *omen*: it comes true if a letter of another script follows in that word.
"""

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from ggufban.bans.folding import EDGE
from ggufban.bans.needles import Needles

__all__ = ["LIKENESS", "START", "Alike", "Found", "LookAlikes", "is_mixed", "script_bits"]

_ALIKE = (
    "aаα", "bвβ", "cс", "dԁ", "eеε", "hнһ", "iіι", "jј", "kкκ", "lӏ", "mмμ", "nη", "oоο", "pрρ", "qԛ", "sѕ", "tтτ",
    "uυ", "vѵν", "wԝ", "xхχ", "yуγ", "zζ", "фφ", "пπ",
)  # fmt: skip
"""Letters that look alike in lower case, or if none does, in upper case: Latin, then Cyrillic, then Greek."""

LIKENESS = {ord(letter): group[0] for group in _ALIKE for letter in group[1:]}
"""For `str.translate`: a letter -> the first letter that looks like it."""

_SCRIPTS = {"LATIN": 1, "CYRILLIC": 2, "GREEK": 4}
_MIXED = (False, False, False, True, False, True, True, True)
_REMEMBERED = 50_000
_MIXED_EDGE = "\ud801"
"""Stands in `Alike.text` for the edge after a word that was mixed."""
_TO_LIKENESS = LIKENESS | {ord(_MIXED_EDGE): EDGE}


class _Scripts(dict[str, int]):
    """Symbol -> the bit of its script, filled as symbols are met."""

    def __missing__(self, symbol: str) -> int:
        name = unicodedata.name(symbol, "") if unicodedata.category(symbol)[0] == "L" else ""
        bits = self[symbol] = _SCRIPTS.get(name.partition(" ")[0], 0)
        return bits


script_bits = _Scripts()
"""`script_bits[symbol]` is 1 for a Latin letter, 2 for a Cyrillic, 4 for a Greek one, else 0."""


def is_mixed(bits: int) -> bool:
    """Whether letters of at least two scripts were seen."""
    return _MIXED[bits]


class Alike(NamedTuple):
    """What of a text so far still matters to look-alikes."""

    text: str
    """The last symbols: those whose likeness a needle's likeness begins with, and those of `omens`."""
    tail: int
    """How many symbols at the end of `text` a needle's likeness begins with."""
    scripts: int
    """The scripts seen in the word that the text ends in, as bits."""
    omens: tuple[tuple[str, int], ...]
    """Needles that were found if this word becomes mixed, and how many symbols ago they begin."""


class Found(NamedTuple):
    """A needle found by likeness."""

    at: int
    """The index in the stream of the symbol that decided it."""
    begin: int
    """The index in the stream of its first symbol; negative in what came before."""
    needle: str


START = Alike("", 0, 0, ())


class LookAlikes:
    """Needles searched for by likeness.

    >>> search = LookAlikes(["cat"])
    >>> search.walk(START, "сat")[1], search.walk(START, "cat")[1]
    ((Found(at=2, begin=0, needle='cat'),), ())
    """

    def __init__(self, needles: Iterable[str]) -> None:
        self._sources: dict[str, list[str]] = {}
        for needle in needles:
            self._sources.setdefault(needle.translate(LIKENESS), []).append(needle)
        self.needles = Needles(self._sources)
        self._walks: dict[tuple[Alike, str], tuple[Alike, tuple[Found, ...]]] = {}

    def tail(self, alike: Alike) -> str:
        """The likeness of the tail."""
        return alike.text[len(alike.text) - alike.tail :].translate(_TO_LIKENESS)

    def has_mixed(self, alike: Alike) -> bool:
        """Whether a word of the text was mixed, or the one it ends in is."""
        return _MIXED[alike.scripts] or _MIXED_EDGE in alike.text

    def walk(self, alike: Alike, stream: str) -> tuple[Alike, tuple[Found, ...]]:
        """What still matters after `stream`, and the needles found by likeness alone, in order."""
        key = alike, stream
        walked = self._walks.get(key)
        if walked is None:
            if len(self._walks) >= _REMEMBERED:
                self._walks.clear()
            walked = self._walks[key] = self._walk(alike, stream)
        return walked

    def _walk(self, alike: Alike, stream: str) -> tuple[Alike, tuple[Found, ...]]:
        tail, hits = self.needles.walk(self.tail(alike), stream.translate(LIKENESS))
        text, scripts, base = list(alike.text), alike.scripts, len(alike.text)
        begins = {needle: base - ago for needle, ago in alike.omens}
        found: list[Found] = []
        at_hit = 0
        for index, symbol in enumerate(stream):
            if symbol == EDGE:
                text.append(_MIXED_EDGE if _MIXED[scripts] else EDGE)
                scripts = 0
                begins = {}
            else:
                text.append(symbol)
                scripts |= script_bits[symbol]
                if begins and _MIXED[scripts]:
                    found += [Found(index, begin - base, needle) for needle, begin in begins.items()]
                    begins = {}
            while at_hit < len(hits) and hits[at_hit][0] == index:
                likeness = hits[at_hit][1]
                begin = len(text) - len(likeness)
                for needle in self._sources[likeness]:
                    verdict = _compare(needle, text[begin:])
                    if verdict == _BY_LIKENESS or (verdict == _OPEN and _MIXED[scripts]):
                        found.append(Found(index, begin - base, needle))
                    elif verdict == _OPEN:
                        begins.setdefault(needle, begin)
                at_hit += 1
        kept = min([len(text) - len(tail), *begins.values()])
        omens = tuple((needle, len(text) - begin) for needle, begin in begins.items())
        return Alike("".join(text[kept:]), len(tail), scripts, omens), tuple(found)


_DIFFERENT, _SAME, _BY_LIKENESS, _OPEN = range(4)


def _compare(needle: str, text: list[str]) -> int:
    """How a needle equals a text of the same likeness.

    `_SAME`: symbol by symbol. `_BY_LIKENESS`: some words only look alike, and those are mixed. `_OPEN`: so far,
    and if the word that the text ends in is mixed. `_DIFFERENT`: a word looks alike and is not mixed.
    """
    verdict = _SAME
    differs = False
    for mine, theirs in zip(needle, text, strict=True):
        if mine == EDGE:
            if differs and theirs != _MIXED_EDGE:
                return _DIFFERENT
            if differs:
                verdict = _BY_LIKENESS
            differs = False
        elif mine != theirs:
            differs = True
    return _OPEN if differs else verdict
