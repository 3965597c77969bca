"""Regular expressions, scripts and inflected forms in a ban list, against plain searches of the whole text."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.bans import BanList
from ggufban.bans.finder import Finder
from ggufban.bans.matcher import Matcher
from ggufban.errors import BanError
from ggufban.vocab import Vocab
from tests.bans import cases, twin
from tests.bans.stub import byte_vocab

FOUND = [
    (["/not [a-z]+ but/"], "It is NOT  good but fine", ["NOT  good but"]),
    (["/[0-9]{3,}/"], "12 345 6789", ["345", "6789"]),
    ([r"/\bcat\b/"], "cat catalog Cat", ["cat", "Cat"]),
    ([r"/cats?\b/"], "the cats", ["cats"]),
    (["/a/"], "aaba", ["aa", "a"]),
    (["/a.*b/"], "xa--bb a", ["a--bb"]),
    (["script:Han"], "好好 abc 猫", ["好好", "猫"]),
    (["script:Cyrillic", "/x/"], "xкотx", ["x", "кот", "x"]),
    (["кот ~ru"], "О котах и Коту, который", ["котах", "Коту"]),
]


@pytest.mark.parametrize(("lines", "text", "expected"), FOUND)
def test_find(lines: list[str], text: str, expected: list[str]) -> None:
    bans = BanList(lines)
    assert [text[match.start : match.end] for match in bans.find(text)] == expected
    finder = Finder(bans)
    parts = [match for char in text for match in finder.feed(char)] + finder.close()
    assert sorted(text[match.start : match.end] for match in parts) == sorted(expected)


MISTAKES = [
    ("script:Hann", "Han"),
    ("/a*/", "empty text"),
    ("/(a/", "closed"),
    (r"/(a)\1/", "."),
    ("/(?=a)b/", "."),
    ("/(a|b)*a(a|b){20}/", "too big"),
    ("кот ~xx", "~xx"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES)
def test_a_mistake_says_where_it_is(line: str, message: str) -> None:
    with pytest.raises(BanError, match=message) as raised:
        BanList(["cat", line], source="my list")
    assert (raised.value.source, raised.value.line) == ("my list", 2)


def test_a_regular_expression_that_bans_everything() -> None:
    with pytest.raises(BanError, match="bans everything"):
        BanList(["/./"]).compile(Vocab([b"a", b"b c", b"!", b""], end=[3]))


# --- regular expressions, against `re` on the whole stream --------------------------------------------------------

EXPRESSIONS = (
    "ab+a",
    "a[^b]b",
    "a.b",
    "(ab|ba)c?",
    "a{2,3}",
    "b a",
    r"a\sb",
    "[ab]c",
    r"\bab\b",
    r"a\b",
    r"\bb",
    "a b?a",
)


def stands_in(expression: str, text: str, own_from: int, ended: bool) -> bool:
    """Whether an expression matches in a text of plain letters, with one of the output's symbols in the match."""
    symbols = twin.letters(text, "case", own_from)
    stream = "".join(symbol.symbol for symbol in symbols)
    for begin in range(len(stream)):
        for end in range(begin + 1, len(stream) + 1):
            undecided = not ended and end == len(stream) and expression.endswith(r"\b")
            if not undecided and re.compile(f"(?:{expression})").fullmatch(stream, begin, end):
                # `fullmatch` with bounds takes \b at `end` for the end of the text: look at what follows
                if expression.endswith(r"\b") and end < len(stream) and stream[end].isalnum():
                    continue
                if expression.startswith(r"\b") and begin and stream[begin - 1].isalnum():
                    continue
                if any(symbol.own for symbol in symbols[begin:end]):
                    return True
    return False


@settings(max_examples=1500, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_random_texts_agree_with_re(seed: int) -> None:
    rng = random.Random(seed)
    expressions = rng.sample(EXPRESSIONS, rng.choice((1, 1, 2)))
    pieces = [cases.text(rng, "aabbc  .", 4).encode() for _ in range(10)] + [b"a", b"b", b"c", b" "]
    vocab = Vocab([b"</s>", b"<pad>", *pieces], end=[0], control=[1])
    prompt = "".join(rng.choice(pieces).decode() for _ in range(rng.choice((0, 0, 2))))
    try:
        matcher = BanList([f"/{expression}/" for expression in expressions]).compile(vocab)
    except BanError:
        return  # it bans everything

    def judge(output: str, ended: bool) -> bool:
        return any(stands_in(expression, prompt + output, len(prompt), ended) for expression in expressions)

    state, output = matcher.start(prompt), ""
    for _ in range(8):
        for waiting in (True, False):
            legal = [token for token in range(len(vocab)) if matcher.legal(state, token, waiting)]
            assert matcher.illegal(state, waiting).tolist() == [t for t in range(len(vocab)) if t not in legal]
        assert matcher.end_legal(state) == (not judge(output, ended=True))
        token = rng.randrange(2, len(vocab))
        longer = output + vocab.piece(token).decode()
        assert matcher.legal(state, token) == (not judge(longer, ended=False)), (output, vocab.piece(token))
        if matcher.legal(state, token):
            output, state = longer, matcher.step(state, token)


def after(matcher: Matcher, text: str) -> tuple:
    state = matcher.start()
    for byte in text.encode():
        state = matcher.step(state, byte)
    return state


def test_held_and_hits_of_regular_expressions() -> None:
    matcher = BanList(["/not [a-z]+ but/"]).compile(byte_vocab())
    state = after(matcher, "so. not good bu")
    assert matcher.held(state) == len("not good bu")
    assert [hit.back for hit in matcher.hits(state, ord("t"))] == [len("not good bu")]
    assert matcher.held(after(matcher, "so. it")) == 0


# --- scripts ------------------------------------------------------------------------------------------------------


def test_scripts_hold_in_tokens_and_across_them() -> None:
    vocab = byte_vocab(["a猫".encode(), b"a\xe7", b"\x8c\xab", "é".encode()])
    matcher = BanList(["script:Han"]).compile(vocab)
    start = matcher.start()
    assert matcher.illegal(start).tolist() == [258]
    state = matcher.step(start, 259)
    assert matcher.illegal(state).tolist() == [258, 260]
    assert matcher.hits(state, 260)[0].back == 1
    half = matcher.step(state, 0x8C)
    assert {token for token in range(len(vocab)) if not matcher.legal(half, token)} == set(
        matcher.illegal(half).tolist()
    )
    assert not matcher.legal(half, 0xAB)
    assert matcher.end_legal(half)


@pytest.mark.parametrize("waiting", [True, False])
def test_a_cut_character_is_a_common_one(waiting: bool) -> None:
    matcher = BanList(["script:Common"]).compile(byte_vocab([b"a\xe2"]))
    start = matcher.start()
    illegal = set(matcher.illegal(start, waiting).tolist())
    assert illegal == {token for token in range(259) if not matcher.legal(start, token, waiting)}
    assert (258 in illegal) == (not waiting)
    assert not matcher.end_legal(matcher.step(start, 258))


# --- forms --------------------------------------------------------------------------------------------------------


def test_forms_are_whole_words_of_one_pattern() -> None:
    matcher = BanList(["кот ~ru"]).compile(byte_vocab())
    assert [pattern.text for pattern in matcher.which_end(after(matcher, "двумя котами"))] == ["кот ~ru"]
    assert matcher.end_legal(after(matcher, "который"))
