import pickle
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.bans import BanList
from ggufban.bans.matcher import Matcher, State
from ggufban.errors import BanError, UsageError
from ggufban.vocab import Vocab
from tests.bans import cases, twin
from tests.bans.stub import CONTROL, END, byte_vocab


def after(matcher: Matcher, text: str | bytes, prompt: str | bytes = "", **options: bool) -> State:
    """The state after a text, fed byte by byte."""
    state = matcher.start(prompt, **options)
    for byte in text.encode() if isinstance(text, str) else text:
        state = matcher.step(state, byte)
    return state


def illegal_pieces(matcher: Matcher, state: State, waiting: bool = True) -> set[bytes]:
    return {matcher.vocab.piece(token) for token in matcher.illegal(state, waiting)}


# --- both readings of a word that stands complete -----------------------------------------------------------------

PIECES = [b"</s>", b"<pad>", b"cat", b" cat", b"cat.", b"alog", b".", b" ", b"\xe2", b"\x80\x8b", b"cat\xe2", b"ca"]
VOCAB = Vocab([*PIECES, b"t", b"\xff"], control=[1], end=[0])


@pytest.fixture(scope="module")
def cat() -> Matcher:
    return BanList(["cat"]).compile(VOCAB)


def test_a_word_waits_for_its_edge(cat: Matcher) -> None:
    start = cat.start()
    assert illegal_pieces(cat, start) == {b"cat."}
    state = cat.step(start, 2)
    assert illegal_pieces(cat, state) == {b"", b" cat", b".", b" ", b"\x80\x8b", b"\xff"}
    assert cat.legal(state, 5)
    assert cat.legal(state, 8)  # the beginning of a character: it may become a letter
    assert not cat.end_legal(state)
    assert not cat.legal(state, 0)
    assert cat.legal(state, 1)


def test_the_safe_side_may_end_after_any_token(cat: Matcher) -> None:
    start = cat.start()
    assert illegal_pieces(cat, start, waiting=False) == {b"cat", b" cat", b"cat.", b"cat\xe2"}
    state = cat.step(start, 11)
    assert illegal_pieces(cat, state, waiting=False) == {b"t", b" cat"}
    assert cat.legal(state, 12)
    assert not cat.legal(state, 12, waiting=False)
    assert illegal_pieces(cat, cat.step(start, 5), waiting=False) == {b" cat"}


def test_an_unfinished_character_at_the_end_is_an_edge(cat: Matcher) -> None:
    state = cat.step(cat.start(), 10)
    assert state.pending == b"\xe2"
    assert not cat.end_legal(state)
    assert cat.which_end(state) == (cat.bans.patterns[0],)
    finished = cat.step(state, 9)
    assert (finished.pending, finished.tail) == (b"", cat.step(cat.start(), 2).tail)


def test_tokens_that_say_nothing(cat: Matcher) -> None:
    state = cat.step(cat.start(), 2)
    assert cat.step(state, 0) == cat.step(state, 1) == state
    assert cat.legal(state, 1, waiting=False)
    with pytest.raises(UsageError, match="outside this vocabulary"):
        cat.step(state, len(VOCAB))
    for token in (-1, len(VOCAB)):
        with pytest.raises(UsageError, match="outside this vocabulary"):
            cat.legal(state, token)


def test_states_are_values(cat: Matcher) -> None:
    one = cat.step(cat.step(cat.start(), 11), 12)
    two = cat.step(cat.start(), 2)
    assert one == two
    assert len({one, two, cat.start()}) == 2
    assert pickle.loads(pickle.dumps(one)) == one


def test_arrays_are_shared_and_cannot_be_written_to(cat: Matcher) -> None:
    state = cat.step(cat.start(), 2)
    assert cat.illegal(state) is cat.illegal(cat.step(cat.start(), 2))
    with pytest.raises(ValueError, match="read-only"):
        cat.illegal(state)[0] = 5
    assert cat.illegal(state).dtype == "int32"


# --- prompts ------------------------------------------------------------------------------------------------------

PROMPTS = [
    # prompt, output, is it banned when it ends there, is it before
    ("my ca", "t", True, False),
    ("my ca", "t.", True, True),
    ("my cat", "", False, False),
    ("my cat", ".", False, False),
    ("my cat", "alog", False, False),
    ("my cat", " cat", True, False),
    ("my cat", "\u200b", False, False),
    ("my ", "cat", True, False),
    ("my", "cat", False, False),
]


@pytest.mark.parametrize(("prompt", "output", "ended", "before"), PROMPTS)
def test_a_prompt_is_context(prompt: str, output: str, ended: bool, before: bool) -> None:
    matcher = BanList(["cat"]).compile(byte_vocab())
    for given_prompt in (prompt, prompt.encode()):
        state = matcher.start(given_prompt)
        legal = True
        for byte in output.encode():
            legal &= matcher.legal(state, byte)
            state = matcher.step(state, byte)
        assert (not legal) == before
        assert (not legal or not matcher.end_legal(state)) == ended


def test_a_chat_begins_fresh() -> None:
    matcher = BanList(["cat"]).compile(byte_vocab())
    assert not matcher.end_legal(after(matcher, "t", "my ca"))
    assert matcher.end_legal(after(matcher, "t", "my ca", chat=True))
    assert not matcher.end_legal(after(matcher, "cat", "my", chat=True))
    assert matcher.start("my ca", chat=True) == matcher.start()


def test_a_character_that_the_prompt_began() -> None:
    matcher = BanList(["é", "*\ufffd*"]).compile(byte_vocab())
    whole, cut = matcher.start(b"\xc3"), matcher.start(b"a\xc3")
    assert matcher.which_end(matcher.step(whole, 0xA9)) == (matcher.bans.patterns[0],)
    assert matcher.held(whole) == 0
    assert matcher.held(matcher.step(whole, 0xA9)) == 1
    assert matcher.end_legal(whole)  # its U+FFFD would be the prompt's
    assert matcher.legal(whole, ord("x"))
    assert not matcher.legal(cut, 0xFF)


# --- what may still become a match, and where it begins -------------------------------------------------------------

HELD = [
    # lines, fold, output, bytes held
    (["cat"], "case", "a ca", 2),
    (["cat"], "case", "a cat", 3),
    (["cat"], "case", "a cata", 0),
    (["cat"], "case", "a c\u200ba", 5),
    (["cat"], "case", "a ", 0),
    (["shivers down"], "case", "it shivers   ", 10),
    (["shivers down"], "case", "it shivers   d", 11),
    (["*sx*"], "case", "ß", 2),
    (["*sx*"], "case", "aßs", 1),
    (["кот"], "case", "ко", 4),
    (["cat"], "loose", "са", 4),
    (["*op*"], "loose", "xy орбиты", 12),
    (["*op*"], "loose", "xy орбиты ", 0),
]


@pytest.mark.parametrize(("lines", "fold", "output", "held"), HELD)
def test_held(lines: list[str], fold: str, output: str, held: int) -> None:
    matcher = BanList(lines, fold=fold).compile(byte_vocab())
    assert matcher.held(after(matcher, output)) == held


def test_held_counts_an_unfinished_character_and_no_prompt() -> None:
    matcher = BanList(["cat"]).compile(byte_vocab())
    assert matcher.held(after(matcher, b"c\xe2\x80")) == 3
    assert matcher.held(after(matcher, "t", "my ca")) == 1
    assert matcher.held(after(matcher, "", "my ca")) == 0


HITS = [
    # lines, fold, prompt, output, the token, pattern and how far back
    (["cat"], "case", "", "a cat", b".", [("cat", 3)]),
    (["cat"], "case", "", "a ", b"cat.", [("cat", 0)]),
    (["cat"], "case", "", "a", b" cat.", [("cat", -1)]),
    (["cat"], "case", "", "a c\u200bat\u00ad", b".", [("cat", 8)]),
    (["cat"], "case", "my c", "at", b".", [("cat", 2)]),
    (["*ss*", "*s*"], "case", "", "s", "ß".encode(), [("*ss*", 1), ("*s*", 0)]),
    (["shivers down"], "case", "", "it shivers  down", b"!", [("shivers down", 13)]),
    (["shivers down"], "case", "", "it shivers ", b"  down!", [("shivers down", 8)]),
    (["*..*", "*.*"], "case", "", "a.", b".", [("*..*", 1), ("*.*", 0)]),
    (["cat"], "loose", "", "x сat", b" ", [("cat", 4)]),
    (["*op*"], "loose", "", "x орб", b"s", [("*op*", 6)]),
    (["*op*"], "loose", "", "x ", "орбs".encode(), [("*op*", 0)]),
    (["token:97"], "case", "", "x", b"a", [("token:97", 0)]),
]


@pytest.mark.parametrize(("lines", "fold", "prompt", "output", "piece", "expected"), HITS)
def test_hits(
    lines: list[str], fold: str, prompt: str, output: str, piece: bytes, expected: list[tuple[str, int]]
) -> None:
    vocab = byte_vocab([piece])
    matcher = BanList(lines, fold=fold).compile(vocab)
    token = vocab.pieces.index(piece)
    state = after(matcher, output, prompt)
    assert [(hit.pattern.text, hit.back) for hit in matcher.hits(state, token)] == expected
    assert [pattern.text for pattern in matcher.which(state, token)] == [text for text, _ in expected]


def test_hits_of_the_end() -> None:
    matcher = BanList(["cat", "*\ufffd*"]).compile(byte_vocab())
    assert [(hit.pattern.text, hit.back) for hit in matcher.hits_end(after(matcher, b"a cat"))] == [("cat", 3)]
    cut = after(matcher, b"a cat\xe2\x80")
    assert [(hit.pattern.text, hit.back) for hit in matcher.hits_end(cut)] == [("cat", 5), ("*\ufffd*", 2)]
    assert matcher.hits(cut, END) == matcher.hits_end(cut)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_match_never_begins_before_what_is_held(seed: int) -> None:
    """What was released (all but the held bytes) is never taken back, and a hit begins where the twin finds it."""
    rng = random.Random(seed)
    case = cases.case(rng)
    matcher = cases.compiled(case)
    if matcher is None:
        return
    state, output, released = matcher.start(case.prompt), b"", 0
    for _ in range(12):
        token = rng.randrange(1, len(case.vocab))
        hits = matcher.hits(state, token)
        if hits:
            longer = output + case.vocab.piece(token)
            found = twin.find(case.lines, case.fold, case.prompt, longer, ended=False)
            earliest = {line: min(begin for name, begin, _ in found if name == line) for line, _, _ in found}
            for hit in hits:
                assert len(output) - hit.back >= released
                assert len(output) - hit.back >= earliest[hit.pattern.text]
            fired = {twin.parse(hit.pattern.text, case.fold) for hit in hits}
            assert fired == {twin.parse(line, case.fold) for line in earliest}  # of equal lines only the first fires
            continue
        output += case.vocab.piece(token)
        state = matcher.step(state, token)
        assert 0 <= matcher.held(state) <= len(output) - released
        released = len(output) - matcher.held(state)


# --- laws ---------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_token_is_its_bytes_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    case = cases.case(rng)
    pieces = [*case.vocab.pieces, *(bytes([byte]) for byte in range(256))]
    try:
        matcher = BanList(case.lines, fold=case.fold).compile(Vocab(pieces, end=[0], control=[1]))
    except BanError:
        return
    state = matcher.start(case.prompt)
    for _ in range(6):
        token = rng.randrange(2, len(case.vocab))
        slow, legal = state, True
        for byte in pieces[token]:
            legal &= matcher.legal(slow, len(case.vocab) + byte)
            slow = matcher.step(slow, len(case.vocab) + byte)
        assert matcher.legal(state, token) == legal
        assert matcher.step(state, token) == slow
        state = slow


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_illegal_is_asking_every_token(seed: int) -> None:
    rng = random.Random(seed)
    case = cases.case(rng)
    matcher = cases.compiled(case)
    if matcher is None:
        return
    state = matcher.start(case.prompt)
    for _ in range(8):
        for waiting in (True, False):
            asked = [token for token in range(len(case.vocab)) if not matcher.legal(state, token, waiting)]
            assert matcher.illegal(state, waiting).tolist() == asked
        state = matcher.step(state, rng.randrange(2, len(case.vocab)))


# --- scope, tokens, refusals --------------------------------------------------------------------------------------


def test_bans_that_begin_after_a_text() -> None:
    vocab = byte_vocab([b">cat", b">cat.", b"</x>"])
    matcher = BanList(["cat", "token:98"], after="</x>").compile(vocab)
    start = matcher.start("cat</x>cat")
    assert matcher.illegal(start).tolist() == []
    assert matcher.end_legal(after(matcher, "cat"))
    assert matcher.legal(start, 98)
    almost = after(matcher, "cat <</x")
    assert matcher.held(almost) == 0
    assert illegal_pieces(matcher, almost) == {b">cat."}
    assert illegal_pieces(matcher, almost, waiting=False) == {b">cat", b">cat."}
    assert [hit.back for hit in matcher.hits(almost, vocab.pieces.index(b">cat."))] == [-1]
    inside = matcher.step(almost, vocab.pieces.index(b">cat"))
    assert not matcher.end_legal(inside)
    assert inside == after(matcher, "x</x>cat")
    assert not matcher.legal(inside, 98)
    assert matcher.step(start, vocab.pieces.index(b"</x>")) == after(matcher, "</x>")


@settings(max_examples=200, deadline=None)
@given(text=st.text("<x>ca. é", max_size=25), waited=st.text("<x>aé", min_size=1, max_size=4))
def test_the_text_to_wait_for_is_found_wherever_it_stands(text: str, waited: str) -> None:
    matcher = BanList(["*a*"], after=waited).compile(byte_vocab())
    state, legal = matcher.start(), True
    for byte in text.encode():
        legal &= matcher.legal(state, byte)
        state = matcher.step(state, byte)
    assert legal == ("a" not in text.partition(waited)[2])
    illegal = {token for token in range(len(matcher.vocab)) if not matcher.legal(state, token)}
    assert illegal == set(matcher.illegal(state).tolist())


def test_token_ids() -> None:
    matcher = BanList([f"token:{CONTROL}", "token:97", f"token:{END}"]).compile(byte_vocab())
    assert matcher.illegal(matcher.start()).tolist() == [97, END, CONTROL]
    assert not matcher.legal(matcher.start(), CONTROL)
    assert matcher.end_legal(matcher.start())  # the text may end, if not with this token
    assert illegal_pieces(matcher, after(matcher, b"\xe2")) == {b"a", b""}


def test_a_token_id_outside_the_vocabulary() -> None:
    with pytest.raises(BanError, match="this vocabulary has the tokens 0 to 257") as raised:
        BanList(["cat", "token:258"], source="ids").compile(byte_vocab())
    assert (raised.value.source, raised.value.line) == ("ids", 2)


def test_a_list_that_bans_everything() -> None:
    with pytest.raises(BanError, match="this list bans everything"):
        BanList(["*a*", "."]).compile(Vocab([b"a", b"ba", b".", b"", b""], end=[3], control=[4]))


def test_equal_lines_are_one_hit_and_equal_bans_are_two() -> None:
    matcher = BanList(["cat", "CAT", "cat"]).compile(byte_vocab())
    assert [pattern.text for pattern in matcher.which_end(after(matcher, "cat"))] == ["cat", "CAT"]
