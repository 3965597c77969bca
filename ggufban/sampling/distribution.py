"""What survived the filters: probabilities to draw from, and for each token removed the stage that did it."""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError
from ggufban.sampling.candidates import Candidates, heaviest, total64

__all__ = ["Distribution", "Trail"]


def probability(token: int, ids: NDArray[np.int32], probs: NDArray[Any]) -> float | None:
    """The one of `probs` that belongs to a token; None if it is not among `ids`."""
    places = (ids == token).nonzero()[0]
    return float(probs[places[0]]) if len(places) else None


NOTHING: NDArray[np.intp] = np.empty(0, dtype=np.intp)

FEW = 64
"""Survivors of which a dictionary is made sooner than they are searched twice."""

UNEXPLAINED = "this distribution was made without explain=True, and knows no reasons"

SHORT = 1024
"""Ids of which a set is made sooner than they are searched."""


class Trail:
    """Which tokens were left after each stage: the ids of those left, or, on a whole row, of those gone."""

    __slots__ = ("n_vocab", "stages")

    class Stage(NamedTuple):
        """The tokens after one stage."""

        name: str
        ids: NDArray[np.int32] | NDArray[np.intp]
        gone: bool
        """Whether `ids` are the tokens that are gone rather than those that are left."""

    def __init__(self, candidates: Candidates) -> None:
        self.n_vocab = len(candidates.logits)
        self.stages: list[Trail.Stage] = []
        self.add("ban", candidates)

    def add(self, name: str, candidates: Candidates) -> None:
        """Notes what a stage has left."""
        if candidates.ids is None:
            gone = NOTHING if candidates.finite else (candidates.logits == -np.inf).nonzero()[0]
            self.stages.append(self.Stage(name, gone, True))
        elif self.stages[-1].gone or len(self.stages[-1].ids) != len(candidates.ids):
            self.stages.append(self.Stage(name, candidates.ids, False))

    def removed_by(self, tokens: Collection[int]) -> dict[int, str]:
        """For those of a few tokens that were removed, the first stage after which each was not there."""
        if not 0 <= min(tokens, default=0) <= max(tokens, default=0) < self.n_vocab:
            outside = next(token for token in tokens if not 0 <= token < self.n_vocab)
            raise UsageError(f"token id {outside} is outside this vocabulary of {self.n_vocab} tokens")
        removed: dict[int, str] = {}
        left = set(tokens)
        for stage in self.stages:
            if len(stage.ids) <= SHORT:
                there = left.intersection(stage.ids.tolist())
            else:
                there = {token for token in left if token in stage.ids}
            out = there if stage.gone else left - there
            left -= out
            for token in out:
                removed[token] = stage.name
        return removed


class Distribution:
    """What survived the filters, and with which probability each token is drawn.

    >>> logits = np.log(np.array([0.1, 0.5, 0.4], dtype=np.float32))
    >>> d = Distribution(Candidates.of(logits))
    >>> d.ids.tolist(), d.probs.round(3).tolist(), round(d.prob_of(0), 3)
    ([1, 2, 0], [0.5, 0.4, 0.1], 0.1)
    """

    __slots__ = ("_candidates", "_few", "_total", "_weights", "lessons", "trail")

    trail: Trail | None
    """What every stage left; None unless it was asked for."""
    lessons: tuple[NDArray[np.int32], NDArray[np.float32]] | None
    """Tokens and the probabilities from which mirostat or adaptive-p learns; else None."""

    def __init__(
        self,
        candidates: Candidates,
        trail: Trail | None = None,
        lessons: tuple[NDArray[np.int32], NDArray[np.float32]] | None = None,
    ) -> None:
        self.trail = trail
        self.lessons = lessons
        self._candidates = candidates
        self._weights: NDArray[np.float64] | None = None
        self._total: float | None = None
        self._few: dict[int, float] | None = None
        if candidates.ids is not None:  # a row from which nothing was removed is sorted when its order is asked for
            self._order()

    def _order(self) -> NDArray[np.float64]:
        """Puts the survivors in order and works out their weights, e^(logit - greatest logit)."""
        self._candidates = self._candidates.ordered()
        logits = self._candidates.logits
        self._weights = np.exp(logits - logits[0], dtype=np.float64)
        return self._weights

    @property
    def total(self) -> float:
        """The sum of the weights, of which each is a probability times this."""
        if self._total is None:
            self._total = total64(self._candidates) if self._weights is None else float(self._weights.sum())
        return self._total

    @property
    def ids(self) -> NDArray[np.int32]:
        """The survivors, `(k,)` int32, the most probable first; among equals the lower id first."""
        if self._candidates.ids is None:
            self._order()
        assert self._candidates.ids is not None
        return self._candidates.ids

    @property
    def probs(self) -> NDArray[np.float64]:
        """The probabilities of `ids`, `(k,)` float64, which add up to 1: a new array each time."""
        weights = self._order() if self._weights is None else self._weights
        probs: NDArray[np.float64] = weights / weights.sum()
        return probs

    def __len__(self) -> int:
        if self._candidates.ids is None:
            return int(np.count_nonzero(self._candidates.logits > -np.inf))
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Distribution({len(self)} tokens, first {self.ids[0]} with probability {self.probs[0]:.4g})"

    def sample(self, rng: np.random.Generator) -> tuple[int, float]:
        """A token drawn with its probability, and the random number u in [0, 1) that chose it.

        It is the first token at which the running sum of `probs` exceeds u. One number is taken from `rng`,
        also where only one token is left.
        """
        u = rng.random()
        if self._weights is None:
            top, total = self._candidates.top, self.total
            for first in heaviest(self._candidates, total, u):
                running = np.exp(first.logits - top, dtype=np.float64).cumsum()
                place = int(running.searchsorted(u * total, side="right"))
                if first.ids is not None and place < len(running):
                    return int(first.ids[place]), u
        running = (self._order() if self._weights is None else self._weights).cumsum()
        # u times the whole sum, which rounding may leave next to 1, stays below it: no token of probability 0
        return int(self.ids[running.searchsorted(u * running[-1], side="right")]), u

    def prob_of(self, token: int) -> float:
        """The probability that a token is drawn with; 0 if it was removed."""
        logits = self._candidates.logits
        if self._weights is None:
            there = 0 <= token < len(logits)
            return math.exp(float(logits[token] - self._candidates.top)) / self.total if there else 0.0
        if len(logits) > FEW:
            return (probability(token, self.ids, self._weights) or 0.0) / self.total
        if self._few is None:
            self._few = dict(zip(self.ids.tolist(), self.probs.tolist(), strict=True))
        return self._few.get(token, 0.0)

    def fates(self, tokens: Collection[int]) -> list[tuple[float, str | None]]:
        """For each token the probability that it is drawn with, and what `removed_by` says."""
        if self.trail is None:
            raise UsageError(UNEXPLAINED)
        removed = self.trail.removed_by(tokens)
        return [(self.prob_of(token), removed.get(token)) for token in tokens]

    def mass_of(self, ids: NDArray[np.int32]) -> float:
        """The probability of all of `ids` together, `(n,)` int32 ascending, no id twice; those removed add 0."""
        if self._weights is None:
            weights = np.exp(self._candidates.logits[ids] - self._candidates.top, dtype=np.float64)
            return float(weights.sum()) / self.total
        if not len(ids):
            return 0.0
        places = np.minimum(ids.searchsorted(self.ids), len(ids) - 1)
        return float(self.probs[ids[places] == self.ids].sum())

    def lesson_of(self, token: int) -> float | None:
        """The probability of a token from which mirostat or adaptive-p learns; None if there is none.

        Mirostat learns from the probability it was drawn with, adaptive-p from that before it was moved
        towards the target.
        """
        return None if self.lessons is None else probability(token, *self.lessons)

    def removed_by(self, token: int) -> str | None:
        """The stage that removed a token, named as in `Sampler.chain`; "ban" if it came with logit -inf.

        None if it survived. `UsageError` if the distribution was made without `explain=True`, or if there is
        no such token.
        """
        if self.trail is None:
            raise UsageError(UNEXPLAINED)
        return self.trail.removed_by([token]).get(token)
