"""How much probability two models give to the words of a domain: for checking what a fine-tune has moved.

Two measures, because a term can be wanted without being said, and said without being wanted:

- *Mass*: at every place of a text, the probability that the next token is one with which some term begins. Its mean
  m over the text says how much the model leans towards the terms; the change is the log-odds ln(m/(1-m)) of the
  second model less that of the first. A token may begin other words too: choose terms whose beginnings are telling,
  and look at the list of first tokens.
- *Occurrences*: wherever a term stands in the text, the log-probability of its tokens there, the second model's less
  the first's.

The interval is a bootstrap over blocks of neighbouring places (neighbours are alike, and single places would make
it too narrow): what the change would be on other texts of this kind, not on texts of another kind.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError
from ggufban.inspection.protocol import RowSource

__all__ = ["TermMass", "TermOccurrences", "TermWatcher", "first_tokens", "occurrences"]

BLOCK = 16
"""Places in one block of the bootstrap."""

FLOOR = 1e-9
"""A mass below this counts as this: a setting may leave a term none at all, whose log-odds are -inf."""


def first_tokens(engine: RowSource, terms: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """For each term the tokens with which it begins: of itself, and of itself after a space."""
    found = {}
    for term in terms:
        if not term.strip():
            raise UsageError("a term is empty; give one term a line")
        spelled = [engine.tokenize(spelling, add_special=False) for spelling in (term, " " + term)]
        found[term] = tuple(dict.fromkeys(tokens[0] for tokens in spelled if tokens))
    return found


@dataclass(frozen=True, slots=True)
class TermMass:
    """Mean probability of some first tokens under two models, and how the log-odds moved, with a 95 % interval."""

    term: str
    base: float
    other: float
    change: float
    low: float
    high: float


class TermWatcher:
    """Collects, row by row, the mass that two models put on each term's first tokens: a `watch` for `compare`."""

    def __init__(self, tokens: dict[str, tuple[int, ...]], n_vocab: int) -> None:
        self.terms = list(tokens)
        self._groups = [np.array(ids, dtype=np.int64) for ids in tokens.values()]
        self._all = np.array(sorted({token for ids in tokens.values() for token in ids}), dtype=np.int64)
        self._buffer = np.empty(n_vocab)
        self._masses: tuple[list[list[float]], list[list[float]]] = ([], [])

    def __call__(self, at: int, base: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        """Note the masses of one place."""
        for masses, logits in zip(self._masses, (base, other), strict=True):
            weights = self._buffer
            np.subtract(logits, float(logits.max()), out=weights, dtype=np.float64)
            np.exp(weights, out=weights)
            total = float(weights.sum())
            groups = (self._all, *self._groups)
            masses.append([float(weights[ids].sum()) / total for ids in groups])

    def result(self, *, seed: int = 0, resamples: int = 1000) -> list[TermMass]:
        """All terms together (named ``""``), then each of them; `seed` is that of the bootstrap."""
        base, other = (np.array(masses) for masses in self._masses)
        if not len(base):
            raise UsageError("no place was watched: the text is too short")
        count = len(base)
        blocks = max(1, count // BLOCK)
        edges = np.linspace(0, count, blocks + 1).astype(np.int64)[:-1]
        sizes = np.diff(np.append(edges, count))
        sums = np.add.reduceat(base, edges, axis=0), np.add.reduceat(other, edges, axis=0)
        rng = np.random.default_rng(seed)
        weights = rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=resamples).astype(np.float64)
        means = [weights @ part / (weights @ sizes)[:, None] for part in sums]
        changes = _log_odds(means[1]) - _log_odds(means[0])
        low, high = np.quantile(changes, (0.025, 0.975), axis=0)
        whole = [part.mean(axis=0) for part in (base, other)]
        change = _log_odds(whole[1]) - _log_odds(whole[0])
        return [
            TermMass(term, *(float(x[i]) for x in (*whole, change, low, high)))
            for i, term in enumerate(["", *self.terms])
        ]


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = np.log(np.maximum(p, FLOOR)) - np.log(np.maximum(1.0 - p, FLOOR))
    return odds


@dataclass(frozen=True, slots=True)
class TermOccurrences:
    """Where a term stands in the text: how often, and the mean of its log-probability under both models, in nats."""

    term: str
    count: int
    base: float
    other: float


def occurrences(
    terms: Sequence[str],
    pieces: Sequence[bytes],
    losses: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> list[TermOccurrences]:
    """What two models make of the terms where they stand, as whole words and in any case.

    `pieces` are those of the tokens that were scored, one after the other, and `losses` the two models' losses of
    them, `(len(pieces),)` float64. Every token that holds a part of the term counts. Terms that do not occur are
    left out.
    """
    text = b"".join(pieces).decode("utf-8", "replace")
    if len(text.encode("utf-8")) != sum(map(len, pieces)):
        text = b"".join(pieces).decode("latin-1")  # broken UTF-8: offsets count, letters do not
        offset = list(range(len(text) + 1))
    else:
        offset = [0, *np.cumsum([len(char.encode("utf-8")) for char in text]).tolist()]
    ends = np.cumsum([len(piece) for piece in pieces])
    found = []
    for term in terms:
        sums = []
        for match in re.finditer(rf"(?<!\w){re.escape(term)}(?!\w)", text, re.IGNORECASE):
            begin = int(np.searchsorted(ends, offset[match.start()], side="right"))
            end = int(np.searchsorted(ends, offset[match.end()], side="left")) + 1
            sums.append([-math.fsum(loss[begin:end]) for loss in losses])
        if sums:
            base, other = np.mean(sums, axis=0)
            found.append(TermOccurrences(term, len(sums), float(base), float(other)))
    return found
