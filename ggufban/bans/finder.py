"""Finds what a ban list bans in a text, without a model, also in one too large for memory.

The text is folded in pieces and searched run by run (a word, white space, or what lies between). Where a symbol
stands in the text is worked out only for pieces in which something was found.
"""

import re
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING

from ggufban.bans.banlist import BanList, Match
from ggufban.bans.folding import EDGE, OTHER, SPACE, SPACING, WORD, fold_text, folder, kind
from ggufban.bans.lookalikes import START, LookAlikes
from ggufban.bans.needles import Needles
from ggufban.bans.scope import Scripts

if TYPE_CHECKING:
    from ggufban.bans.regex import Automaton

__all__ = ["Finder"]

_PIECE = 8192
"""So many code points are folded at once."""
_RUNS = re.compile("2?1+|2+|0+")
"""In kinds of symbols: a word and the space before it, white space, what is neither."""


class Finder:
    """A search that is fed a text part by part.

    `feed` and `close` return the matches that are certain by then; places count code points from the beginning
    of the text. Matches of one regular expression, or of one script, that overlap or touch are one match.

    >>> finder = Finder(BanList(["cat", "shivers down"]))
    >>> [match[1:] for part in ("A ca", "t. It shivers", " down") for match in finder.feed(part)]
    [(2, 5)]
    >>> [match[1:] for match in finder.close()]
    [(10, 22)]
    """

    def __init__(self, bans: BanList) -> None:
        meanings = bans.meanings
        self._bans = bans
        self._owners = meanings.needles
        self._needles = Needles(meanings.needles)
        self._alike = LookAlikes(meanings.needles) if bans.fold == "loose" else None
        self._alike_state = START
        self._searches = [_Search(owner, automaton) for owner, automaton in meanings.regexes]
        self._is_slow = bool(self._searches) or self._alike is not None
        self._scripts = Scripts(meanings.scripts)
        self._open_scripts: dict[int, list[int]] = {}
        self._kinds = _Kinds()
        self._tail = ""
        self._last = OTHER
        self._symbols = 0
        self._read = 0
        self._pieces: deque[_Piece] = deque()
        self._awaited = bans.after
        self._unsure = ""

    def feed(self, text: str) -> list[Match]:
        """Reads on, and returns the matches that this makes certain."""
        if self._awaited is not None:
            text = self._await(self._awaited, text)
        found: list[tuple[int, int, int]] = []
        for begin in range(0, len(text), _PIECE):
            self._read_piece(text[begin : begin + _PIECE], found)
        return self._matches(found)

    def close(self) -> list[Match]:
        """Ends the text, and returns the matches that its end completes."""
        found: list[tuple[int, int, int]] = []
        if self._last == WORD:
            self._walk(EDGE, found)
            self._last = OTHER
        for search in self._searches:
            found += self._placed(search.owner, search.close())
        found += [(owner, begin, end) for owner, (begin, end) in self._open_scripts.items()]
        self._open_scripts = {}
        return self._matches(found)

    def _await(self, awaited: str, text: str) -> str:
        """What of the text comes after the awaited one."""
        joined = self._unsure + text
        at = joined.find(awaited)
        if at >= 0:
            self._awaited = None
            self._read += at + len(awaited)
            return joined[at + len(awaited) :]
        self._unsure = joined[max(0, len(joined) - len(awaited) + 1) :]
        self._read += len(joined) - len(self._unsure)
        return ""

    def _matches(self, found: list[tuple[int, int, int]]) -> list[Match]:
        found.sort(key=lambda match: (match[2], match[1], match[0]))
        return [Match(self._bans.patterns[owner], begin, end) for owner, begin, end in found]

    def _read_piece(self, text: str, found: list[tuple[int, int, int]]) -> None:
        self._pieces.append(_Piece(text, self._read, self._symbols, self._last, self._bans.fold))
        folded = fold_text(text, self._bans.fold)
        kinds = folded.translate(self._kinds)
        last = self._last
        for run in _RUNS.finditer(kinds):
            begin, end = run.span()
            stream = EDGE if last == WORD else ""
            if kinds[begin] == "2":
                if last != SPACING:
                    stream += SPACE
                begin = begin + 1 if kinds[end - 1] == "1" else end
                last = SPACING
            if begin < end:
                now = WORD if kinds[begin] == "1" else OTHER
                if now == WORD:
                    stream = stream + EDGE if last != WORD else ""
                stream += folded[begin:end]
                last = now
            if stream:
                self._walk(stream, found)
        self._last = last
        if self._scripts:
            self._read_scripts(text, found)
        self._read += len(text)
        self._forget()

    def _walk(self, stream: str, found: list[tuple[int, int, int]]) -> None:
        """Reads symbols, and adds what they complete: place in the list, begin and end."""
        self._tail, hits = self._needles.walk(self._tail, stream)
        if not hits and not self._is_slow:
            self._symbols += len(stream)
            return
        for index, needle in hits:
            end = self._symbols + index + 1
            begin, end = self._place(end - len(needle), end)
            found += [(owner, begin, end) for owner in self._owners[needle]]
        if self._alike is not None:
            self._alike_state, likes = self._alike.walk(self._alike_state, stream)
            for _, start, needle in likes:
                end = self._symbols + start + len(needle)
                begin, end = self._place(end - len(needle), end)
                found += [(owner, begin, end) for owner in self._owners[needle]]
        for search in self._searches:
            found += self._placed(search.owner, search.read(stream, self._symbols))
        self._symbols += len(stream)

    def _placed(self, owner: int, spans: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
        return [(owner, *self._place(begin, end)) for begin, end in spans]

    def _read_scripts(self, text: str, found: list[tuple[int, int, int]]) -> None:
        for at, char in enumerate(text, self._read):
            owners = self._scripts.of(char)
            for owner in [owner for owner in self._open_scripts if owner not in owners]:
                begin, end = self._open_scripts.pop(owner)
                found.append((owner, begin, end))
            for owner in owners:
                self._open_scripts.setdefault(owner, [at, at])[1] = at + 1

    def _place(self, begin: int, end: int) -> tuple[int, int]:
        """Where in the text the symbols from `begin` to `end` stand, edges at their ends not counted."""
        first = self._code_point(begin)
        if first < 0:
            first = self._code_point(begin + 1)
        last = self._code_point(end - 1)
        if last < 0:
            last = self._code_point(end - 2)
        return first, last + 1

    def _code_point(self, symbol: int) -> int:
        """Where in the text a symbol stands; -1 for an edge."""
        if symbol >= self._symbols and not self._pieces:
            return -1
        for piece in reversed(self._pieces):
            if piece.first <= symbol:
                places = piece.places
                return places[symbol - piece.first] if symbol - piece.first < len(places) else -1
        raise AssertionError("a symbol that was forgotten")

    def _forget(self) -> None:
        """Drops the pieces in which no match can begin any more."""
        needed = self._symbols - max(len(self._tail), len(self._alike_state.text))
        for search in self._searches:
            needed = min(needed, search.since)
        while len(self._pieces) > 1 and self._pieces[1].first < needed:
            self._pieces.popleft()


class _Kinds(dict[int, str]):
    """For `str.translate`: symbol -> its kind as a digit."""

    def __missing__(self, code: int) -> str:
        digit = self[code] = str(kind[chr(code)])
        return digit


class _Piece:
    """A part of the text, and where its symbols stand, worked out on demand."""

    def __init__(self, text: str, begin: int, first: int, last: int, level: str) -> None:
        self.first = first
        self._text, self._begin, self._last, self._level = text, begin, last, level

    @cached_property
    def places(self) -> list[int]:
        """The place in the text of every symbol, -1 for edges."""
        places: list[int] = []
        last, fold, text = self._last, folder(self._level), self._text
        for at, char in enumerate(text, self._begin):
            for symbol in fold(char):
                now = kind[symbol]
                if now == SPACING and last == SPACING:
                    continue
                if (now == WORD) != (last == WORD):
                    places.append(-1)
                places.append(at)
                last = now
        return places


class _Search:
    """One regular expression, run over the stream."""

    def __init__(self, owner: int, automaton: "Automaton") -> None:
        self.owner = owner
        self.since = 0
        """The symbol from which on a match may still begin, or an unreported one begins."""
        self._automaton = automaton
        self._state = automaton.start
        self._recent = ""
        self._rest = 0
        self._open: tuple[int, int] | None = None

    def read(self, stream: str, at: int) -> list[tuple[int, int]]:
        """Reads on from symbol `at`; returns the stretches that are certain, as ranges of symbols."""
        closed = []
        automaton = self._automaton
        for index, symbol in enumerate(stream, at):
            self._state = automaton.step(self._state, symbol)
            self._recent += symbol
            if automaton.accepting(self._state):
                begin = self._rest + self._latest_begin()
                if self._open is not None and begin > self._open[1]:
                    closed.append(self._open)
                    self._open = None
                low = begin if self._open is None else min(begin, self._open[0])
                self._open = low, index + 1
            elif self._open is not None and automaton.is_resting(self._state) and symbol != EDGE:
                closed.append(self._open)
                self._open = None
            if automaton.is_resting(self._state):
                self._recent, self._rest = "", index + 1
        self.since = self._rest if self._open is None else min(self._rest, self._open[0])
        return closed

    def close(self) -> list[tuple[int, int]]:
        """The stretch that the end of the text makes certain."""
        closed, self._open = [] if self._open is None else [self._open], None
        return closed

    def _latest_begin(self) -> int:
        """The last place in the recent symbols from which the automaton, begun afresh, accepts at their end.

        A search begun earlier finds whatever one begun later does, so that bisection finds it.
        """
        low, high = 0, len(self._recent) - 1
        while low < high:
            middle = (low + high + 1) // 2
            state = self._automaton.start
            for symbol in self._recent[middle:]:
                state = self._automaton.step(state, symbol)
            if self._automaton.accepting(state):
                low = middle
            else:
                high = middle - 1
        return low
