"""`ggufban evaluate`, on a tiny model: what is counted, and how it is shown."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from ggufban import BanList, Model
from tests.commands.chatting import write_chatty
from tests.commands.conftest import Run

NO_END = ("--logit-bias", "2-inf")


@pytest.mark.parametrize("name", ["requests.txt", "openings.txt"])
def test_the_built_in_prompts(name: str) -> None:
    text = resources.files("ggufban.decoding").joinpath(name).read_text(encoding="utf-8")
    prompts = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(prompts) >= 40
    assert len(set(prompts)) == len(prompts)
    assert all(line == line.strip() and 20 < len(line) < 80 for line in prompts)


def test_strategies_are_told_apart(run: Run, tiny_llama: Path) -> None:
    bans = ["/[a-z]/", "*к*"]
    result = run(
        "evaluate", "-m", str(tiny_llama), "--ban", bans[0], "--ban", bans[1], "--limit", "4", "-n", "24", "-s", "5",
        "--temp", "1", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--json", *NO_END,
    )  # fmt: skip
    assert (result.code, result.err) == (0, "")
    whole = json.loads(result.out, parse_constant=pytest.fail)
    assert (whole["prompts"], whole["bans"], whole["predict"], whole["chat"]) == (4, 2, 24, False)
    none, mask, rewind = (whole["strategies"][name] for name in ("none", "mask", "rewind"))
    for part in (none, mask, rewind):
        assert (part["texts"], part["tokens"]) == (4, 96)
        assert [sample["seed"] for sample in part["samples"]] == [5, 6, 7, 8]
    found = sum(len(BanList(bans).find(sample["text"])) for sample in none["samples"])
    assert none["leaks"] == found > 0
    assert mask["leaks"] == rewind["leaks"] == 0
    assert none["evaluations_per_token"] == mask["evaluations_per_token"] == 1.0
    assert rewind["evaluations_per_token"] >= 1.0
    assert "nats_over_none" not in none
    assert rewind["nats_over_none"] == pytest.approx(rewind["nats"] - none["nats"])
    assert 0 < mask["legal"] < 1
    assert mask["kl"] >= 0
    assert all(sample["nats"] > 0 for sample in none["samples"])


def test_the_nats_are_those_of_the_model_itself(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    """Scored again by the model, token by token, whatever temperature the text was drawn with."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("# a comment\n\nthe cat\n  is Paris  \n")
    result = run(
        "evaluate", "-m", str(tiny_llama), "--prompts", str(prompts), "--ban", "*a*", "-n", "12", "--temp", "0.5",
        "--json", "--strategies", "none,rewind", *NO_END,
    )  # fmt: skip
    whole = json.loads(result.out)
    assert whole["prompts"] == 2
    with Model(tiny_llama, n_threads=1) as model:
        for strategy, name in ((None, "none"), (BanList(["*a*"]), "rewind")):
            sample = whole["strategies"][name]["samples"][1]
            assert sample["prompt"] == "is Paris"
            out = model.generate(
                "is Paris", bans=strategy, n_predict=12, temperature=0.5, seed=2, logit_bias={2: -1e9}, top=None
            )
            assert out.text == sample["text"]
            nats, tokens = 0.0, model.tokenize("is Paris")
            for token in out.tokens:
                model.goto(tokens)
                row = model.logits().astype(np.float64)
                nats += float(np.logaddexp.reduce(row) - row[token])
                tokens.append(token)
            assert sample["nats"] == pytest.approx(nats, rel=1e-3)


def test_the_table_fits_a_terminal(run: Run, tmp_path: Path) -> None:
    path = write_chatty(tmp_path / "chatty.gguf")
    result = run(
        "evaluate", "-m", str(path), "--chat", "--ban", "*a*", "--limit", "2", "-n", "8", "--max-evaluations", "40",
        "--strategies", "none, mask,rewind,exact", *NO_END,
    )  # fmt: skip
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "chatty.gguf, 1 pattern, 2 requests by the chat template, of 8 tokens each"
    assert lines[1].split() == ["leaks", "nats/tok", "±", "-", "none", "±", "evals/tok", "tok/s", "dead", "word"]
    assert [line.split()[0] for line in lines[2:6]] == ["none", "mask", "rewind", "exact"]
    assert lines[6].startswith("mask: P(no match) = E[w] = ")
    assert lines[7].startswith("      KL(mask ‖ exact) = ")
    assert max(map(len, lines)) <= 80


def test_a_ban_of_everything_is_a_dead_end(run: Run, tiny_llama: Path) -> None:
    result = run(
        "evaluate", "-m", str(tiny_llama), "--ban", "/./", "--limit", "2", "-n", "4", "--json",
        "--strategies", "mask,rewind", *NO_END,
    )  # fmt: skip
    strategies = json.loads(result.out)["strategies"]
    assert [part["dead_ends"] for part in strategies.values()] == [2, 2]
    assert strategies["mask"]["legal"] == 0
    assert strategies["mask"]["kl"] is None
    for part in strategies.values():
        assert part["leaks"] == 0
        assert {sample["text"] for sample in part["samples"]} == {""}  # there may be tokens without text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "nothing is banned, so there is nothing to evaluate: give --ban or --ban-file"),
        (["--ban", "x", "--strategies", "mask,backtrack"], "strategies is 'mask,backtrack'; it must be some of none"),
        (["--ban", "x", "--prompts", "nowhere.txt"], "nowhere.txt cannot be read"),
        (["--ban", "x", "--prompts", "-"], "stdin: there is no prompt in it"),
        (["--ban-file", "-", "--prompts", "-"], "stdin cannot be both the prompts and a ban list"),
    ],
)
def test_mistakes(run: Run, tiny_llama: Path, args: list[str], message: str) -> None:
    result = run("evaluate", "-m", str(tiny_llama), *args, stdin=b"# nothing\n")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
