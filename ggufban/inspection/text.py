"""A whole text: its Steps, and what they add up to.

    trace = model.score("Paris is the capital of France.", context="")
    trace.summary().perplexity
    trace.worst(3)                  # the indices of the three most surprising tokens

Sums are over the steps that were traced: the first token of a text that nothing stands before has no probability,
and a protocol may leave tokens out.
"""

import codecs
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError
from ggufban.inspection.trace import Step

__all__ = ["METRICS", "Summary", "Trace", "summarize", "with_text"]

METRICS = ("surprisal", "probability", "rank", "entropy", "varentropy", "margin", "nucleus", "removed_mass")
"""The numbers of a Step that `Trace.array` knows by name."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the traced steps of a text add up to; natural logarithms unless a name says bits.

    `nll` is Σ -ln p and `mean_nll` its mean over `tokens`; `perplexity` is exp(mean_nll) and `perplexity_error` its
    standard error, perplexity · √((mean of squares - square of mean) / (n - 1)), as `llama-perplexity` prints it.
    `bits_per_byte` is nll / ln 2 over `bytes`, the length of the traced tokens' text: the one figure here that may
    be compared between vocabularies. `best` is the share of tokens that were the model's first choice.
    """

    tokens: int
    bytes: int
    nll: float
    mean_nll: float
    perplexity: float
    perplexity_error: float
    bits_per_byte: float
    mean_entropy: float
    max_entropy: float
    min_probability: float
    best: float


def summarize(steps: Iterable[Step]) -> Summary:
    """What those of `steps` that were traced add up to; NaN where there is none."""
    traced = [step for step in steps if step.traced]
    count, size = len(traced), sum(len(step.piece) for step in traced)
    if not count:
        return Summary(0, 0, 0.0, *[math.nan] * 8)
    losses = np.array([step.surprisal for step in traced])
    entropies = np.array([step.entropy for step in traced])
    mean = float(losses.mean())
    # Infinite where a token had probability 0: a perplexity of inf, and no error to speak of.
    with np.errstate(invalid="ignore", over="ignore"):
        variance = float((losses * losses).mean()) - mean * mean
        perplexity = float(np.exp(mean))
        error = perplexity * math.sqrt(max(0.0, variance) / (count - 1)) if count > 1 else math.nan
    return Summary(
        tokens=count,
        bytes=size,
        nll=math.fsum(losses),
        mean_nll=mean,
        perplexity=perplexity,
        perplexity_error=error,
        bits_per_byte=math.fsum(losses) / math.log(2) / size if size else math.nan,
        mean_entropy=float(entropies.mean()),
        max_entropy=float(entropies.max()),
        min_probability=min(step.probability for step in traced),
        best=sum(step.rank == 1 for step in traced) / count,
    )


@dataclass(frozen=True, slots=True)
class Trace:
    """A text with the record of every token of it.

    `source` says where it comes from: `score` (a given text), `generate` (a text as it was written) or `inspect`
    (one step, nothing written). `context` is what stood before the text: a prompt, or a context; `protocol` is
    how a given text was scored. `facts` are further facts to show, such as sampling settings.
    """

    steps: tuple[Step, ...]
    source: str = "score"
    model: str = ""
    context: str | None = None
    protocol: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What the steps spell."""
        return "".join(step.text for step in self.steps)

    @property
    def tokens(self) -> list[int]:
        """The ids."""
        return [step.token for step in self.steps]

    def array(self, metric: str) -> NDArray[np.float64]:
        """One number of every step, by its name in `METRICS`: `(len(steps),)` float64, NaN where not traced."""
        if metric not in METRICS:
            raise UsageError(f"there is no metric {metric!r}; the metrics are {', '.join(METRICS)}")
        values = [getattr(step, metric) if step.traced else math.nan for step in self.steps]
        return np.array(values, dtype=np.float64)

    def summary(self) -> Summary:
        """What the steps add up to."""
        return summarize(self.steps)

    def worst(self, count: int) -> list[int]:
        """The indices of the `count` traced steps of the least probability, the worst first."""
        traced = [i for i, step in enumerate(self.steps) if step.traced]
        return sorted(traced, key=lambda i: (-self.steps[i].surprisal, i))[:count]


def with_text(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same steps with their `text`: a character's text comes with the token that completes it."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    whole = [replace(step, text=decoder.decode(step.piece)) for step in steps]
    rest = decoder.decode(b"", final=True)
    if rest:
        whole[-1] = replace(whole[-1], text=whole[-1].text + rest)
    return tuple(whole)
