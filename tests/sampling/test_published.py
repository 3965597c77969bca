"""The rows of llama.cpp's own test of its samplers, `tests/test-sampling.cpp`, as a table."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from ggufban.sampling import Candidates, Distribution, filters, penalties

Stage = Callable[[Candidates], Candidates]

FOUR = [0.1, 0.2, 0.3, 0.4]
FALLING = [0.4, 0.3, 0.2, 0.1]
FIVE = [0.2] * 5


def repetition(tokens: list[int], repeat: float, frequency: float, presence: float) -> Stage:
    return lambda c: penalties.repetition(c, tokens, repeat, frequency, presence)


def dry(tokens: list[int], multiplier: float, base: float, allowed: int, breakers: list[list[int]]) -> Stage:
    """DRY with breakers of single tokens, given by id: here token n is the text "n"."""
    vocab = penalties.Vocab([str(i).encode() for i in range(5)])
    texts = [str(token) for (token,) in breakers]
    lengths = penalties.repetition_lengths(tokens, allowed, penalties.Breakers(texts, vocab))
    return lambda c: penalties.dry(c, lengths, multiplier, base, allowed)


PUBLISHED: list[tuple[str, Stage, list[float], list[float]]] = [
    ("temp 1", lambda c: filters.temperature(c, 1.0), FOUR, [0.1, 0.2, 0.3, 0.4]),
    ("temp 0", lambda c: filters.temperature(c, 0.0), FOUR, [0.0, 0.0, 0.0, 1.0]),
    ("temp-ext 1 0 1", lambda c: filters.dynamic_temperature(c, 1.0, 0.0, 1.0), FOUR, [0.1, 0.2, 0.3, 0.4]),
    ("temp-ext 0 0 1", lambda c: filters.dynamic_temperature(c, 0.0, 0.0, 1.0), FOUR, [0.0, 0.0, 0.0, 1.0]),
    ("top-k 1", lambda c: filters.top_k(c, 1), FOUR, [1.0]),
    ("top-k 3", lambda c: filters.top_k(c, 3), FOUR, [0.44444, 0.33333, 0.22222]),
    ("top-k 4", lambda c: filters.top_k(c, 4), FOUR, [0.4, 0.3, 0.2, 0.1]),
    ("top-k 0", lambda c: filters.top_k(c, 0), FOUR, [0.1, 0.2, 0.3, 0.4]),
    ("top-p 0", lambda c: filters.top_p(c, 0), FOUR, [1.0]),
    ("top-p 0.7", lambda c: filters.top_p(c, 0.7), FOUR, [0.571429, 0.428571]),
    ("top-p 0.8", lambda c: filters.top_p(c, 0.8), FOUR, [0.44444, 0.33333, 0.22222]),
    ("top-p 1", lambda c: filters.top_p(c, 1.0), FOUR, [0.1, 0.2, 0.3, 0.4]),
    ("min-p 0", lambda c: filters.min_p(c, 0.0), FOUR, [0.1, 0.2, 0.3, 0.4]),
    ("min-p 0.24", lambda c: filters.min_p(c, 0.24), FOUR, [0.1, 0.2, 0.3, 0.4]),
    ("min-p 0.26", lambda c: filters.min_p(c, 0.26), FOUR, [0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9]),
    ("min-p 0.49", lambda c: filters.min_p(c, 0.49), FOUR, [0.2 / 0.9, 0.3 / 0.9, 0.4 / 0.9]),
    ("min-p 0.51", lambda c: filters.min_p(c, 0.51), FOUR, [0.3 / 0.7, 0.4 / 0.7]),
    ("min-p 0.74", lambda c: filters.min_p(c, 0.74), FOUR, [0.3 / 0.7, 0.4 / 0.7]),
    ("min-p 0.76", lambda c: filters.min_p(c, 0.76), FOUR, [1.0]),
    ("min-p 1", lambda c: filters.min_p(c, 1.0), FOUR, [1.0]),
    ("min-p 1.05", lambda c: filters.min_p(c, 1.05), FOUR, [1.0]),
    # llama.cpp looks at the probabilities of xtc and typical-p before they are normalized again
    ("xtc 0.09", lambda c: filters.xtc(c, 0.09), FALLING, [0.1]),
    ("xtc 0.19", lambda c: filters.xtc(c, 0.19), FALLING, [0.2, 0.1]),
    ("xtc 0.29", lambda c: filters.xtc(c, 0.29), FALLING, [0.3, 0.2, 0.1]),
    ("xtc 0.39", lambda c: filters.xtc(c, 0.39), FALLING, [0.4, 0.3, 0.2, 0.1]),
    ("typical 0.5 peaked", lambda c: filters.typical(c, 0.5), [0.97, 0.01, 0.01, 0.01], [0.97]),
    ("typical 0.5", lambda c: filters.typical(c, 0.5), [0.4, 0.2, 0.2, 0.2], [0.2, 0.2, 0.2]),
    ("repeat 1", repetition([0], 50.0, 0.0, 0.0), FIVE, [0, 0.25, 0.25, 0.25, 0.25]),
    ("repeat 3", repetition([0, 1, 2], 50.0, 0.0, 0.0), FIVE, [0, 0, 0, 0.5, 0.5]),
    ("repeat 5", repetition([0, 1, 2, 0, 0], 50.0, 0.0, 0.0), FIVE, [0, 0, 0, 0.5, 0.5]),
    ("presence 1", repetition([0], 1.0, 5.0, 5.0), FIVE, [0.000011, 0.249997, 0.249997, 0.249997, 0.249997]),
    ("presence 3", repetition([0, 1, 2], 1.0, 5.0, 5.0), FIVE,
     [0.000023, 0.000023, 0.000023, 0.499966, 0.499966]),
    ("presence 5", repetition([0, 1, 2, 0, 0], 1.0, 5.0, 5.0), FIVE,
     [0.000000, 0.000023, 0.000023, 0.499977, 0.499977]),
    ("dry, no repetition", dry([0, 1], 1.0, 1.1, 2, []), [0.25] * 4, [0.25, 0.25, 0.25, 0.25]),
    ("dry", dry([0, 1, 2, 0, 1], 1.0, 1.1, 2, []), [0.25] * 4, [0.296923, 0.296923, 0.109232, 0.296923]),
    ("dry, breaker", dry([0, 1, 3, 4, 0, 1], 1.0, 1.1, 2, [[3]]), FIVE, FIVE),
    ("dry 2", dry([0, 1, 2, 0, 1], 2.0, 1.1, 2, []), FIVE,
     [0.241818, 0.241818, 0.032727, 0.241818, 0.241818]),
    ("dry, too short", dry([0, 1, 2, 3, 4, 0, 1], 1.0, 1.1, 4, []), FIVE, FIVE),
    ("top-n-sigma 1", lambda c: filters.top_n_sigma(c, 1.0), FOUR, [0.0, 0.0, 0.428571, 0.571429]),
    ("top-n-sigma 0", lambda c: filters.top_n_sigma(c, 0.0), FOUR, [0.1, 0.2, 0.3, 0.4]),
    ("top-n-sigma 3", lambda c: filters.top_n_sigma(c, 3.0), FOUR, [0.1, 0.2, 0.3, 0.4]),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "probs", "expected"), [row[1:] for row in PUBLISHED], ids=[r[0] for r in PUBLISHED])
def test_published_row(stage: Stage, probs: list[float], expected: list[float]) -> None:
    left = Distribution(stage(Candidates.of(np.log(np.array(probs, dtype=np.float32)))))
    wanted = np.sort(np.array(expected) / sum(expected))[::-1]
    shown = np.zeros(len(expected))
    shown[: len(left)] = left.probs
    assert np.abs(shown - wanted).max() < 1e-5
    assert len(left) >= np.count_nonzero(wanted)


@pytest.mark.parametrize(("tokens", "penalized"), [([0], [0]), ([0, 1, 2], [0, 1, 2]), ([0, 1, 2, 0, 0], [0, 1, 2])])
def test_published_penalties_hit_the_tokens_in_the_window(tokens: list[int], penalized: list[int]) -> None:
    row = np.log(np.array(FIVE, dtype=np.float32))
    left = Distribution(repetition(tokens, 50.0, 0.0, 0.0)(Candidates.of(row)))
    assert {token for token in range(5) if left.prob_of(token) < 1e-5} == set(penalized)


QUEUES: list[tuple[str, int, float, float]] = [
    ("k", 10_000, 1.0, 1.0), ("k", 1, 1.0, 1.0), ("p", 10_000, 1.0, 1.0), ("p", 10_000, 0.0, 1.0),
    ("m", 10_000, 1.0, 1.0), ("m", 10_000, 1.0, 1e-12), ("k", 100, 1.0, 1.0), ("p", 10_000, 0.0003, 1.0),
    ("p", 10_000, 0.8, 1.0), ("m", 10_000, 1.0, 9997.9 / 9999.0), ("m", 10_000, 1.0, 0.1),
    ("kp", 100, 0.8, 0.1), ("km", 100, 0.8, 0.1), ("pk", 100, 0.8, 0.1), ("pm", 100, 0.8, 0.1),
    ("mk", 100, 0.8, 0.1), ("mp", 100, 0.8, 9997.9 / 9999.0), ("mp", 100, 0.8, 0.1),
    ("kpm", 100, 0.8, 0.1), ("kmp", 100, 0.8, 0.1), ("pkm", 100, 0.8, 0.1), ("pmk", 100, 0.8, 0.1),
    ("mkp", 100, 0.8, 0.1), ("mpk", 100, 0.8, 0.1),
]  # fmt: skip


@pytest.mark.parametrize(("letters", "top_k", "top_p", "min_p"), QUEUES)
def test_published_queue(letters: str, top_k: int, top_p: float, min_p: float) -> None:
    """Token n has the weight n: which are left is arithmetic (token 0 has none, and is not a candidate)."""
    n = 10_000
    with np.errstate(divide="ignore"):
        left = Candidates.of(np.log(np.arange(n, dtype=np.float32)))
    least, size = 0, n
    for letter in letters:
        if letter == "k":
            left, size, least = filters.top_k(left, top_k), min(size, top_k), max(least, n - top_k)
        elif letter == "m":
            left = filters.min_p(left, min_p, 1)
            size = min(max(math.ceil((1 - min_p) * n), 1), size)
            least = min(max(math.floor(min_p * n), 1, n - size), n - 1)
        else:
            left = filters.top_p(left, top_p, 1)
            whole = n * (n - 1) // 2 - least * (least - 1) // 2
            size, least, weight = 0, n, 0
            while size == 0 or weight < math.ceil(np.float32(top_p) * np.float32(whole)):
                size, least = size + 1, least - 1
                weight += least
        assert sorted(left.narrow().ids.tolist()) == list(range(max(least, 1), n))
