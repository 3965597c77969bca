"""Options that commands share: where the prompt comes from, which default counts, every bad input, pipes, terminals.

On a tiny model and in this process: a table of mistakes costs no more than a few processes would.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ggufban.model import Stream
from tests.commands.conftest import Run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def tiny(run: Run, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run` with the tiny model, eight tokens and a seed unless told otherwise."""
    for name, value in (
        ("MODEL", str(tiny_llama)),
        ("PREDICT", "8"),
        ("SEED", "1"),
        ("CTX_SIZE", "256"),
        ("THREADS", "1"),
    ):
        monkeypatch.setenv(f"GGUFBAN_{name}", value)
    return run


# -- the prompt ---------------------------------------------------------------------------------------------------


def test_the_prompt_comes_by_any_way(tiny: Run, tmp_path: Path) -> None:
    prompt = "the cat кот"
    file = tmp_path / "мой prompt.txt"
    expected = tiny("generate", prompt)
    assert (expected.code, expected.err) == (0, "")
    assert expected.out.endswith("\n")
    assert len(expected.out) > 1
    for data in (
        prompt.encode(),
        f"{prompt}\n".encode(),
        f"{prompt}\r\n".encode(),
        b"\xef\xbb\xbf" + prompt.encode(),
    ):
        file.write_bytes(data)
        assert tiny("generate", "-f", str(file)) == expected
        assert tiny("generate", "--file", "-", stdin=data) == expected
        assert tiny("generate", stdin=data) == expected
    assert tiny("generate", "-p", prompt) == expected


def test_an_empty_prompt_is_a_prompt(tiny: Run) -> None:
    assert tiny("generate", "").code == 0
    assert tiny("generate", stdin=b"").out == tiny("generate", "").out


def test_one_line_break_at_the_end_is_dropped(tiny: Run) -> None:
    asked = [json.loads(tiny("generate", "--json", stdin=data).out)["prompt"] for data in (b"a\n\n", b"a\r\n", b"a ")]
    assert asked == ["a\n", "a", "a "]


# -- bad inputs ---------------------------------------------------------------------------------------------------

BAD = [
    ("prompt twice", ["a", "-p", "b"], b"", 2, "the prompt is given more than once; give it as an argument, with -p"),
    ("prompt and file", ["a", "-f", "-"], b"", 2, "the prompt is given more than once"),
    ("two words", ["a", "b"], b"", 2, "Got unexpected extra argument"),
    ("stdin not UTF-8", [], b"caf\xe9", 2, "stdin is not UTF-8: byte 0xe9 at offset 3; save it as UTF-8"),
    ("stdin UTF-16", [], "a".encode("utf-16"), 2, "stdin is UTF-16; save it as UTF-8"),
    ("argument not UTF-8", ["caf\udce9"], b"", 2, "the prompt is not UTF-8; put it into a file in UTF-8"),
    ("no such file", ["-f", "none.txt"], b"", 2, "the prompt file none.txt cannot be read: No such file"),
    ("no such ban file", ["a", "--ban-file", "none.txt"], b"", 2, "none.txt: cannot read this ban list: No such"),
    ("stdin twice", ["--ban-file", "-"], b"x", 2, "stdin cannot be both the prompt and a ban list"),
    ("stdin for both", ["-f", "-", "--ban-file", "-"], b"x", 2, "stdin cannot be both the prompt and a ban list"),
    ("bans not UTF-8", ["a", "--ban-file", "-"], b"\xff", 2, "stdin is not UTF-8: byte 0xff at offset 0"),
    ("bans empty", ["a", "--ban-file", "-"], b"# none\n", 2, "stdin: there is no pattern in this list"),
    ("ban nothing", ["a", "--ban", ""], b"", 2, "--ban:1: an empty pattern"),
    ("ban a comment", ["a", "--ban", "# no"], b"", 2, "--ban: nothing but comments"),
    ("bad pattern", ["a", "--ban", "/(/"], b"", 2, "--ban:1: "),
    ("both JSONs", ["a", "--json", "--jsonl"], b"", 2, "--json and --jsonl exclude each other"),
    ("system alone", ["a", "--system", "b"], b"", 2, "--system goes with --chat"),
    ("no such flag", ["a", "--tempp", "1"], b"", 2, "No such option"),
    ("no such strategy", ["a", "--strategy", "hope"], b"", 2, "'hope' is not one of 'mask', 'rewind', 'exact'"),
    ("no such fold", ["a", "--fold", "all"], b"", 2, "'all' is not one of 'exact', 'case', 'loose'"),
    ("a word for a number", ["a", "--temp", "hot"], b"", 2, "'hot' is not a valid float"),
    ("not a number", ["a", "--temp", "nan"], b"", 2, "temperature is nan, but has to be"),
    ("top-p", ["a", "--top-p", "2"], b"", 2, "top_p is 2.0, but has to be a number from 0 to 1; 1 switches it off"),
    ("top-k", ["a", "--top-k", "-5"], b"", 2, "top_k is -5, but has to be"),
    ("predict", ["a", "-n", "-2"], b"", 2, "-2 is not in the range x>=-1"),
    ("seed", ["a", "-s", "-1"], b"", 2, "-1 is not in the range x>=0"),
    ("threads", ["a", "-t", "0"], b"", 2, "0 is not in the range x>=1"),
    ("gpu layers", ["a", "-ngl", "-2"], b"", 2, "n_gpu_layers is -2; it must be at least -1"),
    ("bias", ["a", "-l", "Paris"], b"", 2, "logit_bias is 'Paris', but has to be a token id, a sign and a number"),
    ("samplers", ["a", "--samplers", "magic"], b"", 2, "samplers has 'magic', but has to be made of"),
    ("no such model", ["a", "-m", "smolm2"], b"", 1, "no model is called 'smolm2': did you mean smollm2?"),
    ("no such path", ["a", "-m", "./none.gguf"], b"", 1, "./none.gguf: no such file; give the path of a GGUF file"),
    ("a folder", ["a", "-m", "."], b"", 1, ". is a folder; name the .gguf file in it"),
    ("not a model", ["a", "-m", __file__], b"", 1, "is not a GGUF file: it begins with"),
    ("hub", ["a", "-hf", "tiny"], b"", 2, "'tiny' does not name a Hugging Face repository: write user/repo"),
    ("long prompt", ["a" * 300], b"", 1, "256"),
    ("no chat template", ["a", "--chat"], b"", 1, "has no chat template"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_bad_input(tiny: Run, arguments: list[str], stdin: bytes, code: int, message: str) -> None:
    result = tiny("generate", *arguments, stdin=stdin)
    assert message in result.err
    assert result.code == code
    assert result.out == ""
    assert "Traceback" not in result.err


def test_a_truncated_model(tiny: Run, tiny_llama: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny_llama.read_bytes()[:-1000])
    result = tiny("generate", "a", "-m", str(path))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"ggufban: {path} is truncated: ")
    assert result.err.count("\n") == 1  # nothing of llama.cpp's log


def test_a_file_that_may_not_be_read(tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    result = tiny("generate", "-f", "secret.txt")
    assert result.code == 2
    assert result.err == "ggufban: the prompt file secret.txt cannot be read: Permission denied\n"


# -- a terminal, a pipe -------------------------------------------------------------------------------------------


def test_no_prompt_on_a_terminal(tiny: Run) -> None:
    result = tiny("generate", stdin=None)
    assert result.code == 2
    assert 'no prompt: give one, as in: ggufban generate "Once upon a time"' in result.err


if sys.platform != "win32":

    def test_no_prompt_on_a_real_terminal(config: Path) -> None:
        import pty

        ours, theirs = pty.openpty()
        try:
            result = subprocess.run(
                command("generate"), stdin=theirs, capture_output=True, text=True, env=environment()
            )
        finally:
            os.close(ours)
            os.close(theirs)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("ggufban: no prompt: give one")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ggufban", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("arguments", [("models",), ("generate", "a", "-n", "30"), ("generate", "a", "--jsonl")])
def test_a_broken_pipe_is_silent(tiny: Run, arguments: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # as `| head -0` does; before the first word is written
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 1


def test_no_colour_where_no_terminal_is(tiny: Run) -> None:
    for arguments in (("generate", "a", "--stats"), ("--help",), ("generate", "--help"), ("models",), ("nonsense",)):
        result = tiny(*arguments)
        assert "\x1b" not in result.out + result.err


# -- what reaches the library -------------------------------------------------------------------------------------


def test_bans_from_stdin(tiny: Run, tmp_path: Path) -> None:
    file = tmp_path / "bans.txt"
    file.write_text("*p*\n# more\n/[a-m]/\n", encoding="utf-8")
    expected = tiny("generate", "a", "--ban-file", str(file))
    assert tiny("generate", "a", "--ban-file", "-", stdin=b"\xef\xbb\xbf*p*\r\n# more\r\n/[a-m]/\r\n") == expected
    assert expected.out != tiny("generate", "a").out


def test_a_bias_bans_a_token(tiny: Run) -> None:
    first = json.loads(tiny("generate", "a", "--temp", "0", "-n", "1", "--json").out)["tokens"][0]
    biased = json.loads(tiny("generate", "a", "--temp", "0", "-n", "1", "--json", "-l", f"{first}-inf").out)
    assert biased["tokens"] != [first]
    assert json.loads(tiny("generate", "a", "-n", "1", "--json", "--ignore-eos", "-l", f"{first}+50").out)[
        "tokens"
    ] == [first]


def test_sequence_breakers_are_read_as_llama_cpp_reads_them(tiny: Run) -> None:
    out = tiny("generate", "a", "--json", "--dry-sequence-breaker", "none", "--dry-sequence-breaker", "\\n").out
    assert json.loads(out)["settings"]["dry_sequence_breakers"] == ["\n"]
    out = tiny("generate", "a", "--json", "--dry-sequence-breaker", "none").out
    assert json.loads(out)["settings"]["dry_sequence_breakers"] == []


@pytest.mark.filterwarnings("default::ggufban.EngineWarning")
def test_asking_for_a_gpu_that_the_build_has_not(tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llama_cpp.llama_supports_gpu_offload", lambda: False)
    result = tiny("generate", "a", "-ngl", "99")
    assert result.code == 0
    assert "ggufban: the installed llama.cpp was built without GPU support: running on the CPU" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("form", ["text", "--json"])
def test_an_interrupt_keeps_what_is_written(tiny: Run, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    steps = interrupted_at(monkeypatch, 3)
    result = tiny("generate", "a", "-n", "50", *([form] if form != "text" else []))
    assert result.code == 130
    text = json.loads(result.out)["text"] if form == "--json" else result.out.removesuffix("\n")
    assert len(steps) < 10
    assert text
    if form == "--json":
        assert json.loads(result.out)["finish_reason"] == "interrupted"


def interrupted_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """Ctrl-C comes before this step; the list grows by one at each."""
    real, steps = Stream.__next__, []

    def next_step(self: Stream) -> object:
        steps.append(1)
        if len(steps) == step:
            signal.raise_signal(signal.SIGINT)
        return real(self)

    monkeypatch.setattr(Stream, "__next__", next_step)
    return steps


# -- which default counts -----------------------------------------------------------------------------------------


def temperature(result_out: str) -> float:
    value: float = json.loads(result_out)["settings"]["temperature"]
    return value


def test_flag_then_environment_then_config_then_default(
    tiny: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert temperature(tiny("generate", "a", "--json").out) == 0.8
    config.write_text("temp = 0.1\n")
    assert temperature(tiny("generate", "a", "--json").out) == 0.1
    config.write_text("temp = 0.1\n[generate]\ntemp = 0.2\n")
    assert temperature(tiny("generate", "a", "--json").out) == 0.2
    monkeypatch.setenv("GGUFBAN_TEMP", "0.3")
    assert temperature(tiny("generate", "a", "--json").out) == 0.3
    assert temperature(tiny("generate", "a", "--json", "--temp", "0.4").out) == 0.4


def test_the_config_file_knows_every_kind_of_option(tiny: Run, config: Path) -> None:
    config.write_text(
        "﻿verbose = false\n"  # a byte order mark, as Windows writes it, and a key outside all tables
        "[generate]\n"
        'ban = ["cat", "the*"]\n'
        'stop = "zzz"\n'
        'json = true\nfold = "loose"\ndry-sequence-breaker = ["x"]\nlogit_bias = "5+1"\ntop-nsigma = 2\n',
        encoding="utf-8",
    )
    whole = json.loads(tiny("generate", "a").out)
    assert whole["fold"] == "loose"
    assert whole["settings"]["dry_sequence_breakers"] == ["x"]
    assert whole["settings"]["top_n_sigma"] == 2
    same = tiny("generate", "a", "--ban", "cat", "--ban", "the*")
    config.write_text("")
    flags = ["--ban", "cat", "--ban", "the*", "--stop", "zzz", "--json", "--fold", "loose", "-l", "5+1"]
    again = json.loads(tiny("generate", "a", *flags, "--top-nsigma", "2", "--dry-sequence-breaker", "x").out)
    assert json.loads(same.out)["text"] == whole["text"] == again["text"]
    assert whole["settings"] == again["settings"]


def test_one_string_in_the_config_file_is_one_ban(tiny: Run, config: Path) -> None:
    unbanned = tiny("generate", "a")
    config.write_text('[generate]\nban = "*zp*"\n')
    result = tiny("generate", "a")
    config.write_text("")
    assert result == tiny("generate", "a", "--ban", "*zp*")
    assert result != unbanned


BAD_CONFIGS = [
    ("not TOML", "temp = ", "Invalid value"),
    ("no such option", "[generate]\ntmep = 1\n", "[generate] has no option 'tmep'; did you mean temp?"),
    ("nothing like it", "[generate]\nqqq = 1\n", "[generate] has no option 'qqq'\n"),
    ("no table", "generate = 5\n", "generate = 5: this is the name of a command; write [generate]"),
    ("a word for a number", '[generate]\ntemp = "hot"\n', "temp = 'hot': 'hot' is not a valid float"),
    ("no such choice", '[generate]\nfold = "all"\n', "fold = 'all': 'all' is not one of 'exact', 'case', 'loose'"),
    ("out of range", "predict = -2\n", "predict = -2: -2 is not in the range x>=-1"),
    ("a list", "temp = [1, 2]\n", "temp = [1, 2]: it takes one value"),
    ("a word for a switch", '[generate]\njson = "no"\n', "json = 'no': it takes true or false"),
    ("a switch for a number", "[generate]\ntemp = true\n", "temp = True: it takes one value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), [row[1:] for row in BAD_CONFIGS], ids=[row[0] for row in BAD_CONFIGS])
def test_a_bad_config_file(tiny: Run, config: Path, text: str, message: str) -> None:
    config.write_text(text)
    result = tiny("generate", "a")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"ggufban: {config}: ")
    assert message in result.err


def test_a_config_file_that_is_not_there(tiny: Run, config: Path) -> None:
    config.unlink()
    result = tiny("generate", "a")
    assert (result.code, result.err) == (2, f"ggufban: GGUFBAN_CONFIG names {config}, and there is no such file\n")


def test_no_config_file_at_all(tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GGUFBAN_CONFIG")
    monkeypatch.setattr("click.get_app_dir", lambda _: str(tmp_path / "nowhere"))
    assert tiny("generate", "a").code == 0


def test_a_config_file_that_is_not_utf8(tiny: Run, config: Path) -> None:
    config.write_bytes(b"# caf\xe9\n")
    result = tiny("generate", "a")
    assert result.code == 2
    assert f"{config}: 'utf-8' codec can't decode byte 0xe9" in result.err


def test_environment_variables_hold_what_repeats(tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "first list.txt", tmp_path / "second.txt"]
    for file, line in zip(files, ("*p*", "*z*"), strict=True):
        file.write_text(line, encoding="utf-8")
    expected = tiny("generate", "a", "--ban-file", str(files[0]), "--ban-file", str(files[1]))
    assert expected != tiny("generate", "a", "--ban-file", str(files[0]))
    monkeypatch.setenv("GGUFBAN_BAN_FILE", os.pathsep.join(map(str, files)))
    assert tiny("generate", "a") == expected
    monkeypatch.delenv("GGUFBAN_BAN_FILE")
    whole = tiny("generate", "a", "--temp", "0").out.rstrip("\n")
    monkeypatch.setenv("GGUFBAN_STOP", "no such text")  # not `no` and `such` and `text`
    assert tiny("generate", "a", "--temp", "0").out.rstrip("\n") == whole


def test_a_bad_environment_variable_is_named(tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGUFBAN_TEMP", "hot")
    result = tiny("generate", "a")
    assert result.code == 2
    assert "GGUFBAN_TEMP" in result.err
    assert "'hot' is not a valid float" in result.err
