"""What strategies give and cost, as a table of 80 columns and as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ggufban.decoding.evaluation import Distortion, Sample, difference, distortion, summary
from ggufban.rendering.jsons import number as json_number
from ggufban.rendering.table import number, probability, table

__all__ = ["evaluation_json", "evaluation_text"]

BASE = "none"
"""The strategy that the others are compared with: text without bans."""

_HEADER = ["", "leaks", "nats/tok", "±", "- none", "±", "evals/tok", "tok/s", "dead", "word"]


def evaluation_text(samples: Mapping[str, Sequence[Sample]]) -> str:
    """A row for each strategy; below it what `mask` tells of the law, and what else there is to say."""
    rows, notes = [], []
    for name, texts in samples.items():
        s = summary(texts)
        row = [name, f"{s.leaks:,}", number(s.nats, 3), number(s.nats_se, 3), *_over_base(name, samples)]
        row += [number(s.evaluations_per_token, 3), number(s.tokens_per_second, 1), str(s.dead_ends)]
        rows.append([*row, number(s.letters_per_word)])
        if given_up := name == "exact" and sum(sample.strategy != name for sample in texts):
            notes.append(f"{name}: {given_up} of {s.texts} texts are of rewind: the budget was spent")
        if s.unfinished:
            notes.append(f"{name}: {s.unfinished} of {s.texts} texts not finished (interrupted, or budget spent)")
    lines = [table(_HEADER, rows, left=[0])]
    if samples.get("mask"):
        lines.append(_distortion_text(distortion([sample.log_legal_mass for sample in samples["mask"]])))
    return "\n".join([*lines, *notes])


def _over_base(name: str, samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    """Nats a token above those of text without bans, with its standard error."""
    base = samples.get(BASE, ())
    if name == BASE or len(base) != len(samples[name]):
        return ["", ""]
    over = difference(samples[name], base)
    return [f"{over.nats:+.3f}", number(over.se, 3)]


def _distortion_text(d: Distortion) -> str:
    return (
        f"mask: P(no match) = E[w] = {probability(d.legal)} ± {probability(d.legal_se)}\n"
        f"      KL(mask ‖ exact) = {number(d.kl, 3)} ± {number(d.kl_se, 3)} nats a text"
    )


def evaluation_json(samples: Mapping[str, Sequence[Sample]], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, the texts included, as one object; `facts` say what was evaluated."""
    strategies = {}
    for name, texts in samples.items():
        whole: dict[str, Any] = asdict(summary(texts))
        if name != BASE and len(samples.get(BASE, ())) == len(texts):
            over = difference(texts, samples[BASE])
            whole |= {"nats_over_none": over.nats, "nats_over_none_se": over.se}
        if name == "mask":
            whole |= asdict(distortion([sample.log_legal_mass for sample in texts]))
        strategies[name] = {**whole, "samples": [asdict(sample) for sample in texts]}
    strict: dict[str, Any] = _strict({**facts, "strategies": strategies})
    return strict


def _strict(value: Any) -> Any:
    """`value` with None for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return json_number(value) if isinstance(value, float) and not math.isfinite(value) else value
