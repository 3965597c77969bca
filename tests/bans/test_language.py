import os
from pathlib import Path

import pytest

from ggufban.bans import BanList, Pattern
from ggufban.bans.folding import EDGE
from ggufban.bans.language import parse_line, read_file
from ggufban.errors import BanError

LINES = [
    # line, symbols at `case` (| is an edge)
    ("Paris", "|paris|"),
    ("  Paris  ", "|paris|"),
    ("delve*", "|delve"),
    ("*tion", "tion|"),
    ("*ass*", "ass"),
    ("shivers down", "|shivers| |down|"),
    ("shivers\t \u00a0down", "|shivers| |down|"),
    ("shivers dow*", "|shivers| |dow"),
    ("—", "—"),
    ("...", "..."),
    ("...*", "..."),
    ("C++", "|c|++"),
    ("C#", "|c|#"),
    ("don't", "|don|'|t|"),
    (".net", ".|net|"),
    ("a/b", "|a|/|b|"),
    ("a: b", "|a|: |b|"),
    ('say "hi"', '|say| "|hi|"'),
    ("猫", "猫"),
    ("猫 cat", "猫| |cat|"),
    ("Aか", "|aか"),
    ("が", "か\u3099"),
    ("ไทย", "ไทย"),
    ("한", "|\u1112\u1161\u11ab|"),
    ('"#hash"', "#|hash|"),
    ('"*"', "*"),
    ('"a*b"', "|a|*|b|"),
    ('"/usr/bin"', "/|usr|/|bin|"),
    ('"include me"', "|include| |me|"),
    ('"say ""hi"""', '|say| "|hi|"'),
    ('" a"', " |a|"),
    ('"a "', "|a| "),
    ('*"a#b"*', "a|#|b"),
    ('"a" # comment', "|a|"),
    ('"a # b"', "|a| # |b|"),
    ("cat # comment", "|cat|"),
    ("cat\t# comment", "|cat|"),
    ("cat#dog", "|cat|#|dog|"),
    ("includes", "|includes|"),
    ("~", "~"),
    ("a ~ b", "|a| ~ |b|"),
    ("tokens: 5", "|tokens|: |5|"),
    ("c\u200bat", "|cat|"),
]


@pytest.mark.parametrize(("line", "symbols"), LINES, ids=[line for line, _ in LINES])
def test_a_line_of_text(line: str, symbols: str) -> None:
    pattern = parse_line(line)
    assert pattern is not None
    assert pattern.kind == "text"
    assert pattern.needle(pattern.bodies[0], "case") == symbols.replace("|", EDGE)


@pytest.mark.parametrize(
    ("line", "kind", "body"),
    [
        ("/not [a-z]+ but/", "regex", "not [a-z]+ but"),
        ("/a #b/", "regex", "a #b"),
        ("/a/ # comment", "regex", "a"),
        (r"/a\/b/", "regex", r"a\/b"),
        ("script:Han", "script", "Han"),
        ("script: Han # all of it", "script", "Han"),
        ("token:1234", "token", "1234"),
        ("token: 7", "token", "7"),
    ],
)
def test_a_line_of_another_kind(line: str, kind: str, body: str) -> None:
    pattern = parse_line(line)
    assert pattern is not None
    assert (pattern.kind, pattern.bodies) == (kind, (body,))


@pytest.mark.parametrize("line", ["", "   ", "# comment", "  # comment", "#"])
def test_a_line_that_says_nothing(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(("body", "symbols"), [("Émile", "|Émile|"), ("ﬁ", "|ﬁ|"), ("A\u00adB", "|A|\u00ad|B|")])
def test_exact_leaves_characters_alone(body: str, symbols: str) -> None:
    assert Pattern(body, "text", (body,)).needle(body, "exact") == symbols.replace("|", EDGE)


MISTAKES = [
    # line, what the message says (a `re` pattern)
    ("*", "empty pattern"),
    ("**", "empty pattern"),
    ("* *", "empty pattern"),
    ('""', "empty pattern"),
    ("f**k", "a \\* stands only at the beginning or at the end"),
    ("**bold**", 'write "\\*\\*bold\\*\\*" in quotes'),
    ('"open', "close it"),
    ('*"open', "close it"),
    ("/open", "does not end with '/'"),
    ("/usr/bin", 'in quotes to ban it as it is: "/usr/bin"'),
    ("/", "does not end with '/'"),
    ("token:abc", "a token id is a whole number"),
    ("token:-1", "a token id is a whole number"),
    ("token:", "a token id is a whole number"),
    ("token:١", "a token id is a whole number"),
    ("script:", "needs the name of a Unicode script"),
    ("*cat ~ru", "one whole word"),
    ("two words ~ru", "one whole word"),
    ("include nowhere.txt", "cannot include 'nowhere.txt'"),
    ("\u200b", "only invisible characters"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_says_where_it_is_and_what_to_write(line: str, message: str) -> None:
    with pytest.raises(BanError, match=message) as raised:
        BanList(["cat", line], source="my list")
    assert (raised.value.source, raised.value.line) == ("my list", 2)
    assert str(raised.value).startswith("my list:2: ")


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_a_blank_line_in_a_program_is_a_mistake(line: str) -> None:
    with pytest.raises(BanError, match="an empty pattern") as raised:
        BanList(["cat", line])
    assert raised.value.line == 2


# --- files ------------------------------------------------------------------------------------------------------


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    "data",
    [b"cat\ndog\n", b"cat\r\ndog\r\n", b"cat\rdog", b"\xef\xbb\xbfcat\ndog", b"\n\n# both:\ncat  # this\n  dog"],
)
def test_a_file(tmp_path: Path, data: bytes) -> None:
    assert [pattern.text for pattern in read_file(write(tmp_path / "bans.txt", data))] == ["cat", "dog"]


def test_patterns_of_a_file_know_where_they_stand(tmp_path: Path) -> None:
    path = write(tmp_path / "bans.txt", "# first\n\ncat\n  dog\n")
    assert [(pattern.source, pattern.line) for pattern in BanList.from_file(path)] == [(str(path), 3), (str(path), 4)]


def test_a_line_separator_within_a_line_is_white_space(tmp_path: Path) -> None:
    (pattern,) = read_file(write(tmp_path / "bans.txt", "shivers\u2028down\n"))
    assert pattern.needle(pattern.bodies[0], "case").replace(EDGE, "|") == "|shivers| |down|"


def test_files_include_files_relative_to_themselves(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    path = write(tmp_path / "bans.txt", "cat\ninclude more/dogs.txt # those too\nbird\n")
    write(tmp_path / "more" / "dogs.txt", 'dog\ninclude "puppies.txt"\n')
    write(tmp_path / "more" / "puppies.txt", "puppy\n")
    assert [pattern.text for pattern in read_file(path)] == ["cat", "dog", "puppy", "bird"]


def test_a_list_in_a_program_includes_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "bans.txt", "cat\n")
    monkeypatch.chdir(tmp_path)
    assert [pattern.text for pattern in BanList(["include bans.txt", "dog"])] == ["cat", "dog"]


def test_one_file_may_be_included_twice_but_not_by_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "include b.txt\ninclude b.txt\n")
    write(tmp_path / "b.txt", "cat\n")
    assert len(read_file(path)) == 2
    write(tmp_path / "b.txt", "cat\ninclude c.txt\n")
    write(tmp_path / "c.txt", "include a.txt\n")
    with pytest.raises(BanError, match=r"includes itself \(a.txt -> b.txt -> c.txt -> a.txt\)") as raised:
        read_file(path)
    assert (raised.value.source, raised.value.line) == (os.path.join(tmp_path, "c.txt"), 1)  # noqa: PTH118


def test_a_mistake_in_an_included_file_names_that_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "cat\ninclude b.txt\n")
    write(tmp_path / "b.txt", "dog\n\n*\n")
    with pytest.raises(BanError, match="empty pattern") as raised:
        BanList.from_file(path)
    assert raised.value.source is not None
    assert (Path(raised.value.source).name, raised.value.line) == ("b.txt", 3)


FILE_MISTAKES = [
    (b"cat\nna\xefve\n", 2, "not UTF-8 \\(byte 0xef\\): save the file as UTF-8"),
    ("cat\n".encode("utf-16"), None, "UTF-16: save it as UTF-8"),
    (b"", None, "there is no pattern in this file"),
    (b"# nothing\n\n", None, "there is no pattern in this file"),
]


@pytest.mark.parametrize(("data", "line", "message"), FILE_MISTAKES)
def test_a_file_that_is_no_list(tmp_path: Path, data: bytes, line: int | None, message: str) -> None:
    path = write(tmp_path / "bans.txt", data)
    with pytest.raises(BanError, match=message) as raised:
        BanList.from_file(path)
    assert (raised.value.source, raised.value.line) == (str(path), line)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BanError, match="cannot read this ban list"):
        BanList.from_file(tmp_path / "nowhere.txt")
    with pytest.raises(BanError, match="cannot read this ban list"):
        BanList.from_file(tmp_path)
