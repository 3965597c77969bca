"""Where a text may be wrong: windows that stand out, spans, and answers that disagree.

What this can and cannot say. A model's probabilities are statistics of the texts it was trained on, not of the world:
where it is unsure it may be right, and where it is sure it may be wrong; a confident error has a low entropy and no
figure here shows it. So these are pointers to where to look, and every threshold is stated with what it means.
"""

import math
import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import ParameterError
from ggufban.inspection.text import Summary, Trace, summarize

__all__ = [
    "SPANS",
    "Answers",
    "Derailment",
    "Span",
    "Windows",
    "derailments",
    "normalize_answer",
    "semantic_entropy",
    "spans",
    "windows",
]


_MOST = 1e3
"""A probability of 0 is an infinite surprisal, and one of those would hide everything else."""


# -- sliding windows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Windows:
    """Every run of `size` traced tokens of a text.

    `first` is the index of a window's first step, `(n,)` int64; `surprisal` and `entropy` are means over the window
    in nats, `(n,)` float64. `median` is that of all windows' surprisals, and `scatter` their robust standard
    deviation, 1.4826 times the median absolute deviation.
    """

    size: int
    first: NDArray[np.int64]
    surprisal: NDArray[np.float64]
    entropy: NDArray[np.float64]
    median: float
    scatter: float

    @property
    def deviation(self) -> NDArray[np.float64]:
        """How far each window's surprisal is above the median, in units of `scatter`: `(n,)` float64."""
        above = self.surprisal - self.median
        return above / self.scatter if self.scatter > 0 else np.zeros(len(above))


def windows(trace: Trace, size: int = 32) -> Windows:
    """The sliding windows of a text; none if it has fewer than `size` traced tokens."""
    if size < 1:
        raise ParameterError(f"the window is {size} tokens; it must be at least 1")
    at = np.array([i for i, step in enumerate(trace.steps) if step.traced], dtype=np.int64)
    count = len(at) - size + 1
    if count < 1:
        empty = np.empty(0, dtype=np.float64)
        return Windows(size, at[:0], empty, empty, math.nan, math.nan)
    surprisal = np.minimum(trace.array("surprisal")[at], _MOST)
    means = [_sliding_mean(values, size) for values in (surprisal, trace.array("entropy")[at])]
    median = float(np.median(means[0]))
    scatter = 1.4826 * float(np.median(np.abs(means[0] - median)))
    return Windows(size, at[:count], means[0], means[1], median, scatter)


def _sliding_mean(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    sums = np.concatenate([[0.0], values.cumsum()])
    means: NDArray[np.float64] = (sums[size:] - sums[:-size]) / size
    return means


class Derailment(NamedTuple):
    """A stretch of windows that stand out: steps `begin` … `end` - 1, the worst window and its figures."""

    begin: int
    end: int
    worst: int
    surprisal: float
    entropy: float
    deviation: float


def derailments(trace: Trace, size: int = 32, threshold: float = 3.0) -> list[Derailment]:
    """Where the text left the rails: overlapping windows with a `deviation` above `threshold`, the worst first.

    The yardstick is the text itself, so that a text that is bad from end to end has none. If the means of windows
    were normally distributed, one in 740 would exceed 3; they lean towards high values, so take the first few for
    what they are: the places to read first.
    """
    seen = windows(trace, size)
    deviation = seen.deviation
    above = np.flatnonzero(deviation > threshold)
    runs = np.split(above, np.flatnonzero(np.diff(above) > size) + 1) if len(above) else []
    return sorted((_stretch(trace, seen, run, deviation) for run in runs), key=lambda d: -d.deviation)


def _stretch(trace: Trace, seen: Windows, run: NDArray[np.int64], deviation: NDArray[np.float64]) -> Derailment:
    """The windows of `run` as one stretch, without what is well at its ends.

    A window at the edge is lifted by its inner end alone. Of all segments the one is taken in which the surprisals
    exceed the middle between the median and the worst window by the greatest sum.
    """
    begin, end = int(seen.first[run[0]]), min(len(trace.steps), int(seen.first[run[-1]]) + seen.size)
    worst = int(run[deviation[run].argmax()])
    middle = (seen.median + float(seen.surprisal[worst])) / 2
    excess = np.nan_to_num(np.minimum(trace.array("surprisal")[begin:end], _MOST) - middle)
    sums = np.concatenate([[0.0], excess.cumsum()])
    gains = sums - np.minimum.accumulate(sums)
    last = int(gains.argmax())
    first = int(sums[: last + 1].argmin())
    return Derailment(
        begin + first,
        begin + last,
        int(seen.first[worst]),
        float(seen.surprisal[worst]),
        float(seen.entropy[worst]),
        float(deviation[worst]),
    )


# -- spans --------------------------------------------------------------------------------------------------------

SPANS = {
    "word": r"\S+",
    "line": r"[^\n]+",
    "sentence": r"\S[^\n]*?(?:[.!?…]+[\"'”’)\]]*(?=\s|\Z)|[。！？]+|(?=\n|\Z))",
}
"""How a text is cut into spans. A sentence ends at its punctuation before white space, or at a line break."""


class Span(NamedTuple):
    """A stretch of text, its steps `begin` … `end` - 1, and what they add up to."""

    text: str
    begin: int
    end: int
    summary: Summary


def spans(trace: Trace, by: str = "sentence") -> list[Span]:
    """The sentences, lines or words of a text with their figures; those without a traced token are left out.

    A token belongs to the span that holds its last character.
    """
    if by not in SPANS:
        raise ParameterError(f"spans are by {by!r}; they must be by one of {', '.join(SPANS)}")
    ends = np.cumsum([len(step.text) for step in trace.steps])
    found = []
    for match in re.finditer(SPANS[by], trace.text):
        begin, end = (int(np.searchsorted(ends, at, side="right")) for at in match.span())
        summary = summarize(trace.steps[begin:end])
        if summary.tokens:
            found.append(Span(match[0], begin, end, summary))
    return found


# -- answers that disagree ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answers:
    """Sampled answers, those that are equal when normalized taken together: `clusters`, the most frequent first.

    `entropy` is the discrete semantic entropy, -Σ q ln q over the clusters' shares q, in nats: 0 where all answers
    agree, ln n where none does. (Farquhar et al., Nature 630, 2024, tell meanings apart with a second model; here
    answers are equal if their normalized text is, so that it is for short answers.)
    """

    clusters: tuple[tuple[str, tuple[str, ...]], ...]
    entropy: float

    @property
    def count(self) -> int:
        """How many answers there are."""
        return sum(len(answers) for _, answers in self.clusters)

    @property
    def normalized(self) -> float:
        """The entropy over ln n: 0 all agree, 1 none does; 0 for one answer."""
        return self.entropy / math.log(self.count) if self.count > 1 else 0.0


_EDGES = string.punctuation + string.whitespace + "“”‘’«»…—–"


def normalize_answer(text: str) -> str:
    """`text` as it is compared: its first line, casefolded NFKC, single spaces, no punctuation or article around it.

    >>> normalize_answer(" The  Eiffel Tower.")
    'eiffel tower'
    """
    lines = [line for line in text.splitlines() if line.strip(_EDGES)]
    words = unicodedata.normalize("NFKC", lines[0] if lines else "").casefold().split()
    bare = " ".join(words).strip(_EDGES)
    return re.sub(r"^(?:the|a|an)\s+(?=\S)", "", bare)


def semantic_entropy(answers: Sequence[str]) -> Answers:
    """Which of sampled answers say the same, and how much they disagree.

    >>> result = semantic_entropy(["Paris.", " paris", "Lyon", "Paris"])
    >>> [(name, len(same)) for name, same in result.clusters], round(result.entropy, 4)
    ([('paris', 3), ('lyon', 1)], 0.5623)
    """
    clusters: dict[str, list[str]] = {}
    for answer in answers:
        clusters.setdefault(normalize_answer(answer), []).append(answer)
    ordered = sorted(clusters.items(), key=lambda item: -len(item[1]))
    shares = [len(same) / len(answers) for _, same in ordered]
    entropy = -math.fsum(q * math.log(q) for q in shares)
    return Answers(tuple((name, tuple(same)) for name, same in ordered), entropy + 0.0)
