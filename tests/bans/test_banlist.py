import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.bans import BanList, Match, Pattern
from ggufban.bans.finder import Finder
from ggufban.errors import BanError
from ggufban.vocab import Vocab
from tests.bans import cases, twin


def spans(bans: BanList, text: str) -> list[tuple[str, int, int]]:
    return [(match.pattern.text, match.start, match.end) for match in bans.find(text)]


# --- a value ----------------------------------------------------------------------------------------------------


def test_lists_compare_by_what_they_ban() -> None:
    one = BanList(["cat", "dog*"])
    assert one == BanList(["cat  # a comment", "# nothing", "dog*"], source="elsewhere")
    assert hash(one) == hash(BanList(["cat", "dog*"]))
    assert one != BanList(["dog*", "cat"])
    assert one != BanList(["cat", "dog"])
    assert one != BanList(["cat", "dog*"], fold="loose")
    assert one != BanList(["cat", "dog*"], after="</think>")
    assert one != ["cat", "dog*"]
    assert len({one, BanList(["cat", "dog*"])}) == 1


def test_lists_join() -> None:
    joined = BanList(["cat"], fold="exact") + BanList(["dog"], fold="exact")
    assert joined == BanList(["cat", "dog"], fold="exact")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (BanList(["dog"], fold="loose"), "fold='case', the other fold='loose'"),
        (BanList(["dog"], after="x"), "after=None, the other after='x'"),
    ],
)
def test_lists_that_cannot_be_joined(other: BanList, message: str) -> None:
    with pytest.raises(BanError, match=message):
        BanList(["cat"]) + other


def test_a_list_joins_only_lists() -> None:
    with pytest.raises(TypeError):
        BanList(["cat"]) + ("dog",)  # type: ignore[operator]  # noqa: RUF005


def test_a_list_survives_pickling() -> None:
    bans = BanList(["cat", "shivers down", '"#tag"', "token:3"], fold="loose", after="now")
    copy = pickle.loads(pickle.dumps(bans))
    assert copy == bans
    assert copy.find("now a cat") == bans.find("now a cat") != []


def test_a_list_is_a_sequence_of_patterns() -> None:
    bans = BanList(["cat", "dog"])
    assert len(bans) == 2
    assert [str(pattern) for pattern in bans] == ["cat", "dog"]
    assert all(isinstance(pattern, Pattern) for pattern in bans)
    assert BanList(bans) == bans


def test_what_a_list_shows() -> None:
    assert repr(BanList(["cat", "dog"])) == "BanList(['cat', 'dog'], fold='case')"
    assert repr(BanList("abcde"[i] for i in range(5))) == "BanList(['a', 'b', 'c', ... 2 more], fold='case')"
    assert repr(BanList([], fold="exact", after="x")) == "BanList([], fold='exact', after='x')"


def test_the_empty_list_bans_nothing() -> None:
    matcher = BanList([]).compile(Vocab([b"a", b""], end=[1]))
    assert matcher.illegal(matcher.start()).tolist() == []
    assert BanList([]).find("anything") == []


MISTAKES = [
    (lambda: BanList(["cat"], fold="lower"), "fold='lower': it is one of exact, case, loose"),
    (lambda: BanList("cat"), r"write BanList\(\['cat'\]\)"),
    (lambda: BanList([5]), "5 is not a line of text"),  # type: ignore[list-item]
    (lambda: BanList(["# only this"]), "nothing but comments"),
    (lambda: BanList(["cat"], after=""), "after=''"),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_mistakes(make, message: str) -> None:
    with pytest.raises(BanError, match=message):
        make()


# --- find -------------------------------------------------------------------------------------------------------

FOUND = [
    (["cat"], "case", "A cat, a CAT.", [("cat", 2, 5), ("cat", 9, 12)]),
    (["cat"], "case", "cat", [("cat", 0, 3)]),
    (["cat"], "case", "c\u200bat\u200b!", [("cat", 0, 4)]),
    (["shivers down"], "case", "It shivers \n down.", [("shivers down", 3, 17)]),
    (["*ss*"], "case", "Maß", [("*ss*", 2, 3)]),
    (["*s*"], "case", "ß", [("*s*", 0, 1), ("*s*", 0, 1)]),
    (["cat", "catalog", "*log"], "case", "catalog", [("catalog", 0, 7), ("*log", 4, 7)]),
    (["cat", "CAT", "cat"], "case", "cat", [("cat", 0, 3), ("CAT", 0, 3)]),
    (["..."], "case", "....", [("...", 0, 3), ("...", 1, 4)]),
    (["cat"], "loose", "a сat and a cat", [("cat", 2, 5), ("cat", 12, 15)]),
    (["*op*"], "loose", "орs", [("*op*", 0, 2)]),
    (["cat food"], "loose", "сat food, cat fооd", [("cat food", 0, 8), ("cat food", 10, 18)]),
    (["cat food"], "loose", "сat fооd, сат food", [("cat food", 0, 8)]),
    (["token:0"], "case", "token:0", []),
    (["cat"], "case", "ca\ud800t cat", [("cat", 5, 8)]),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "fold", "text", "expected"), FOUND)
def test_find(lines: list[str], fold: str, text: str, expected: list[tuple[str, int, int]]) -> None:
    assert sorted(spans(BanList(lines, fold=fold), text)) == sorted(expected)


def test_find_after_a_text() -> None:
    bans = BanList(["cat"], after="</think>")
    assert spans(bans, "cat cat") == []
    assert spans(bans, "cat </think>cat, cat") == [("cat", 12, 15), ("cat", 17, 20)]
    finder = Finder(bans)
    parts = [*finder.feed("cat </thi"), *finder.feed("nk>ca"), *finder.feed("t. cat"), *finder.close()]
    assert [match[1:] for match in parts] == [(12, 15), (17, 20)]


def test_places_far_into_a_text() -> None:
    text = "ﬁ the  dog\u200b " * 3000 + "cat " + "é " * 9000 + "shivers down"
    matches = BanList(["cat", "shivers down"]).find(text)
    assert [text[match.start : match.end] for match in matches] == ["cat", "shivers down"]


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.integers(0, 2**32))
def test_find_agrees_with_the_slow_twin_however_the_text_is_fed(seed: int, cuts: int) -> None:
    rng = random.Random(seed)
    letters = rng.choice(cases.ALPHABETS)
    fold = rng.choice(cases.FOLDS)
    lines = cases.lines(rng, letters, fold)
    text = "".join(rng.choice([cases.text(rng, letters, 5), rng.choice(lines).strip('*"')]) for _ in range(6))
    bans = BanList(lines, fold=fold)
    expected = set()
    for line in lines:
        symbols = twin.letters(text, fold, 0)
        for begin, end in twin.matches(twin.parse(line, fold), symbols, ended=True):
            expected.add((line, symbols[begin].place, symbols[end - 1].place + 1))
    found = {(match.pattern.text, match.start, match.end) for match in bans.find(text)}
    assert found == expected
    finder = Finder(bans)
    rng = random.Random(cuts)
    parts: list[Match] = []
    rest = text
    while rest:
        size = rng.randint(1, 4)
        parts += finder.feed(rest[:size])
        rest = rest[size:]
    parts += finder.close()
    assert {(match.pattern.text, match.start, match.end) for match in parts} == expected
