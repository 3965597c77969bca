"""Look-alikes x index: from which state which tokens complete a match that only looks like a needle."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ggufban.bans.folding import EDGE, WORD
from ggufban.bans.index import ALIKE, Index, index_of
from ggufban.bans.lookalikes import START, LookAlikes, is_mixed, script_bits
from ggufban.bans.spans import Spans

if TYPE_CHECKING:
    from ggufban.bans.matcher import Matcher, State

__all__ = ["AlikeTokens"]

_IS_MIXED = np.array([is_mixed(bits) for bits in range(8)])


class AlikeTokens:
    """Which tokens are illegal by look-alikes alone: few, so that nearly all can be asked one by one."""

    def __init__(self, matcher: "Matcher", index: Index, plain: Spans, cache_dir: Path | None) -> None:
        self._matcher = matcher
        self._plain = plain
        self.search = LookAlikes(matcher.bans.meanings.needles)
        self._spans = Spans(self.search.needles, index_of(matcher.vocab, ALIKE, cache_dir))
        self._heads, self._is_mixed = _scripts_of_tokens(index)
        self._inside: dict[tuple[int, int, bool], NDArray[np.int32]] = {}

    def refused(self, state: "State", waiting: bool, known: NDArray[np.int32]) -> NDArray[np.int32]:
        """The tokens that complete a match of look-alikes, except those in `known`, ascending.

        Those that complete it by nothing but their edge are left out.
        """
        alike = state.alike
        mixes = self._is_mixed
        if state.last == WORD:
            mixes = mixes | _IS_MIXED[self._heads | alike.scripts]
        suspects = self._spans.after(self.search.needles.ends(self.search.tail(alike)), waiting)
        if not self.search.has_mixed(alike):
            suspects = suspects[mixes[suspects]]
        suspects = np.setdiff1d(suspects, known)
        parts = [
            self._inside_words(state, waiting),
            self._matcher.of_these(state, suspects.tolist(), waiting),
        ]
        if alike.omens:
            parts.append(np.flatnonzero(_IS_MIXED[self._heads | alike.scripts]).astype(np.int32))
        return np.concatenate(parts)

    def _inside_words(self, state: "State", waiting: bool) -> NDArray[np.int32]:
        """The tokens with a whole match of look-alikes inside, whatever the tail is."""
        scripts = state.alike.scripts if state.last == WORD else 0
        key = state.last, scripts, waiting
        found = self._inside.get(key)
        if found is None:
            matcher = self._matcher
            bare = matcher.start(chat=True)._replace(
                last=state.last, own=True, scope=-1, alike=START._replace(scripts=scripts)
            )
            suspects = np.flatnonzero(
                self._spans.inside[waiting][state.last] & ~self._plain.inside[waiting][state.last]
            )
            found = self._inside[key] = matcher.of_these(bare, suspects.tolist(), waiting)
        return found


def _scripts_of_tokens(index: Index) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The scripts (as bits) in the word each token begins with, and whether it has a mixed word of its own."""
    bits = np.zeros(0x110000, dtype=np.uint8)
    present = np.unique(index.codes)
    bits[present] = [0 if 0xD800 <= code <= 0xDFFF else script_bits[chr(code)] for code in present.tolist()]
    heads = np.zeros(len(index), dtype=np.uint8)
    mixed = np.zeros(len(index), dtype=bool)
    edge = ord(EDGE)
    word = np.cumsum(index.codes == edge)  # a number for every stretch between edges
    owner = np.repeat(np.arange(len(index)), index.closes)
    begins = np.flatnonzero(np.diff(word * (len(index) + 1) + owner, prepend=-1))
    if len(begins):
        together = np.bitwise_or.reduceat(bits[index.codes], begins)
        mixed[owner[begins[_IS_MIXED[together]]]] = True
        first = (begins == index.starts[owner[begins]]) & (index.codes[begins] == edge)
        heads[owner[begins[first]]] = together[first]
    return heads, mixed
