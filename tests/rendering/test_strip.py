import math

import pytest

from ggufban.errors import UsageError
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Step
from ggufban.rendering.strip import METRICS, SHADES, heat_strip, legend
from ggufban.rendering.width import display_width

LN2 = math.log(2)


def trace(*parts):
    """Steps from (text, bits); None bits are a step that was not traced."""
    steps = []
    for text, bits in parts:
        known = {} if bits is None else {"logprob": -bits * LN2, "probability": 2.0**-bits, "rank": 3, "entropy": 2.5}
        steps.append(Step(1, text.encode(), text, **known))
    return Trace(tuple(steps))


def test_every_column_has_its_shade():
    found = heat_strip(trace(("It", None), (" rains", 0.5), (" 東", 4.0), ("e\u0301", 12.0)))
    assert found == "It rains 東e\u0301\n  ······▒▒▒█"


def test_bounds_belong_to_the_darker_shade():
    shades = [heat_strip(trace(("x", bits))).split("\n")[1] for bits in (0.999, 1, 3, 6, 10)]
    assert "".join(shades) == SHADES


@pytest.mark.parametrize("width", [10, 20, 80])
@pytest.mark.parametrize("colour", [False, True])
def test_lines_fit_and_nothing_is_lost(width, colour):
    text = "The quick 東京 brown fox jumps over the lazy dog, antidisestablishmentarianism and all. " * 3
    found = heat_strip(trace(*[(c, 2.0) for c in text]), colour=colour, width=width)
    for code in {part.split("m")[0] for part in found.split("\x1b[")[1:]}:
        found = found.replace(f"\x1b[{code}m", "")
    lines = found.split("\n")
    assert all(display_width(line) <= width for line in lines)
    assert "".join(lines if colour else lines[::2]) == text


def test_words_are_not_torn():
    found = heat_strip(trace(*[(c, 2.0) for c in "one two three"]), width=10)
    assert found.split("\n")[::2] == ["one two ", "three"]


def test_line_breaks_and_control_characters():
    found = heat_strip(trace(("a\n", 0.0), ("\tb\x1b", 4.0)))
    assert found == "a⏎\n··\n\\tb\\x1b\n▒▒▒▒▒▒▒"


def test_colours_begin_and_end():
    found = heat_strip(trace(("a", 0.0), ("b", 12.0), ("c", 12.0), ("d", 0.0)), colour=True)
    assert found == "a\x1b[97;48;5;160mbc\x1b[0md"


@pytest.mark.parametrize("name", METRICS)
def test_legends_fit_and_name_every_shade(name):
    plain = legend(name)
    assert all(shade in plain for shade in SHADES)
    assert display_width(plain) <= 80
    assert legend(name, colour=True).count("\x1b[0m") == 4


def test_other_metrics():
    one = trace(("x", 4.0))
    assert heat_strip(one, "rank").endswith("░")
    assert heat_strip(one, "entropy").endswith("▒")  # exp(2.5) is 12.2
    assert heat_strip(one, "probability").endswith("▒")  # 1/16
    assert heat_strip(one, "removed").endswith("·")
    with pytest.raises(UsageError, match="no metric 'heat'"):
        heat_strip(one, "heat")
