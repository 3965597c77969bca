"""A scored text in plain text: what it adds up to, its worst steps, its spans, and what a context changed."""

import math
from collections.abc import Sequence

from ggufban.inspection.score import ContextEffect
from ggufban.inspection.text import Summary, Trace
from ggufban.inspection.trace import Step
from ggufban.inspection.uncertainty import Answers, Derailment, Span
from ggufban.rendering.steps import Names, show
from ggufban.rendering.table import number, probability, table
from ggufban.rendering.width import clip, display_width, show_text

__all__ = [
    "answers_text",
    "context_text",
    "context_tokens",
    "derailment_text",
    "spans_table",
    "summary_text",
    "token_table",
    "worst_table",
]


def summary_text(trace: Trace) -> str:
    """Loss, perplexity, bits per byte, and how sure the model was."""
    s = trace.summary()
    if not s.tokens:
        return (
            "Nothing was scored: the text is too short. A first token has no probability, and the protocol\n"
            "llama.cpp counts whole windows only."
        )
    lines = [
        f"tokens        {s.tokens:,} scored of {len(trace.steps):,} ({s.bytes:,} bytes)"
        + (f", protocol {trace.protocol}" if trace.protocol else ""),
        f"NLL           {s.mean_nll:.4f} nats a token, {s.nll:,.1f} in all",
        f"perplexity    {s.perplexity:.4f} ± {number(s.perplexity_error, 4)}",
        f"bits a byte   {s.bits_per_byte:.4f}",
        f"entropy       {s.mean_entropy:.4f} nats a token on average, {s.max_entropy:.2f} at most",
        f"first choice  {100 * s.best:.1f} % of the tokens were the model's first choice",
    ]
    return "\n".join(lines)


def before(trace: Trace, at: int, width: int) -> str:
    """The end of the text before step `at`, in at most `width` columns."""
    text = show_text("".join(step.text for step in trace.steps[max(0, at - width) : at]))
    while display_width(text) > width:
        text = text[1:]
    return text


def worst_table(trace: Trace, count: int, names: Names | None = None) -> str:
    """The most surprising tokens, each after its text, with what the model had expected."""
    rows = []
    for i in trace.worst(count):
        step = trace.steps[i]
        best = step.candidates[0] if step.candidates else None
        expected = f"{show(best.token, best.piece, names, 14)} {probability(best.probability)}" if best else ""
        rows.append(
            [
                str(i),
                number(step.bits, 1),
                str(step.rank),
                before(trace, i, 24),
                show(step.token, step.piece, names, 16),
                expected,
            ]
        )
    return table(["at", "bits", "rank", "after", "token", "expected"], rows, left=[4, 5])


def token_table(trace: Trace, names: Names | None = None) -> str:
    """One line for each token: surprisal, probability, rank, entropy, nucleus, and the model's first choice."""
    rows = []
    for i, step in enumerate(trace.steps):
        token = show(step.token, step.piece, names, 18)
        if not step.traced:
            rows.append([str(i), token, "-", "-", "-", "-", "-", ""])
            continue
        best = step.candidates[0] if step.candidates else None
        expected = "" if best is None or best.token == step.token else show(best.token, best.piece, names, 14)
        rows.append(
            [
                str(i),
                token,
                number(step.bits),
                probability(step.probability),
                str(step.rank),
                number(step.entropy),
                str(step.nucleus),
                expected,
            ]
        )
    header = ["at", "token", "bits", "p", "rank", "entropy", "nucleus", "expected"]
    return table(header, rows, left=[1, 7])


def derailment_text(trace: Trace, found: Sequence[Derailment], size: int, threshold: float, count: int = 5) -> str:
    """Where the text stands out, or that it does not."""
    scored = trace.summary().tokens
    if scored < 2 * size:
        return f"derailment    too short a text to be compared with itself in runs of {size} tokens"
    if not found:
        return f"derailment    none: no {size} tokens in a row are more than {threshold:g} deviations above the median"
    stretches = "1 stretch stands" if len(found) == 1 else f"{len(found)} stretches stand"
    lines = [f"derailment    {stretches} out: {size} tokens in a row more than {threshold:g} deviations up"]
    for d in found[:count]:
        doubt = "and it was unsure there" if d.entropy > trace.summary().mean_entropy else "and it had felt sure"
        quote = clip(show_text("".join(step.text for step in trace.steps[d.begin : d.end]).strip()), 60)
        lines.append(
            f"  from token {d.begin}: {d.surprisal / math.log(2):.1f} bits a token ({d.deviation:.1f} deviations), "
            f"{doubt}\n    {quote}"
        )
    if len(found) > count:
        lines.append(f"  … and {len(found) - count} more")
    return "\n".join(lines)


def spans_table(found: Sequence[Span]) -> str:
    """Mean and greatest entropy, least probability and mean loss of every span."""
    rows = [[*_span_figures(span.summary), show_text(span.text)] for span in found]
    return table(["H mean", "H max", "p min", "NLL mean", "text"], rows, left=[4])


def _span_figures(s: Summary) -> list[str]:
    return [number(s.mean_entropy), number(s.max_entropy), probability(s.min_probability), number(s.mean_nll)]


def context_text(effect: ContextEffect) -> str:
    """The verdict on one answer, and the figures behind it."""
    alone, within = effect.without.summary(), effect.within.summary()
    factor = math.exp(min(700.0, abs(effect.total)))
    by = f"{factor:,.1f} times " if factor < 1e6 else f"e^{abs(effect.total):.1f} times "
    word = {"helped": by + "more probable", "misled": by + "less probable", "ignored": "no clear change"}
    return (
        f"verdict       {effect.verdict}: {word[effect.verdict]} with the context "
        f"(ln {effect.total:+.2f}, noise {effect.noise:.2f})\n"
        f"without       {alone.mean_nll:.3f} nats a token, perplexity {alone.perplexity:.2f}\n"
        f"with          {within.mean_nll:.3f} nats a token, perplexity {within.perplexity:.2f}"
    )


def context_tokens(effect: ContextEffect, names: Names | None = None) -> str:
    """For each token of an answer its probability without and with the context, and ln of their ratio."""
    rows = []
    for i, (one, two) in enumerate(zip(effect.without.steps, effect.within.steps, strict=True)):
        change = float(effect.difference[i])
        rows.append([_token(one, names), *_both(one, two), f"{change:+.2f}", _arrow(change)])
    return table(["token", "p without", "p with", "rank", "", "change", ""], rows, left=[0, 4, 6])


def _token(step: Step, names: Names | None) -> str:
    return show(step.token, step.piece, names)


def _both(one: Step, two: Step) -> list[str]:
    return [probability(one.probability), probability(two.probability), str(one.rank), f"-> {two.rank}"]


def _arrow(change: float) -> str:
    """One mark for each nat, at most ten."""
    marks = min(10, round(abs(change)))
    return ("+" if change > 0 else "-") * marks


def answers_text(answers: Answers) -> str:
    """Clusters of answers that say the same, and the discrete semantic entropy."""
    rows = []
    for _, same in answers.clusters:
        share = len(same) / answers.count
        rows.append([str(len(same)), f"{share:.2f}", show_text(same[0].strip())])
    return (
        table(["count", "share", "answer"], rows, left=[2])
        + f"\nsemantic entropy  {answers.entropy:.3f} nats over {answers.count} answers "
        + f"({answers.normalized:.2f} of the most possible)"
    )
