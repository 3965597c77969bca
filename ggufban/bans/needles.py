"""Strings of symbols searched for all at once: which of them end here, and what could still become one.

The classic automaton for this (Aho and Corasick, 1975) has a node for every beginning of every string: a million
for 100,000 words, most of which no text ever visits. Here the strings are only sorted. A state is the *tail*: the
longest end of the text so far that is a proper beginning of some string. All shorter ends that are beginnings
follow from it. A step is worked out by bisection when it is first taken and remembered from then on.
"""

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

__all__ = ["Hit", "Needles", "beyond"]

_REMEMBERED = 100_000
"""How many walks, and how many steps, are remembered before all are forgotten (about 30 MB)."""

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
        self.longest = max(map(len, self.strings), default=0)
        self._known = set(self.strings)
        self._firsts = {string[0] for string in self.strings}
        self._steps: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}
        self._walks: dict[tuple[str, str], tuple[str, tuple[Hit, ...]]] = {}

    def __len__(self) -> int:
        return len(self.strings)

    def __contains__(self, string: str) -> bool:
        return string in self._known

    def range(self, beginning: str) -> tuple[int, int]:
        """The strings that begin with `beginning`, as a range of `self.strings`."""
        low = bisect_left(self.strings, beginning)
        end = beyond(beginning)
        return low, len(self.strings) if end is None else bisect_left(self.strings, end, low)

    def ends(self, tail: str) -> list[str]:
        """The non-empty ends of `tail` that are proper beginnings of needles, longest first."""
        return [tail[i:] for i in range(len(tail)) if tail[i] in self._firsts and self._begins(tail[i:])]

    def _begins(self, string: str) -> bool:
        """Whether `string` is a proper beginning of a needle."""
        at = bisect_right(self.strings, string)
        return at < len(self.strings) and self.strings[at].startswith(string)

    def _step(self, tail: str, symbol: str) -> tuple[str, tuple[str, ...]]:
        text = tail + symbol
        longest = None
        ended = []
        for begin in range(max(0, len(text) - self.longest), len(text)):
            if text[begin] in self._firsts:
                end = text[begin:]
                if longest is None and self._begins(end):
                    longest = end
                if end in self._known:
                    ended.append(end)
        return longest or "", tuple(ended)

    def walk(self, tail: str, stream: str) -> tuple[str, tuple[Hit, ...]]:
        """The tail after reading `stream` from `tail`, and every needle that ended on the way."""
        key = tail, stream
        walked = self._walks.get(key)
        if walked is not None:
            return walked
        hits: list[Hit] = []
        steps = self._steps
        for index, symbol in enumerate(stream):
            step = steps.get((tail, symbol))
            if step is None:
                if len(steps) >= _REMEMBERED:
                    steps.clear()
                step = steps[tail, symbol] = self._step(tail, symbol)
            tail, ended = step
            if ended:
                hits += [(index, needle) for needle in ended]
        walked = tail, tuple(hits)
        if len(stream) <= 32:
            if len(self._walks) >= _REMEMBERED:
                self._walks.clear()
            self._walks[key] = walked
        return walked
