"""Strings of symbols searched for all at once: which of them end here, and what could still become one.

The classic automaton for this (Aho and Corasick, 1975) has a node for every beginning of every string: a million
for 100,000 words, most of which no text ever visits. Here the strings are only sorted. A state is the *tail*: the
longest end of the text so far that is a proper beginning of some string. All shorter ends that are beginnings
follow from it. A walk is worked out by bisection when it is first taken, and remembered from then on.
"""

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import itemgetter

__all__ = ["Hit", "Needles", "beyond"]

_REMEMBERED = 100_000
"""How many walks are remembered before all are forgotten (about 30 MB)."""
_OPENING = 4
"""So many symbols at the beginning of every needle are kept in a dictionary."""
_STRIDE = 24
"""The longest stream that is walked in one go."""

Hit = tuple[int, str]
"""A needle that ended: the index, in the walked stream, of its last symbol, and the needle."""


def beyond(beginning: str) -> str | None:
    """The least string that is greater than every string beginning with `beginning`; None if there is none."""
    kept = beginning.rstrip(chr(sys.maxunicode))
    return kept[:-1] + chr(ord(kept[-1]) + 1) if kept else None


class Needles:
    """A set of non-empty strings of symbols, to be found in a stream.

    >>> needles = Needles(["he", "she", "hers"])
    >>> needles.walk("", "ush")
    ('sh', ())
    >>> needles.walk("sh", "er")
    ('her', ((0, 'she'), (0, 'he')))
    """

    def __init__(self, strings: Iterable[str]) -> None:
        self.strings = sorted(set(strings))
        self._known = frozenset(self.strings)
        self._lasts = frozenset(map(itemgetter(-1), self.strings))
        self._openings = _ranges_of_openings(self.strings)
        self._firsts = "".join(opening for opening in self._openings if len(opening) == 1)
        is_brief = min(map(len, self.strings), default=_OPENING) < _OPENING
        self._briefs = {string for string in self.strings if len(string) < _OPENING} if is_brief else set()
        self._walks: dict[tuple[str, str], tuple[str, tuple[Hit, ...]]] = {}

    def __len__(self) -> int:
        return len(self.strings)

    def __contains__(self, string: str) -> bool:
        return string in self._known

    def range(self, beginning: str) -> tuple[int, int]:
        """The strings that begin with `beginning` (not empty), as a range of `self.strings`."""
        low, high = self._openings.get(beginning[:_OPENING], (0, 0))
        if len(beginning) <= _OPENING:
            return low, high
        end = beyond(beginning)
        low = bisect_left(self.strings, beginning, low, high)
        return low, high if end is None else bisect_left(self.strings, end, low, high)

    def _begins(self, string: str) -> bool:
        """Whether `string` is a proper beginning of a needle."""
        low, high = self._openings.get(string[:_OPENING], (0, 0))
        at = bisect_right(self.strings, string, low, high)
        return at < high and self.strings[at].startswith(string)

    def _candidates(self, text: str) -> list[int]:
        """Where in `text` a needle may begin, judged by its first symbols."""
        openings, found = self._openings, []
        if len(self._firsts) == 1:  # whole words only: all needles begin with an edge
            at = text.find(self._firsts)
            while at >= 0:
                if text[at : at + _OPENING] in openings:
                    found.append(at)
                at = text.find(self._firsts, at + 1)
        else:
            found = [at for at in range(len(text)) if text[at : at + _OPENING] in openings]
        if self._briefs:
            briefs, lengths = self._briefs, range(1, _OPENING)
            also = [at for at in range(len(text)) if any(text[at : at + length] in briefs for length in lengths)]
            found = sorted({*found, *also})
        return found

    def ends(self, tail: str) -> list[tuple[str, int, int]]:
        """The non-empty ends of `tail` that are proper beginnings of needles, longest first, with their ranges."""
        found = []
        for at in self._candidates(tail):
            end = tail[at:]
            low, high = self.range(end)
            if low < high - 1 or (low < high and self.strings[low] != end):
                found.append((end, low, high))
        return found

    def walk(self, tail: str, stream: str) -> tuple[str, tuple[Hit, ...]]:
        """The tail after reading `stream` from `tail`, and every needle that ended on the way."""
        key = tail, stream
        walked = self._walks.get(key)
        if walked is None:
            if len(stream) > _STRIDE:
                return self._walk_far(tail, stream)
            if len(self._walks) >= _REMEMBERED:
                self._walks.clear()
            walked = self._walks[key] = self._walk(tail, stream)
        return walked

    def any_ends(self, tail: str, stream: str) -> bool:
        """Whether some needle ends in `stream`, read from `tail`: `walk` without the rest of its answer."""
        if self._lasts.isdisjoint(stream):
            return False
        walked = self._walks.get((tail, stream))
        if walked is not None or len(stream) > _STRIDE:
            return bool((walked or self.walk(tail, stream))[1])
        text, base, known = tail + stream, len(tail), self._known
        ends = [end for end, symbol in enumerate(stream, base + 1) if symbol in self._lasts]
        return any(text[begin:end] in known for begin in self._candidates(text) for end in ends)

    def forget(self) -> None:
        """Forgets the walks that were remembered: to measure what a first one costs."""
        self._walks.clear()

    def _walk(self, tail: str, stream: str) -> tuple[str, tuple[Hit, ...]]:
        text, base, lasts = tail + stream, len(tail), self._lasts
        ends = [] if lasts.isdisjoint(stream) else [e for e, last in enumerate(stream, base + 1) if last in lasts]
        longest = ""
        hits: list[Hit] = []
        for begin in self._candidates(text):
            hits += [(end - 1 - base, text[begin:end]) for end in ends if text[begin:end] in self._known]
            if not longest and self._begins(text[begin:]):
                longest = text[begin:]
        if len(hits) > 1:
            hits.sort(key=_by_index)
        return longest, tuple(hits)

    def _walk_far(self, tail: str, stream: str) -> tuple[str, tuple[Hit, ...]]:
        hits: list[Hit] = []
        for begin in range(0, len(stream), _STRIDE):
            tail, some = self._walk(tail, stream[begin : begin + _STRIDE])
            hits += [(begin + index, needle) for index, needle in some]
        return tail, tuple(hits)


def _ranges_of_openings(strings: list[str]) -> dict[str, tuple[int, int]]:
    """Every beginning of at most `_OPENING` symbols -> the range of the sorted `strings` that begin with it."""
    lasts = dict(zip(map(itemgetter(slice(_OPENING)), strings), range(len(strings)), strict=True))
    ranges: dict[str, tuple[int, int]] = {}
    low = 0
    for opening, last in lasts.items():
        for length in range(1, len(opening) + 1):
            ranges[opening[:length]] = ranges.get(opening[:length], (low, 0))[0], last + 1
        low = last + 1
    return ranges


def _by_index(hit: Hit) -> int:
    return hit[0]
