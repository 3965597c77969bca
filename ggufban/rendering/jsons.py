"""JSON: OpenAI's `logprobs.content` shape with our own names added. Strict JSON: no NaN, no infinity.

A number that is not finite becomes `null`; a candidate of probability 0 says `"banned": true` beside it.
"""

import math
from typing import Any

from ggufban.decoding.report import Generation, Report
from ggufban.inspection.trace import Candidate, Step

__all__ = ["candidate_json", "generation_json", "number", "report_json", "step_json"]


def number(value: float) -> float | None:
    """`value`, or None where JSON has no word for it."""
    return value if math.isfinite(value) else None


def candidate_json(candidate: Candidate) -> dict[str, Any]:
    """A candidate as OpenAI writes one of `top_logprobs`, and what else is known of it."""
    return {
        "token": candidate.text,
        "logprob": number(candidate.logprob),
        "bytes": list(candidate.piece),
        "id": candidate.token,
        "logit": number(candidate.logit),
        "probability": number(candidate.probability),
        "rank": candidate.rank,
        "drawn_with": number(candidate.drawn_with),
        "removed_by": candidate.removed_by,
        **({"banned": True} if candidate.logit == -math.inf else {}),
    }


def step_json(step: Step) -> dict[str, Any]:
    """A step as OpenAI writes an element of `logprobs.content`, and what else is known of it."""
    return {
        "token": step.piece.decode("utf-8", "replace"),
        "logprob": number(step.logprob),
        "bytes": list(step.piece),
        "top_logprobs": [candidate_json(candidate) for candidate in step.candidates],
        "id": step.token,
        "text": step.text,
        "logit": number(step.logit),
        "probability": number(step.probability),
        "rank": step.rank or None,
        "entropy": number(step.entropy),
        "varentropy": number(step.varentropy),
        "normalized_entropy": number(step.normalized_entropy),
        "margin": number(step.margin),
        "nucleus": step.nucleus or None,
        "drawn_with": number(step.drawn_with),
        "random": number(step.random),
        "removed_mass": number(step.removed_mass),
        "n_vocab": step.n_vocab or None,
        **({"banned": True} if step.logit == -math.inf else {}),
    }


def report_json(report: Report) -> dict[str, Any]:
    """What the bans did and what it cost."""
    return {
        "hits": dict(report.hits.most_common()),
        "evaluations": report.evaluations,
        "evaluations_per_token": number(report.evaluations_per_token),
        "discarded_tokens": report.discarded_tokens,
        "log_legal_mass": number(report.log_legal_mass),
        "attempts": report.attempts,
        "clean_probability": number(report.clean_probability),
        "clean_at_most": number(report.clean_at_most),
        "seconds": report.seconds,
    }


def generation_json(out: Generation) -> dict[str, Any]:
    """Everything about a text, as one object."""
    return {
        "text": out.text,
        "finish_reason": out.finish_reason,
        "prompt": out.prompt,
        "model": out.model,
        "seed": out.seed,
        "strategy": out.strategy,
        "fold": out.fold,
        "sampler": list(out.sampler),
        "settings": out.settings,
        "tokens": out.tokens,
        "steps": [step_json(step) for step in out.steps],
        "report": report_json(out.report),
        "note": out.note,
        "detours": [
            {"at": detour.at, "text": detour.text, "tokens": [s.token for s in detour.steps], "reason": detour.reason}
            for detour in out.detours
        ],
    }
