import math

import numpy as np
import pytest

from ggufban.errors import ParameterError
from ggufban.inspection.sweep import sweep
from ggufban.sampling import Sampler

LOGITS = np.log(np.array([0.5, 0.25, 0.125, 0.0625, 0.0625], dtype=np.float32))


def test_every_combination_in_order():
    found = sweep(LOGITS, {"temperature": [0.5, 1.0], "top_k": [0, 2]})
    assert [tuple(s.values.values()) for s in found] == [(0.5, 0), (0.5, 2), (1.0, 0), (1.0, 2)]


def test_figures_by_hand():
    _, two, half = sweep(LOGITS, {"top_k": [0, 2]}) + sweep(LOGITS, {"temperature": [0.5]})
    assert (two.survivors, two.kept) == (2, pytest.approx(0.75))
    assert two.entropy == pytest.approx(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3))
    assert two.best == ((0, pytest.approx(2 / 3)), (1, pytest.approx(1 / 3)))
    squares = np.array([64, 16, 4, 1, 1]) / 86  # temperature 1/2 squares the probabilities
    assert [p for _, p in half.best] == pytest.approx(squares[:3])
    assert half.survivors == 5
    assert half.effective_choices == pytest.approx(math.exp(-(squares * np.log(squares)).sum()))


def test_what_is_not_swept_is_off():
    assert sweep(LOGITS, {"temperature": [1.0]})[0].survivors == 5


def test_a_removed_word_has_probability_0_and_the_draw_is_the_samplers():
    setting = sweep(LOGITS, {"min_p": [0.2]}, watch=[0, 4])[0]
    drawn = Sampler(temperature=1.0, top_k=0, top_p=1.0, min_p=0.2).distribution(LOGITS)
    assert setting.watched == (pytest.approx(drawn.prob_of(0)), 0.0)
    assert sweep(LOGITS, {"temperature": [0.0]})[0].entropy == 0.0


def test_misuse():
    with pytest.raises(ParameterError, match="cannot be swept"):
        sweep(LOGITS, {"heat": [1.0]})
    with pytest.raises(ParameterError, match="top_p"):
        sweep(LOGITS, {"top_p": [2.0]})
