"""Where bans took most away from a text, and what."""

from collections.abc import Iterator, Sequence

from ggufban.inspection.trace import Step
from ggufban.rendering.table import probability, table
from ggufban.rendering.width import char_width, clip, show_piece, show_text

__all__ = ["removals_table"]

_BAN = "ban: "
_CONTEXT = 22


def removals_table(steps: Sequence[Step], *, most: int = 5, width: int = 80) -> str:
    """The steps with the most removed mass, most first: how much, after what, what was written, instead of what.

    Empty where bans removed nothing. Candidates are named if the step was traced; what only *began* a banned word is
    still possible, and so it is not among them.
    """
    hit = [at for at, step in enumerate(steps) if step.removed_mass > 0]
    rows = []
    for at in sorted(hit, key=lambda at: -steps[at].removed_mass)[:most]:
        step = steps[at]
        before = b"".join(earlier.piece for earlier in steps[max(0, at - 2 * _CONTEXT) : at]).decode("utf-8", "replace")
        context = _last(show_text(before), _CONTEXT) or "(the beginning)"
        instead = ", ".join(_removed(step)) or "what began a banned word"
        rows.append([probability(step.removed_mass), context, clip(show_piece(step.piece), 16), instead])
    return table(["removed", "after", "written", "instead of"], rows, left=[1, 2, 3], width=width) if rows else ""


def _removed(step: Step) -> Iterator[str]:
    """The candidates that a ban took away, the most probable first, with the pattern."""
    for c in step.candidates:
        if c.removed_by and c.removed_by.startswith(_BAN):
            pattern = c.removed_by.removeprefix(_BAN)
            yield f"{show_piece(c.piece)} {probability(c.probability)}" + (f" ({pattern})" if pattern else "")


def _last(text: str, width: int) -> str:
    """The end of `text` in at most `width` columns, `…` in front if something is missing."""
    used, at = 0, len(text)
    while at and used + char_width(text[at - 1]) <= width - 1:
        at -= 1
        used += char_width(text[at])
    return text if at == 0 else "…" + text[at:]
