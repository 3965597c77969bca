"""Two models on one text, compared token by token: the numbers, and what they add up to.

Names and conventions are those of `llama-perplexity --kl-divergence`: the first model is the *base*, the second *Q*,
KLD is KL(base ‖ Q), Δp the probability of the text's token under Q less that under the base. Differences: here both
models are open at once and every row is compared as soon as both have it, in float64 and over the full vocabulary;
there the base's log-probabilities go to disk in 16 bits, and tokens of ln p below -16 are left out of the sum.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.inspection.trace import Step
from ggufban.vocab import Vocab

__all__ = ["OVERLAP", "Bin", "Comparison", "Difference", "Figure"]

OVERLAP = 10
"""How many of the best tokens are compared as sets."""

CONFIDENCES = (0.0, 0.1, 0.5, 0.9, 1.0)
"""Bounds of the bins of the base's greatest probability."""


class Figure(NamedTuple):
    """A figure and its standard error, None where it has none."""

    value: float
    error: float | None = None


class Bin(NamedTuple):
    """The tokens at which the base's greatest probability was above `low` and at most `high`."""

    low: float
    high: float
    tokens: int
    kl: float
    same_top: float


class Difference(NamedTuple):
    """A place where two models differ: step `at` of the text, and what each of them saw and made of its token."""

    at: int
    kl: float
    base: Step
    other: Step


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on one text, token by token.

    `at` are the indices into `tokens` of what was compared, `(n,)` int64; every array of `columns` is `(n,)`
    float64 beside it: `nll_base` and `nll` of the text's token, `kl` (base ‖ Q) and `kl_reverse`, `js`, `tv`,
    `entropy_base` and `entropy`, `confidence` (the base's greatest probability), `same_top` (1 or 0), `overlap` (the
    share of the ten best that both have), `rbo`. `worst` are the places of the greatest `kl`, the worst first.
    """

    base: str
    other: str
    vocab: Vocab
    tokens: tuple[int, ...]
    at: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    worst: tuple[Difference, ...]
    protocol: str

    def __getitem__(self, column: str) -> NDArray[np.float64]:
        return self.columns[column]

    @property
    def difference(self) -> NDArray[np.float64]:
        """Δp: the probability of the text's token under Q less that under the base, `(n,)` float64."""
        change: NDArray[np.float64] = np.exp(-self["nll"]) - np.exp(-self["nll_base"])
        return change

    def figures(self) -> dict[str, Figure]:
        """Every figure, under the names of `llama-perplexity`, after them our own.

        Probabilities and their differences are fractions (it prints per cent).
        """
        kl, change = self["kl"], self.difference
        figures = _perplexities(self["nll"], self["nll_base"])
        figures |= {"Mean KLD": _mean(kl), "Maximum KLD": Figure(float(kl.max()))}
        figures |= {f"{name} KLD": Figure(_quantile(kl, q)) for name, q in _KLD_QUANTILES.items()}
        figures |= {"Minimum KLD": Figure(float(kl.min()))}
        figures |= {"Mean Δp": _mean(change), "Maximum Δp": Figure(float(change.max()))}
        figures |= {f"{name} Δp": Figure(_quantile(change, q)) for name, q in _DP_QUANTILES.items()}
        figures |= {"Minimum Δp": Figure(float(change.min()))}
        square = _mean(change * change)
        root = math.sqrt(square.value)
        figures["RMS Δp"] = Figure(root, 0.5 * (square.error or 0.0) / root if root else 0.0)
        same = float(self["same_top"].mean())
        figures["Same top p"] = Figure(same, math.sqrt(same * (1 - same) / max(1, len(kl) - 1)))
        return figures | {name: _mean(self[column]) for name, column in _OURS.items()}

    def by_confidence(self) -> list[Bin]:
        """Mean KLD and same top by how sure the base was; bins without a token are left out."""
        bins = []
        for low, high in pairwise(CONFIDENCES):
            inside = (self["confidence"] > low) & (self["confidence"] <= high)
            count = int(inside.sum())
            if count:
                kl, same = float(self["kl"][inside].mean()), float(self["same_top"][inside].mean())
                bins.append(Bin(low, high, count, kl, same))
        return bins

    def context(self, at: int, before: int = 60) -> str:
        """The end of the text that stands before token `at`, at most `before` characters of it."""
        data = b"".join(self.vocab.pieces[token] for token in self.tokens[max(0, at - before) : at])
        return data.decode("utf-8", "replace")[-before:]


_KLD_QUANTILES = {
    "99.9%": 0.999, "99.0%": 0.99, "95.0%": 0.95, "90.0%": 0.9, "Median": 0.5, "10.0%": 0.1, "5.0%": 0.05,
    "1.0%": 0.01, "0.1%": 0.001,
}  # fmt: skip
_DP_QUANTILES = {
    "99.9%": 0.999, "99.0%": 0.99, "95.0%": 0.95, "90.0%": 0.9, "75.0%": 0.75, "Median": 0.5, "25.0%": 0.25,
    "10.0%": 0.1, "5.0%": 0.05, "1.0%": 0.01, "0.1%": 0.001,
}  # fmt: skip
_OURS = {
    "Mean reverse KLD": "kl_reverse", "Mean JS": "js", "Mean total variation": "tv",
    "Mean entropy(Q)": "entropy", "Mean entropy(base)": "entropy_base",
    f"Mean top-{OVERLAP} overlap": "overlap", "Mean rank-biased overlap": "rbo",
}  # fmt: skip


_PERPLEXITIES = (
    "Mean PPL(Q)",
    "Mean PPL(base)",
    "Cor(ln(PPL(Q)), ln(PPL(base)))",
    "Mean ln(PPL(Q)/PPL(base))",
    "Mean PPL(Q)/PPL(base)",
    "Mean PPL(Q)-PPL(base)",
)


def _mean(values: NDArray[np.float64]) -> Figure:
    """The mean and its standard error; llama.cpp's, which has none for ten values or fewer."""
    count, mean = len(values), float(values.mean())
    if not math.isfinite(mean):
        return Figure(mean)
    if count <= 10:
        return Figure(mean, 0.0)
    return Figure(mean, math.sqrt(max(0.0, float((values * values).mean()) - mean * mean) / (count - 1)))


def _quantile(values: NDArray[np.float64], q: float) -> float:
    """Linear between the two nearest values, as llama.cpp's; an infinite neighbour of weight 0 is not looked at."""
    ordered = np.sort(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    share = place - low
    return float(ordered[low] if share == 0.0 else (1 - share) * ordered[low] + share * ordered[low + 1])


def _perplexities(nll: NDArray[np.float64], base: NDArray[np.float64]) -> dict[str, Figure]:
    """Both perplexities, their ratio and difference, with errors that know how the two losses vary together."""
    (q, error_q), (b, error_b) = ((mean, error or 0.0) for mean, error in (_mean(nll), _mean(base)))
    count = len(nll)
    covariance = 0.0
    if count >= 10 and math.isfinite(q + b):
        covariance = (float((nll * base).mean()) - q * b) / (count - 1)
    ppl_q, ppl_b, ratio = _exp(q), _exp(b), _exp(q - b)
    log_error = math.sqrt(max(0.0, error_q**2 + error_b**2 - 2 * covariance))
    spread = (ppl_q * error_q) ** 2 + (ppl_b * error_b) ** 2 - 2 * ppl_q * ppl_b * covariance
    both = error_q * error_b
    if not math.isfinite(q + b):  # a token that one of them rules out
        values = (ppl_q, ppl_b, math.nan, q - b, ratio, ppl_q - ppl_b)
        return dict(zip(_PERPLEXITIES, map(Figure, values), strict=True))
    figures = (
        Figure(ppl_q, ppl_q * error_q),
        Figure(ppl_b, ppl_b * error_b),
        Figure(covariance / both if both else math.nan),
        Figure(q - b, log_error),
        Figure(ratio, ratio * log_error),
        Figure(ppl_q - ppl_b, math.sqrt(spread) if spread > 0 else 0.0),
    )
    return dict(zip(_PERPLEXITIES, figures, strict=True))


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf
