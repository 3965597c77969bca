import csv
import io
import json
import math

import numpy as np
import pytest

from ggufban.errors import UsageError
from ggufban.inspection.score import score
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Candidate, Step
from ggufban.rendering.traces import read_trace, trace_json, trace_lines, write_csv, write_npz
from tests.inspection.source import StubSource


def same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def equal_steps(one, two):
    for a, b in zip(one, two, strict=True):
        for name in Step.__dataclass_fields__:
            if name != "candidates":
                assert same(getattr(a, name), getattr(b, name)), name
        for c, d in zip(a.candidates, b.candidates, strict=True):
            for name in Candidate._fields:
                assert same(getattr(c, name), getattr(d, name)), name


BANNED = Candidate(4, b"\xd0", "\ufffd", -math.inf, -math.inf, 0.0, 3, 0.0, "ban: x")
STEPS = (
    Step(1, b"z", "z"),
    Step(2, b"\xd0", "", 1.5, -0.25, math.exp(-0.25), 1, 0.5, 0.25, 0.75, 0.125, 0.5, (BANNED,), 3, 9),
    Step(3, b"\xba", "к", -math.inf, -math.inf, 0.0, 9, 0.5, 0.25, nucleus=2, n_vocab=9),
)
TRACES = [Trace(STEPS, "generate", "m.gguf", "Hello", None, {"seed": 3}), score(StubSource(), "abc ab", context="a")]


@pytest.mark.parametrize("trace", TRACES, ids=["by hand", "scored"])
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_trace_comes_back_as_it_was(trace, form, tmp_path):
    path = tmp_path / "trace"
    lines = trace_lines(trace) if form == "jsonl" else [json.dumps(trace_json(trace), allow_nan=False)]
    path.write_text("\n".join(lines), encoding="utf-8")
    back = read_trace(path)
    equal_steps(trace.steps, back.steps)
    assert (back.source, back.model, back.context, back.facts) == (
        trace.source,
        trace.model,
        trace.context,
        trace.facts,
    )
    assert back.text == trace.text


def test_json_is_strict_and_in_the_shape_of_openai():
    step = trace_json(TRACES[0])["steps"][1]
    assert {"token", "logprob", "bytes", "top_logprobs"} <= step.keys()
    assert step["bytes"] == [0xD0]
    assert step["top_logprobs"][0]["logprob"] is None
    assert step["top_logprobs"][0]["banned"] is True
    assert "banned" not in step
    whole = json.dumps(trace_json(TRACES[0]), allow_nan=False)
    assert json.loads(whole)["steps"][2]["banned"] is True


@pytest.mark.parametrize(
    ("content", "word"),
    [("", "empty"), ("{}", "no steps"), ("[1]", "no steps"), ('{"steps": [{}]}', "id"), ("{oops", "holds no trace")],
)
def test_what_is_no_trace(content, word, tmp_path):
    path = tmp_path / "no.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=word):
        read_trace(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_trace(tmp_path / "missing.json")


def test_csv_is_a_table():
    file = io.StringIO(newline="")
    write_csv(TRACES[0], file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [row["token"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["logprob"] == ""
    assert float(rows[1]["surprisal"]) == 0.25
    assert rows[1]["bytes"] == "d0"
    assert rows[2]["logit"] == ""
    assert float(rows[2]["probability"]) == 0.0


def test_npz_holds_every_number(tmp_path):
    write_npz(TRACES[0], tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["token"].tolist() == [1, 2, 3]
        assert arrays["rank"].tolist() == [0, 1, 9]
        assert math.isnan(arrays["entropy"][0])
        assert arrays["logit"][2] == -math.inf
        assert arrays["candidate_token"].tolist() == [[-1], [4], [-1]]
        assert arrays["candidate_drawn_with"][1, 0] == 0.0
