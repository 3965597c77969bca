"""llama.cpp's filters as pure functions: candidates in, the candidates that survive out.

They are chained by calling one on the result of another, and change nothing that they are given:

>>> import numpy as np
>>> logits = np.log(np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32))
>>> left = top_p(top_k(Candidates.of(logits), 3), 0.7)
>>> left.ids.tolist()
[3, 2]

All work on logits in float32, as llama.cpp does, with its order of operations wherever a rounding could
decide which token survives. Every function says which function of llama.cpp it follows
(`src/llama-sampler.cpp`), which value switches it off, and where it differs. These differences hold for all
of them:

- A token of logit -inf is not a candidate. llama.cpp keeps it in the array with probability 0, which makes
  its typical-p (0 * log 0) and mirostat (log(p/0)) return nonsense; where it is merely counted,
  `Candidates.size` is.
- Among equal logits the lower id comes first. In llama.cpp their order is what `std::partial_sort` and
  `std::sort` happen to leave, and which of them survives a cut between them is not defined.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ggufban.sampling.candidates import Candidates, exp32, heaviest, log32, softmax32, sum32, total32

__all__ = [
    "adaptive_p",
    "dynamic_temperature",
    "greedy",
    "min_p",
    "mirostat",
    "mirostat_v2",
    "temperature",
    "top_k",
    "top_n_sigma",
    "top_p",
    "typical",
    "xtc",
]


FLOAT32_MAX = float(np.finfo(np.float32).max)


def top_k(candidates: Candidates, k: int) -> Candidates:
    """The k candidates of greatest logit, in descending order; k <= 0 switches it off.

    llama.cpp: `llama_sampler_top_k_impl`.
    """
    return candidates if k <= 0 else candidates.greatest(k)


def top_p(candidates: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """The most probable candidates, as few as together reach probability p, in descending order.

    p in [0, 1]; 1 switches it off, and at 0 one candidate is left. At least `min_keep` are kept. Where the
    running float32 sum never reaches p, all are. llama.cpp: `llama_sampler_top_p_apply`; Holtzman et al., The
    Curious Case of Neural Text Degeneration, arXiv 1904.09751.
    """
    if p >= 1:
        return candidates
    if candidates.ids is None:
        return wide_top_p(candidates, np.float32(p), min_keep)
    probs = softmax32(candidates)
    if candidates.order != "logits":
        order = np.lexsort((candidates.ids, -candidates.logits))
        candidates, probs = candidates.ordered(), probs[order]
    size = nucleus(probs, np.float32(p), min_keep, candidates.size)
    return candidates if size is None else candidates.between(0, size, size)


def nucleus(probs: NDArray[np.float32], p: np.float32, min_keep: int, most: int) -> int | None:
    """How many of descending probabilities it takes for the running sum to reach p; None if it never does."""
    reached = int(np.add.accumulate(probs).searchsorted(p))
    return None if reached == len(probs) else min(max(reached + 1, min_keep), most)


def wide_top_p(candidates: Candidates, p: np.float32, min_keep: int) -> Candidates:
    """Top-p on a whole row, sorting no more of it than it takes."""
    top, total = candidates.top, total32(candidates)
    for first in heaviest(candidates, float(total), float(p)):
        size = nucleus(exp32(first.logits - top) / total, p, min_keep, candidates.size)
        # min_keep may ask for more than the nucleus, and for more than was looked at
        if size is not None and (size <= len(first.logits) or first.size == candidates.size):
            return first.between(0, size, size)
    return first


def min_p(candidates: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """The candidates at least p times as probable as the most probable one.

    p >= 0; 0 switches it off, and from 1 only the most probable are left. At least `min_keep` are kept.
    llama.cpp: `llama_sampler_min_p_apply`; Nguyen et al., arXiv 2407.01082.
    """
    if np.float32(p) <= 0:
        return candidates
    # probabilities need no softmax here: p_i >= p * p_max is logit_i >= logit_max + ln p
    left = candidates.at_least(candidates.top + np.float32(math.log(np.float32(p))))
    if len(left.logits) < max(min_keep, 1):
        return candidates.greatest(max(min_keep, 1))
    return left


def typical(candidates: Candidates, p: float, min_keep: int = 0) -> Candidates:
    """The candidates whose surprisal is nearest to the entropy, as few as together exceed probability p.

    p in [0, 1]; 1 switches it off. At least `min_keep` are kept. llama.cpp: `llama_sampler_typical_apply`;
    Meister et al., Locally Typical Sampling, arXiv 2202.00666. Differences: a candidate whose probability is
    0 in float32 adds nothing to the entropy (in llama.cpp the entropy becomes NaN, and the order arbitrary).
    """
    if p >= 1:
        return candidates
    candidates = candidates.ordered()
    probs = softmax32(candidates)
    surprisal = -log32(np.maximum(probs, np.finfo(np.float32).smallest_subnormal))
    oddness = np.abs(surprisal - sum32(probs * surprisal))
    order = oddness.argsort(kind="stable")
    reached = int(np.add.accumulate(probs[order]).searchsorted(np.float32(p), side="right"))
    n = min(max(reached + 1, min_keep), len(order))
    return candidates.pick(order[:n])._replace(order="none")


def top_n_sigma(candidates: Candidates, n: float) -> Candidates:
    """The candidates whose logit is at most n standard deviations below the greatest.

    n <= 0 switches it off. llama.cpp: `llama_sampler_top_n_sigma_apply`; Tang et al., arXiv 2411.07641.
    Differences: llama.cpp leaves the removed in its array with logit -inf; `Candidates.size` counts them.
    """
    if n <= 0 or candidates.size <= 1:
        return candidates
    logits = candidates.logits
    total = sum32(logits)
    if total == -np.inf:  # a banned token would spoil mean and deviation
        logits = logits[logits > -np.inf]
        total = sum32(logits)
    off = logits - total / np.float32(len(logits))
    sigma = np.sqrt(sum32(off * off) / np.float32(len(logits)))
    return candidates.at_least(candidates.top - np.float32(n) * sigma)._replace(size=candidates.size)


def xtc(candidates: Candidates, threshold: float, min_keep: int = 0) -> Candidates:
    """Without the most probable candidates: of those at least as probable as `threshold`, the last stays.

    Whether this happens at a step is drawn with `xtc_probability` by the `Sampler`. A threshold above 0.5
    switches it off, and so does fewer than two candidates of that probability, or fewer than `min_keep` left.
    llama.cpp: `llama_sample_xtc_apply`; exclude top choices, by p-e-w.
    """
    if threshold > 0.5 or candidates.size < 2:
        return candidates
    candidates = candidates.ordered()
    removed = int(np.count_nonzero(softmax32(candidates) >= np.float32(threshold))) - 1
    if removed <= 0 or candidates.size - removed < min_keep:
        return candidates
    return candidates.between(removed, len(candidates.logits), candidates.size - removed)


def greedy(candidates: Candidates) -> Candidates:
    """The one candidate of greatest logit; the lowest id among equals. llama.cpp: temperature <= 0."""
    return candidates.greatest(1)._replace(size=candidates.size)


def temperature(candidates: Candidates, t: float) -> Candidates:
    """All candidates with their logits divided by t; t <= 0 is `greedy`, and 1 switches it off.

    llama.cpp: `llama_sampler_temp_impl`.
    """
    if t <= 0:
        return greedy(candidates)
    t32, top = np.float32(t), float(candidates.top)
    if t32 == 0 or abs(top) > FLOAT32_MAX * float(t32):  # a t so small that it overflows is as good as 0
        return greedy(candidates)
    if candidates.order == "logits" and abs(float(candidates.logits[-1])) <= FLOAT32_MAX * float(t32):
        return Candidates(candidates.ids, candidates.logits / t32, "logits", candidates.size)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        logits = candidates.logits / t32
        if candidates.maxima is None or candidates.peak is None:
            return Candidates(candidates.ids, logits, candidates.order, candidates.size)
        maxima, peak = candidates.maxima / t32, candidates.peak / t32
        return Candidates(candidates.ids, logits, candidates.order, candidates.size, maxima, peak)


def dynamic_temperature(candidates: Candidates, t: float, spread: float, exponent: float) -> Candidates:
    """All candidates at a temperature between t - spread and t + spread: the surer the model, the lower.

    The temperature is `low + (high - low) * (H / ln n) ** exponent`, with H the entropy of the n candidates
    and low not below 0. `spread` <= 0 is plain `temperature`. llama.cpp: `llama_sampler_temp_ext_apply`.
    """
    if spread <= 0:
        return temperature(candidates, t)
    if candidates.size <= 1:
        return candidates
    candidates = candidates.ordered()
    low, high = max(np.float32(0), np.float32(t) - np.float32(spread)), np.float32(t) + np.float32(spread)
    probs = softmax32(candidates)
    probs = probs[probs > 0]
    entropy = -sum32(probs * log32(probs))
    flat = -log32(np.float32(1) / np.asarray(candidates.size, dtype=np.float32))
    return temperature(candidates, float(low + (high - low) * (entropy / flat) ** np.float32(exponent)))


def mirostat(candidates: Candidates, mu: float, m: int = 100) -> Candidates:
    """The k most probable candidates, k chosen so that the expected surprise is about `mu` bits.

    From the m most probable candidates the exponent s of a Zipf law is estimated, and k follows from s and
    mu. llama.cpp: `llama_sampler_mirostat_apply`; Basu et al., arXiv 2007.14966. Differences: a candidate of
    probability 0 in float32 ends the estimate, and a k too large for an int keeps every candidate (in
    llama.cpp each leaves one).
    """
    candidates = candidates.ordered()
    probs = softmax32(candidates)[:m]
    probs = probs[probs > 0]
    if len(probs) < 2:
        return candidates.between(0, 1, 1)
    rank = np.arange(1, len(probs), dtype=np.float32)
    t = log32((rank + 1) / rank)
    b = log32(probs[:-1] / probs[1:])
    one, v = np.float32(1), np.float32(candidates.size)
    with np.errstate(all="ignore"):  # equal logits make s = 0, and s = 1 makes 0 / 0: then k is not a number
        s = sum32(t * b) / sum32(t * t)
        k = (((s - one) * np.float32(2) ** np.float32(mu)) / (one - v ** (one - s))) ** (one / s)
    if np.isnan(k):
        return candidates.between(0, 1, 1)
    n = int(min(max(float(k), 1.0), len(candidates.logits)))
    return candidates.between(0, n, n)


def mirostat_v2(candidates: Candidates, mu: float) -> Candidates:
    """The candidates of at most `mu` bits of surprisal, in descending order; the first one in any case.

    llama.cpp: `llama_sampler_mirostat_v2_apply`; Basu et al., arXiv 2007.14966.
    """
    candidates = candidates.ordered()
    probs = softmax32(candidates)
    with np.errstate(divide="ignore"):
        surprisal = -np.log2(probs, dtype=np.float64).astype(np.float32)
    n = max(1, int(surprisal.searchsorted(np.float32(mu), side="right")))
    return candidates.between(0, n, n)


def adaptive_p(
    candidates: Candidates, target: float
) -> tuple[Candidates, tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """All candidates with logits that are the greater the nearer their probability is to `target`.

    The logit is `5 - 10 * d * d / (1 + d)` with `d = |p - target| / 0.3`. A target outside of [0, 1] is moved
    to its end. Also returns ids and probabilities, `(n,)` float32, as they were before: the moving average of
    those that are drawn adapts the target. llama.cpp: `llama_sampler_adaptive_p_apply`.
    """
    candidates = candidates.narrow()
    assert candidates.ids is not None
    probs = softmax32(candidates)
    inverse_width = np.float32(1) / np.float32(0.3)
    d = np.abs((probs - np.float32(min(max(target, 0.0), 1.0))) * inverse_width)
    logits = np.float32(5) - np.float32(10) * d * d / (np.float32(1) + d)
    return candidates.with_logits(logits), (candidates.ids, probs)
