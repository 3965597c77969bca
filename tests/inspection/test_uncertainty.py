import math

import numpy as np
import pytest

from ggufban.errors import ParameterError
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Step
from ggufban.inspection.uncertainty import derailments, normalize_answer, semantic_entropy, spans, windows


def trace(losses, texts=None, entropies=None):
    texts = texts or ["x"] * len(losses)
    steps = [
        Step(1, text.encode(), text, -1.0, -loss, math.exp(-loss), 1, h, 0.0)
        for loss, text, h in zip(losses, texts, entropies or [1.0] * len(losses), strict=True)
    ]
    return Trace(tuple(steps))


def test_windows_by_hand():
    seen = windows(trace([1, 2, 3, 6], entropies=[1, 1, 2, 2]), 2)
    assert seen.surprisal.tolist() == [1.5, 2.5, 4.5]
    assert seen.entropy.tolist() == [1.0, 1.5, 2.0]
    # Median 2.5, absolute deviations 1, 0, 2: their median is 1.
    assert seen.deviation == pytest.approx(np.array([-1, 0, 2]) / 1.4826)
    assert len(windows(trace([1, 2]), 3).first) == 0


def noisy(n, seed=0):
    return (2 + np.random.default_rng(seed).random(n)).tolist()


def test_a_derailment_is_found_where_it_is_and_nowhere_else():
    losses = noisy(400)
    losses[200:240] = [9.0] * 40
    found = derailments(trace(losses), 16)
    assert len(found) == 1
    assert (found[0].begin, found[0].end) == (200, 240)
    assert found[0].surprisal == pytest.approx(9.0)
    assert derailments(trace(noisy(400)), 16, threshold=5.0) == []


def test_two_derailments_come_worst_first():
    losses = noisy(600)
    losses[100:130], losses[400:430] = [7.0] * 30, [12.0] * 30
    assert [d.begin for d in derailments(trace(losses), 16)] == [400, 100]


def test_a_text_that_is_always_the_same_has_none():
    assert derailments(trace([2.0] * 100), 16) == []
    with pytest.raises(ParameterError):
        windows(trace([1.0]), 0)


TEXTS = ["It", " rains", ".", " Really", "?", " Yes", "!\n", "\n", "Pi", " is", " 3", ".", "14"]


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("sentence", [("It rains.", 0, 3), ("Really?", 3, 5), ("Yes!", 5, 6), ("Pi is 3.14", 8, 13)]),
        ("line", [("It rains. Really? Yes!", 0, 6), ("Pi is 3.14", 8, 13)]),
        ("word", [("It", 0, 1), ("rains.", 1, 3), ("Really?", 3, 5), ("Yes!", 5, 6),
                  ("Pi", 8, 9), ("is", 9, 10), ("3.14", 10, 13)]),
    ],
)  # fmt: skip
def test_spans_hold_the_tokens_that_end_in_them(by, expected):
    losses = [float(i) for i in range(len(TEXTS))]
    found = spans(trace(losses, TEXTS), by)
    assert [(s.text, s.begin, s.end) for s in found] == expected
    for span in found:
        assert span.summary.mean_nll == pytest.approx(np.mean(losses[span.begin : span.end]))


def test_spans_by_something_else():
    with pytest.raises(ParameterError, match="word, line, sentence"):
        spans(trace([1.0]), "page")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" The  Eiffel Tower.", "eiffel tower"),
        ("\n\n Paris!\nBecause", "paris"),
        ("«Москва»", "москва"),
        ("A", "a"),
        ("ＰＡＲＩＳ", "paris"),
        ("", ""),
        ("- 42 -", "42"),
    ],
)
def test_answers_are_normalized(text, normal):
    assert normalize_answer(text) == normal


def test_semantic_entropy_by_hand():
    same = semantic_entropy(["Paris", "paris.", "The Paris"])
    assert (same.entropy, same.normalized, same.count) == (0.0, 0.0, 3)
    none = semantic_entropy(["a1", "b1", "c1", "d1"])
    assert none.entropy == pytest.approx(math.log(4))
    assert none.normalized == pytest.approx(1.0)
    half = semantic_entropy(["x", "y", "X"])
    assert half.clusters[0] == ("x", ("x", "X"))
    assert half.entropy == pytest.approx(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3))
