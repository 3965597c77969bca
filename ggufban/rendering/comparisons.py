"""Two models compared: in plain text, and as JSON."""

import math
from collections.abc import Sequence
from typing import Any

from ggufban.inspection.alignment import ByteComparison
from ggufban.inspection.comparison import Comparison, Figure
from ggufban.inspection.terms import TermMass, TermOccurrences
from ggufban.inspection.trace import Step
from ggufban.rendering.jsons import number as finite
from ggufban.rendering.jsons import step_json
from ggufban.rendering.steps import Names, show
from ggufban.rendering.table import number, probability, table
from ggufban.rendering.width import clip, display_width, show_text

__all__ = ["bytes_json", "bytes_text", "comparison_json", "comparison_text", "terms_json", "terms_text"]

_PER_CENT = ("Δp", "Same top p", "overlap", "Cor(")


def comparison_text(found: Comparison, names: Names | None = None) -> str:
    """Every figure under its name, divergence by confidence, and the steps that differ most, in context."""
    lines = [f"base          {found.base}", f"Q             {found.other}"]
    lines += [f"tokens        {len(found.at):,} compared of {len(found.tokens):,}, protocol {found.protocol}", ""]
    lines += [f"{name:<31} {_figure(name, figure)}" for name, figure in found.figures().items()]
    if not math.isfinite(found.figures()["Mean KLD"].value):
        lines += [
            "",
            "KLD is infinite where Q rules out what the base allows: see reverse KLD and JS.",
        ]
    rows = [
        [f"{b.low:g} to {b.high:g}", f"{b.tokens:,}", number(b.kl, 4), f"{100 * b.same_top:.1f} %"]
        for b in found.by_confidence()
    ]
    lines += ["", table(["base's best p", "tokens", "mean KLD", "same top"], rows, left=[0])]
    if any(d.kl > 0 for d in found.worst):
        lines += ["", "Where they differ most: p of the text's token, and what each expected."]
        for d in found.worst:
            lines.append(f"  at {d.at}, KLD {d.kl:.3f}: {_before(found, d.at)} [{_token(d.base, names)}]")
            lines += [f"    {side:<5} {_saying(step, names)}" for side, step in (("base", d.base), ("Q", d.other))]
    return "\n".join(lines)


def _figure(name: str, figure: Figure) -> str:
    scale, unit, digits = (100.0, " %", 3) if any(mark in name for mark in _PER_CENT) else (1.0, "", 6)
    value = f"{number(scale * figure.value, digits):>12}"
    return value + (f" ± {number(scale * figure.error, digits)}" if figure.error is not None else "") + unit


def _before(found: Comparison, at: int) -> str:
    text = show_text(found.context(at, 40))
    while display_width(text) > 40:
        text = text[1:]
    return "…" + text


def _token(step: Step, names: Names | None) -> str:
    return show(step.token, step.piece, names, 16)


def _saying(step: Step, names: Names | None) -> str:
    best = [f"{show(c.token, c.piece, names, 14)} {probability(c.probability)}" for c in step.candidates[:3]]
    return clip(f"p {probability(step.probability)}; " + ", ".join(best), 70)


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Every figure with its error, the bins, the worst places, and one number of each kind for every token."""
    return {
        "base": found.base,
        "other": found.other,
        "protocol": found.protocol,
        "compared": len(found.at),
        "figures": {
            name: {"value": finite(figure.value), "error": None if figure.error is None else finite(figure.error)}
            for name, figure in found.figures().items()
        },
        "by_confidence": [bin_._asdict() for bin_ in found.by_confidence()],
        "worst": [
            {
                "at": d.at,
                "kl": finite(d.kl),
                "before": found.context(d.at),
                "base": step_json(d.base),
                "other": step_json(d.other),
            }
            for d in found.worst
        ],
        "tokens": list(found.tokens),
        "at": found.at.tolist(),
        "columns": {name: [finite(x) for x in column.tolist()] for name, column in found.columns.items()},
    }


def bytes_text(found: ByteComparison, worst: int) -> str:
    """Bits per byte of both, and the stretches of text on which they differ most."""
    base, other = found.bits_per_byte
    lines = [
        f"base          {found.base}",
        f"Q             {found.other}",
        "              different vocabularies: compared by bytes between the boundaries that both have",
        f"bytes         {found.bytes:,} in {len(found.stretches):,} stretches",
        f"bits a byte   {base:.4f} base, {other:.4f} Q, {other - base:+.4f}",
    ]
    bits = math.log(2)
    rows = [
        [
            str(s.begin),
            number(s.nll_base / bits, 1),
            number(s.nll / bits, 1),
            f"{(s.nll - s.nll_base) / bits:+.1f}",
            f"'{show_text(s.text)}'",
        ]
        for s in found.worst(worst)
    ]
    if rows:
        lines += ["", table(["byte", "bits base", "bits Q", "difference", "text"], rows, left=[4])]
    return "\n".join(lines)


def bytes_json(found: ByteComparison) -> dict[str, Any]:
    """Bits per byte of both, and every stretch."""
    base, other = found.bits_per_byte
    return {
        "base": found.base,
        "other": found.other,
        "bytes": found.bytes,
        "bits_per_byte": {"base": finite(base), "other": finite(other)},
        "stretches": [{**s._asdict(), "nll_base": finite(s.nll_base), "nll": finite(s.nll)} for s in found.stretches],
    }


def terms_text(masses: Sequence[TermMass], said: Sequence[TermOccurrences]) -> str:
    """How the mass on terms moved, and what both models make of the terms where the text has them."""
    rows = [
        [
            m.term or "all terms",
            probability(m.base),
            probability(m.other),
            f"{m.change:+.3f}",
            f"{m.low:+.3f} … {m.high:+.3f}",
            _moved(m),
        ]
        for m in masses
    ]
    header = ["mass on first tokens", "base", "Q", "log-odds", "95 % interval", ""]
    text = table(header, rows, left=[0, 5])
    if said:
        rows = [[o.term, str(o.count), number(o.base), number(o.other), f"{o.other - o.base:+.2f}"] for o in said]
        text += "\n\n" + table(["where they stand", "times", "ln p base", "ln p Q", "change"], rows, left=[0])
    return text


def _moved(m: TermMass) -> str:
    return "up" if m.low > 0 else "down" if m.high < 0 else "unclear"


def terms_json(masses: Sequence[TermMass], said: Sequence[TermOccurrences]) -> dict[str, Any]:
    """The same as `terms_text`."""
    return {
        "mass": [
            {
                "term": m.term or None,
                "base": m.base,
                "other": m.other,
                "log_odds_change": m.change,
                "interval": [m.low, m.high],
            }
            for m in masses
        ],
        "occurrences": [
            {"term": o.term, "count": o.count, "base": finite(o.base), "other": finite(o.other)} for o in said
        ],
    }
