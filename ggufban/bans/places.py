"""Matches in a text that is read part by part, with their lines and columns: what `ggufban check` prints."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ggufban.bans.banlist import BanList, Match
from ggufban.bans.finder import Finder
from ggufban.bans.language import Pattern

__all__ = ["Place", "find_places"]

_AROUND = 40
"""Code points of the line that are shown on either side of a match."""
_KEPT = 1 << 16
"""Code points of the text that are kept for the beginnings of matches."""
_KEPT_LINES = 1 << 20
"""Line breaks whose places are kept: a match that begins before all of them is said to begin there."""
_BREAK = re.compile("\n")
_WHITE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Place:
    """A match, and where it stands.

    `start` and `end` count code points from the beginning of the text; `line` and `column` count from 1, columns in
    code points too, and lines end with a line feed. `text` is what matched; `before` and `after` are what stands
    around it in its lines, at most 40 code points each, with an ellipsis where more was cut off.
    """

    pattern: Pattern
    start: int
    end: int
    line: int
    column: int
    text: str
    before: str
    after: str


def find_places(bans: BanList, parts: Iterable[str]) -> Iterator[Place]:
    r"""Every match in the text that `parts` make together, in the order in which they end.

    Only the last 65,536 code points are kept: of a match longer than that, `text` is the end.

    >>> [(p.line, p.column, p.text) for p in find_places(BanList(["shivers down"]), ["1\n A shi", "vers  down"])]
    [(2, 4, 'shivers  down')]
    """
    finder, window = Finder(bans), _Window()
    waiting: list[Match] = []
    for part in parts:
        waiting += finder.feed(part)
        window.add(part)
        ready = 0
        while ready < len(waiting) and window.shows_beyond(waiting[ready].end):
            ready += 1
        yield from map(window.place, waiting[:ready])
        del waiting[:ready]
    yield from map(window.place, waiting + finder.close())


class _Window:
    """The end of what was read so far, and where its lines begin."""

    def __init__(self) -> None:
        self._text, self._begin = "", 0
        self._breaks: list[int] = []
        self._dropped, self._last_dropped = 0, -1

    def add(self, part: str) -> None:
        end = self._begin + len(self._text)
        self._breaks += [end + found.start() for found in _BREAK.finditer(part)]
        if len(self._breaks) > 2 * _KEPT_LINES:
            self._dropped += len(self._breaks) - _KEPT_LINES
            self._last_dropped = self._breaks[-_KEPT_LINES - 1]
            del self._breaks[:-_KEPT_LINES]
        kept = self._text[-_KEPT:]
        self._begin += len(self._text) - len(kept)
        self._text = kept + part

    def shows_beyond(self, end: int) -> bool:
        """Whether all that is shown behind a match that ends here has been read."""
        at = end - self._begin
        return at + _AROUND < len(self._text) or "\n" in self._text[at:]

    def place(self, match: Match) -> Place:
        before = bisect_left(self._breaks, match.start)
        line_start = 1 + (self._breaks[before - 1] if before else self._last_dropped)
        start, end = max(0, match.start - self._begin), match.end - self._begin
        text = self._text[start:end]
        return Place(
            match.pattern,
            match.start,
            match.end,
            self._dropped + before + 1,
            max(1, match.start - line_start + 1),
            text,
            _end_of(self._text[max(0, start - _AROUND - 1) : start].rpartition("\n")[2]),
            _beginning_of(self._text[end : end + _AROUND + 1].partition("\n")[0]),
        )


def _end_of(text: str) -> str:
    return text if len(text) <= _AROUND else "…" + text[-_AROUND:]


def _beginning_of(text: str) -> str:
    return text.rstrip("\r") if len(text) <= _AROUND else text[:_AROUND] + "…"
