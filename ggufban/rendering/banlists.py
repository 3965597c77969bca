"""What a ban list means, as text of 80 columns and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ggufban.bans import BanList, Pattern
from ggufban.bans.explain import Explanation, Touch
from ggufban.rendering.table import table
from ggufban.rendering.width import clip, show_piece, show_text
from ggufban.vocab import Vocab

__all__ = ["Reach", "bans_json", "bans_text"]

_EXAMPLES = 5
"""Tokens shown of what a pattern touches."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a list does to the vocabulary of one model: see `ggufban.bans.explain.touched`."""

    model: str
    vocab: Vocab
    illegal: Sequence[int]
    touched: Sequence[Touch]


def bans_text(
    bans: BanList, found: Sequence[Explanation], contradictions: Sequence[str], reach: Reach | None, limit: int
) -> str:
    """The list, what is wrong with it, and its reach; at most `limit` lines of each (0: all)."""
    many = len({pattern.source for pattern in bans}) > 1
    parts = [f"{len(bans)} patterns, fold {bans.fold}" + (f", after {bans.after!r}" if bans.after else "")]
    rows = [[_where(e.pattern, many), clip(show_text(str(e.pattern)), 24), e.meaning, _symbols(e)] for e in found]
    parts.append(
        _limited(["line", "pattern", "means", "symbols"], rows, limit, left=[0, 1, 2, 3] if many else [1, 2, 3])
    )
    doubled = [e for e in found if e.duplicate_of is not None]
    swallowed = [e for e in found if e.swallowed_by is not None and e.duplicate_of is None]
    if doubled:
        parts.append(f"{len(doubled)} say what another line says:")
        parts.append(_limited(*_pairs(doubled, "the same as", many), limit, left=[0, 1, 2, 3]))
    if swallowed:
        parts.append(f"{len(swallowed)} forbid nothing that another line does not forbid:")
        parts.append(_limited(*_pairs(swallowed, "swallowed by", many), limit, left=[0, 1, 2, 3]))
    if contradictions:
        parts.append(f"{len(contradictions)} contradictions:\n" + "\n".join(contradictions))
    if not (doubled or swallowed or contradictions):
        parts.append("No line says what another one says.")
    if reach is not None:
        parts += _reach_text(reach, many, limit)
    return "\n\n".join(parts)


def _where(pattern: Pattern, many: bool) -> str:
    line = "" if pattern.line is None else str(pattern.line)
    return f"{pattern.source}:{line}" if many else line


def _symbols(found: Explanation) -> str:
    shown = ", ".join(map(show_text, found.symbols[:3]))
    return shown + (f", … {len(found.symbols) - 3} more" if len(found.symbols) > 3 else "")


def _pairs(found: Sequence[Explanation], relation: str, many: bool) -> tuple[list[str], list[list[str]]]:
    rows = []
    for one in found:
        other = one.duplicate_of or one.swallowed_by
        assert other is not None
        place = f"line {_where(other, many)}: " if other.line is not None else ""
        mine = clip(show_text(str(one.pattern)), 24)
        rows.append([_where(one.pattern, many), mine, relation, place + show_text(str(other))])
    return ["line", "pattern", "", ""], rows


def _limited(header: list[str], rows: list[list[str]], limit: int, *, left: Sequence[int]) -> str:
    shown = rows[:limit] if limit else rows
    text = table(header, shown, left=left)
    return text + (f"\n… {len(rows) - len(shown)} more; --limit 0 shows all" if len(shown) < len(rows) else "")


def _reach_text(reach: Reach, many: bool, limit: int) -> list[str]:
    size, illegal = len(reach.vocab), len(reach.illegal)
    share = 100 * illegal / size
    head = f"{reach.model}:\n{illegal:,} of {size:,} tokens ({share:.2f} %) are illegal at the start of a text"
    rows = []
    for touch in reach.touched:
        pieces = ", ".join(show_piece(reach.vocab.pieces[token]) for token in touch.tokens[:_EXAMPLES])
        more = ", …" if len(touch.tokens) > _EXAMPLES else ""
        name = clip(show_text(str(touch.pattern)), 24)
        rows.append([f"{len(touch.tokens):,}", _where(touch.pattern, many), name, pieces + more])
    if not rows:
        return [head]
    return [
        head + "; the patterns that forbid most of them:",
        _limited(["tokens", "line", "pattern", "such as"], rows, limit, left=[1, 2, 3]),
    ]


def bans_json(
    bans: BanList, found: Sequence[Explanation], contradictions: Sequence[str], reach: Reach | None
) -> dict[str, Any]:
    """All of it, as one object; patterns are named by their position in the list, from 0."""
    place = {id(pattern): at for at, pattern in enumerate(bans)}

    def position(pattern: Pattern | None) -> int | None:
        return None if pattern is None else place[id(pattern)]

    whole: dict[str, Any] = {
        "fold": bans.fold,
        "after": bans.after,
        "patterns": [
            {
                "pattern": e.pattern.text,
                "source": e.pattern.source,
                "line": e.pattern.line,
                "kind": e.pattern.kind,
                "meaning": e.meaning,
                "symbols": list(e.symbols),
                "duplicate_of": position(e.duplicate_of),
                "swallowed_by": position(e.swallowed_by),
            }
            for e in found
        ],
        "contradictions": list(contradictions),
    }
    if reach is not None:
        whole["vocabulary"] = {
            "model": reach.model,
            "tokens": len(reach.vocab),
            "illegal_at_start": [int(token) for token in reach.illegal],
            "touched": [{"pattern": position(t.pattern), "tokens": list(t.tokens)} for t in reach.touched],
        }
    return whole
