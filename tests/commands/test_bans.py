"""`ggufban bans`, as its users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands.cli import run_cli

LINES = "# words\ndelve*\nDelve\nshivers  down\n/not [a-z]+ but/\nscript:Han\n日本\nкот ~ru\nDELVE*\n"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text(LINES, "utf-8")
    return path


def test_a_list_is_shown_with_what_is_wrong_in_it(words: Path) -> None:
    result = run_cli("bans", words)
    assert (result.returncode, result.stderr) == (0, "")
    assert "8 patterns, fold case" in result.stdout
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "2 delve* words that begin so #delve" in lines
    assert "4 shivers down phrase #shivers# #down#" in lines
    assert "1 say what another line says:" in lines
    assert "9 DELVE* the same as line 2: delve*" in lines
    assert "2 forbid nothing that another line does not forbid:" in lines
    assert "3 Delve swallowed by line 2: delve*" in lines
    assert "7 日本 swallowed by line 6: script:Han" in lines
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_clean_list_says_so() -> None:
    result = run_cli("bans", "--ban", "cat", "--ban", "dog")
    assert "No line says what another one says." in result.stdout


def test_long_lists_are_cut(words: Path) -> None:
    assert "… 6 more; --limit 0 shows all" in run_cli("bans", words, "--limit", 2).stdout
    assert "more; --limit" not in run_cli("bans", words, "--limit", 0).stdout


def test_json_is_one_object(words: Path) -> None:
    whole = json.loads(run_cli("bans", words, "--json").stdout)
    assert [p["duplicate_of"] for p in whole["patterns"]] == [None] * 7 + [0]
    assert [p["swallowed_by"] for p in whole["patterns"]] == [None, 0, None, None, None, 4, None, None]
    assert whole["patterns"][0] == {
        "pattern": "delve*", "source": str(words), "line": 2, "kind": "text", "meaning": "words that begin so",
        "symbols": ["#delve"], "duplicate_of": None, "swallowed_by": None,
    }  # fmt: skip
    assert "vocabulary" not in whole


def test_contradictions_are_shown(words: Path) -> None:
    result = run_cli("bans", words, "--bias", "delves=+2", "--bias", "shivers=+1")
    assert "bias 'delves' favours what the ban 'delve*' forbids" in result.stdout
    assert "1 contradictions" in result.stdout


def test_a_vocabulary_is_looked_at(smollm2_path: Path) -> None:
    result = run_cli("bans", "--ban", "Paris", "--ban", "*ass*", "--ban", "token:2", "-m", smollm2_path)
    assert result.returncode == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert any(line.startswith("305 of 49,152 tokens (0.62 %) are illegal") for line in lines)
    assert any("*ass* 'ass', ' ass', ' class'" in line for line in lines)
    assert any("Paris ' Paris', 'Paris'" in line for line in lines)
    assert any(line.startswith("token:2: with this token a text ends") for line in lines)
    whole = json.loads(run_cli("bans", "--ban", "Paris", "-m", smollm2_path, "--json").stdout)["vocabulary"]
    assert whole["tokens"] == 49152
    assert whole["touched"] == [{"pattern": 0, "tokens": whole["illegal_at_start"]}]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "no ban list: name a file"),
        (["/nowhere/to/be/found"], "cannot read this ban list"),
        (["--ban", "script:Nonsense"], "Nonsense"),
        (["--ban", "token:99999", "-m"], "token:99999"),
    ],
)
def test_every_mistake_has_its_message(args: list[str], message: str, smollm2_path: Path) -> None:
    result = run_cli("bans", *args, *([smollm2_path] if args[-1:] == ["-m"] else []))
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_model_llama_cpp_is_not_imported(words: Path) -> None:
    code = (
        "import sys; from ggufban.commands import cli;"
        f"cli.main(['bans', {str(words)!r}], standalone_mode=False); print('llama_cpp' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert result.stdout.splitlines()[-1] == "False"
