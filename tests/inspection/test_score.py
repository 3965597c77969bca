import math

import numpy as np
import pytest

from ggufban.errors import ContextFullError, LogitsError, UsageError
from ggufban.inspection.score import context_effect, score
from ggufban.inspection.text import Trace, summarize
from ggufban.inspection.trace import Step
from tests.inspection.source import StubSource, naive_logprobs

TEXT = "abcabd achbb adcgfeab"


def test_every_token_is_predicted_from_those_before_it():
    source = StubSource()
    trace = score(source, TEXT, top=3)
    tokens = source.tokenize(TEXT)
    assert trace.text == TEXT
    assert trace.tokens == tokens[1:]
    for i, step in enumerate(trace.steps, 1):
        logprobs = naive_logprobs(source.row(tokens[:i]))
        order = sorted(range(len(logprobs)), key=lambda t: -logprobs[t])
        assert step.logprob == pytest.approx(logprobs[tokens[i]], abs=1e-9)
        assert step.rank == 1 + order.index(tokens[i])
        assert step.entropy == pytest.approx(-(np.exp(logprobs) * logprobs).sum(), abs=1e-9)
        assert [c.token for c in step.candidates] == order[:3]
        assert step.normalized_entropy == pytest.approx(step.entropy / math.log(source.n_vocab))


def test_without_a_beginning_the_first_token_has_no_probability():
    trace = score(StubSource(add_bos=False), TEXT)
    assert [step.traced for step in trace.steps] == [False] + [True] * (len(TEXT) - 1)
    assert math.isnan(trace.array("surprisal")[0])
    assert trace.summary().tokens == len(TEXT) - 1
    assert trace.summary().bytes == len(TEXT) - 1


@pytest.mark.parametrize("context", ["", "gh ", "a"])
@pytest.mark.parametrize("add_bos", [True, False])
def test_with_a_context_every_token_counts_and_the_tokens_stay(context, add_bos):
    source = StubSource(add_bos=add_bos)
    before = source.tokenize(context) or [source.bos]
    trace = score(source, TEXT, context=context)
    assert trace.tokens == source.tokenize(TEXT, add_special=False)
    assert all(step.traced for step in trace.steps)
    first = naive_logprobs(source.row(before))[trace.tokens[0]]
    assert trace.steps[0].logprob == pytest.approx(first, abs=1e-9)


def test_a_long_text_is_scored_in_windows_and_nothing_is_left_out():
    source = StubSource(n_ctx=12)
    trace = score(source, TEXT * 4)
    assert all(step.traced for step in trace.steps)
    with pytest.raises(ContextFullError):
        score(source, TEXT * 4, context="a")


def test_llama_cpp_counts_as_llama_perplexity_does():
    """Against the program's loop, written down again: whole chunks, their second halves, BOS first."""
    source, size = StubSource(n_ctx=32), 8
    tokens = source.tokenize(TEXT)
    losses = []
    for begin in range(0, len(tokens) - size + 1, size):
        chunk = [0, *tokens[begin + 1 : begin + size]]
        losses += [-naive_logprobs(source.row(chunk[: j + 1]))[chunk[j + 1]] for j in range(size // 2, size - 1)]
    mean, square = np.mean(losses), np.mean(np.square(losses))
    summary = score(source, TEXT, protocol="llama.cpp", window=size).summary()
    assert summary.tokens == len(losses)
    assert summary.perplexity == pytest.approx(math.exp(mean), rel=1e-9)
    error = math.exp(mean) * math.sqrt((square - mean * mean) / (len(losses) - 1))
    assert summary.perplexity_error == pytest.approx(error, rel=1e-6)


def test_progress_ends_with_all_done():
    seen = []
    score(StubSource(n_ctx=12), TEXT, progress=lambda *done: seen.append(done))
    assert seen[-1] == (len(TEXT), len(TEXT))
    assert seen == sorted(seen)


def test_misuse_is_told():
    source = StubSource()
    with pytest.raises(UsageError, match="knows no context"):
        score(source, TEXT, context="", protocol="llama.cpp")
    with pytest.raises(UsageError, match="context holds 64"):
        score(source, TEXT, window=65)


def test_numbers_that_are_none_are_an_error():
    source = StubSource()
    source.row = lambda tokens: np.full(source.n_vocab, np.nan, dtype=np.float32)
    with pytest.raises(LogitsError, match="NaN"):
        score(source, TEXT)


def step(logprob: float, piece: bytes = b"x", rank: int = 1, entropy: float = 1.0) -> Step:
    return Step(5, piece, piece.decode(), -1.0, logprob, math.exp(logprob), rank, entropy, 0.1, n_vocab=8)


def test_a_summary_by_hand():
    # Probabilities 1/2 and 1/8: mean loss (ln 2 + 3 ln 2)/2 = 2 ln 2, perplexity 4, 4 bits over 3 bytes.
    summary = summarize([step(-math.log(2), b"ab"), step(-math.log(8), b"c", rank=2, entropy=3.0), Step(1, b"z", "z")])
    assert (summary.tokens, summary.bytes) == (2, 3)
    assert summary.perplexity == pytest.approx(4.0)
    assert summary.bits_per_byte == pytest.approx(4 / 3)
    assert summary.perplexity_error == pytest.approx(4.0 * math.log(2))  # losses are 2 ln 2 ± ln 2
    assert (summary.mean_entropy, summary.max_entropy, summary.best) == (2.0, 3.0, 0.5)
    assert summary.min_probability == pytest.approx(1 / 8)


def test_a_token_of_probability_0_makes_an_infinite_perplexity():
    summary = summarize([step(-1.0), step(-math.inf)])
    assert summary.nll == math.inf
    assert summary.perplexity == math.inf


def test_the_worst_come_first():
    trace = Trace((step(-1.0), step(-5.0), step(-3.0), Step(1, b"z", "z"), step(-5.0)))
    assert trace.worst(3) == [1, 4, 2]
    with pytest.raises(UsageError, match="no metric 'heat'"):
        trace.array("heat")


@pytest.mark.parametrize(
    ("alone", "within", "verdict"),
    [
        ([-5.0], [-1.0], "helped"),
        ([-1.0], [-5.0], "misled"),
        ([-1.0], [-1.5], "ignored"),  # less than a factor of two
        ([-1.0, -9.0] * 5, [-9.0, -1.6] * 5, "ignored"),  # the tokens disagree more than they move
        ([-3.0] * 10, [-2.0, -1.5] * 5, "helped"),
    ],
)
def test_verdicts_on_a_context(alone, within, verdict):
    effect = context_effect(Trace(tuple(map(step, alone))), Trace(tuple(map(step, within))))
    assert effect.verdict == verdict
    assert effect.total == pytest.approx(sum(within) - sum(alone))
    assert np.allclose(effect.difference, np.subtract(within, alone))


def test_an_effect_is_of_one_text():
    with pytest.raises(UsageError, match="different tokens"):
        context_effect(Trace((step(-1.0),)), Trace((step(-1.0), step(-1.0))))


def test_a_broken_row_is_named_by_its_place(monkeypatch):
    source = StubSource()
    row = source.row

    def broken(tokens):
        return row(tokens) * np.float32(np.nan if len(tokens) == 4 else 1.0)

    monkeypatch.setattr(source, "row", broken)
    with pytest.raises(LogitsError, match=r"^step 4: the logits hold NaN"):
        score(source, TEXT)
