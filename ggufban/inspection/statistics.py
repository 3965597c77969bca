"""What one row of logits says: pure functions on `(n_vocab,)` float32.

Everything here is of the model's own distribution: raw logits, temperature 1, full vocabulary, natural logarithms.
With l the logits, m their maximum, d = l - m, Z = Σ exp(d) and p = exp(d)/Z:

    ln p_i     = d_i - ln Z
    H          = -Σ p ln p           = ln Z - Σ p d
    varentropy = Σ p (ln p + H)²     = Σ p d² - (Σ p d)²
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import LogitsError
from ggufban.sampling.candidates import Candidates, heaviest

__all__ = ["NUCLEUS", "RowScanner", "RowStatistics", "inner", "nucleus_size", "rank_of", "row_statistics", "top_ids"]

NUCLEUS = 0.95
"""The probability that the nucleus of a Step holds: llama.cpp's default for top-p."""

_LINE = 256
"""Products that are added up in their own precision, before the sums of such lines are in float64."""

_NOTHING = -1e4
"""The d of what fills up the last line: e^d is 0, and so is d·e^d."""

_PART = 65536
"""Entries of a row that are gone through at a time: two buffers of 256 kB in float32."""


def inner(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """Σ a·b of contiguous arrays `(n,)`, line by line.

    Not `np.dot` of the whole: BLAS would wake threads for it, which wait for llama.cpp's own (11 ms instead of 0.1).
    For a line of a few hundred it does not, and what float32 loses in so short a sum is of the order of 1e-7.
    """
    whole = len(a) // _LINE * _LINE
    lines = _inner_of_lines(a[:whole].reshape(-1, _LINE), b[:whole].reshape(-1, _LINE))
    return lines + float(np.vecdot(a[whole:], b[whole:]))


def _inner_of_lines(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    return float(np.vecdot(a, b).sum())


_ROUNDING = 1.0 - 1e-6
"""A sum that stays below p only by rounding (0.5 + 0.3 in float32) has reached it."""


class RowStatistics(NamedTuple):
    """Scalars of one row: `log_z` + `maximum` is its log-sum-exp; entropies in nats, varentropy in nats².

    `finite` says whether no logit is -inf.
    """

    maximum: float
    log_z: float
    entropy: float
    varentropy: float
    finite: bool = True

    def logprob(self, logit: float) -> float:
        """The log-probability of a token with this logit."""
        return logit - self.maximum - self.log_z


class RowScanner:
    """Reads rows, a part that fits into a processor's cache at a time, in buffers that are kept.

    In float64, or in float32 at half the cost, where it is off by at most 1e-6 nats. Not for two threads at once.
    """

    def __init__(self, n_vocab: int, dtype: type[np.float32 | np.float64] = np.float64) -> None:
        lines = -(-min(n_vocab, _PART) // _LINE)
        self._d: NDArray[Any] = np.empty((lines, _LINE), dtype)
        self._e = np.empty_like(self._d)
        self._ones = np.ones(_LINE, dtype)

    def __call__(self, logits: NDArray[np.float32], maximum: float | None = None) -> RowStatistics:
        """The scalars of a row `(n_vocab,)`, of which the `maximum` may be known; entries of -inf add nothing.

        Raises `LogitsError` on a NaN, on +inf, and where nothing is finite.
        """
        if maximum is None:
            maximum = float(logits.max())
        if not math.isfinite(maximum):
            what = "a NaN" if math.isnan(maximum) else "+inf" if maximum > 0 else "nothing finite"
            raise LogitsError(f"the logits hold {what}: the model or its file is damaged, or its context was overrun")
        z = first = second = 0.0
        finite = True
        with np.errstate(invalid="ignore"):  # 0 · -inf
            for begin in range(0, len(logits), self._d.size):
                part = logits[begin : begin + self._d.size]
                lines = -(-len(part) // _LINE)
                d, e = self._d[:lines], self._e[:lines]
                entries = d.reshape(-1)
                np.subtract(part, maximum, out=entries[: len(part)], dtype=d.dtype)
                entries[len(part) :] = _NOTHING
                np.exp(d, out=e)
                z += _inner_of_lines(e, self._ones)
                moment = _inner_of_lines(e, d)
                if math.isnan(moment):  # only then is it worth a pass to find the entries of -inf
                    finite = False
                    d[np.isneginf(d)] = 0.0
                    moment = _inner_of_lines(e, d)
                first += moment
                e *= d
                second += _inner_of_lines(e, d)
        mean = first / z
        log_z = math.log(z)
        return RowStatistics(maximum, log_z, log_z - mean, max(0.0, second / z - mean * mean), finite)


def row_statistics(logits: NDArray[np.float32]) -> RowStatistics:
    """The scalars of one row `(n_vocab,)`; see `RowScanner` for many.

    >>> row = row_statistics(np.log(np.array([0.5, 0.25, 0.25], dtype=np.float32)))
    >>> round(row.entropy, 4), round(row.varentropy, 4)
    (1.0397, 0.1201)
    """
    return RowScanner(logits.shape[0])(logits)


def top_ids(logits: NDArray[np.float32] | Candidates, k: int) -> NDArray[np.int32]:
    """The ids of the `k` largest logits, largest first, ties by the lower id: `(min(k, n_vocab),)`.

    >>> top_ids(np.array([0.5, 2.0, 1.0, 2.0], dtype=np.float32), 3).tolist()
    [1, 3, 2]
    """
    row = logits if isinstance(logits, Candidates) else Candidates.of(logits)
    if k <= 0:
        return np.empty(0, dtype=np.int32)
    best = row.greatest(k).ids
    assert best is not None
    missing = min(k, len(row.logits)) - len(best)
    if missing <= 0:
        return best
    banned = np.isneginf(row.logits).nonzero()[0][:missing]  # no candidates for a sampler
    return np.concatenate([best, banned.astype(np.int32)])


def rank_of(logits: NDArray[np.float32], token: int) -> int:
    """The 1-based place of `token` when all are sorted by logit, ties by the lower id.

    >>> rank_of(np.array([0.5, 2.0, 1.0, 2.0], dtype=np.float32), 3)
    2
    """
    value = logits[token]
    above = int(np.count_nonzero(logits > value))
    return 1 + above + int(np.count_nonzero(logits[:token] == value))


def nucleus_size(logits: NDArray[np.float32] | Candidates, row: RowStatistics, p: float = NUCLEUS) -> int:
    """How few of the most probable tokens together reach probability `p` in (0, 1), at least 1.

    If they are in the `head` of `Candidates`, no other token is looked at.

    >>> logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    >>> nucleus_size(logits, row_statistics(logits), 0.8), nucleus_size(logits, row_statistics(logits), 0.4)
    (2, 1)
    """
    seen = logits if isinstance(logits, Candidates) else Candidates.of(logits)
    log_total, enough = row.maximum + row.log_z, p * _ROUNDING
    if seen.head is not None:
        held = 0.0
        for size, logit in enumerate(seen.head.logits.tolist(), 1):
            held += math.exp(logit - log_total)
            if held >= enough:
                return size
    for first in heaviest(seen, math.exp(row.log_z), p):
        size = int(np.exp(first.logits - log_total, dtype=np.float64).cumsum().searchsorted(enough)) + 1
        if size <= len(first.logits):
            return size
    return len(first.logits)
