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
from ggufban.sampling import Distribution

__all__ = ["DEAD", "Node"]

DEAD = 1.0 - 1e-9
"""A share of at least this is taken for 1: what is left is rounding."""

_NONE = np.empty(0, dtype=np.int32)


class Node:
    """A place in the text: the state of everything there, and what is known of its future.

    `state` is the matcher's and `sampler` the sampler's, both immutable; `end` is the number of bytes of output up
    to here. `row` is a copy of the raw logits, kept while the loop may come back; `distribution` what the sampler
    makes of them with nothing removed. `step` is how the loop came here from the parent (None at the root).
    """

    __slots__ = (
        "children",
        "distribution",
        "end",
        "illegal",
        "known",
        "reasons",
        "removed",
        "row",
        "sampler",
        "sight",
        "state",
        "step",
    )

    def __init__(self, state: Any, end: int, sampler: Any, step: Step | None = None) -> None:
        self.state = state
        self.end = end
        self.sampler = sampler
        self.step = step
        self.row: NDArray[np.float32] | None = None
        self.sight: Sight | None = None
        self.distribution: Distribution | None = None
        self.known: dict[int, tuple[float, int]] | None = None  # token -> raw logit and rank, where no row is kept
        self.illegal = _NONE  # ids with r = 1 because the matcher says so, ascending
        self.removed: dict[int, float] = {}  # r of the other tokens that were tried
        self.reasons: dict[int, str] = {}  # token -> the pattern that its removal is owed to
        self.children: dict[int, Node] = {}

    def forbid(self, ids: NDArray[np.int32]) -> None:
        """Give r = 1 to `ids` (ascending)."""
        self.illegal = ids if not len(self.illegal) else np.union1d(self.illegal, ids)

    def dead_ids(self) -> NDArray[np.int32]:
        """Every token of which nothing is left, ascending."""
        dead = [token for token, share in self.removed.items() if share >= DEAD]
        return np.union1d(self.illegal, np.array(dead, dtype=np.int32)) if dead else self.illegal

    def removed_mass(self) -> float:
        """Σ p · r, with p the sampler's distribution before anything was removed."""
        p = self.distribution
        if p is None or (not len(self.illegal) and not self.removed):
            return 0.0
        shares = shares_of(self, p.ids)
        return min(1.0, float(np.dot(p.probs, shares)))


def shares_of(node: Node, ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """r of each of `ids` at `node`, `(len(ids),)` float64."""
    shares = np.zeros(len(ids))
    if len(node.illegal):
        at = np.searchsorted(node.illegal, ids)
        at[at == len(node.illegal)] = 0
        shares[node.illegal[at] == ids] = 1.0
    for token, share in node.removed.items():
        shares[ids == token] = max(share, float(shares[ids == token].max(initial=0.0)))
    return shares
