"""What a strategy gives and what it costs, over a set of texts: pure statistics, nothing is generated here.

Many texts are written for the same prompts under each strategy. `summary` tells of one strategy, `difference` of two
on the same prompts, `distortion` how far `mask` is from the law that it stands in for.

Standard errors take a text as the unit: the tokens of one text depend on each other, texts do not. A mean over tokens
is a ratio of two sums over texts, and its standard error that of a ratio (linearized).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ggufban.bans import BanList
from ggufban.decoding.report import Generation

__all__ = ["Difference", "Distortion", "Sample", "Summary", "count_leaks", "difference", "distortion", "summary"]

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Sample:
    """One text: what was written for one prompt under one strategy.

    `nats` is -Σ logprob over its tokens, by the full model at temperature 1 without bans: raw logits, captured while
    the text was written. `leaks` counts the matches of the ban list in it. `log_legal_mass` is ln w, -inf where no
    legal continuation was left. `strategy` is the one that wrote the text: `exact` may have handed it over.
    """

    prompt: str
    text: str
    strategy: str
    finish_reason: str
    seed: int
    tokens: int
    nats: float
    leaks: int
    evaluations: int
    discarded_tokens: int
    log_legal_mass: float
    seconds: float

    @classmethod
    def of(cls, out: Generation, bans: BanList, *, chat: bool) -> "Sample":
        """The sample that a generation is; its Steps must be traced (`top` not None)."""
        report = out.report
        return cls(
            out.prompt,
            out.text,
            out.strategy,
            out.finish_reason,
            out.seed,
            len(out.steps),
            -math.fsum(step.logprob for step in out.steps),
            count_leaks(bans, out.text, out.tokens, "" if chat else out.prompt),
            report.evaluations,
            report.discarded_tokens,
            -math.inf if out.finish_reason == "banned" else report.log_legal_mass,
            report.seconds,
        )


def count_leaks(bans: BanList, text: str, tokens: Sequence[int] = (), prompt: str = "") -> int:
    """How many matches of `bans` the text holds, found by searching the text and not by what generation knows of it.

    `prompt` is what the text goes on from: a match counts if it ends beyond it. Token patterns are looked for in
    `tokens`.

    >>> count_leaks(BanList(["Paris"]), "is, Paris.", prompt="In Par")
    2
    """
    found = sum(match.end > len(prompt) for match in bans.find(prompt + text))
    banned = bans.meanings.tokens
    return found + sum(token in banned for token in tokens)


@dataclass(frozen=True, slots=True)
class Summary:
    """What one strategy did over a set of texts.

    `nats` a token with its standard error `nats_se`; `letters_per_word` counts the characters between white space:
    about 5 to 6 in English prose with its punctuation, and more where bans made a text lose its spaces. `dead_ends`
    are texts that had no legal continuation left, `unfinished` those that spent their budget (`exact`).
    """

    texts: int
    tokens: int
    leaks: int
    nats: float
    nats_se: float
    evaluations_per_token: float
    tokens_per_second: float
    discarded_tokens: int
    dead_ends: int
    unfinished: int
    letters_per_word: float


def summary(samples: Sequence[Sample]) -> Summary:
    """The figures of one strategy; NaN where there is nothing to divide by."""
    tokens = sum(sample.tokens for sample in samples)
    words = [word for sample in samples for word in _WORD.findall(sample.text)]
    nats = _ratio([sample.nats for sample in samples], tokens)
    return Summary(
        texts=len(samples),
        tokens=tokens,
        leaks=sum(sample.leaks for sample in samples),
        nats=nats,
        nats_se=_error(_residuals(samples, nats, tokens)),
        evaluations_per_token=_ratio([sample.evaluations for sample in samples], tokens),
        tokens_per_second=_ratio([tokens], math.fsum(sample.seconds for sample in samples)),
        discarded_tokens=sum(sample.discarded_tokens for sample in samples),
        dead_ends=sum(sample.finish_reason == "banned" for sample in samples),
        unfinished=sum(sample.finish_reason == "interrupted" for sample in samples),
        letters_per_word=_ratio([sum(map(len, words))], len(words)),
    )


def _ratio(parts: Sequence[float], whole: float) -> float:
    return math.fsum(parts) / whole if whole else math.nan


def _residuals(samples: Sequence[Sample], nats: float, tokens: int) -> list[float]:
    """What each text adds to the error of nats a token."""
    return [(sample.nats - nats * sample.tokens) / tokens for sample in samples] if tokens else []


def _error(residuals: Sequence[float]) -> float:
    """The standard error of a sum whose parts, one a text, have these deviations from their mean."""
    n = len(residuals)
    return math.sqrt(n / (n - 1) * math.fsum(r * r for r in residuals)) if n > 1 else math.nan


@dataclass(frozen=True, slots=True)
class Difference:
    """Nats a token of one strategy less those of another, and the standard error of that."""

    nats: float
    se: float


def difference(samples: Sequence[Sample], base: Sequence[Sample]) -> Difference:
    """How much dearer `samples` are than `base`, text by text: both answer the same prompts in the same order.

    With the same seed the two texts of a prompt begin alike, so that this is known better than either of the two.
    """
    a, b = summary(samples), summary(base)
    pairs = zip(_residuals(samples, a.nats, a.tokens), _residuals(base, b.nats, b.tokens), strict=True)
    return Difference(a.nats - b.nats, _error([x - y for x, y in pairs]))


@dataclass(frozen=True, slots=True)
class Distortion:
    """What `mask` samples tell of the law that they stand in for.

    `legal` is P(no match), the probability that a text drawn without bans holds no match, and `kl` is
    KL(mask ‖ exact) in nats a text: how far the texts of `mask` are from a sample of the clean ones. Each with its
    standard error. `kl` is infinite if some text came to a place where all that the sampler would draw was banned:
    no text of the law goes on from there.
    """

    legal: float
    legal_se: float
    kl: float
    kl_se: float


def distortion(log_weights: Sequence[float]) -> Distortion:
    """P(no match) = E[w] and KL(mask ‖ exact) = ln E[w] - E[ln w], from ln w = Σ ln(legal mass) of `mask` samples.

    Why: `mask` draws a text with probability q = P / w wherever that is legal, w being the product of the legal
    masses met on the way. So E[w] = Σ q·w = P(no match), and ln(q / P(· | no match)) = ln P(no match) - ln w, whose
    mean under q is the divergence. This needs that the mask takes away from what the sampler draws from: a filter
    that fills the gaps with other tokens (top-k keeps forty whatever was banned) makes both estimates approximate.
    What `mask` forbids on the safe side (`cat` where `catalog` was begun) counts as a match.

    >>> distortion([math.log(0.5), math.log(0.5)])
    Distortion(legal=0.5, legal_se=0.0, kl=0.0, kl_se=0.0)
    """
    logs = np.array(log_weights, dtype=np.float64)
    n = len(logs)
    if n == 0 or logs.max() == -math.inf:
        return Distortion(0.0 if n else math.nan, math.nan, math.nan, math.nan)
    scaled = np.exp(logs - logs.max())  # a long text's w may be too small for a float
    mean = float(scaled.mean())
    log_mean = math.log(mean) + float(logs.max())
    error = float(scaled.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    legal, legal_se = math.exp(log_mean), error * math.exp(float(logs.max()))
    if logs.min() == -math.inf:
        return Distortion(legal, legal_se, math.inf, math.nan)
    # The error of ln(mean w) - mean(ln w), to first order: that of the mean of w_i / mean(w) - ln w_i.
    kl_se = float((scaled / mean - logs).std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Distortion(legal, legal_se, log_mean - float(logs.mean()), kl_se)
