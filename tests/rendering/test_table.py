import math

import pytest

from ggufban.rendering.table import bar, number, probability, table
from ggufban.rendering.width import display_width


def test_columns_line_up_whatever_the_script():
    text = table(["n", "word"], [["1", "東京"], ["100", "cafe\u0301"]], left=[1])
    assert text == "  n  word\n  1  東京\n100  cafe\u0301"


def test_lines_are_clipped():
    assert all(display_width(line) <= 10 for line in table(["a"], [["x" * 50]], left=[0], width=10).split("\n"))


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, ""), (1.0, "████"), (0.25, "█"), (0.375, "█▌"), (1e-9, "▏"), (math.nan, "")]
)
def test_bars(share, shown):
    assert bar(share, 4) == shown


def test_numbers():
    assert [number(x) for x in (1.234, math.nan, math.inf, -math.inf)] == ["1.23", "-", "inf", "-inf"]
    assert [probability(x) for x in (1.0, 0.0005, 0.00049, 0.0)] == ["1.0000", "0.0005", "4.9e-04", "0"]
