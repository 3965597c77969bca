"""A regular expression x index: which tokens complete a match from a state of its automaton."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ggufban.bans.folding import EDGE, SPACE, SPACING, WORD
from ggufban.bans.index import Index

if TYPE_CHECKING:
    from ggufban.bans.regex import Automaton

__all__ = ["Grid"]

_REMEMBERED = 256


class Grid:
    """Runs one automaton over all readings of a vocabulary at once, symbol by symbol."""

    def __init__(self, automaton: "Automaton", index: Index) -> None:
        self._automaton = automaton
        self._index = index
        self._classes: NDArray[np.intp] | None = None
        self._known: dict[tuple[int, int, bool, bool], NDArray[np.int32]] = {}

    def refused(self, state: int, last: int, own: bool, waiting: bool) -> NDArray[np.int32]:
        """The tokens that complete a match from `state`, ascending.

        `last` is the kind of the symbol before, `own` whether the output has a symbol (without one, a match that
        the first edge completes lies in the prompt), and `waiting` tells open readings from closed ones.
        """
        key = state, last, own, waiting
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._run(*key)
        return found

    def _run(self, state: int, last: int, own: bool, waiting: bool) -> NDArray[np.int32]:
        index, automaton = self._index, self._automaton
        if self._classes is None:
            self._classes = np.asarray(automaton.classify(index.codes), dtype=np.intp)
        accepting = np.array([automaton.accepting(at) for at in range(automaton.n_states)])
        states = np.full(len(index), state, dtype=np.intp)
        at = index.starts[:-1].astype(np.int64)
        ends = at + (index.opens if waiting else index.closes)
        hit = np.zeros(len(index), dtype=bool)
        if last == WORD:
            begins_word = index.heads == ord(EDGE)
            at += begins_word
            closes = ~begins_word & (ends > at)
            after = automaton.step(state, EDGE)
            states[closes] = after
            hit[closes] = own and accepting[after]
        elif last == SPACING:
            at += (index.heads == ord(SPACE)) & (ends > at)
        alive = np.flatnonzero(at < ends)
        while len(alive):
            states[alive] = automaton.table[states[alive], self._classes[at[alive]]]
            hit[alive] |= accepting[states[alive]]
            at[alive] += 1
            alive = alive[(at[alive] < ends[alive]) & ~hit[alive]]
        return np.flatnonzero(hit).astype(np.int32)
