"""A Trace written to files and read again: JSON and JSONL (OpenAI's shape and ours), CSV, NPZ.

`read_trace` takes what `generate`, `inspect` and `score` print with `--json` or `--jsonl`: a text can be looked at
later, and on another machine, without the model.
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ggufban.errors import UsageError
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Candidate, Step
from ggufban.rendering.jsons import number, step_json

__all__ = ["read_trace", "summary_json", "trace_from_json", "trace_json", "trace_lines", "write_csv", "write_npz"]


def summary_json(trace: Trace) -> dict[str, Any]:
    """What the steps add up to; null where there is no such number."""
    return {name: number(value) for name, value in asdict(trace.summary()).items()}


def trace_json(trace: Trace) -> dict[str, Any]:
    """Everything about a text, as one object."""
    return {**_head(trace), "tokens": trace.tokens, "steps": [step_json(step) for step in trace.steps]}


def _head(trace: Trace) -> dict[str, Any]:
    return {
        "source": trace.source,
        "model": trace.model,
        "context": trace.context,
        "protocol": trace.protocol,
        "text": trace.text,
        "summary": summary_json(trace),
        **trace.facts,
    }


def trace_lines(trace: Trace) -> Iterator[str]:
    """One line of JSON for each step, and a last one for the text."""
    for step in trace.steps:
        yield json.dumps(step_json(step), ensure_ascii=False, allow_nan=False)
    yield json.dumps(_head(trace), ensure_ascii=False, allow_nan=False)


# -- reading ------------------------------------------------------------------------------------------------------


def read_trace(path: str | PathLike[str]) -> Trace:
    """The Trace in a file of JSON or JSONL; `UsageError` naming the file if there is none in it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the trace {path} cannot be read: {reason or error}") from None
    try:
        return trace_from_json(_parse(text))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{path} holds no trace: {error}; give what generate, inspect or score printed with --json or --jsonl"
        ) from None


def _parse(text: str) -> dict[str, Any]:
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        if not lines:
            raise ValueError("it is empty") from None
        steps = [line for line in lines if "bytes" in line]
        whole = {**next((line for line in reversed(lines) if "bytes" not in line), {}), "steps": steps}
    if not isinstance(whole, dict) or not isinstance(whole.get("steps"), list):
        raise ValueError("there are no steps in it")
    return whole


def trace_from_json(whole: dict[str, Any]) -> Trace:
    """The Trace that `trace_json` (or `generation_json`) wrote. Raises KeyError and the like for other objects."""
    steps = tuple(_step(step) for step in whole["steps"])
    source = whole.get("source") or ("generate" if "prompt" in whole else "score")
    context = whole.get("context") if "context" in whole else whole.get("prompt")
    known = {"source", "model", "context", "prompt", "protocol", "text", "summary", "tokens", "steps"}
    facts = {name: value for name, value in whole.items() if name not in known}
    return Trace(steps, source, whole.get("model", ""), context, whole.get("protocol"), facts)


def _float(value: float | None, missing: float = math.nan) -> float:
    return missing if value is None else float(value)


def _step(data: dict[str, Any]) -> Step:
    rank = data.get("rank") or 0
    gone = -math.inf if rank else math.nan  # a traced token without a logit had -inf
    return Step(
        token=int(data["id"]),
        piece=bytes(data["bytes"]),
        text=data["text"],
        logit=_float(data.get("logit"), gone),
        logprob=_float(data.get("logprob"), gone),
        probability=_float(data.get("probability")),
        rank=rank,
        entropy=_float(data.get("entropy")),
        varentropy=_float(data.get("varentropy")),
        drawn_with=_float(data.get("drawn_with")),
        random=_float(data.get("random")),
        removed_mass=_float(data.get("removed_mass"), 0.0),
        candidates=tuple(_candidate(candidate) for candidate in data["top_logprobs"]),
        nucleus=data.get("nucleus") or 0,
        n_vocab=data.get("n_vocab") or 0,
    )


def _candidate(data: dict[str, Any]) -> Candidate:
    return Candidate(
        token=int(data["id"]),
        piece=bytes(data["bytes"]),
        text=data["token"],
        logit=_float(data["logit"], -math.inf),
        logprob=_float(data["logprob"], -math.inf),
        probability=_float(data["probability"]),
        rank=data["rank"],
        drawn_with=_float(data["drawn_with"]),
        removed_by=data["removed_by"],
    )


# -- tables and arrays --------------------------------------------------------------------------------------------

_COLUMNS = (
    "token", "text", "logit", "logprob", "probability", "rank", "surprisal", "entropy", "normalized_entropy",
    "varentropy", "margin", "tail_mass", "nucleus", "drawn_with", "random", "removed_mass",
)  # fmt: skip


def write_csv(trace: Trace, file: TextIO) -> None:
    """One row for each token, RFC 4180; a number that is missing or not finite is an empty cell.

    Open the file with `newline=""`. `bytes` is the token in hexadecimal, `best` the model's first choice.
    """
    writer = csv.writer(file)
    writer.writerow(["at", *_COLUMNS, "bytes", "best", "best_probability"])
    for i, step in enumerate(trace.steps):
        cells = [_cell(getattr(step, name)) if step.traced or name in ("token", "text") else "" for name in _COLUMNS]
        best = step.candidates[0] if step.candidates else None
        tail = [best.text, _cell(best.probability)] if best else ["", ""]
        writer.writerow([i, *cells, step.piece.hex(), *tail])


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and not math.isfinite(value) else value


def write_npz(trace: Trace, path: str | PathLike[str]) -> None:
    """Arrays, one entry for each token, compressed: every number of a Step, and its candidates side by side.

    `token` and `rank` `(n,)` int64; `logit`, `logprob`, `entropy` … `(n,)` float64, NaN where not traced;
    `candidate_token` `(n, k)` int64 (-1 where there are fewer), `candidate_logit`, `candidate_logprob` and
    `candidate_drawn_with` `(n, k)` float64. The file ends in .npz whatever `path` says, as numpy has it.
    """
    arrays: dict[str, Any] = {
        name: np.array([getattr(step, name) for step in trace.steps], dtype=np.int64 if whole else np.float64)
        for name, whole in _arrays()
    }
    most = max((len(step.candidates) for step in trace.steps), default=0)
    tokens = np.full((len(trace.steps), most), -1, dtype=np.int64)
    numbers = {name: np.full(tokens.shape, np.nan) for name in ("logit", "logprob", "drawn_with")}
    for i, step in enumerate(trace.steps):
        for j, candidate in enumerate(step.candidates):
            tokens[i, j] = candidate.token
            for name, array in numbers.items():
                array[i, j] = getattr(candidate, name)
    arrays |= {"candidate_token": tokens, **{f"candidate_{name}": array for name, array in numbers.items()}}
    np.savez_compressed(path, **arrays)


def _arrays() -> Iterable[tuple[str, bool]]:
    integers = {"token", "rank", "nucleus"}
    return [(name, name in integers) for name in _COLUMNS if name != "text"]
