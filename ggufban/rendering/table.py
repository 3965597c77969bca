"""Tables in plain text, with columns as wide as what stands in them."""

import math
from collections.abc import Sequence

from ggufban.rendering.width import clip, display_width, pad

__all__ = ["bar", "number", "probability", "table"]


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (), width: int = 80) -> str:
    """Rows under a header, numbers at the right of their column, the columns named in `left` at its left.

    Columns stand two spaces apart. Where a line would be longer than `width`, its end is clipped.

    >>> print(table(["rank", "token"], [["1", "' the'"], ["2", "' a'"]], left=[1]))
    rank  token
       1  ' the'
       2  ' a'
    """
    lines = [list(header), *map(list, rows)]
    widths = [max(display_width(line[i]) for line in lines) for i in range(len(header))]
    shown = []
    for line in lines:
        cells = [pad(cell, widths[i], right=i not in left) for i, cell in enumerate(line)]
        shown.append(clip("  ".join(cells).rstrip(), width))
    return "\n".join(shown)


def bar(share: float, width: int) -> str:
    """A bar of `width` columns for a share from 0 to 1, in eighths of a column.

    >>> bar(0.5, 4), bar(0.03, 4)
    ('██', '▏')
    """
    if not share > 0:
        return ""
    eighths = min(8 * width, max(1, round(share * width * 8)))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def number(value: float, digits: int = 2) -> str:
    """A number with `digits` decimals; `-` for NaN, `-inf` and `inf` as they are."""
    if math.isnan(value):
        return "-"
    return f"{value:.{digits}f}" if math.isfinite(value) else "inf" if value > 0 else "-inf"


def probability(p: float) -> str:
    """A probability from 0 to 1 with four decimals, or in powers of ten where these would all be 0.

    >>> probability(0.08463), probability(0.0000123), probability(0.0)
    ('0.0846', '1.2e-05', '0')
    """
    if math.isnan(p):
        return "-"
    return "0" if p == 0 else f"{p:.4f}" if p >= 0.0005 else f"{p:.1e}"
