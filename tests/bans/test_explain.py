"""What a list means. That a line is superfluous is proved by a text without it, and by one with it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban import BanList, Vocab
from ggufban.bans.explain import explain, swallowed, touched


@pytest.mark.parametrize(
    ("line", "meaning", "symbols"),
    [
        ("Paris", "whole word", ("#paris#",)),
        ("delve*", "words that begin so", ("#delve",)),
        ("*tion", "words that end so", ("tion#",)),
        ("*ass*", "anywhere, inside words too", ("ass",)),
        ("shivers  down", "phrase", ("#shivers# #down#",)),
        ("shivers dow*", "phrase, its last word only begun", ("#shivers# #dow",)),
        ("—", "this text anywhere", ("—",)),
        ("日本", "this text", ("日本",)),
        ("/not [a-z]+ but/", "regular expression", ()),
        ("script:Han", "any character of the script Han", ()),
        ("token:12", "token 12, whatever its text", ()),
    ],
)
def test_every_kind_of_line_is_explained(line: str, meaning: str, symbols: tuple[str, ...]) -> None:
    (found,) = explain(BanList([line]))
    assert (found.meaning, found.symbols, found.duplicate_of, found.swallowed_by) == (meaning, symbols, None, None)


def test_forms_are_expanded() -> None:
    (found,) = explain(BanList(["кот ~ru"]))
    assert found.meaning == f"whole word, in {len(found.symbols)} forms"
    assert {"#кот#", "#кота#", "#котами#"} <= set(found.symbols)


@pytest.mark.parametrize(
    ("lines", "duplicate", "swallower"),
    [
        (["cat", "CAT"], "cat", None),
        (["cat*", "catalog"], None, "cat*"),
        (["catalog", "cat"], None, None),
        (["cat", "my  cat"], None, "cat"),
        (["*ass*", "classic*"], None, "*ass*"),
        (["*tion", "nation*"], None, None),
        (["script:Han", "日本"], None, "script:Han"),
        (["/[aeiou]{3}/", "beauty"], None, "/[aeiou]{3}/"),
        (["/cat/", "/cat/"], "/cat/", None),
        (["/cat/", "/cats/"], None, None),
        (["token:1", "token:1"], "token:1", None),
        (["кот ~ru", "коту"], None, "кот ~ru"),
        (["коту", "кот ~ru"], None, None),
        (["—", "a—b"], None, "—"),
    ],
)
def test_what_is_superfluous(lines: list[str], duplicate: str | None, swallower: str | None) -> None:
    last = explain(BanList(lines))[-1]
    assert str(last.duplicate_of) == str(duplicate)
    assert str(last.swallowed_by) == str(swallower)


def test_fold_decides_what_is_the_same() -> None:
    assert explain(BanList(["é", "e"], "loose"))[1].duplicate_of is not None
    assert explain(BanList(["é", "e"], "case"))[1].duplicate_of is None


LINES = st.lists(
    st.builds(
        lambda left, body, right: left + body + right,
        st.sampled_from(["", "*"]),
        st.text(st.sampled_from("ab"), min_size=1, max_size=3) | st.sampled_from(["a b", "b a", "-a"]),
        st.sampled_from(["", "*"]),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(LINES, st.lists(st.text(st.sampled_from("ab -"), max_size=10), min_size=1, max_size=8))
def test_a_swallowed_line_forbids_nothing_of_its_own(lines: list[str], texts: list[str]) -> None:
    bans = BanList(lines)
    for at, found in enumerate(explain(bans)):
        if found.swallowed_by is not None or found.duplicate_of is not None:
            other = BanList([str(found.swallowed_by or found.duplicate_of)])
            assert all(other.find(text) for text in texts if BanList([lines[at]]).find(text))


def test_others_may_mean_the_same() -> None:
    bans = BanList(["cat"])
    assert swallowed(BanList(["CAT", "dog"]).patterns, bans) == [bans.patterns[0], None]
    assert swallowed(BanList(["CAT", "my cat"]).patterns, bans, strictly=True) == [None, bans.patterns[0]]


def test_what_touches_a_vocabulary() -> None:
    vocab = Vocab([b" cat", b"cat", b"alog", b".", b" cats", b"cat.", b"</s>"], end=[6])
    bans = BanList(["cat", "dog", ".", "token:2"])
    illegal, found = touched(bans.compile(vocab))
    assert illegal.tolist() == [0, 1, 2, 3, 5]
    assert [(str(touch.pattern), touch.tokens) for touch in found] == [
        ("cat", (0, 1, 5)), (".", (3, 5)), ("token:2", (2,)),
    ]  # fmt: skip
