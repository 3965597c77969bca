"""Random rows of logits of every kind."""

import numpy as np
from numpy.typing import NDArray

SIZES = (5, 49_152, 262_144)

KINDS = ("normal", "flat", "peaked", "ties", "heavy ties", "banned", "low")


def random_row(rng: np.random.Generator, kind: str, n: int) -> NDArray[np.float32]:
    """A row of n logits, `(n,)` float32.

    normal: about as wide as a model's; flat: nearly uniform; peaked: a handful far above the rest; ties: in
    steps of 1/16, as from 8-bit weights; heavy ties: in steps of 1; banned: a third of them -inf; low: all
    negative and far from 0.
    """
    row = rng.standard_normal(n) * 3
    match kind:
        case "flat":
            row *= 0.1
        case "peaked":
            row[rng.integers(0, n, 4)] += 12 + rng.standard_normal(4)
        case "ties":
            row = np.round(row * 16) / 16
        case "heavy ties":
            row = np.round(row)
        case "banned":
            row[rng.permutation(n)[: n // 3]] = -np.inf
        case "low":
            row -= 200
    return row.astype(np.float32)
