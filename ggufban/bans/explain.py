"""What a ban list means: the symbols of every line, and which lines say what others have said."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggufban.bans.banlist import BanList
from ggufban.bans.folding import EDGE
from ggufban.bans.language import Pattern
from ggufban.bans.matcher import Matcher
from ggufban.bans.needles import Needles
from ggufban.bans.regex import Automaton

__all__ = ["Explanation", "Touch", "explain", "means_of", "swallowed", "touched"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one pattern of a list means.

    `meaning` says it in words, `symbols` are the strings that are looked for, with `#` for the edge of a word (one
    for each form; empty for what is not text). `duplicate_of` is an earlier pattern that means the same, and
    `swallowed_by` one that forbids all that this one forbids, and more: the list without this one means the same.
    """

    pattern: Pattern
    meaning: str
    symbols: tuple[str, ...]
    duplicate_of: Pattern | None = None
    swallowed_by: Pattern | None = None


def explain(bans: BanList) -> list[Explanation]:
    """What each pattern of a list means, in the order of the list.

    >>> [(found.meaning, found.symbols, str(found.swallowed_by)) for found in explain(BanList(["cat*", "Catalog"]))]
    [('words that begin so', ('#cat',), 'None'), ('whole word', ('#catalog#',), 'cat*')]
    """
    first: dict[Hashable, Pattern] = {}
    found = []
    larger = swallowed(bans.patterns, bans, strictly=True)
    for pattern, by in zip(bans.patterns, larger, strict=True):
        same = first.setdefault(means_of(pattern, bans.fold), pattern)
        symbols = tuple(dict.fromkeys(_shown(needle) for needle in _needles(pattern, bans.fold)))
        duplicate = None if same is pattern else same
        found.append(Explanation(pattern, _meaning(pattern, symbols), symbols, duplicate, by))
    return found


def means_of(pattern: Pattern, fold: str) -> Hashable:
    """Equal for patterns that forbid the same at this level (told by their symbols, or literally if not text)."""
    return pattern.kind, frozenset(_needles(pattern, fold) or pattern.bodies)


def swallowed(patterns: Sequence[Pattern], bans: BanList, *, strictly: bool = False) -> list[Pattern | None]:
    """For each of `patterns` a pattern of `bans` that every match of it holds a match of, or None.

    `strictly` leaves out those that mean the same. What is found is certain; of what regular expressions and
    scripts forbid among themselves nothing is found.
    """
    search = _Search(bans)
    return [search.larger(pattern, strictly) for pattern in patterns]


class _Search:
    """Looks for the patterns of a list inside others."""

    def __init__(self, bans: BanList) -> None:
        self._bans, meanings = bans, bans.meanings
        self._owners, self._regexes = meanings.needles, meanings.regexes
        self._needles = Needles(meanings.needles)
        self._scripts = meanings.scripts
        self._other = {means_of(p, bans.fold): p for p in reversed(bans.patterns) if p.kind != "text"}

    def larger(self, pattern: Pattern, strictly: bool) -> Pattern | None:
        mine = means_of(pattern, self._bans.fold)
        if pattern.kind != "text":
            return None if strictly else self._other.get(mine)
        found: list[set[int]] = []
        for body in pattern.bodies:
            needle = pattern.needle(body, self._bans.fold)
            owners = {owner for _, hit in self._needles.walk("", needle)[1] for owner in self._owners[hit]}
            owners |= {owner for owner, automaton in self._regexes if _finds(automaton, needle)}
            owners |= {owner for owner, ranges in self._scripts if _holds(ranges, body)}
            found.append(owners)
        for owner in sorted(set.intersection(*found)):
            other = self._bans.patterns[owner]
            if not strictly or means_of(other, self._bans.fold) != mine:
                return other
        return None


def _finds(automaton: Automaton, needle: str) -> bool:
    """Whether a regular expression matches inside these symbols, whatever stands around them."""
    state = automaton.start
    for symbol in needle:
        state = automaton.step(state, symbol)
        if automaton.accepting(state):
            return True
    return False


def _holds(ranges: NDArray[np.integer], text: str) -> bool:
    return any(bool(((ranges[:, 0] <= ord(char)) & (ord(char) <= ranges[:, 1])).any()) for char in text)


def _needles(pattern: Pattern, fold: str) -> list[str]:
    return [pattern.needle(body, fold) for body in pattern.bodies] if pattern.kind == "text" else []


def _shown(needle: str) -> str:
    return needle.replace(EDGE, "#")


def _meaning(pattern: Pattern, symbols: Iterable[str]) -> str:
    if pattern.kind != "text":
        return {
            "regex": "regular expression",
            "script": f"any character of the script {pattern.bodies[0]}",
            "token": f"token {pattern.bodies[0]}, whatever its text",
        }[pattern.kind]
    needle = next(iter(symbols))
    many = f", in {len(pattern.bodies)} forms" if len(pattern.bodies) > 1 else ""
    if not any(char.isalnum() for char in needle):
        return "this text anywhere"
    kind = "phrase" if " " in needle.strip() else "word"
    match pattern.open_left, pattern.open_right:
        case False, False:
            whole = needle.startswith("#") and needle.endswith("#")
            return (("whole word" if kind == "word" else "phrase") if whole else "this text") + many
        case False, True:
            return "words that begin so" if kind == "word" else "phrase, its last word only begun"
        case True, False:
            return "words that end so" if kind == "word" else "phrase, its first word only ended"
    return "anywhere, inside words too"


@dataclass(frozen=True, slots=True)
class Touch:
    """What one pattern does to a vocabulary: the tokens that complete it by themselves at the start of a text."""

    pattern: Pattern
    tokens: tuple[int, ...]


def touched(matcher: Matcher) -> tuple[NDArray[np.int32], list[Touch]]:
    """The tokens that are illegal at the start of a text, `(n,)` int32, and what they are owed to.

    On the safe side: a token after which a word stands complete is among them. Patterns that touch most come first;
    those that touch no token by themselves are left out (a word of several tokens is stopped at its last one).
    """
    state = matcher.start()
    illegal = matcher.illegal(state, waiting=False)
    found: dict[Pattern, list[int]] = {}
    for token in illegal.tolist():
        patterns = matcher.which(state, token) or matcher.which_end(matcher.step(state, token))
        for pattern in patterns:
            found.setdefault(pattern, []).append(token)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return illegal, [Touch(pattern, tuple(tokens)) for pattern, tokens in ordered]
