"""The tokens that are still in the running, and the few operations that every filter is made of.

A row of logits begins *wide*: 262,144 of them, in the order of their ids. A filter leaves a few, *narrow*:
ids and logits side by side. What is expensive on a wide row is done once and cleverly here, so that the
filters can be read as what they are.

- One pass for the greatest logit, for NaN and for top-k. The row is folded into 64 lines, and of each column
  the greatest is kept (`maxima`). The greatest of those is the greatest of all; NaN wins every comparison of
  `np.maximum`; and the k-th greatest of them bounds the k-th greatest logit from below, because at least k
  logits are as great. Only the columns that reach this bound are looked at again.
- The same sums as llama.cpp, for the same survivors. It adds up probabilities one after the other in float32,
  which on a real row of 262,144 is off by up to a thousandth (once the sum is large, what is below half of
  its last bit is lost), and moves the end of a nucleus. `sum32` is that very loop.
- No temporary of a whole row of numbers on the way: memory freed by the megabyte goes back to the system, and
  getting it again costs more than the arithmetic. Few are picked out first, or a row is gone through in pieces.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import LogitsError

__all__ = ["Candidates", "exp32", "heaviest", "log32", "softmax32", "sum32", "total32", "total64"]

LINES = 64
"""Into how many lines a wide row is folded for its maxima."""

PIECE = 24576
"""How many logits are gone through at a time: 96 KiB, which stay in the cache, and which malloc keeps."""

BEGINNING = 8192
"""How many logits are raised and added up before a bound for the others is known."""

NEAR = 10.0
"""How far below the greatest logit maxima are looked at for a share of the mass: what is e^10 times less likely than
the first is seldom part of a nucleus."""

FEW = 8
"""A part of this size of the columns, or less, is worth going through by itself."""

SMALL = 2048
"""Below this many numbers a stable sort is faster than packing keys."""


class Candidates(NamedTuple):
    """Tokens and their logits: what a filter takes and what it returns. Nothing in it is ever written to.

    Begin with `Candidates.of(logits)`. A *wide* one has `ids` None: `logits[i]` is that of token i, -inf if
    it is banned. A *narrow* one has explicit ids, and no logit of -inf.
    """

    ids: NDArray[np.int32] | None
    """The tokens, `(n,)` int32; None: the whole vocabulary."""
    logits: NDArray[np.float32]
    """Their logits, `(n,)` float32."""
    order: Literal["ids", "logits", "none"]
    """Ascending ids; descending logits with the lower id first among equals; or neither."""
    size: int
    """How many candidates llama.cpp would count here: it keeps tokens of logit -inf in its array, and dynamic
    temperature and `min_keep` count them."""
    maxima: NDArray[np.float32] | None = None
    """Wide only: the greatest logit of each of many disjoint groups that together are the row."""
    peak: np.float32 | None = None
    """Wide only: the greatest of them."""
    head: "Candidates | None" = None
    """Wide only: so many of the `greatest` that others who ask for fewer take theirs from them."""
    finite: bool = False
    """Wide only: whether it is known that no logit is -inf."""

    @classmethod
    def of(cls, logits: NDArray[np.float32], step: int | None = None) -> "Candidates":
        """All tokens of a row, `(n_vocab,)` float32, which is kept and not changed.

        `LogitsError`, quoting `step`, if a logit is NaN or +inf, or if none is finite.
        """
        maxima = column_maxima(logits)
        top = maxima.max() if len(maxima) else np.float32(-np.inf)
        if not math.isfinite(top):
            raise LogitsError(f"{f'step {step}: ' if step is not None else ''}{what_is_wrong(logits)}")
        return cls(None, logits, "ids", len(logits), maxima, np.float32(top))

    @property
    def top(self) -> np.float32:
        """The greatest logit."""
        if self.peak is not None:
            return self.peak
        return np.float32(self.logits[0] if self.order == "logits" else self.logits.max())

    def at_least(self, threshold: np.float32) -> "Candidates":
        """Those whose logit is at least `threshold`: narrow, in the order that they had."""
        if self.maxima is not None and len(self.maxima) < len(self.logits):
            columns = (self.maxima >= threshold).nonzero()[0]
            if len(columns) * FEW < len(self.maxima):
                return self.pick(places_in_columns(self.logits, columns, threshold))
        keep = self.logits >= threshold if threshold > -np.inf else self.logits > threshold
        return self.pick(keep.nonzero()[0])

    def pick(self, places: NDArray[np.intp]) -> "Candidates":
        """Those at ascending `places`: narrow, and `size` counts just them."""
        ids = places.astype(np.int32) if self.ids is None else self.ids[places]
        return Candidates(ids, self.logits[places], self.order, len(places))

    def between(self, begin: int, end: int, size: int) -> "Candidates":
        """Those at places from `begin` to before `end`, of narrow ones; llama.cpp would count `size`."""
        assert self.ids is not None
        return Candidates(self.ids[begin:end], self.logits[begin:end], self.order, size)

    def narrow(self) -> "Candidates":
        """The same, with explicit ids and without tokens of logit -inf."""
        return self if self.ids is not None else self.at_least(np.float32(-np.inf))._replace(size=self.size)

    def by_id(self) -> "Candidates":
        """The same in ascending order of ids."""
        if self.ids is None or self.order == "ids":
            return self
        places = self.ids.argsort()
        return Candidates(self.ids[places], self.logits[places], "ids", self.size)

    def ordered(self) -> "Candidates":
        """The same, narrow and in descending order of logits, the lower id first among equals."""
        if self.order == "logits":
            return self
        narrow = self.narrow().by_id()
        assert narrow.ids is not None
        places = descending_order(narrow.logits)
        return Candidates(narrow.ids[places], narrow.logits[places], "logits", self.size)

    def greatest(self, k: int) -> "Candidates":
        """The k of greatest logit, in descending order; among equals the lower ids."""
        size = min(k, self.size)
        if self.order == "logits":
            return self.between(0, k, size)
        if self.head is not None and k <= len(self.head.logits):
            return self.head.between(0, k, size)
        passed = self.by_id()
        if self.maxima is not None and 2 * k <= len(self.maxima):
            # Each of the k greatest maxima is a logit of its own, so at least k logits pass this bound.
            passed = self.at_least(nth_greatest(self.maxima, k))
        if len(passed.logits) > SMALL and k < len(passed.logits):  # too many to sort them all
            passed = passed.at_least(nth_greatest(passed.logits, k))
        return passed.ordered().between(0, k, size)

    def with_logits(self, logits: NDArray[np.float32]) -> "Candidates":
        """The same tokens with other logits in the same places; those that became -inf are gone.

        `LogitsError` if none is left.
        """
        if self.ids is None:
            return Candidates.of(logits)
        places = (logits > -np.inf).nonzero()[0]
        if not len(places):
            raise LogitsError(what_is_wrong(logits))
        order = self.order if self.order == "ids" else "none"
        return Candidates(self.ids[places], logits[places], order, self.size)


def column_maxima(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The greatest of each of about n/64 disjoint groups of logits; NaN where a group has one."""
    columns = len(logits) // LINES
    if columns < LINES:
        return logits
    maxima: NDArray[np.float32] = logits[: columns * LINES].reshape(LINES, columns).max(axis=0)
    rest = logits[columns * LINES :]
    return np.concatenate([maxima, rest]) if len(rest) else maxima


def places_in_columns(
    logits: NDArray[np.float32], columns: NDArray[np.intp], threshold: np.float32
) -> NDArray[np.intp]:
    """The places, ascending, of the logits of at least `threshold` in these columns of `column_maxima`."""
    width = len(logits) // LINES
    whole = columns[: columns.searchsorted(width)]
    line, column = (logits[: LINES * width].reshape(LINES, width).take(whole, axis=1) >= threshold).nonzero()
    places: NDArray[np.intp] = line * width + whole.take(column)
    if len(whole) == len(columns):
        return places
    rest = columns[len(whole) :] + (LINES - 1) * width  # single logits, after the last whole line
    return np.concatenate([places, rest])


def values_above(values: NDArray[np.float32], bound: np.float32) -> NDArray[np.float32]:
    """The values above a bound, in their order: `values[values > bound]`, several times faster where they are few.

    The mask is searched in words of eight, and only the eights that are not all false are looked at again.
    """
    whole = len(values) & ~7
    words = (values[:whole] > bound).view(np.uint64)
    near = values[:whole].reshape(-1, 8).take((words != 0).nonzero()[0], axis=0).ravel()
    if whole < len(values):
        near = np.concatenate([near, values[whole:]])
    above: NDArray[np.float32] = near.take((near > bound).nonzero()[0])
    return above


def what_is_wrong(logits: NDArray[np.float32]) -> str:
    """The sentence for a row that nothing can be drawn from."""
    for name, bad in (("NaN", np.isnan(logits)), ("+inf", np.isposinf(logits))):
        if bad.any():
            return (
                f"the logits hold {name} in {np.count_nonzero(bad)} of {len(logits)} places, first at token "
                f"{int(bad.argmax())}: the model, its file or its build is broken, and no token is drawn"
            )
    return f"none of the {len(logits)} logits is finite: every token is banned, and none can be drawn"


def nth_greatest(values: NDArray[np.float32], n: int) -> np.float32:
    """The n-th greatest, counted from 1."""
    return np.float32(np.partition(values, len(values) - n)[len(values) - n])


def descending_order(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Places in descending order of finite values, ascending among equals.

    Many values are sorted as 64-bit keys, of which the upper half orders like the value and the lower half is
    the place: numpy sorts integers several times faster than it sorts floats stably. The bits of a float32
    order like integers where it is positive, and the other way round where it is negative.
    """
    if len(values) < SMALL:
        return (-values).argsort(kind="stable")
    bits = (values + np.float32(0.0)).view(np.int32)  # + 0.0 makes 0.0 of -0.0
    ascending = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    keys = (~ascending).astype(np.int64) << 32
    keys |= np.arange(len(values), dtype=np.int64)
    keys.sort()
    return (keys & 0xFFFFFFFF).astype(np.intp)


def exp32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """e^x in float32, rounded once from float64: glibc's `expf`, but for the last bit of one in 1,500."""
    wide = x.astype(np.float64)  # sooner than with dtype=float64, which goes through buffers
    return np.exp(wide, out=wide).astype(np.float32)


def log32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The natural logarithm in float32, rounded once from float64, like the C library's `logf`."""
    return np.log(x, dtype=np.float64).astype(np.float32)


def sum32(x: NDArray[np.float32]) -> np.float32:
    """The sum as a loop over float32 makes it, first to last, rounding at each step.

    `np.add.reduce` adds pairwise, and `np.add.accumulate` writes down every sum on the way, at six times the
    cost. Subtracting has no pairwise form: 0 - a - b - c is that loop, and rounds like 0 + a + b + c but for
    the sign.
    """
    return np.float32(-np.subtract.reduce(x, initial=np.float32(0)))


def softmax32(candidates: Candidates) -> NDArray[np.float32]:
    """The probabilities of candidates in their order, float32: llama.cpp's `llama_sampler_softmax_impl`."""
    weights = exp32(candidates.logits - candidates.top)
    return weights / sum32(weights)


def total32(candidates: Candidates) -> np.float32:
    """The sum of e^(logit - greatest logit) over a whole row, added up like `sum32`.

    A number below half of the last bit of a sum leaves the sum as it is. Once there is a sum to speak of,
    only the logits above that bound are raised at all: on real rows one in twenty.
    """
    logits, top, total, end = candidates.logits, candidates.top, np.float32(0), 0
    while end < len(logits):
        if total < -0.1:  # the sum is kept negative: see `sum32`
            half_of_last_bit = (math.frexp(total)[1] - 25) * math.log(2)
            piece = values_above(logits[end:], top + np.float32(half_of_last_bit - 0.01))
            end = len(logits)
        else:
            piece = logits[end : end + BEGINNING]
            end += BEGINNING
        total = np.subtract.reduce(exp32(piece - top), initial=total)
    return np.float32(-total)


def total64(candidates: Candidates) -> float:
    """The sum of e^(logit - greatest logit) over a whole row, as exact as float64 has it."""
    top, total = candidates.top, 0.0
    for begin in range(0, len(candidates.logits), PIECE):
        piece = candidates.logits[begin : begin + PIECE]
        total += float(np.exp(piece - top, dtype=np.float64).sum())
    return total


def heaviest(candidates: Candidates, total: float, share: float) -> Iterator[Candidates]:
    """The candidates of a whole row that hold a share of its `total`, and some more, in descending order.

    First those that the maxima of the columns tell of: if the j greatest maxima hold the share by themselves,
    nothing below the j-th of them is needed. Then those that the mass tells of: of n weights below w, all
    together weigh less than n * w, so that those below (1 - share) * total / n are not needed. The same again
    with what is left, and the allowance less what was left out, cuts deeper. Then all. The first that is
    enough is enough: that the sums are rounded, and may not reach the share after all, is for the caller to
    see.
    """
    top = candidates.top
    assert candidates.maxima is not None
    near = candidates.maxima.take((candidates.maxima >= top - np.float32(NEAR)).nonzero()[0])
    maxima = np.sort(near)[::-1]
    enough = int(np.exp(maxima - top).cumsum().searchsorted(share * total))
    if enough < len(maxima):
        yield candidates.at_least(maxima[enough]).ordered()
    allowance = (1.0 - share) * total
    if allowance > 0:
        left = candidates.at_least(top + np.float32(math.log(allowance / len(candidates.logits))))
        weights = np.exp(left.logits - top)
        allowance -= total - float(weights.sum(dtype=np.float64))
        yield left.pick((weights * len(weights) >= allowance).nonzero()[0]).ordered()
    yield candidates.ordered()
