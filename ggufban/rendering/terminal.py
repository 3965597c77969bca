"""Plain text for a terminal of 80 columns, readable without colour."""

import math

from ggufban.decoding.report import FINISH_REASONS, Generation

__all__ = ["stats_text"]

_MUCH = 0.5
"""Removed probability, averaged over the text as 1 - w^(1/n), from which the reader is told what it means."""


def stats_text(out: Generation) -> str:
    """What `--stats` prints: how the text ended, what the bans did, and what it cost."""
    report = out.report
    lines = [
        f"finished      {out.finish_reason}: {FINISH_REASONS[out.finish_reason]}",
        f"seed          {out.seed}",
        f"tokens        {report.tokens} in {report.seconds:.2f} s ({report.tokens_per_second:.1f} a second)",
        f"sampler       {' > '.join(out.sampler) or 'nothing but softmax'}",
    ]
    if out.fold is not None:
        lines += [
            f"strategy      {out.strategy}, fold {out.fold}",
            f"evaluations   {report.evaluations} ({report.evaluations_per_token:.2f} a token), "
            f"{report.discarded_tokens} tokens taken back",
            f"legal mass    {_legal_text(report.log_legal_mass)}",
        ]
        if not math.isnan(report.clean_at_most):
            lines.append(
                f"clean texts   about {report.clean_probability:.3g} of all, at most {report.clean_at_most:.3g} "
                f"({report.attempts} attempts)"
            )
        lines += [f"hit           {count} × {pattern}" for pattern, count in report.hits.most_common(20)]
        if len(report.hits) > 20:
            lines.append(f"hit           … and {len(report.hits) - 20} patterns more")
        if asks_for_what_is_banned(out):
            lines.append("The bans took away much of what the model wanted to say: the prompt asks for what is banned.")
    return "\n".join(lines)


def _legal_text(log_legal_mass: float) -> str:
    if log_legal_mass == -math.inf:
        return "0: at some step everything that the sampler would have drawn was banned"
    return f"{math.exp(log_legal_mass):.3g}, the product over the steps (ln {log_legal_mass:.3f})"


def asks_for_what_is_banned(out: Generation) -> bool:
    """Whether some step lost more than half of its probability to bans."""
    return any(step.removed_mass > _MUCH for step in out.steps)
