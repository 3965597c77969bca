"""What has been tried: a node for every place in the text that the loop may come back to.

Let p be the distribution that the sampler gives at a node. `r[token]` in [0, 1] is the share of a token's
probability that is known to lead to a match: 1 for a token that is illegal here, and for another the removed mass of
the node that it leads to. A draw uses p · (1 - r), and the *removed mass* of a node is Σ p · r. Handing that sum to
the parent as the child's r, and on, is the whole of the mathematics: for nodes whose whole future is known it is
exactly conditioning on no match (CARS, arXiv 2510.01902).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggufban.inspection.trace import Sight, Step
from ggufban.sampling import Distribution, SamplerState

__all__ = ["DEAD", "Node", "Tree"]

DEAD = 1.0 - 1e-9
"""A share of at least this is taken for 1: what is left is rounding."""

_NONE = np.empty(0, dtype=np.int32)


class Node:
    """A place in the text: the state of everything there, and what is known of its future.

    `state` is the matcher's, `sampler` the sampler's and `bias` that of soft edits, all immutable; `end` is the
    number of bytes of output up to here; `step` is how the loop came here from the parent (None at the root). `row`
    is a copy of the raw logits, kept while the loop may come back; `distribution` is what the sampler makes of
    them, edited where there is a bias, with nothing removed.
    """

    __slots__ = (
        "bias",
        "children",
        "distribution",
        "end",
        "illegal",
        "illegal_mass",
        "known",
        "probabilities",
        "reasons",
        "row",
        "sampler",
        "shares",
        "sight",
        "state",
        "step",
    )

    def __init__(self, state: Any, end: int, sampler: SamplerState, step: Step | None = None, bias: Any = None) -> None:
        self.state = state
        self.bias = bias
        self.end = end
        self.sampler = sampler
        self.step = step
        self.row: NDArray[np.float32] | None = None
        self.sight: Sight | None = None
        self.distribution: Distribution | None = None
        self.known: dict[int, tuple[float, int]] | None = None  # token -> raw logit and rank, where no row is kept
        self.illegal = _NONE  # ids with r = 1 because the matcher says so, ascending
        self.illegal_mass = 0.0  # Σ p over them
        self.shares: dict[int, float] = {}  # r of other tokens that were tried
        self.probabilities: dict[int, float] = {}  # p of every token that was tried
        self.reasons: dict[int, str] = {}  # token -> the patterns that its removal is owed to
        self.children: dict[int, Node] = {}

    def forbid(self, ids: NDArray[np.int32]) -> None:
        """Give r = 1 to `ids` (ascending). The distribution must be known."""
        assert self.distribution is not None
        self.illegal = ids if not len(self.illegal) else np.union1d(self.illegal, ids)
        self.illegal_mass = self.distribution.mass_of(self.illegal)

    def give(self, token: int, share: float) -> None:
        """Set r of a token that was tried; one that the matcher forbids has r = 1 already."""
        if not self.forbids(token):
            self.shares[token] = 1.0 if share >= DEAD else share

    def forbids(self, token: int) -> bool:
        """Whether the matcher's list of illegal tokens here holds this one."""
        if not len(self.illegal):
            return False
        at = int(np.searchsorted(self.illegal, token))
        return at < len(self.illegal) and int(self.illegal[at]) == token

    def dead_ids(self) -> NDArray[np.int32]:
        """Every token with r = 1, ascending."""
        dead = [token for token, share in self.shares.items() if share == 1.0]
        return np.union1d(self.illegal, np.array(dead, dtype=np.int32)) if dead else self.illegal

    def share(self, token: int) -> float:
        """R of a token."""
        return 1.0 if self.forbids(token) else self.shares.get(token, 0.0)

    def removed_mass(self) -> float:
        """Σ p · r, with p the sampler's distribution before anything was removed."""
        if not self.shares:
            return min(1.0, self.illegal_mass)
        return min(1.0, self.illegal_mass + sum(self.probabilities[t] * r for t, r in self.shares.items()))


class Tree:
    """The root of what has been tried, and the account of the attempts that began there.

    Under `exact` several texts may share one, one after another.
    """

    def __init__(self, root: Node) -> None:
        self.root = root
        self.accepted = 0
        self._expected = 0.0  # Σ 1 / Z_i: what an attempt's chance to be accepted is, over q

    def begin(self) -> None:
        """Note that an attempt begins."""
        if self.clean_at_most > 0.0:
            self._expected += 1.0 / self.clean_at_most

    @property
    def clean_at_most(self) -> float:
        """What is not known to be illegal: no text is clean with a greater probability."""
        return 1.0 - self.root.removed_mass()

    @property
    def clean_probability(self) -> float:
        """An estimate of the probability q that a text drawn without bans is clean.

        Attempt i, drawn where a mass Z_i was left, is accepted with probability q / Z_i: q is taken so that the
        expected number of acceptances is the number seen, and 0 where nothing was accepted.
        """
        return min(self.clean_at_most, self.accepted / self._expected) if self._expected else 0.0
