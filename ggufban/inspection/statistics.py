"""What one row of logits says: pure functions on `(n_vocab,)` float32, computed in float64.

Everything here is of the model's own distribution: raw logits, temperature 1, full vocabulary, natural logarithms.
With l the logits, m their maximum, d = l - m, Z = Σ exp(d) and p = exp(d)/Z:

    ln p_i     = d_i - ln Z
    H          = -Σ p ln p           = ln Z - Σ p d
    varentropy = Σ p (ln p + H)²     = Σ p d² - (Σ p d)²
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import LogitsError

__all__ = ["NUCLEUS", "RowScanner", "RowStatistics", "inner", "nucleus_size", "rank_of", "row_statistics", "top_ids"]

NUCLEUS = 0.95
"""The probability that the nucleus of a Step holds: llama.cpp's default for top-p."""

_BLOCK = 64

_PART = 16384
"""Entries that are summed at a time: two buffers of 128 kB."""


def inner(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Σ a·b. Not `np.dot`: BLAS would wake threads for it, which wait for llama.cpp's own (11 ms instead of 0.1)."""
    return float(np.einsum("i,i->", a, b))


class RowStatistics(NamedTuple):
    """Scalars of one row: `log_z` + `maximum` is its log-sum-exp; entropies in nats, varentropy in nats²."""

    maximum: float
    log_z: float
    entropy: float
    varentropy: float

    def logprob(self, logit: float) -> float:
        """The log-probability of a token with this logit."""
        return logit - self.maximum - self.log_z


class RowScanner:
    """Reads rows, a part that fits into a processor's cache at a time, in buffers that are kept.

    Not for two threads at once.
    """

    def __init__(self, n_vocab: int) -> None:
        self._d = np.empty(min(n_vocab, _PART), dtype=np.float64)
        self._e = np.empty_like(self._d)

    def __call__(self, logits: NDArray[np.float32]) -> RowStatistics:
        """The scalars of a row `(n_vocab,)`; entries of -inf have probability 0 and add nothing.

        Raises `LogitsError` on a NaN, on +inf, and where nothing is finite.
        """
        maximum = float(logits.max())
        if not math.isfinite(maximum):
            what = "a NaN" if math.isnan(maximum) else "+inf" if maximum > 0 else "nothing finite"
            raise LogitsError(f"the logits hold {what}: the model or its file is damaged, or its context was overrun")
        z = first = second = 0.0
        for begin in range(0, len(logits), _PART):
            part = logits[begin : begin + _PART]
            d, e = self._d[: len(part)], self._e[: len(part)]
            np.subtract(part, maximum, out=d, dtype=np.float64)  # a float32 row less a float is float32
            np.exp(d, out=e)
            z += float(e.sum())
            moment = inner(e, d)
            if math.isnan(moment):  # 0 · -inf: only then is it worth a pass to find the entries of -inf
                d[np.isneginf(d)] = 0.0
                moment = inner(e, d)
            first += moment
            e *= d
            second += inner(e, d)
        mean = first / z
        log_z = math.log(z)
        return RowStatistics(maximum, log_z, log_z - mean, max(0.0, second / z - mean * mean))


def row_statistics(logits: NDArray[np.float32]) -> RowStatistics:
    """The scalars of one row `(n_vocab,)`; see `RowScanner` for many.

    >>> row = row_statistics(np.log(np.array([0.5, 0.25, 0.25], dtype=np.float32)))
    >>> round(row.entropy, 4), round(row.varentropy, 4)
    (1.0397, 0.1201)
    """
    return RowScanner(logits.shape[0])(logits)


def top_ids(logits: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The ids of the `k` largest logits, largest first, ties by the lower id: `(min(k, n_vocab),)`.

    The k-th largest of the maxima of disjoint blocks is at most the k-th largest element, so that everything at or
    above it holds the answer; there is little of it, and only that is sorted.

    >>> top_ids(np.array([0.5, 2.0, 1.0, 2.0], dtype=np.float32), 3).tolist()
    [1, 3, 2]
    """
    size = logits.shape[0]
    k = min(k, size)
    if k <= 0:
        return np.empty(0, dtype=np.int64)
    blocks = size // _BLOCK
    if blocks > k:
        maxima = logits[: blocks * _BLOCK].reshape(_BLOCK, blocks).max(axis=0)  # block j: j, j + blocks, …
        maxima.partition(blocks - k)
        candidates = np.flatnonzero(logits >= maxima[blocks - k])
    else:
        candidates = np.arange(size)
    order = np.argsort(-logits[candidates], kind="stable")[:k]
    return candidates[order]


def rank_of(logits: NDArray[np.float32], token: int) -> int:
    """The 1-based place of `token` when all are sorted by logit, ties by the lower id.

    >>> rank_of(np.array([0.5, 2.0, 1.0, 2.0], dtype=np.float32), 3)
    2
    """
    value = logits[token]
    above = int(np.count_nonzero(logits > value))
    return 1 + above + int(np.count_nonzero(logits[:token] == value))


def nucleus_size(
    logits: NDArray[np.float32], row: RowStatistics, p: float = NUCLEUS, best: NDArray[np.int64] | None = None
) -> int:
    """How few of the most probable tokens together reach probability `p` in (0, 1), at least 1.

    If they are among `best`, the ids of the most probable tokens in order, no other is looked at. Else: all tokens
    below probability (1 - p)/V together hold less than 1 - p, so that they are never needed; the same reasoning on
    those that are left cuts deeper, and only what passes is sorted.

    >>> logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    >>> nucleus_size(logits, row_statistics(logits), 0.8), nucleus_size(logits, row_statistics(logits), 0.4)
    (2, 1)
    """
    log_total = row.maximum + row.log_z
    if best is not None and len(best):
        size = _reaching(np.exp(logits[best].astype(np.float64) - log_total), p)
        if size <= len(best):
            return size
    spare = 1.0 - p
    kept = logits[(logits >= log_total + math.log(spare / logits.shape[0])).nonzero()[0]]  # faster than a mask
    probs = np.exp(kept.astype(np.float64) - log_total)
    allowed = spare - (1.0 - float(probs.sum()))
    if allowed > 0.0:
        probs = probs[probs >= allowed / len(probs)]
    return min(_reaching(np.sort(probs)[::-1], p), len(probs))


def _reaching(descending: NDArray[np.float64], p: float) -> int:
    """How many of these probabilities reach `p`; one more than there are if they do not.

    A sum that stays below p only by rounding (0.5 + 0.3 in float32) has reached it.
    """
    return int(descending.cumsum().searchsorted(p * (1.0 - 1e-6))) + 1
