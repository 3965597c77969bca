"""`ggufban check`, and the search behind it, judged by plain search over the whole text."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban import BanList
from ggufban.bans.places import find_places
from tests.commands.cli import run_cli

TEXT = "I delve.\r\nWe shivers\n  down in Paris zoé\nPARIS"


@pytest.fixture
def essay(tmp_path: Path) -> Path:
    path = tmp_path / "essay.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_matches_are_listed_with_line_and_column(essay: Path) -> None:
    result = run_cli("check", "--ban", "Paris", "--ban", "delve", "--ban", "shivers down", "--ban", "zoé", essay)
    assert result.returncode == 1
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        f"{essay}:1:3: delve: I delve.",
        f"{essay}:2:4: shivers down: We shivers   down in Paris zoé",
        f"{essay}:3:11: Paris: down in Paris zoé",
        f"{essay}:3:17: zoé: down in Paris zoé",
        f"{essay}:4:1: Paris: PARIS",
    ]


def test_a_clean_text_is_silent(essay: Path) -> None:
    result = run_cli("check", "--ban", "Pari", essay)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_fold_is_asked_for(essay: Path) -> None:
    assert run_cli("check", "--ban", "paris", "--fold", "exact", essay).returncode == 0
    assert run_cli("check", "--ban", "zoe", "--fold", "loose", essay).returncode == 1


def test_stdin_is_read_where_no_file_is_named() -> None:
    for args in ((), ("-",)):
        result = run_cli("check", "--ban", "Paris", *args, input="in Paris")
        assert (result.returncode, result.stdout) == (1, "(stdin):1:4: Paris: in Paris\n")


def test_a_list_comes_from_a_file_or_from_stdin(tmp_path: Path, essay: Path) -> None:
    bans = tmp_path / "bans.txt"
    bans.write_text("# words\nzoé\n", "utf-8")
    for name in (bans, "-"):
        result = run_cli("check", "--ban-file", name, essay, input=bans.read_bytes() if name == "-" else b"")
        assert (result.returncode, result.stdout.count("\n")) == (1, 1)


def test_json_is_one_object(essay: Path) -> None:
    result = run_cli("check", "--ban", "Paris", "--json", essay)
    assert result.returncode == 1
    whole = json.loads(result.stdout)
    assert (whole["count"], whole["fold"], whole["patterns"]) == (2, "case", 1)
    assert whole["files"] == [{"file": str(essay), "count": 2, "characters": len(TEXT), "invalid_utf8": 0}]
    first = whole["matches"][0]
    assert TEXT[first["start"] : first["end"]] == first["text"] == "Paris"
    assert (first["line"], first["column"], first["before"], first["after"]) == (3, 11, "  down in ", " zoé")


def test_jsonl_is_an_object_for_each_match(essay: Path) -> None:
    lines = run_cli("check", "--ban", "Paris", "--jsonl", essay).stdout.splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3, 4]


def test_count_and_quiet(essay: Path) -> None:
    assert run_cli("check", "--ban", "Paris", "--count", essay).stdout == "2\n"
    both = run_cli("check", "--ban", "Paris", "--count", essay, "-", input="no")
    assert (both.returncode, both.stdout) == (1, f"{essay}:2\n(stdin):0\n")
    quiet = run_cli("check", "--ban", "Paris", "-q", essay, "/nowhere/to/be/found")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")


def test_what_is_not_utf8_is_read_all_the_same() -> None:
    result = run_cli("check", "--ban", "Paris", input=b"\xff\xfeP\xe2\x82 Paris\xe2")
    assert (result.returncode, result.stdout) == (1, "(stdin):1:6: Paris: \ufffd\ufffdP\ufffd Paris\ufffd\n")
    assert "(stdin) is not UTF-8: 4 places" in result.stderr


def test_a_byte_order_mark_is_no_column() -> None:
    assert run_cli("check", "--ban", "Paris", input=b"\xef\xbb\xbfParis").stdout == "(stdin):1:1: Paris: Paris\n"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert run_cli("check", "--ban", "Paris", input=b"\x1b[2J Paris").stdout == "(stdin):1:6: Paris: \ufffd[2J Paris\n"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["x.txt"], 2, "give --ban PATTERN or --ban-file FILE"),
        (["--ban", "x", "/nowhere/to/be/found"], 2, "cannot be read: No such file"),
        (["--ban", "x", "--json", "--count"], 2, "exclude each other"),
        (["--ban-file", "-", "-"], 2, "both the ban list and the text"),
        (["--ban", "*"], 2, "empty pattern"),
        (["--ban-file", "/nowhere/to/be/found"], 2, "cannot read this ban list"),
    ],
)
def test_every_mistake_has_its_message(args: list[str], code: int, message: str) -> None:
    result = run_cli("check", *args)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_cannot_be_read_does_not_hide_the_others(essay: Path) -> None:
    result = run_cli("check", "--ban", "Paris", "/nowhere/to/be/found", essay)
    assert (result.returncode, result.stdout.count("\n")) == (2, 2)


def test_ids_are_looked_for_in_no_text(essay: Path) -> None:
    result = run_cli("check", "--ban", "token:5", essay)
    assert (result.returncode, result.stdout) == (0, "")
    assert "1 of 1 patterns name token ids" in result.stderr


def test_llama_cpp_is_not_imported(essay: Path) -> None:
    code = (
        "import sys; from ggufban.commands import cli;"
        f"cli.main(['check', '--ban', 'Paris', {str(essay)!r}], standalone_mode=False);"
        "print('llama_cpp' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8")
    assert result.stdout.splitlines()[-1] == "False"


# -- the search ---------------------------------------------------------------------------------------------------

PARTS = st.lists(st.text(st.sampled_from("ab \n"), max_size=9), max_size=9)


@settings(max_examples=400, deadline=None)
@given(PARTS)
def test_places_do_not_depend_on_how_a_text_is_cut(parts: list[str]) -> None:
    text = "".join(parts)
    expected = []
    for found in re.finditer(r"(?<!\w)(?:ab(?!\w)|b(?=\s+a(?!\w)))", text):
        end = found.end()
        if found.group() == "b":
            end = re.compile(r"\s+a").match(text, end).end()  # type: ignore[union-attr]
        before = text[: found.start()]
        line_before, line_after = before.rpartition("\n")[2], text[end:].partition("\n")[0]
        expected.append(
            (before.count("\n") + 1, len(line_before) + 1, text[found.start() : end], line_before[-40:], line_after)
        )
    places = list(find_places(BanList(["ab", "b a"]), parts))
    assert [(p.line, p.column, p.text, p.before, p.after) for p in places] == expected
    assert all(text[p.start : p.end] == p.text for p in places)


def test_long_lines_are_cut_and_far_beginnings_are_found() -> None:
    line = "x" * 100 + " Paris " + "y" * 100
    (place,) = find_places(BanList(["Paris"]), [line[:103], line[103:]])
    assert (place.before, place.after) == ("…" + "x" * 39 + " ", " " + "y" * 39 + "…")
    text = "\nthe" + " " * 200_000 + "end\n"
    (place,) = find_places(BanList(["the end"]), [text[i : i + 1000] for i in range(0, len(text), 1000)])
    assert (place.line, place.column, place.start, place.end) == (2, 1, 1, len(text) - 1)


def test_a_match_is_given_as_soon_as_its_line_has_ended() -> None:
    def parts():
        yield "in Paris,"
        seen.append("more")
        yield " yes\n"
        seen.append("end")

    seen: list[str] = []
    assert next(find_places(BanList(["Paris"]), parts())).text == "Paris"
    assert seen == ["more"]
