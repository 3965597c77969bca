"""`ggufban generate`, as its users run it: on a real model, and with every mistake."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.cli import run_cli

FRANCE = "The capital of France is"
PARIS = re.compile(r"(?i)\bparis\b")


@pytest.mark.parametrize("strategy", ["rewind", "mask", "exact"])
def test_the_main_job(smollm2_path: Path, strategy: str) -> None:
    free = run_cli("generate", FRANCE, "--temp", 0, "-n", 32, "-m", smollm2_path)
    assert free.returncode == 0
    assert "Paris" in free.stdout
    temp = 0.8 if strategy == "exact" else 0  # at temperature 0 there is one text, and it has Paris in it
    banned = run_cli(
        "generate",
        FRANCE,
        "--temp",
        temp,
        "-s",
        1,
        "-n",
        32,
        "--ban",
        "Paris",
        "--strategy",
        strategy,
        "-m",
        smollm2_path,
    )
    assert banned.returncode == 0
    assert not PARIS.search(banned.stdout)
    assert len(banned.stdout.split()) > 8
    assert banned.stderr == ""


def test_a_ban_on_the_only_text_leaves_exact_nothing(smollm2_path: Path) -> None:
    result = run_cli(
        "generate",
        FRANCE,
        "--temp",
        0,
        "-n",
        8,
        "--ban",
        "Paris",
        "--strategy",
        "exact",
        "--json",
        "-m",
        smollm2_path,
    )
    out = json.loads(result.stdout)
    assert out["text"] == ""
    assert out["finish_reason"] == "banned"


def test_the_checkout_runs_without_being_installed(smollm2_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "cli.py", "generate", FRANCE, "-n", "4", "--temp", "0", "-m", str(smollm2_path)]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.startswith(" Paris")


@pytest.mark.parametrize("seed", range(4))
def test_a_ban_holds_for_every_spelling(smollm2, seed: int) -> None:
    """The prompt asks for the word in capitals and lower case; the word Parisian stays possible."""
    from ggufban import BanList

    prompt = "PARIS paris Paris. Parisian PARIS paris Paris. Parisian PARIS"
    out = smollm2.generate(prompt, bans=BanList(["Paris"]), n_predict=24, seed=seed, strategy="mask")
    assert not PARIS.search(out.text)
    free = smollm2.generate(prompt, n_predict=24, seed=seed)
    assert PARIS.search(free.text)


def test_the_same_seed_writes_the_same_text(smollm2_path: Path) -> None:
    texts = {run_cli("generate", "Once", "-s", 7, "-n", 24, "-m", smollm2_path).stdout for _ in range(2)}
    assert len(texts) == 1
    assert run_cli("generate", "Once", "-s", 8, "-n", 24, "-m", smollm2_path).stdout not in texts


def test_json_is_one_strict_object(smollm2_path: Path) -> None:
    result = run_cli("generate", FRANCE, "--json", "-n", 6, "-s", 1, "--ban", "Paris", "--top", 3, "-m", smollm2_path)
    out = json.loads(result.stdout, parse_constant=pytest.fail)
    assert list(out) == [
        "text", "finish_reason", "prompt", "model", "seed", "strategy", "fold", "sampler", "settings", "tokens",
        "steps", "report", "note", "detours",
    ]  # fmt: skip
    assert out["seed"] == 1
    assert out["strategy"] == "rewind"
    assert out["sampler"] == ["top-k", "top-p", "min-p", "temperature"]
    assert len(out["tokens"]) == len(out["steps"]) == 6
    assert "".join(step["text"] for step in out["steps"]) == out["text"]
    first = out["steps"][0]
    assert len(first["top_logprobs"]) == 3
    assert first["top_logprobs"][0]["token"] == " Paris"
    assert first["top_logprobs"][0]["removed_by"] == "ban: Paris"
    assert first["removed_mass"] > 0.5
    assert bytes(first["bytes"]).decode() == first["token"]
    assert out["report"]["hits"] == {"Paris": 1}
    assert out["detours"][0]["text"].startswith(" Paris")
    assert (out["detours"][0]["at"], out["detours"][0]["reason"]) == (0, "Paris")
    assert out["report"]["evaluations_per_token"] >= 1.0


def test_jsonl_is_an_object_a_token_and_one_at_the_end(smollm2_path: Path) -> None:
    result = run_cli("generate", FRANCE, "--jsonl", "-n", 5, "--temp", 0, "-m", smollm2_path)
    *steps, whole = map(json.loads, result.stdout.splitlines())
    assert [step["text"] for step in steps][:2] == [" Paris", "."]
    assert whole["text"] == "".join(step["text"] for step in steps)
    assert "steps" not in whole


def test_bans_that_begin_after_a_text(smollm2_path: Path) -> None:
    common = ["generate", FRANCE, "--temp", 0, "-n", 40, "--ban", "the", "-m", smollm2_path]
    assert "the" not in run_cli(*common).stdout.lower().split()
    after = run_cli(*common, "--ban-after", "Paris.").stdout
    assert after.startswith(" Paris.")
    assert "the" not in after.partition("Paris.")[2].lower().split()
    never = run_cli(*common, "--ban-after", "no such text").stdout
    assert "the" in never.lower().split()


def test_samples_are_written_together(smollm2_path: Path) -> None:
    common = ["generate", FRANCE, "-s", 1, "-n", 12, "--ban", "Paris", "-m", smollm2_path, "--json"]
    texts = json.loads(run_cli(*common, "--samples", 3).stdout)
    assert len(texts) == len({out["text"] for out in texts}) == 3
    assert not any(PARIS.search(out["text"]) for out in texts)
    again = json.loads(run_cli(*common, "--samples", 3).stdout)
    assert [out["text"] for out in again] == [out["text"] for out in texts]
    exact = json.loads(run_cli(*common, "--samples", 2, "--strategy", "exact", "-n", 4).stdout)
    assert all(0 < out["report"]["clean_probability"] <= out["report"]["clean_at_most"] < 0.5 for out in exact)
    assert exact[1]["report"]["evaluations"] < exact[0]["report"]["evaluations"]  # what was learnt is shared


def test_exact_that_spends_its_budget_falls_back_and_says_so(smollm2_path: Path) -> None:
    result = run_cli(
        "generate", "Paris Paris Paris Paris Paris Paris Paris", "-s", 1, "-n", 40, "--ban", "Paris", "--strategy", "exact",
        "--max-evaluations", 12, "-m", smollm2_path,
    )  # fmt: skip
    assert result.returncode == 0
    assert "exact spent its budget of 12 evaluations" in result.stderr
    assert result.stdout.strip()
    assert not PARIS.search(result.stdout)


def test_stats_go_to_stderr(smollm2_path: Path) -> None:
    result = run_cli("generate", FRANCE, "-n", 8, "-s", 1, "--ban", "Paris", "--stats", "-m", smollm2_path)
    assert "1 × Paris" in result.stderr
    assert "the prompt asks for what is banned" in result.stderr
    assert "Paris" not in result.stdout


def test_chat_answers_through_the_template(smollm2_path: Path) -> None:
    result = run_cli(
        "generate", "--chat", "--system", "Answer in one word.", "What is the capital of France?", "--temp", 0, "-n", 40,
        "--ban", "Paris", "-m", smollm2_path,
    )  # fmt: skip
    assert result.returncode == 0
    assert result.stdout.strip()
    assert not PARIS.search(result.stdout)


def test_the_prompt_comes_from_wherever_it_is_given(tmp_path: Path, smollm2_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(FRANCE.encode() + b"\r\n")
    common = ["-n", 4, "--temp", 0, "-m", smollm2_path]
    texts = [
        run_cli("generate", FRANCE, *common),
        run_cli("generate", "-p", FRANCE, *common),
        run_cli("generate", "-f", file, *common),
        run_cli("generate", "-f", "-", *common, input=FRANCE + "\n"),
        run_cli("generate", *common, input=FRANCE),
    ]
    assert {result.stdout for result in texts} == {texts[0].stdout}
    assert texts[0].stdout.startswith(" Paris")


def test_stop_strings_and_the_end_of_text(smollm2_path: Path) -> None:
    stopped = run_cli("generate", FRANCE, "--temp", 0, "-n", 64, "--stop", "\n", "-m", smollm2_path)
    assert stopped.stdout == " Paris.\n"
    on = run_cli("generate", "--chat", "Say yes.", "-s", 1, "-n", 90, "--ignore-eos", "--json", "-m", smollm2_path)
    assert json.loads(on.stdout)["finish_reason"] == "length"


@pytest.mark.parametrize("strategy", ["rewind", "mask", "exact"])
def test_every_letter_banned(smollm2_path: Path, strategy: str) -> None:
    common = ["--ban", r"/\p{L}/", "--strategy", strategy, "--json", "-s", 1, "-n", 12, "-m", smollm2_path]
    out = json.loads(run_cli("generate", FRANCE, *common).stdout)
    assert out["text"] == ""
    assert out["finish_reason"] == "banned"
    assert out["report"]["evaluations"] == 1
    digits = json.loads(run_cli("generate", "2 + 2 =", *common).stdout)  # where the model wants digits, it has them
    assert re.match(r"\s*\d", digits["text"])


@pytest.mark.skipif(sys.platform == "win32", reason="a console's Ctrl-C cannot be sent to one process on Windows")
@pytest.mark.parametrize("strategy", ["rewind", "mask"])
def test_ctrl_c_leaves_a_legal_text_and_exit_code_130(smollm2_path: Path, strategy: str) -> None:
    command = [
        sys.executable, "-m", "ggufban", "generate", "Once upon a time", "--ban", "the", "--strategy", strategy,
        "-n", "-1", "--ignore-eos", "--jsonl", "-s", "1", "-m", str(smollm2_path),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    whole = json.loads(rest.splitlines()[-1])
    assert whole["finish_reason"] == "interrupted"
    assert not re.search(r"(?i)\bthe\b", whole["text"])


BAD = [
    (["-m", "no/such.gguf"], 1, "no/such.gguf: no such file; give the path of a GGUF file, or a name"),
    (["-m", "smolm2"], 1, "no model is called 'smolm2': did you mean smollm2?"),
    (["-m", __file__], 1, "is not a GGUF file"),
    (["--temp", "nan"], 2, "temperature"),
    (["--top-p", "1.5"], 2, "1.5"),
    (["-n", "-5"], 2, "-5"),
    (["--strategy", "guess"], 2, "'guess' is not one of"),
    (["--ban", ""], 2, ""),
    (["--ban", "*"], 2, "*"),
    (["--ban", "/(/"], 2, ""),
    (["--ban-file", "no-such-list.txt"], 2, "no-such-list.txt"),
    (["--stop", ""], 2, "stop string is empty"),
    (["--json", "--jsonl"], 2, "--json and --jsonl exclude each other"),
    (["--system", "x"], 2, "--system goes with --chat"),
    (["-p", "twice"], 2, "the prompt is given more than once"),
    (["--no-such-flag"], 2, "No such option"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), BAD, ids=lambda value: str(value)[:30])
def test_mistakes_say_what_to_do(arguments: list[str], code: int, message: str, tiny_llama: Path) -> None:
    model = [] if "-m" in arguments else ["-m", tiny_llama]
    result = run_cli("generate", "Hello", *model, *arguments)
    assert result.returncode == code, result.stderr
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_bad_line_of_a_file_is_named(tmp_path: Path, tiny_llama: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("fine\n\n# a comment\nscript:Klingonish\n")
    result = run_cli("generate", "Hello", "--ban-file", file, "-m", tiny_llama)
    assert result.returncode == 2
    assert "list.txt:4:" in result.stderr
    file.write_text("# nothing\n")
    assert run_cli("generate", "Hello", "--ban-file", file, "-m", tiny_llama).returncode == 2


def test_stdin_that_is_not_utf_8(tiny_llama: Path) -> None:
    result = run_cli("generate", "-m", tiny_llama, input=b"caf\xe9")
    assert result.returncode == 2
    assert "stdin is not UTF-8: byte 0xe9 at offset 3" in result.stderr


def test_a_prompt_longer_than_the_context(tiny_llama: Path) -> None:
    result = run_cli("generate", "the cat " * 400, "-m", tiny_llama)
    assert result.returncode == 1
    assert "do not fit into a context of 256" in result.stderr


def test_a_truncated_file(tiny_llama: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(tiny_llama.read_bytes()[:-5000])
    result = run_cli("generate", "Hello", "-m", short)
    assert result.returncode == 1
    assert "is truncated" in result.stderr


def test_gpu_layers_without_gpu_support_are_a_note(tiny_llama: Path) -> None:
    from ggufban.engine import system_info

    result = run_cli("generate", "Hello", "-ngl", 99, "-n", 2, "-m", tiny_llama)
    assert result.returncode == 0
    assert ("without GPU support" in result.stderr) is not system_info()["gpu_offload"]


def test_a_full_disk_is_said(tiny_llama: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    command = [sys.executable, "-m", "ggufban", "generate", "Hello", "-n", "4", "-m", str(tiny_llama)]
    with full.open("w") as out:
        result = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
    assert result.returncode == 1
    assert b"No space left on device" in result.stderr
    assert b"Traceback" not in result.stderr
