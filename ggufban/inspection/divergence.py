"""How two rows of logits differ: pure functions on `(n_vocab,)` float32, computed in float64.

With p and q the two distributions and m = (p + q)/2:

    KL(p ‖ q) = Σ p (ln p - ln q)          JS = H(m) - (H(p) + H(q))/2, at most ln 2          TV = Σ |p - q| / 2
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.inspection.statistics import RowScanner, RowStatistics, inner

__all__ = ["RBO_P", "PairScanner", "PairStatistics", "rank_biased_overlap"]

RBO_P = 0.9
"""Persistence of the rank-biased overlap: the first ten ranks hold 86 % of its weight."""


class PairStatistics(NamedTuple):
    """KL(base ‖ other), KL(other ‖ base), Jensen-Shannon divergence (nats), total variation; each row's scalars."""

    kl: float
    kl_reverse: float
    js: float
    tv: float
    base: RowStatistics
    other: RowStatistics


class PairScanner:
    """Compares rows of one vocabulary size, in buffers that are kept. Not for two threads at once."""

    def __init__(self, n_vocab: int) -> None:
        self._scan = RowScanner(n_vocab)
        self._buffers = tuple(np.empty(n_vocab) for _ in range(6))

    def __call__(self, base: NDArray[np.float32], other: NDArray[np.float32]) -> PairStatistics:
        """Two rows of logits `(n_vocab,)` compared.

        A token of logit -inf has probability 0: KL is infinite where the second row rules out what the first does
        not. Raises `LogitsError` for rows that are no logits.
        """
        lp, lq, p, q, m, x = self._buffers
        rows = self._scan(base), self._scan(other)
        for logits, row, logprobs, probs in ((base, rows[0], lp, p), (other, rows[1], lq, q)):
            np.subtract(logits, row.maximum + row.log_z, out=logprobs, dtype=np.float64)
            np.exp(logprobs, out=probs)
        np.add(p, q, out=m)
        m *= 0.5
        np.maximum(m, np.finfo(np.float64).tiny, out=x)  # 0 ln 0 is 0
        np.log(x, out=x)
        mixed = -inner(m, x)
        np.subtract(p, q, out=x)
        np.abs(x, out=x)
        tv = 0.5 * float(x.sum())
        js = max(0.0, mixed - 0.5 * (rows[0].entropy + rows[1].entropy))
        with np.errstate(invalid="ignore"):
            np.subtract(lp, lq, out=x)
            forward, backward = inner(p, x), -inner(q, x)
        if not (math.isfinite(forward) and math.isfinite(backward)):  # some logit is -inf
            forward, backward = _sparse_kl(p, lp, lq), _sparse_kl(q, lq, lp)
        return PairStatistics(max(0.0, forward), max(0.0, backward), js, tv, rows[0], rows[1])


def _sparse_kl(p: NDArray[np.float64], lp: NDArray[np.float64], lq: NDArray[np.float64]) -> float:
    alive = np.isfinite(lp)
    return inner(p[alive], lp[alive] - lq[alive])


def rank_biased_overlap(a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]], p: float = RBO_P) -> float:
    """How far two rankings of equal length agree, the first ranks counting most: 0 disjoint, 1 equal.

    The extrapolated RBO of Webber, Moffat and Zobel (A similarity measure for indefinite rankings, 2010): with X_d
    the number of ids that both have among their first d, (X_k / k) pᵏ + (1 - p)/p · Σ_{d ≤ k} (X_d / d) pᵈ.

    >>> round(rank_biased_overlap(np.array([1, 2, 3]), np.array([1, 3, 2])), 3)
    0.955
    """
    _, at_a, at_b = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    depth = len(a)
    shared = np.bincount(np.maximum(at_a, at_b), minlength=depth).cumsum()
    d = np.arange(1, depth + 1)
    agreement, weight = shared / d, p ** d.astype(np.float64)
    return float(agreement[-1] * weight[-1] + (1 - p) / p * np.dot(agreement, weight))
