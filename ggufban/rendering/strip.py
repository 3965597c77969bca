"""A text as a heat strip: every token shaded by a number of its Step.

On a terminal the shade is a background colour. Without colour (a pipe, NO_COLOR) every line of the text has a line
of shades below it, one for each column: `·` hardly anything, then `░ ▒ ▓ █`; nothing below a token that was not
traced.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from ggufban.errors import UsageError
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Step
from ggufban.rendering.width import char_width, show_text

__all__ = ["METRICS", "Metric", "heat_strip", "legend"]

SHADES = "·░▒▓█"
COLOURS = ("", "\x1b[30;48;5;229m", "\x1b[30;48;5;221m", "\x1b[30;48;5;208m", "\x1b[97;48;5;160m")
RESET = "\x1b[0m"

LONGEST_WORD = 24
"""Columns that a word may have to be taken to the next line as a whole."""

Cell = tuple[str, int | None, int]
"""A character as it is shown, its shade, and its columns."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a strip shows: a number of a Step that grows with what is worth looking at, and where the shades begin."""

    of: Callable[[Step], float]
    bounds: tuple[float, float, float, float]
    labels: tuple[str, str, str, str, str]


METRICS = {
    "surprisal": Metric(
        lambda step: step.bits, (1, 3, 6, 10), ("below 1 bit", "1 to 3", "3 to 6", "6 to 10", "10 and more")
    ),
    "rank": Metric(
        lambda step: float(step.rank), (2, 6, 21, 101), ("first choice", "2 to 5", "6 to 20", "21 to 100", "beyond")
    ),
    "entropy": Metric(
        lambda step: step.effective_choices,
        (2, 5, 20, 100),
        ("below 2 choices", "2 to 5", "5 to 20", "20 to 100", "100 and more"),
    ),
    "probability": Metric(
        lambda step: -step.probability,
        (-0.5, -0.1, -0.01, -0.001),
        ("above 0.5", "0.5 to 0.1", "to 0.01", "to 0.001", "less"),
    ),
    "removed": Metric(
        lambda step: step.removed_mass,
        (0.001, 0.01, 0.1, 0.5),
        ("below 0.001", "to 0.01", "to 0.1", "to 0.5", "0.5 and more"),
    ),
}
"""The metrics by name; the bounds are fixed, so that two texts can be compared, and the legend tells them."""


def level(step: Step, metric: Metric) -> int | None:
    """The shade of a step, 0 to 4; None if it was not traced."""
    value = metric.of(step) if step.traced else math.nan
    return None if math.isnan(value) else sum(value >= bound for bound in metric.bounds)


def legend(name: str, *, colour: bool = False) -> str:
    """What the shades mean, on one line."""
    parts = []
    for i, label in enumerate(_metric(name).labels):
        parts.append(f"{COLOURS[i]} {label} {RESET if COLOURS[i] else ''}" if colour else f"{SHADES[i]} {label}")
    return f"{name}: " + ("" if colour else "  ").join(parts)


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise UsageError(f"there is no metric {name!r} to shade by; the metrics are {', '.join(METRICS)}")
    return METRICS[name]


def heat_strip(trace: Trace, name: str = "surprisal", *, colour: bool = False, width: int = 80) -> str:
    r"""The text of a trace in lines of at most `width` columns, shaded by the metric `name` of `METRICS`.

    A line break of the text is shown as `⏎` and breaks the line; other control characters as `\\t` and so on.
    """
    metric = _metric(name)
    lines: list[list[Cell]] = [[]]
    for step in trace.steps:
        shade = level(step, metric)
        for char in step.text:
            visible = char.isprintable() or not char_width(char)
            shown = "⏎" if char == "\n" else char if visible else show_text(char)
            cell = shown, shade, sum(map(char_width, shown))
            if sum(columns for _, _, columns in lines[-1]) + cell[2] > width:
                lines.append(_rest(lines[-1]))
            lines[-1].append(cell)
            if char == "\n":
                lines.append([])
    if not lines[-1]:
        lines.pop()
    return "\n".join(_coloured(line) if colour else _underlined(line) for line in lines)


def _rest(line: list[Cell]) -> list[Cell]:
    """Take from a full line what stands after its last space, if that is not much, and is to begin the next line."""
    for i in range(len(line) - 1, max(0, len(line) - LONGEST_WORD), -1):
        if line[i][0] == " ":
            rest = line[i + 1 :]
            del line[i + 1 :]
            return rest
    return []


def _coloured(line: list[Cell]) -> str:
    parts, now = [], ""
    for shown, shade, _ in line:
        wanted = COLOURS[shade] if shade else ""
        if wanted != now:
            parts.append((RESET if now else "") + wanted)
            now = wanted
        parts.append(shown)
    return "".join(parts) + (RESET if now else "")


def _underlined(line: list[Cell]) -> str:
    text = "".join(shown for shown, _, _ in line)
    below = "".join((" " if shade is None else SHADES[shade]) * columns for _, shade, columns in line)
    return f"{text}\n{below.rstrip()}"
