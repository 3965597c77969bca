"""Two models with different vocabularies on one text: their losses between the byte boundaries that both have.

A token's loss belongs to its bytes. Wherever both models end a token at the same byte, the losses since the last
such place may be compared: they are of the same stretch of text, and add up to the same text. Bits per byte are the
sums over everything that both models scored.
"""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from ggufban.errors import UsageError
from ggufban.inspection.text import Trace

__all__ = ["ByteComparison", "Stretch", "compare_bytes"]


class Stretch(NamedTuple):
    """Bytes `begin` … `end` - 1 of a text, and the loss of each model on them, in nats."""

    begin: int
    end: int
    text: str
    nll_base: float
    nll: float


@dataclass(frozen=True, slots=True)
class ByteComparison:
    """Two models on the bytes of one text: every stretch between shared boundaries that both models scored."""

    base: str
    other: str
    stretches: tuple[Stretch, ...]

    @property
    def bytes(self) -> int:
        """How many bytes were compared."""
        return sum(stretch.end - stretch.begin for stretch in self.stretches)

    @property
    def bits_per_byte(self) -> tuple[float, float]:
        """The base's and the other's loss, in bits a byte."""
        scale = math.log(2) * self.bytes
        base, other = (math.fsum(s.nll_base for s in self.stretches), math.fsum(s.nll for s in self.stretches))
        return base / scale, other / scale

    def worst(self, count: int) -> list[Stretch]:
        """The stretches whose losses differ most, the greatest difference first."""
        return sorted(self.stretches, key=lambda s: -abs(s.nll - s.nll_base))[:count]


def compare_bytes(base: Trace, other: Trace) -> ByteComparison:
    """The losses of two models on one text between the boundaries that their tokens share.

    The traces are to be of the same text, scored by each model. A tokenizer's own space at the beginning is not part
    of the text. Raises `UsageError` if the bytes differ otherwise: some tokenizers rewrite what they read.
    """
    texts = [b"".join(step.piece for step in trace.steps) for trace in (base, other)]
    skip = [0, 0]
    if texts[0] != texts[1]:
        longer = 0 if len(texts[0]) > len(texts[1]) else 1
        if texts[longer] != b" " + texts[1 - longer]:
            raise UsageError("the two models read different bytes: they are to be compared on one text")
        skip[longer] = 1
        texts[longer] = texts[longer][1:]
    ends = [[end - lead for end in accumulate(len(step.piece) for step in trace.steps)]
            for trace, lead in zip((base, other), skip, strict=True)]  # fmt: skip
    shared = sorted({0} | (set(ends[0]) & set(ends[1])))
    bounds = list(pairwise(end for end in shared if end >= 0))
    losses = [_losses(trace, at, bounds) for trace, at in zip((base, other), ends, strict=True)]
    stretches = [
        Stretch(begin, end, texts[0][begin:end].decode("utf-8", "replace"), a, b)
        for (begin, end), a, b in zip(bounds, *losses, strict=True)
        if not (math.isnan(a) or math.isnan(b))
    ]
    if not stretches:
        raise UsageError("nothing was scored by both models: the text is too short for this protocol")
    return ByteComparison(base.model, other.model, tuple(stretches))


def _losses(trace: Trace, ends: list[int], bounds: list[tuple[int, int]]) -> list[float]:
    """The loss between each pair of bounds; NaN where a token there was not scored."""
    losses, at = [], 0
    for _, bound in bounds:
        total = 0.0
        while at < len(ends) and ends[at] <= bound:
            total += trace.steps[at].surprisal
            at += 1
        losses.append(total)
    return losses
