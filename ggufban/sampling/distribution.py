"""What survived the filters: probabilities to draw from, and for each token removed the stage that did it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError
from ggufban.sampling.candidates import Candidates

__all__ = ["Distribution", "Trail"]


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
            self.stages.append(self.Stage(name, np.isneginf(candidates.logits).nonzero()[0], True))
        else:
            self.stages.append(self.Stage(name, candidates.ids, False))

    def removed_by(self, token: int) -> str | None:
        """The first stage after which a token was not there; None if it was there after the last."""
        if not 0 <= token < self.n_vocab:
            raise UsageError(f"token id {token} is outside this vocabulary of {self.n_vocab} tokens")
        return next((s.name for s in self.stages if bool((s.ids == token).any()) == s.gone), None)


class Distribution:
    """What survived the filters, and with which probability each token is drawn.

    >>> logits = np.log(np.array([0.1, 0.5, 0.4], dtype=np.float32))
    >>> d = Distribution(Candidates.of(logits))
    >>> d.ids.tolist(), d.probs.round(3).tolist(), round(d.prob_of(0), 3)
    ([1, 2, 0], [0.5, 0.4, 0.1], 0.1)
    """

    __slots__ = ("before", "ids", "probs", "trail")

    ids: NDArray[np.int32]
    """The survivors, `(k,)` int32, the most probable first; of equally probable ones the lower id first."""
    probs: NDArray[np.float64]
    """Their probabilities, `(k,)` float64, which add up to 1."""
    trail: Trail | None
    """What every stage left; None unless it was asked for."""
    before: NDArray[np.float32] | None
    """Adaptive-p only: the probabilities of `ids` before they were moved to the target, `(k,)` float32."""

    def __init__(
        self,
        candidates: Candidates,
        trail: Trail | None = None,
        before: NDArray[np.float32] | None = None,
    ) -> None:
        ordered = candidates.ordered()
        assert ordered.ids is not None
        self.ids = ordered.ids
        self.probs = np.exp(ordered.logits - ordered.logits[0], dtype=np.float64)
        self.probs /= self.probs.sum()
        self.trail = trail
        self.before = before
        if before is not None:
            assert candidates.ids is not None
            self.before = before[candidates.ids.searchsorted(self.ids)]  # those before stood in the order of ids

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Distribution({len(self)} tokens, first {int(self.ids[0])} with probability {self.probs[0]:.4g})"

    def sample(self, rng: np.random.Generator) -> tuple[int, float]:
        """A token drawn with its probability, and the random number u in [0, 1) that chose it.

        It is the first token at which the running sum of `probs` exceeds u. One number is taken from `rng`,
        also where only one token is left.
        """
        u = rng.random()
        running = self.probs.cumsum()
        # u times the whole sum (1, but for rounding) stays below it: a last token of probability 0 is not
        # drawn
        return int(self.ids[running.searchsorted(u * running[-1], side="right")]), u

    def place_of(self, token: int) -> int | None:
        """Where a token stands in `ids`; None if it was removed."""
        places = (self.ids == token).nonzero()[0]
        return int(places[0]) if len(places) else None

    def prob_of(self, token: int) -> float:
        """The probability that a token is drawn with; 0 if it was removed."""
        place = self.place_of(token)
        return 0.0 if place is None else float(self.probs[place])

    def removed_by(self, token: int) -> str | None:
        """The stage that removed a token, named as in `Sampler.chain`; "ban" if it came with logit -inf.

        None if it survived. `UsageError` if the distribution was made without `explain=True`, or if there is
        no such token.
        """
        if self.trail is None:
            raise UsageError("this distribution was made without explain=True, and knows no reasons")
        return self.trail.removed_by(token)
