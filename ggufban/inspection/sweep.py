"""What temperature, top-k, top-p and min-p do to one distribution.

    sweep(model.logits(), {"temperature": [0.5, 1.0], "top_k": [0, 40]})

Every combination of the grid is a row: how many tokens survive, how uncertain the draw is, what is most probable.
What a grid does not name is off, so that a row shows what its own settings do and nothing else.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import ParameterError
from ggufban.sampling import Sampler
from ggufban.vocab import Vocab

__all__ = ["OFF", "Setting", "sweep"]

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0, "top_n_sigma": -1.0}
"""The parameters that a grid may have, and the values that switch them off, in the order of the columns."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination: its `values`, and the distribution that it draws from.

    `survivors` is how many tokens are left, `entropy` that of the draw in nats and `effective_choices` its
    exponential; `kept` is the model's own probability of the survivors; `best` are the most probable tokens with the
    probability of being drawn; `watched` the probability of each of the watched tokens, 0 if it was removed.
    """

    values: dict[str, float]
    survivors: int
    entropy: float
    kept: float
    best: tuple[tuple[int, float], ...]
    watched: tuple[float, ...]

    @property
    def effective_choices(self) -> float:
        """exp(H) of the draw."""
        return math.exp(self.entropy)


def sweep(
    logits: NDArray[np.float32],
    grid: Mapping[str, Sequence[float]],
    *,
    top: int = 3,
    watch: Sequence[int] = (),
    vocab: Vocab | None = None,
) -> list[Setting]:
    """Every combination of `grid` on the row `logits` `(n_vocab,)`, the last parameter changing fastest.

    Raises `ParameterError` for a parameter that cannot be swept, or a value out of its range.

    >>> logits = np.log(np.array([0.6, 0.3, 0.1], dtype=np.float32))
    >>> [(s.values["top_k"], s.survivors, round(s.best[0][1], 3)) for s in sweep(logits, {"top_k": [0, 2, 1]})]
    [(0, 3, 0.6), (2, 2, 0.667), (1, 1, 1.0)]
    """
    for name in grid:
        if name not in OFF:
            raise ParameterError(f"{name!r} cannot be swept; what can is {', '.join(OFF)}")
    log_total = float(np.logaddexp.reduce(logits, dtype=np.float64))
    found = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        drawn = Sampler(**{**OFF, **chosen}, vocab=vocab).distribution(logits)  # type: ignore[arg-type]
        positive = drawn.probs[drawn.probs > 0]
        found.append(
            Setting(
                values=chosen,
                survivors=len(drawn),
                entropy=-math.fsum(positive * np.log(positive)) + 0.0,
                kept=min(1.0, math.fsum(np.exp(logits[drawn.ids].astype(np.float64) - log_total))),
                best=tuple(zip(drawn.ids[:top].tolist(), drawn.probs[:top].tolist(), strict=True)),
                watched=tuple(drawn.prob_of(token) for token in watch),
            )
        )
    return found
