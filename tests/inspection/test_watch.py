import math

import numpy as np
import pytest

from ggufban.errors import UsageError
from ggufban.inspection.watch import Watcher, spellings
from tests.inspection.source import StubSource, naive_logprobs


def chain(source, before, spelling):
    """The chain rule, row by row."""
    total = 0.0
    for i, token in enumerate(spelling):
        total += naive_logprobs(source.row([*before, *spelling[:i]]))[token]
    return total


@pytest.mark.parametrize("word", ["a", "ab", "abc", "abcdef", " ab"])
def test_a_words_probability_is_the_product_over_its_tokens_in_both_spellings(word):
    source, reference = StubSource(), StubSource()
    watcher = Watcher(source, [word, "h"])
    for length in (1, 3, 2, 4):  # forward, back, and forward again, as a loop that rewinds
        tokens = source.tokenize("cabg")[:length]
        watcher.goto(tokens)
        forms = [word] if word[0] == " " else [word, " " + word]
        every = [chain(reference, tokens, source.tokenize(form, add_special=False)) for form in forms]
        seen = watcher.seen[tuple(tokens)][0]
        assert seen.logprob == pytest.approx(np.logaddexp.reduce(every), abs=1e-9)
        assert seen.probability == pytest.approx(math.exp(seen.logprob))
        row = reference.row(tokens)
        first = source.tokenize(forms[int(np.argmax(every))], add_special=False)[0]
        assert seen.rank == 1 + int((row > row[first]).sum())
        assert (watcher.logits() == row).all()


def test_branches_do_not_count_as_evaluations_of_the_text():
    watched, plain = Watcher(StubSource(), ["abc"]), StubSource()
    for length in (1, 2, 3):
        tokens = plain.tokenize("cab")[:length]
        watched.goto(tokens)
        plain.goto(tokens)
    assert watched.evaluations == plain.evaluations


def test_no_room_for_a_branch():
    source = StubSource(n_ctx=4)
    watcher = Watcher(source, ["abc", "a"])
    watcher.goto(source.tokenize("cab"))
    long, short = watcher.seen[tuple(source.tokenize("cab"))]
    assert long.logprob == -math.inf
    assert short.logprob > -math.inf


def test_an_empty_word():
    with pytest.raises(UsageError, match="watched word is empty"):
        spellings(StubSource(), "  ")
