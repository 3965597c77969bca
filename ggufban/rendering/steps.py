"""Steps in plain text: one in full, or one after the other with the reason for every choice."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from ggufban.inspection.statistics import NUCLEUS
from ggufban.inspection.trace import Candidate, Detour, Step
from ggufban.inspection.watch import Sighting
from ggufban.rendering.table import bar, number, probability, table
from ggufban.rendering.width import clip, display_width, pad, show_piece

__all__ = ["Names", "candidate_table", "sightings_table", "step_block", "step_facts", "trace_blocks"]

Names = Callable[[int], str]
"""How the vocabulary itself writes a token: for those that have no text."""

BAR = 20


def show(token: int, piece: bytes, names: Names | None, width: int = 24) -> str:
    """A token in quotes, or its name if it has no text."""
    return clip(show_piece(piece, names(token) if names and not piece else None), width)


def candidate_table(step: Step, names: Names | None = None) -> str:
    """Every candidate of a step: rank, token, id, logit, probability, cumulative probability, bar."""
    rows, total = [], 0.0
    for c in step.candidates:
        total += c.probability
        share = bar(c.probability / max(step.candidates[0].probability, 1e-300), BAR)
        token = show(c.token, c.piece, names)
        rows.append(
            [str(c.rank), token, str(c.token), number(c.logit), probability(c.probability), f"{total:.4f}", share]
        )
    return table(["rank", "token", "id", "logit", "probability", "cumulative", ""], rows, left=[1, 6])


def step_facts(step: Step) -> str:
    """What else there is to know of a place: how uncertain, how much beyond the table, how many for 0.95."""
    shown = len(step.candidates)
    return (
        f"entropy       {step.entropy:.3f} nats: as uncertain as {step.effective_choices:.1f} equal choices; "
        f"{step.normalized_entropy:.3f} of ln V\n"
        f"varentropy    {step.varentropy:.3f} nats²\n"
        f"margin        {number(step.margin, 4)} between the best two\n"
        f"nucleus       {step.nucleus:,} of {step.n_vocab:,} tokens hold {NUCLEUS}\n"
        f"tail          {step.tail_mass:.4f} beyond the {shown} shown"
    )


def step_block(
    at: int,
    step: Step,
    names: Names | None = None,
    seen: Sequence[Sighting] = (),
    width: int = 80,
) -> str:
    """One step of a text: what was chosen and by which number, then the alternatives and what became of them."""
    head = f"{at}  {show(step.token, step.piece, names)}"
    facts = [f"p {probability(step.probability)}", f"rank {step.rank}", f"H {step.entropy:.2f}"]
    if not math.isnan(step.drawn_with):
        facts.append(f"drawn {probability(step.drawn_with)} by {number(step.random, 4)}")
    if step.removed_mass > 0:
        facts.append(f"bans took {probability(step.removed_mass)}")
    lines = [head]
    for fact in facts:
        if display_width(lines[-1]) + 2 + display_width(fact) > width:
            lines.append("    ")
        lines[-1] += "  " + fact
    lines += [clip(line, width) for line in _alternatives(step, names)]
    lines += [f"     watch {s.word!r}: p {probability(s.probability)}, rank {s.rank}" for s in seen]
    return "\n".join(lines)


def _alternatives(step: Step, names: Names | None) -> Iterator[str]:
    shown: list[Candidate] = list(step.candidates)
    for c in shown:
        mark = ">" if c.token == step.token else " "
        fate = f"removed by {c.removed_by}" if c.removed_by else _drawn(c)
        token = pad(show(c.token, c.piece, names, 20), 20)
        yield f"   {mark} {c.rank:>4} {token} {probability(c.probability):>7}  {fate}".rstrip()


def _drawn(c: Candidate) -> str:
    return "" if math.isnan(c.drawn_with) else f"-> {probability(c.drawn_with)}"


def trace_blocks(
    steps: Sequence[Step],
    names: Names | None = None,
    seen: Mapping[int, Sequence[Sighting]] | None = None,
    width: int = 80,
    detours: Sequence[Detour] = (),
) -> str:
    """Every step of a text as a block; `seen` are the watched words at each index, `detours` what was taken back."""
    seen = seen or {}
    blocks = []
    for i, step in enumerate(steps):
        blocks += [f"{i + 1}  taken back {d.text!r} (ban: {d.reason})" for d in detours if d.at == i]
        blocks.append(step_block(i + 1, step, names, seen.get(i, ()), width))
    return "\n".join(blocks)


def sightings_table(seen: Sequence[Sighting]) -> str:
    """Watched words at one place."""
    rows = [[s.word, probability(s.probability), number(s.logprob), str(s.rank)] for s in seen]
    return table(["watched", "probability", "logprob", "rank of its first token"], rows, left=[0])
