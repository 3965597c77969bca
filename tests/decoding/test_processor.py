"""Bans inside llama-cpp-python's own loop. Every text that it returns is judged by plain search."""

import itertools
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from ggufban import BanList, BanLogitsProcessor, BannedError, UsageError, Vocab

DATA = Path(__file__).parent.parent / "data"
WORDS = [line for line in (DATA / "slop_words.txt").read_text("utf-8").split("\n") if line and line[0] != "#"]
SHORT, LONG = ["Paris"], ["the", "and", "Paris", "of", "is", *WORDS[:1995]]


# -- on a Llama that is only a vocabulary -------------------------------------------------------------------------

PIECES = [b"x", b" ca", b"t", b"alog", b".", b" dog", b"\xd0", b"\xb9", b"\xff", b" catalog", b"-" * 40, b"", b""]
X, CA, T, ALOG, DOT, DOG, D0, B9, FF, CATALOG, LONG_PIECE, CONTROL, END = range(len(PIECES))


class FakeLlama:
    """What a processor asks of a Llama."""

    def __init__(self, vocab: Vocab) -> None:
        self.vocab, self.draft_model = vocab, None
        self._sampler: object = None
        self.begin()

    def begin(self) -> None:
        self._sampler = type("Sampler", (), {})()

    def n_vocab(self) -> int:
        return len(self.vocab)

    def token_eos(self) -> int:
        return max(self.vocab.end, default=-1)

    def detokenize(self, tokens: list[int]) -> bytes:
        """As llama-cpp-python 0.3.36 does: a piece of more than 32 bytes is lost."""
        return b"".join(piece for token in tokens if len(piece := self.vocab.pieces[token]) <= 32)


def fake(lines: list[str], vocab: Vocab | None = None, **options: Any) -> BanLogitsProcessor:
    vocab = vocab or Vocab(PIECES, control=[CONTROL], end=[END])
    return BanLogitsProcessor(BanList(lines).compile(vocab), FakeLlama(vocab), **options)


def left(processor: BanLogitsProcessor, *ids: int) -> set[int]:
    """The tokens that a call leaves."""
    scores = np.zeros(len(processor.matcher.vocab), dtype=np.float32)
    given = scores
    scores = processor(np.array(ids, dtype=np.intc), scores)
    assert scores is given
    return set(np.flatnonzero(scores > -np.inf).tolist())


ALL = set(range(len(PIECES))) - {FF, B9, LONG_PIECE}


def test_a_word_is_stopped_at_its_last_token() -> None:
    one = fake(["cat"])
    assert left(one, X) == ALL
    assert left(one, X, CA) == ALL - {T}
    assert one.error is None


def test_the_prompt_is_read_and_may_hold_what_is_banned() -> None:
    assert left(fake(["cat"]), X, CA, T, DOT, CA) == ALL - {T}
    assert left(fake(["cat"], prompt=""), X, CA) == ALL
    assert left(fake(["cat"], prompt="a ca"), X) == ALL - {T}


def test_every_jump_back_and_every_new_prompt_is_followed() -> None:
    """A table of ids given one after the other, and whether `t` is legal after them."""
    one = fake(["cat"])
    for ids, t_is_legal in [
        ((X,), True),
        ((X, CA), False),
        ((X, DOG), True),  # back, and on with another token
        ((X, DOG, CA), False),
        ((X, DOG, CA), False),  # the same once more
        ((X, DOG), True),  # cut
        ((X,), True),  # to the prompt
        ((X, DOG, CA, X, CA), False),  # longer by more than one: a new prompt
        ((DOT,), True),
        ((CA,), False),
        ((X, CA, T), True),  # a new prompt with what is banned in it
        ((X, CA, T, DOT), True),
    ]:
        assert (T in left(one, *ids)) == t_is_legal, ids
        assert one.error is None


def test_a_scope_begins_anew_with_each_prompt_and_is_kept_on_the_way_back() -> None:
    vocab = Vocab(PIECES, control=[CONTROL], end=[END])
    matcher = BanList(["cat"], after=".").compile(vocab)
    one = BanLogitsProcessor(matcher, FakeLlama(vocab))
    assert T in left(one, X)
    assert T in left(one, X, CA)
    assert T in left(one, X, CA, DOT)
    assert T not in left(one, X, CA, DOT, CA)
    assert T not in left(one, X, CA, DOT, CA)
    assert T in left(one, X, CA)
    assert T in left(one, X, CA, DOT, CA, T, CA)


def test_bytes_that_are_not_utf8_never_come_out() -> None:
    one = fake(["cat"])
    assert left(one, X) == ALL
    assert left(one, X, D0) == {B9, CONTROL, END}
    assert left(one, X, D0, B9) == ALL
    assert left(one, FF) == ALL  # the prompt's own do not matter
    assert left(one, D0) == {B9, CONTROL, END}


def test_a_piece_that_detokenize_loses_is_never_drawn() -> None:
    assert LONG_PIECE not in left(fake(["cat"]), X)


@pytest.mark.parametrize(
    ("stop", "ids", "refused"),
    [
        ("alog", (X,), {CATALOG}),  # " catalog" would be cut to " cat"
        (["dog", "alog"], (X,), {CATALOG}),
        ("log", (X,), set()),  # " cata" is no word of the list
        (" cat", (X,), set()),
        ("g", (X,), set()),
        ("alog.", (X, CATALOG), {DOT}),  # the stop string ends in a later token than it begins
        ("talog", (X, CA), {T}),
    ],
)
def test_a_stop_string_cuts_no_word_out_of_a_token(stop: Any, ids: tuple[int, ...], refused: set[int]) -> None:
    one = fake(["cat"], stop=stop)
    for end in range(1, len(ids)):
        left(one, *ids[:end])
    assert left(one, *ids) == ALL - refused


def test_without_stop_strings_the_same_tokens_are_legal() -> None:
    assert CATALOG in left(fake(["cat"]), X)
    with pytest.raises(UsageError, match="empty"):
        fake(["cat"], stop=[""])


def test_where_nothing_is_left_the_text_ends(caplog: pytest.LogCaptureFixture) -> None:
    vocab = Vocab([b"cat", b" cat", b"</s>", b"<eot>"], end=[2, 3])
    one = fake(["cats", "cat cat", "token:3"], vocab)
    assert left(one, 0) == {0, 2}
    one = fake(["cat*", "*cat", "token:2", "token:3"], Vocab([b"ca", b"t", b"", b"", b"-"], end=[2, 3]))
    assert left(one, 4) == {0, 4, 1}
    scores = np.full(5, -np.inf, dtype=np.float32)
    scores[1] = 1.0
    assert np.flatnonzero(one(np.array([4, 0], dtype=np.intc), scores) > -np.inf).tolist() == [3]
    with pytest.raises(BannedError, match="every continuation"):
        one.raise_for_error()
    assert "every continuation" in caplog.text
    assert left(one, 4, 0, 3) == {3}  # and it stays ended
    assert left(one, 4, 4, 4, 4) == {0, 1, 4}
    one.raise_for_error()


class Broken:
    """A matcher that fails at the third question."""

    def __init__(self, matcher: Any, error: BaseException) -> None:
        self.matcher, self.error, self.asked = matcher, error, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.matcher, name)

    def illegal(self, state: Any, waiting: bool) -> Any:
        self.asked += 1
        if self.asked == 3:
            raise self.error
        return self.matcher.illegal(state, waiting)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), MemoryError()])
def test_whatever_goes_wrong_ends_the_text(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    one = fake(["cat"])
    one.matcher = Broken(one.matcher, error)  # type: ignore[assignment]
    assert left(one, X) == ALL
    assert left(one, X, DOG) == ALL
    assert left(one, X, DOG, CA) == {END}
    assert one.error is error
    assert len(caplog.records) == 1
    assert left(one, X, DOG, CA, T) == {END}
    with pytest.raises(type(error)):
        one.raise_for_error()
    assert left(one, DOT) == ALL  # a new prompt begins afresh
    assert one.error is None
    one.reset()
    assert left(one, DOT) == ALL


def test_scores_of_another_size_end_the_text() -> None:
    one = fake(["cat"])
    scores = one(np.array([X], dtype=np.intc), np.zeros(END + 5, dtype=np.float32))
    assert np.flatnonzero(scores > -np.inf).tolist() == [END]
    assert isinstance(one.error, UsageError)


def test_an_illegal_token_that_was_drawn_all_the_same_is_noticed() -> None:
    one = fake(["cat"])
    left(one, X, CA)
    assert left(one, X, CA, T) == {END}
    with pytest.raises(BannedError, match=r"illegal token 2 \(b't'\)"):
        one.raise_for_error()
    two = fake(["cat"])
    left(two, X, CA)
    two._llama.begin()  # another completion: the same ids are its prompt
    assert left(two, X, CA, T) == ALL
    assert two.error is None


def test_a_llama_whose_ids_cannot_be_trusted_is_refused() -> None:
    vocab = Vocab(PIECES, control=[CONTROL], end=[END])
    llama, matcher = FakeLlama(vocab), BanList(["cat"]).compile(vocab)
    llama.draft_model = object()
    with pytest.raises(UsageError, match="draft_model"):
        BanLogitsProcessor(matcher, llama)
    llama.draft_model = None
    one = BanLogitsProcessor(matcher, llama)
    llama.draft_model = object()
    assert left(one, X) == {END}
    other = Vocab([b"a"], end=[])
    with pytest.raises(UsageError, match="ends a text"):
        BanLogitsProcessor(BanList([]).compile(other), FakeLlama(other))
    with pytest.raises(UsageError, match="13 tokens, and this model has 1"):
        BanLogitsProcessor(matcher, FakeLlama(other))


# -- on the real models -------------------------------------------------------------------------------------------


def open_llama(path: Path) -> llama_cpp.Llama:
    return llama_cpp.Llama(str(path), n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False)


@pytest.fixture(scope="module")
def smollm2_llama(smollm2_path: Path) -> Iterator[llama_cpp.Llama]:
    llama = open_llama(smollm2_path)
    yield llama
    llama.close()


@pytest.fixture(scope="module")
def gemma_llama(gemma_path: Path) -> Iterator[llama_cpp.Llama]:
    llama = open_llama(gemma_path)
    yield llama
    llama.close()


@pytest.fixture(scope="module", params=["smollm2_llama", "gemma_llama"])
def llama(request: pytest.FixtureRequest) -> llama_cpp.Llama:
    return request.getfixturevalue(request.param)


def search(lines: list[str]) -> re.Pattern[str]:
    """What a reader would search for: whole words, in any letters, any white space between them."""
    words = "|".join(r"\s+".join(map(re.escape, line.split())) for line in sorted(lines, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE)


PROMPT = "The capital of France is"


def texts_of(llama: llama_cpp.Llama, processor: Any, n: int, **options: Any) -> Iterator[str]:
    """The same completion in every way that llama-cpp-python has to give it."""
    options = {"max_tokens": n, "logits_processor": processor, **options}
    yield complete(llama, **options)
    parts = llama.create_completion(PROMPT, stream=True, **options)
    yield "".join(part["choices"][0]["text"] for part in parts)
    llama.set_seed(options.pop("seed"))
    prompt = llama.tokenize(PROMPT.encode())
    del options["max_tokens"]
    options["temp"] = options.pop("temperature")
    drawn = list(itertools.islice(llama.generate(prompt, **options), n))
    yield llama.detokenize(drawn).decode("utf-8", "ignore")


def complete(llama: llama_cpp.Llama, **options: Any) -> str:
    return llama.create_completion(PROMPT, **options)["choices"][0]["text"]


@pytest.mark.parametrize("lines", [SHORT, LONG], ids=["1", "2000"])
def test_no_text_holds_a_match(llama: llama_cpp.Llama, lines: list[str]) -> None:
    processor = BanLogitsProcessor(BanList(lines), llama)
    assert search(lines).search("is PARIS.")
    for temperature, seed in [(0.0, 0), (0.8, 1), (0.8, 2)]:
        for text in texts_of(llama, processor, 16, temperature=temperature, seed=seed):
            assert text
            assert not search(lines).search(text), text
            processor.raise_for_error()


def test_without_the_processor_the_search_finds_something(llama: llama_cpp.Llama) -> None:
    text = complete(llama, max_tokens=16, temperature=0.0)
    assert search(LONG).search(text)


def test_the_processor_changes_nothing_else(smollm2_llama: llama_cpp.Llama) -> None:
    options = {"max_tokens": 12, "temperature": 0.8, "seed": 3}
    free = complete(smollm2_llama, **options)
    processor = BanLogitsProcessor(BanList(["zyzzyva"]), smollm2_llama)
    assert complete(smollm2_llama, logits_processor=processor, **options) == free


def test_a_word_begun_in_the_prompt_is_not_finished(smollm2_llama: llama_cpp.Llama) -> None:
    processor = BanLogitsProcessor(BanList(["Paris"]), smollm2_llama)
    ids = [*smollm2_llama.tokenize(PROMPT.encode()), *smollm2_llama.tokenize(b" Par", add_bos=False)]
    options = {"max_tokens": 2, "temperature": 0.0}
    out = smollm2_llama.create_completion(ids, logits_processor=processor, **options)
    assert not search(["Paris"]).search(" Par" + out["choices"][0]["text"])
    assert smollm2_llama.create_completion(ids, **options)["choices"][0]["text"].startswith("is")


def test_a_conversation_of_several_turns(smollm2_llama: llama_cpp.Llama) -> None:
    lines = ["Paris", "Hello", "the", "France", "I"]
    processor = BanLogitsProcessor(BanList(lines), smollm2_llama)
    messages = [{"role": "user", "content": "Hello! What is the capital of France? I think it is Paris."}]
    for temperature, stream in [(0.0, False), (0.8, False), (0.8, True)]:
        options = {"max_tokens": 12, "temperature": temperature, "seed": 5, "logits_processor": processor}
        out = smollm2_llama.create_chat_completion(messages, stream=stream, **options)
        if stream:
            text = "".join(part["choices"][0]["delta"].get("content", "") for part in out)
        else:
            text = out["choices"][0]["message"]["content"]
        assert text
        assert not search(lines).search(text), text
        processor.raise_for_error()
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "Is Paris the capital?"}]


def test_it_works_beside_logit_bias_where_a_list_does_not(smollm2_llama: llama_cpp.Llama) -> None:
    """llama-cpp-python 0.3.36 drops a LogitsProcessorList as soon as there is a logit_bias."""
    processor = BanLogitsProcessor(BanList(["Paris"]), smollm2_llama)
    dot = smollm2_llama.tokenize(b".", add_bos=False)[0]
    for with_bias in ({}, {"logit_bias": {dot: 100.0}}, {"logit_bias": {str(dot): -100.0}}):
        options = {"max_tokens": 6, "temperature": 0.0, **with_bias}
        text = complete(smollm2_llama, logits_processor=processor, **options)
        assert "Paris" not in text
        assert (text == "......") == (with_bias.get("logit_bias", {}).get(dot) == 100.0)
    in_a_list = llama_cpp.LogitsProcessorList([processor])
    text = smollm2_llama.create_completion(PROMPT, max_tokens=6, temperature=0.0, logits_processor=in_a_list)
    assert "Paris" not in text["choices"][0]["text"]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_an_error_in_the_middle_ends_the_text(smollm2_llama: llama_cpp.Llama, temperature: float) -> None:
    """llama-cpp-python swallows what a processor raises, and would go on without it."""
    logging.disable(logging.ERROR)
    processor = BanLogitsProcessor(BanList(["Paris"]), smollm2_llama)
    processor.matcher = Broken(processor.matcher, RuntimeError("boom"))  # type: ignore[assignment]
    options = {"temperature": temperature, "seed": 2, "logits_processor": processor}
    out = smollm2_llama.create_completion(PROMPT, max_tokens=16, **options)
    assert out["choices"][0]["finish_reason"] == "stop"
    assert out["usage"]["completion_tokens"] == 2
    with pytest.raises(RuntimeError, match="boom"):
        processor.raise_for_error()
    text = complete(smollm2_llama, max_tokens=4, **options)
    assert text
    assert processor.error is None
    logging.disable(logging.NOTSET)


def test_stop_strings_and_limits_leave_no_match(smollm2_llama: llama_cpp.Llama) -> None:
    lines = ["Pari", "city", "largest"]
    for stop in (["s"], ["is"], [".", " and"]):
        processor = BanLogitsProcessor(BanList(lines), smollm2_llama, stop=stop)
        for seed, n in itertools.product(range(2), (2, 7)):
            options = {"temperature": 0.8, "seed": seed, "stop": stop, "max_tokens": n}
            text = smollm2_llama.create_completion(PROMPT, logits_processor=processor, **options)["choices"][0]["text"]
            assert not search(lines).search(text), text
    # the trap is real: untold, the processor lets " Paris" be cut to " Pari"
    untold = BanLogitsProcessor(BanList(lines), smollm2_llama)
    options = {"temperature": 0.0, "stop": ["s"], "max_tokens": 4}
    text = complete(smollm2_llama, logits_processor=untold, **options)
    assert search(lines).search(text)
