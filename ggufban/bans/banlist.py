"""`BanList`: patterns, how text is folded before they are compared, and where in the text they hold."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from ggufban.bans.folding import LEVELS, folder
from ggufban.bans.language import Pattern, parse_lines, read_file
from ggufban.errors import BanError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ggufban.bans.matcher import Matcher
    from ggufban.bans.regex import Automaton
    from ggufban.vocab import Vocab

__all__ = ["BanList", "Match", "Meanings"]

T = TypeVar("T")


class Match(NamedTuple):
    """A stretch of a text that a pattern bans: `text[start:end]`, in code points."""

    pattern: Pattern
    start: int
    end: int


class BanList:
    """What must not appear: an immutable value.

    `patterns` are lines in the language of `ggufban.bans.language` (or `Pattern`s); blank lines and comments are
    left out. `fold` says what counts as equal: `exact`, `case` or `loose`. `after` is a text that the output must
    have held before the bans begin to hold (for models that think first); what follows it is then judged as a
    text of its own. Lists compare, hash and pickle by their patterns, `fold` and `after`, not by where the
    patterns were written. `BanList([])` bans nothing.

    Raises `BanError` naming `source` and the line.

    >>> bans = BanList(["Paris", "delve*"]) + BanList(["shivers down"])
    >>> len(bans), [match[1:] for match in bans.find("PARIS delves")]
    (3, [(0, 5), (6, 11)])
    """

    __slots__ = ("_meanings", "after", "fold", "patterns")

    patterns: tuple[Pattern, ...]
    fold: str
    after: str | None

    def __init__(
        self,
        patterns: Iterable[str | Pattern],
        fold: str = "case",
        after: str | None = None,
        *,
        source: str = "ban list",
    ) -> None:
        if fold not in LEVELS:
            raise BanError(f"fold={fold!r}: it is one of {', '.join(LEVELS)}")
        if isinstance(patterns, str):
            raise BanError(f"a ban list is made from several lines: write BanList([{patterns!r}])")
        if after == "":
            raise BanError("after='' would never be waited for: give a text, or None for bans from the beginning")
        given = list(patterns)
        self.patterns = tuple(_parse(given, source))
        if given and not self.patterns:
            raise BanError("nothing but comments: a ban list needs a pattern", source=source)
        self.fold = fold
        self.after = after
        self._meanings = Meanings(self.patterns, fold)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], fold: str = "case", after: str | None = None) -> Self:
        """The list that a file says, one pattern a line; `BanError` if it cannot be read or says nothing."""
        patterns = read_file(path)
        if not patterns:
            raise BanError("there is no pattern in this file", source=str(path))
        return cls(patterns, fold, after)

    @classmethod
    def of(cls, bans: "BanList | Iterable[str]") -> "BanList":
        """A BanList as it is, or the one that these patterns make; `BanError` if they make none."""
        return bans if isinstance(bans, BanList) else cls(bans)

    def __add__(self, other: "BanList") -> "BanList":
        """Both lists; `BanError` if they fold differently or begin at different places."""
        if not isinstance(other, BanList):
            return NotImplemented
        for name in ("fold", "after"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise BanError(
                    f"these lists cannot be joined: one has {name}={mine!r}, the other {name}={theirs!r}. "
                    f"Make both with the same {name}"
                )
        return BanList(self.patterns + other.patterns, self.fold, self.after)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BanList):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[tuple[Pattern, ...], str, str | None]:
        return self.patterns, self.fold, self.after

    def __reduce__(self) -> tuple[type["BanList"], tuple[tuple[Pattern, ...], str, str | None]]:
        return BanList, self._key()

    def __len__(self) -> int:
        return len(self.patterns)

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self.patterns)

    def __repr__(self) -> str:
        shown = [pattern.text for pattern in self.patterns[:3]]
        more = f", ... {len(self) - 3} more" if len(self) > 3 else ""
        after = "" if self.after is None else f", after={self.after!r}"
        return f"BanList([{', '.join(map(repr, shown))}{more}], fold={self.fold!r}{after})"

    def find(self, text: str) -> list[Match]:
        """Every match in a whole text, in the order in which they end; no model is needed.

        Of a regular expression the shortest match for every place where one ends; those that overlap or touch
        are one, and so are characters of a script. `token:` patterns are about ids and are found in no text. A
        line that the list holds twice is found once.
        """
        from ggufban.bans.finder import Finder

        finder = Finder(self)
        return [*finder.feed(text), *finder.close()]

    def compile(self, vocab: "Vocab", cache_dir: str | os.PathLike[str] | None = None) -> "Matcher":
        """The matcher of this list on a vocabulary.

        `cache_dir` is a folder in which the sorted vocabulary is kept from run to run (about 60 bytes a token
        and level); None keeps it in memory alone. A cache that cannot be read or written is done without.
        Raises `BanError` for a token id outside the vocabulary, and for a list that leaves no token to begin
        with.
        """
        from ggufban.bans.matcher import Matcher

        return Matcher(self, vocab, None if cache_dir is None else Path(cache_dir))

    @property
    def meanings(self) -> "Meanings":
        """What the patterns come to at this level of folding: for the finder and the matcher."""
        return self._meanings


class Meanings:
    """The patterns of a list sorted by what they need: strings, automata, scripts and token ids.

    The values are positions in the list, so that whoever finds something can say whose it is.
    """

    def __init__(self, patterns: tuple[Pattern, ...], fold: str) -> None:
        self.needles: dict[str, tuple[int, ...]] = {}
        self.regexes: list[tuple[int, Automaton]] = []
        self.scripts: list[tuple[int, NDArray[np.int64]]] = []
        self.tokens: dict[int, tuple[int, ...]] = {}
        for at, pattern in enumerate(patterns):
            if pattern.kind == "text":
                for body in pattern.bodies:
                    needle = pattern.needle(body, fold)
                    owners = self.needles.get(needle, ())
                    if not any(patterns[owner] == pattern for owner in owners):
                        self.needles[needle] = (*owners, at)
            elif pattern.kind == "token":
                self.tokens[pattern.token] = (*self.tokens.get(pattern.token, ()), at)
            elif pattern.kind == "regex":
                self.regexes.append((at, _locate(pattern, _automaton, fold)))
            else:
                self.scripts.append((at, _locate(pattern, _script, fold)))


def _locate(pattern: Pattern, function: Callable[[str, str], T], fold: str) -> T:
    """`function(body, fold)`, with the place of the pattern added to its errors."""
    try:
        return function(pattern.bodies[0], fold)
    except BanError as error:
        raise pattern.error(str(error)) from None


@lru_cache(maxsize=256)
def _automaton(body: str, fold: str) -> "Automaton":
    from ggufban.bans.regex import compile_regex

    return compile_regex(body, folder(fold))


@lru_cache(maxsize=64)
def _script(name: str, fold: str) -> "NDArray[np.int64]":
    """The code points of a script, `(n, 2)`, both ends included; how the text is folded does not matter to them."""
    from ggufban.bans.scripts import script_ranges

    return script_ranges(name).astype("int64")


def _parse(given: Iterable[str | Pattern], source: str) -> Iterator[Pattern]:
    """The patterns of a list in a program: lines, or patterns that were parsed before."""
    here = Path()
    for number, line in enumerate(given, 1):
        if isinstance(line, Pattern):
            yield line
        elif not isinstance(line, str):
            raise BanError(f"{line!r} is not a line of text", source=source, line=number)
        elif not line.strip():
            raise BanError("an empty pattern: give some text, or leave it out", source=source, line=number)
        else:
            yield from parse_lines((line,), source, here, first=number)
