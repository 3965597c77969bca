"""`inspect`, `score`, `compare` and `sweep`, as people run them, on a tiny model."""

import csv
import io
import json
import os
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from ggufban import Model
from ggufban.inspection.compare import compare
from tests.commands.conftest import Run
from tests.tiny import write_tiny

TEXT = "the cat sat the catalog is the cat Paris is the cat sat. кот the cat"


@pytest.fixture(autouse=True)
def one_thread(config: Path) -> None:
    """A tiny model is done before a second thread has woken up."""
    config.write_text("threads = 1\n")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "gpt2.gguf", "gpt2")


@pytest.fixture(scope="module")
def quantized(tiny_llama: Path) -> Path:
    """The tiny model in 4 bits, by llama.cpp itself."""
    target = tiny_llama.with_name("llama-q4_0.gguf")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = 2, 1  # LLAMA_FTYPE_MOSTLY_Q4_0
    assert llama_cpp.llama_model_quantize(os.fsencode(tiny_llama), os.fsencode(target), params) == 0
    return target


def test_inspect_shows_the_best_tokens(run: Run, gpt2: Path) -> None:
    result = run("inspect", "the cat", "--top", "3", "-m", str(gpt2))
    assert (result.code, result.err) == (0, "")
    with Model(gpt2) as model:
        step = model.inspect("the cat", top=3)
    lines = result.out.splitlines()
    assert lines[0].split() == ["rank", "token", "id", "logit", "probability", "cumulative"]
    for line, candidate in zip(lines[1:4], step.candidates, strict=True):
        assert f" {candidate.token} " in line
        assert f"{candidate.probability:.4f}" in line
    assert f"entropy       {step.entropy:.3f} nats" in result.out
    assert all(len(line) <= 80 for line in lines)


def test_inspect_watches_words_of_several_tokens(run: Run, tiny_llama: Path) -> None:
    result = run("inspect", "the", "--watch", "cat sat", "--watch", "a", "--json", "-m", str(tiny_llama))
    watched = {seen["word"]: seen for seen in json.loads(result.out)["watch"]}
    with Model(tiny_llama) as model:
        total = 0.0
        for spelled in ("cat sat", " cat sat"):
            trace = model.score(spelled, context="the")
            total += np.exp(-trace.summary().nll)
    assert watched["cat sat"]["probability"] == pytest.approx(total, rel=1e-3)
    assert watched["a"]["rank"] >= 1


def test_inspect_explains_a_generation(run: Run, tiny_llama: Path) -> None:
    arguments = ["inspect", "the", "-n", "6", "--ban", "cat", "--top", "4", "--seed", "5", "-m", str(tiny_llama)]
    plain = run(*arguments, "--watch", "cat", "--color", "entropy", "--spans", "word")
    assert plain.code == 0, plain.err
    assert plain.out.count("watch 'cat'") == 6
    for word in ("drawn ", "removed by ", "-> ", "rank ", "entropy: ·", "H mean", "seed          5"):
        assert word in plain.out
    whole = json.loads(run(*arguments, "--json").out)
    generated = json.loads(
        run("generate", "the", "-n", "6", "--ban", "cat", "--top", "4", "-s", "5", "--json", "-m", str(tiny_llama)).out
    )
    assert whole["tokens"] == generated["tokens"]
    assert whole["source"] == "generate"
    assert whole["prompt"] == "the"
    assert len(whole["steps"]) == 6
    for step in whole["steps"]:
        assert 0 <= step["random"] < 1
        assert any(c["removed_by"] for c in step["top_logprobs"]) or step["drawn_with"] > 0


def test_a_saved_trace_is_viewed_without_a_model(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    saved = tmp_path / "trace.json"
    for command in (
        ["generate", "the", "-n", "5", "-s", "1", "--json"],
        ["generate", "the", "-n", "5", "-s", "1", "--jsonl"],
        ["inspect", "the", "-n", "5", "-s", "1", "--json"],
        ["score", "--text", TEXT, "--jsonl"],
        ["inspect", "the", "--json"],
    ):
        saved.write_text(run(*command, "-m", str(tiny_llama)).out, encoding="utf-8")
        shown = run("inspect", "--load", str(saved), "-m", "no-such-model")
        assert shown.code == 0, shown.err
        assert shown.out.strip()
        again = json.loads(run("inspect", "--load", str(saved), "--json").out)
        assert again["tokens"]
        strip = run("inspect", "--load", str(saved), "--color", "surprisal").out
        assert "surprisal: · below 1 bit" in strip
        assert "\x1b" not in strip


def test_samples_that_agree_and_that_do_not(run: Run, tiny_llama: Path) -> None:
    arguments = ["inspect", "the", "-n", "3", "--samples", "4", "-m", str(tiny_llama)]
    agree = json.loads(run(*arguments, "--temp", "0", "--json").out)
    assert (agree["count"], agree["entropy"]) == (4, 0.0)
    differ = run(*arguments, "--temp", "5", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--seed", "1")
    assert "semantic entropy" in differ.out
    assert "1.00 of the most possible" in differ.out


def test_score_in_every_form(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT + "\n", encoding="utf-8")
    base = ["score", str(text), "-m", str(tiny_llama)]
    plain = run(*base, "--tokens", "--color", "rank", "--spans", "sentence")
    assert (plain.code, plain.err) == (0, "")
    with Model(tiny_llama) as model:
        trace = model.score(TEXT)
    summary = trace.summary()
    assert f"perplexity    {summary.perplexity:.4f} ± {summary.perplexity_error:.4f}" in plain.out
    assert f"bits a byte   {summary.bits_per_byte:.4f}" in plain.out
    assert all(len(line) <= 80 for line in plain.out.splitlines())
    whole = json.loads(run(*base, "--json").out)
    assert whole["summary"]["perplexity"] == pytest.approx(summary.perplexity)
    assert len(run(*base, "--jsonl").out.splitlines()) == len(trace.steps) + 1
    rows = list(csv.DictReader(io.StringIO(run(*base, "--csv", "-").out)))
    assert len(rows) == len(trace.steps)
    run(*base, "--npz", str(tmp_path / "a.npz"))
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["logprob"] == pytest.approx([s.logprob for s in trace.steps])
    stdin = run("score", "-", "-m", str(tiny_llama), stdin=TEXT.encode())
    assert f"perplexity    {summary.perplexity:.4f}" in stdin.out


@pytest.mark.parametrize(("text", "between"), [("cat sat", "\n\n"), (" cat sat", "")])
def test_score_with_a_context_and_nothing_else(
    run: Run, tiny_llama: Path, tmp_path: Path, text: str, between: str
) -> None:
    context = tmp_path / "context.txt"
    context.write_text("the cat sat", encoding="utf-8")
    result = run("score", "--text", text, "--context", str(context), "-m", str(tiny_llama), "--json")
    assert result.code == 0
    with Model(tiny_llama) as model:
        alone, within = (model.score(text, context=before) for before in ("", "the cat sat" + between))
    expected = alone.array("surprisal").sum() - within.array("surprisal").sum()
    assert json.loads(result.out)["effect"]["total"] == pytest.approx(expected)


def test_score_with_a_context(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    context, answers = tmp_path / "context.txt", tmp_path / "answers.txt"
    context.write_text("the cat sat the cat sat", encoding="utf-8")
    answers.write_text("cat sat\nParis\n", encoding="utf-8")
    base = ["score", "-p", "the", "--context", str(context), "-m", str(tiny_llama)]
    one = json.loads(run(*base, "--text", "cat sat", "--json").out)
    with Model(tiny_llama) as model:
        alone = model.score(" cat sat", context="the")
        within = model.score(" cat sat", context="the cat sat the cat sat\n\nthe")
    difference = alone.array("surprisal") - within.array("surprisal")
    assert one["effect"]["difference"] == pytest.approx(difference.tolist())
    assert one["effect"]["verdict"] in ("helped", "ignored", "misled")
    both = run(*base, str(answers), "--lines")
    assert both.out.count("verdict  ") == 2
    assert "== Paris" in both.out
    assert [x["name"] for x in json.loads(run(*base, str(answers), "--lines", "--json").out)] == ["cat sat", "Paris"]


def test_compare_a_model_with_itself_and_quantized(run: Run, tiny_llama: Path, quantized: Path, tmp_path: Path) -> None:
    same = run("compare", "-m", str(tiny_llama), "-m", str(tiny_llama), "--text", TEXT)
    assert (same.code, same.err) == (0, "")
    assert "Mean KLD                            0.000000" in same.out
    assert "Same top p                           100.000" in same.out
    terms = tmp_path / "terms.txt"
    terms.write_text("cat\nParis\n", encoding="utf-8")
    base = ["compare", "-m", str(tiny_llama), "-m", str(quantized), "--text", TEXT, "--terms", str(terms)]
    plain = run(*base)
    assert plain.code == 0, plain.err
    assert all(len(line) <= 80 for line in plain.out.splitlines())
    assert "all terms" in plain.out
    assert "where they stand" in plain.out
    figures = json.loads(run(*base, "--json").out)["figures"]
    assert 0 < figures["Mean KLD"]["value"] < 0.5  # four bits of random weights
    assert figures["Same top p"]["value"] > 0.5
    assert figures["Median KLD"]["value"] <= figures["Maximum KLD"]["value"]
    with Model(tiny_llama) as one, Model(quantized) as two:
        assert compare(one, two, TEXT).figures()["Mean KLD"].value == pytest.approx(figures["Mean KLD"]["value"])


def test_compare_other_vocabularies_and_settings(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    other = write_tiny(tmp_path / "letters.gguf", words=[*"abcdefghijklmnopqrstuvwxyzP", " ", "."])
    by_bytes = run("compare", "-m", str(tiny_llama), "-m", str(other), "--text", TEXT)
    assert "compared by bytes" in by_bytes.out
    assert (
        json.loads(run("compare", "-m", str(tiny_llama), "-m", str(other), "--text", TEXT, "--json").out)["bytes"] > 0
    )
    settings = ["compare", "-m", str(tiny_llama), "--text", TEXT, "--setting"]
    assert "KLD is infinite" in run(*settings, "top-k=5").out
    assert "Mean KLD" in run(*settings, "temp=0.5", "--setting", "temp=2").out


def test_sweep(run: Run, tiny_llama: Path) -> None:
    grid = run("sweep", "the", "--temp", "0.5,1", "--top-k", "0,3", "--word", "cat", "-m", str(tiny_llama))
    assert (grid.code, grid.err) == (0, "")
    assert len(grid.out.splitlines()) == 1 + 4 + 1
    assert "'cat' is" in grid.out
    every = json.loads(run("sweep", "the", "--json", "-m", str(tiny_llama)).out)
    assert len(every) == 17
    assert {row.get("top_k") for row in every} >= {1, 5, 40, 200}


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["inspect", "x", "--samples", "3"], 2, "--samples needs -n"),
        (["inspect", "x", "--ban", "y"], 2, "give -n"),
        (["inspect", "x", "-n", "2", "--samples", "2", "--watch", "y"], 2, "exclude each other"),
        (["inspect", "--load", "none.json"], 2, "none.json cannot be read"),
        (["inspect", "x", "--json", "--jsonl"], 2, "exclude each other"),
        (["score", "none.txt"], 2, "none.txt cannot be read"),
        (["score", "--text", ""], 2, "is empty"),
        (["score", "--text", "a", "--text", "b", "--csv", "-"], 2, "for one text"),
        (["score", "--text", "a", "--context", "c.txt", "--protocol", "llama.cpp"], 2, "--protocol full"),
        (["compare", "--text", "x"], 2, "give -m twice"),
        (["compare", "-m", "a", "-m", "b"], 2, "give one text"),
        (["compare", "-m", "a", "-m", "b", "--setting", "temp=1", "--text", "x"], 2, "give -m once"),
        (["compare", "-m", "a", "--setting", "heat=1", "--text", "x"], 2, "heat=1"),
        (["sweep", "x", "--temp", "warm"], 2, "numbers separated by commas"),
    ],
)
def test_misuse_is_told(run: Run, tiny_llama: Path, tmp_path, monkeypatch, arguments, code, word) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.txt").write_text("c")
    if arguments[0] != "compare":
        arguments = [*arguments, "-m", str(tiny_llama)]
    result = run(*arguments)
    assert (result.code, word in result.err, result.out) == (code, True, "")


def test_a_terminal_is_not_waited_for(run: Run) -> None:
    assert run("score", stdin=None).code == 2
