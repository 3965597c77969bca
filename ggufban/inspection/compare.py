"""Two models, or two settings, on one text, streamed: a row is compared as soon as both have it, and then forgotten.

comparison = compare(reference, other, text)
comparison.figures()["Mean KLD"]
"""

import heapq
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError
from ggufban.inspection.comparison import OVERLAP, Comparison, Difference
from ggufban.inspection.divergence import PairScanner, rank_biased_overlap
from ggufban.inspection.protocol import LLAMA_WINDOW, habit, plan, stream_rows
from ggufban.inspection.score import Progress, ScoreSource
from ggufban.inspection.statistics import top_ids
from ggufban.inspection.trace import Observer, Step
from ggufban.vocab import Vocab

__all__ = ["Setting", "compare", "same_vocabulary"]

RBO_DEPTH = 50
"""Ranks that the rank-biased overlap looks at; 99.5 % of its weight lies there."""

COLUMNS = (
    "kl", "kl_reverse", "js", "tv", "entropy_base", "entropy", "nll_base", "nll", "confidence", "same_top",
    "overlap", "rbo",
)  # fmt: skip

Setting = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Makes of a row of logits the row that a setting draws from: log-probabilities, -inf for what it removed."""


def same_vocabulary(a: Vocab, b: Vocab) -> bool:
    """Whether two models number the same pieces alike, so that their rows can be compared token by token."""
    return a is b or (len(a) == len(b) and a.fingerprint == b.fingerprint)


def compare(
    base: ScoreSource,
    other: ScoreSource,
    text: str,
    *,
    protocol: str = "full",
    window: int | None = None,
    settings: tuple[Setting | None, Setting | None] = (None, None),
    worst: int = 10,
    top: int = 5,
    watch: Callable[[int, NDArray[np.float32], NDArray[np.float32]], None] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Two models of one vocabulary, or one under two `settings`, on `text`, as its tokens come; see `Comparison`.

    `base` and `other` may be the same engine, which then evaluates once. `window` is as in `score`. The `worst`
    places are kept with the `top` best candidates of both. `watch` is shown every pair of rows (of settings, if
    there are any) with the index of the token that they predict. Raises `UsageError` if the vocabularies differ.
    """
    vocab = base.vocab
    if not same_vocabulary(vocab, other.vocab):
        raise UsageError(
            f"the models have different vocabularies ({len(vocab)} and {len(other.vocab)} tokens): "
            "their distributions have no common ground; compare their losses by byte (compare_bytes)"
        )
    tokens = base.tokenize(text)
    n_ctx = min(base.n_ctx, other.n_ctx)
    window = window or (min(LLAMA_WINDOW, n_ctx) if protocol == "llama.cpp" else n_ctx)
    windows = plan(tokens, protocol=protocol, size=window, begin=habit(base))
    total = sum(w.n_rows for w in windows)
    if not total:
        raise UsageError(f"the text has {len(tokens)} tokens: too few to compare anything with protocol {protocol!r}")
    seats = _Collector(vocab, worst, top)
    pairs = stream_rows(base, windows)
    rows = _doubled(pairs) if base is other else _paired(pairs, stream_rows(other, windows))
    for done, (at, row, second) in enumerate(rows, 1):
        made = tuple(r if setting is None else setting(r) for setting, r in zip(settings, (row, second), strict=True))
        seats.add(at, tokens[at], made[0], made[1])
        if watch is not None:
            watch(at, made[0], made[1])
        if progress is not None:
            progress(done, total)
    names = [engine.path.name if engine.path else "" for engine in (base, other)]
    return Comparison(
        names[0], names[1], vocab, tuple(tokens), np.array(seats.at), seats.columns(), seats.worst(), protocol
    )


Rows = Iterator[tuple[int, NDArray[np.float32]]]


def _doubled(pairs: Rows) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    for at, rows in pairs:
        for i, row in enumerate(rows, at):
            yield i, row, row


def _paired(one: Rows, two: Rows) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32]]]:
    """The rows of two engines side by side, whatever the sizes of the chunks in which each gives them."""
    singles = ((i, row) for at, rows in two for i, row in enumerate(rows, at))
    for at, rows in one:
        for i, row in enumerate(rows, at):
            _, second = next(singles)
            yield i, row, second


class _Collector:
    """Turns pairs of rows into numbers, and keeps the places of the greatest divergence."""

    def __init__(self, vocab: Vocab, worst: int, top: int) -> None:
        self._compare = PairScanner(len(vocab))
        self._observer = Observer(vocab, top)
        self._most = worst
        self._heap: list[tuple[tuple[float, float, int], Difference]] = []
        self._numbers: list[tuple[float, ...]] = []
        self.at: list[int] = []

    def add(self, at: int, token: int, base: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        """Compare the two rows that predict token `at`."""
        pair = self._compare(base, other)
        best, others = top_ids(base, RBO_DEPTH), top_ids(other, RBO_DEPTH)
        shared = len(np.intersect1d(best[:OVERLAP], others[:OVERLAP], assume_unique=True))
        self.at.append(at)
        self._numbers.append(
            (
                *pair[:4],
                pair.base.entropy,
                pair.other.entropy,
                -pair.base.logprob(float(base[token])),
                -pair.other.logprob(float(other[token])),
                math.exp(pair.base.logprob(pair.base.maximum)),
                float(best[0] == others[0]),
                shared / min(OVERLAP, len(best)),
                rank_biased_overlap(best, others),
            )
        )
        full = len(self._heap) == self._most
        place = pair.kl, pair.js, -at  # a place that settings make infinite is told from others by JS
        if self._most and not (full and place < self._heap[0][0]):
            found = Difference(at, pair.kl, self._step(base, token), self._step(other, token))
            (heapq.heappushpop if full else heapq.heappush)(self._heap, (place, found))

    def _step(self, row: NDArray[np.float32], token: int) -> Step:
        return self._observer.read(row, token)

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """The numbers by name."""
        return dict(zip(COLUMNS, np.array(self._numbers).T, strict=True))

    def worst(self) -> tuple[Difference, ...]:
        """The places of the greatest divergence, the worst first."""
        return tuple(found for _, found in sorted(self._heap, reverse=True, key=lambda entry: entry[0]))
