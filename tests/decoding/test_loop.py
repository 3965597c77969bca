"""The loop: what it releases, where it goes back to, how it ends. Every text is judged by plain search."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.decoding import STRATEGIES
from ggufban.decoding.drive import write
from ggufban.decoding.loop import Writer
from ggufban.errors import LogitsError, ParameterError
from ggufban.sampling import Sampler
from ggufban.vocab import Vocab
from tests.decoding.stub import ABC, SlowMatcher, StubEngine

GREEDY = {"temperature": 0.0}
OPEN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
ALL = list(STRATEGIES)


def writer(patterns=(), strategy="rewind", n_predict=8, seed=0, sampling=OPEN, vocab=ABC, **more) -> Writer:
    matcher = SlowMatcher(tuple(patterns), vocab) if patterns else None
    rng = np.random.default_rng(seed)
    return Writer(
        [0],
        vocab,
        Sampler(**sampling),
        rng,
        strategy=STRATEGIES[strategy](),
        matcher=matcher,
        n_predict=n_predict,
        **more,
    )


def run(engine: StubEngine, one: Writer) -> str:
    for _ in write(engine, one):
        pass
    return one.text


class Scripted(StubEngine):
    """An engine that wants one text above all, and then others in order of their ids."""

    def __init__(self, vocab: Vocab, wanted: list[int]) -> None:
        super().__init__(len(vocab))
        self.wanted = wanted

    def row(self, tokens):
        row = -np.arange(self.n_vocab, dtype=np.float32)
        at = len(tokens) - 1
        if at < len(self.wanted):
            row[self.wanted[at]] = 10.0
        return row


# -- the promise --------------------------------------------------------------------------------------------------

PATTERNS = st.lists(st.sampled_from([r"\bab\b", "ab", "ba b", r"\bb\b", "aa", r"\ba\b", "a", "b"]), min_size=1)


@settings(max_examples=600, deadline=None)
@given(PATTERNS, st.sampled_from(ALL), st.integers(0, 9), st.integers(0, 12), st.booleans())
def test_no_text_holds_a_match(patterns, strategy: str, seed: int, n_predict: int, greedy: bool) -> None:
    one = writer(patterns, strategy, n_predict, seed, GREEDY if greedy else OPEN)
    shown = ""
    for step in write(StubEngine(len(ABC), seed), one):
        shown += step.text
        matcher = SlowMatcher(tuple(patterns), ABC)
        assert matcher.end_legal(shown.encode()) or strategy == "exact"  # an interrupt may come after any step
    assert shown == one.text
    assert not any(re.search(pattern, one.text) for pattern in patterns)
    assert one.finish_reason in {"stop", "length", "banned"}
    assert one.report.tokens == len(one.steps) <= n_predict


@settings(max_examples=200, deadline=None)
@given(PATTERNS, st.sampled_from(ALL), st.integers(0, 9), st.integers(1, 40))
def test_an_interrupt_at_any_moment_leaves_a_legal_text(patterns, strategy: str, seed: int, after: int) -> None:
    one, polls = writer(patterns, strategy, 20, seed), iter(range(1000))
    for _ in write(StubEngine(len(ABC), seed), one, stopping=lambda: next(polls) >= after):
        pass
    assert not any(re.search(pattern, one.text) for pattern in patterns)
    assert one.finish_reason is not None


@pytest.mark.parametrize("strategy", ALL)
def test_without_bans_every_strategy_writes_the_same_text(strategy: str) -> None:
    texts = {run(StubEngine(len(ABC), 3), writer((), strategy, 12, seed=5)) for _ in range(2)}
    assert texts == {run(StubEngine(len(ABC), 3), writer((), "mask", 12, seed=5))}


# -- going back ---------------------------------------------------------------------------------------------------


def test_rewind_goes_back_to_where_the_word_began() -> None:
    vocab = Vocab([b"x", b" ca", b"t", b".", b" dog", b"</s>"], end=[5])
    engine = Scripted(vocab, [1, 2, 3])
    one = writer([r"\bcat\b"], "rewind", 3, sampling=GREEDY, vocab=vocab, top=2)
    assert run(engine, one) == "xt."  # " ca" is given up: all that it led to was " cat."
    assert one.report.hits == {r"\bcat\b": 1}
    assert one.report.discarded_tokens == 3
    assert [(d.at, d.text, d.reason) for d in one.detours] == [(0, " cat.", r"\bcat\b")]
    masked = writer([r"\bcat\b"], "mask", 3, sampling=GREEDY, vocab=vocab)
    assert run(engine, masked) == " cax."  # a mask never looks back


def test_a_word_that_runs_on_is_not_taken_back() -> None:
    vocab = Vocab([b"x", b" cat", b"alog", b".", b"</s>"], end=[4])
    engine = Scripted(vocab, [1, 2, 3])
    assert run(engine, writer([r"\bcat\b"], "rewind", 3, sampling=GREEDY, vocab=vocab)) == " catalog."
    assert run(engine, writer([r"\bcat\b"], "mask", 3, sampling=GREEDY, vocab=vocab)) == "xalog."


def test_a_word_may_not_end_the_text_at_the_limit() -> None:
    vocab = Vocab([b"x", b" cat", b"alog", b".", b"</s>"], end=[4])
    one = writer([r"\bcat\b"], "rewind", 1, sampling=GREEDY, vocab=vocab)
    assert run(Scripted(vocab, [1, 2, 3]), one) == "x"
    assert one.finish_reason == "length"


@pytest.mark.parametrize("strategy", ALL)
def test_a_word_may_not_end_the_text_at_its_end(strategy: str) -> None:
    vocab = Vocab([b"x", b" cat", b"alog", b".", b"</s>"], end=[4])
    one = writer([r"\bcat\b"], strategy, 9, vocab=vocab, seed=1)
    assert "cat" not in run(Scripted(vocab, [1, 4]), one).split()


@pytest.mark.parametrize("strategy", ["mask", "rewind"])
def test_greedy_gets_past_any_number_of_bans(strategy: str) -> None:
    vocab = Vocab([*(f"w{i}".encode() for i in range(50)), b"z", b"</s>"], end=[51])
    one = writer([f"w{i}(?![0-9])" for i in range(50)], strategy, 3, sampling=GREEDY, vocab=vocab)
    assert run(Scripted(vocab, [49, 48, 47]), one) == "zzz"


@pytest.mark.parametrize("strategy", ALL)
def test_where_nothing_is_left_the_text_ends_at_once(strategy: str) -> None:
    vocab = Vocab([b"a", b"b", b"ab", b"<pad>"])
    one = writer(["a", "b"], strategy, 50, vocab=vocab)
    engine = StubEngine(len(vocab))
    engine.row = lambda tokens: np.array([1.0, 2.0, 3.0, -np.inf], dtype=np.float32)
    assert run(engine, one) == ""
    assert one.finish_reason == "banned"
    assert engine.evaluations == 1


def test_a_dead_end_goes_further_back() -> None:
    """After `ab` nothing is legal: the loop must give up `b`, though the match would begin after it."""
    vocab = Vocab([b"a", b"b", b"c"])
    engine = Scripted(vocab, [0, 1])
    one = writer([r"aba", r"abb", r"abc", "cc"], "rewind", 4, sampling=GREEDY, vocab=vocab)
    text = run(engine, one)
    assert len(text) == 4
    assert not re.search("aba|abb|abc|cc", text)


# -- showing ------------------------------------------------------------------------------------------------------


def test_text_is_shown_as_soon_as_no_match_can_begin_in_it() -> None:
    vocab = Vocab([b"x", b" ", b"ca", b"t", b"</s>"], end=[4])
    engine = Scripted(vocab, [0, 1, 2, 0, 1])
    one = writer([r"\bcat\b"], "rewind", 5, sampling=GREEDY, vocab=vocab)
    seen = [(len(one.path), step.text) for step in write(engine, one)]
    assert "".join(text for _, text in seen) == "x cax "


def test_a_character_of_several_tokens_is_shown_when_it_is_whole() -> None:
    vocab = Vocab([b"x", b"\xd0", b"\xba", b"</s>"], end=[3])
    texts = [
        step.text for step in write(Scripted(vocab, [1, 2, 0]), writer((), "mask", 3, vocab=vocab, sampling=GREEDY))
    ]
    assert texts == ["", "к", "x"]


def test_a_character_that_stays_broken_becomes_a_replacement_character() -> None:
    vocab = Vocab([b"x", b"\xd0", b"</s>"], end=[2])
    one = writer((), "mask", 2, vocab=vocab, sampling=GREEDY)
    assert run(Scripted(vocab, [0, 1]), one) == "x\ufffd"
    assert [step.text for step in one.steps] == ["x", "\ufffd"]


# -- stop strings -------------------------------------------------------------------------------------------------

WORDS = Vocab([b"one", b" two", b" three", b"!", b" cat", b"s", b"</s>"], end=[6])


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize(
    ("stop", "text"),
    [
        (["!"], "one two three"),
        ([" tw"], "one"),
        (["three"], "one two "),
        (["wo th"], "one t"),
        (["zz"], "one two three! cat"),
    ],
)
def test_the_text_ends_before_a_stop_string(strategy: str, stop: list[str], text: str) -> None:
    one = writer((), strategy, 5, sampling=GREEDY, vocab=WORDS, stop=stop)
    shown = "".join(step.text for step in write(Scripted(WORDS, [0, 1, 2, 3, 4]), one))
    assert shown == one.text == text
    assert one.finish_reason == ("length" if stop == ["zz"] else "stop")


@pytest.mark.parametrize("strategy", ["mask", "rewind"])
def test_a_stop_string_may_not_leave_a_banned_word_at_the_end(strategy: str) -> None:
    """The text `one cats!` would be cut to `one cat` before the stop string `s!`."""
    one = writer([r"\bcat\b"], strategy, 4, sampling=GREEDY, vocab=WORDS, stop=["s!"])
    text = run(Scripted(WORDS, [0, 4, 5, 3]), one)
    assert not re.search(r"\bcat\b", text)


def test_an_empty_stop_string_is_an_error() -> None:
    with pytest.raises(ParameterError, match="stop string is empty"):
        writer(stop=[""])


# -- records ------------------------------------------------------------------------------------------------------


def test_steps_say_what_was_removed_and_why() -> None:
    vocab = Vocab([b"x", b" cat", b"alog", b".", b"</s>"], end=[4])
    one = writer([r"\bcat\b"], "mask", 2, sampling={**OPEN, "top_k": 2}, vocab=vocab, top=3)
    run(Scripted(vocab, [1, 0]), one)
    first = one.steps[0]
    assert [c.text for c in first.candidates] == [" cat", "x", "alog"]
    assert first.candidates[0].removed_by == r"ban: \bcat\b"
    assert first.candidates[0].drawn_with == 0.0
    assert first.removed_mass == pytest.approx(1 / (1 + math.exp(-10)))  # of " cat" and "x", the two of top-k
    assert first.candidates[1].drawn_with + first.candidates[2].drawn_with == pytest.approx(1.0)
    assert one.report.log_legal_mass <= math.log(1 - first.removed_mass)
    assert 0.0 <= first.random < 1.0


def test_a_damaged_row_is_an_error_that_names_the_step() -> None:
    engine = StubEngine(len(ABC))
    good = engine.row
    engine.row = lambda tokens: good(tokens) if len(tokens) < 4 else np.full(len(ABC), np.nan, dtype=np.float32)
    one = writer(sampling={**OPEN, "logit_bias": {4: -math.inf}})
    with pytest.raises(LogitsError, match="step 4"):
        run(engine, one)


def test_no_tokens_asked_for() -> None:
    one = writer(n_predict=0)
    assert run(StubEngine(len(ABC)), one) == ""
    assert one.finish_reason == "length"
    with pytest.raises(ParameterError, match="n_predict is -3"):
        writer(n_predict=-3)


def test_a_budget_of_evaluations_is_kept() -> None:
    engine = StubEngine(len(ABC), 3)
    one = writer((), "exact", 50, sampling={**OPEN, "logit_bias": {4: -math.inf}})
    for _ in write(engine, one, max_evaluations=10):
        pass
    assert engine.evaluations <= 11
    assert one.finish_reason is None  # the caller decides
    one.interrupt()
    assert one.finish_reason == "interrupted"
