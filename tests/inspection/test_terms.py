import math

import numpy as np
import pytest

from ggufban.errors import UsageError
from ggufban.inspection.compare import compare
from ggufban.inspection.terms import TermWatcher, first_tokens, occurrences
from tests.inspection.source import StubSource, naive_logprobs

TEXT = "abcabd achbb adcgfeab hgfedcba abab" * 3


def test_a_term_begins_with_itself_or_after_a_space():
    source = StubSource()
    a, space = source.tokenize("a ", add_special=False)
    assert first_tokens(source, ["ab", "c"]) == {"ab": (a, space), "c": (a + 2, space)}
    with pytest.raises(UsageError, match="term is empty"):
        first_tokens(source, [" "])


def test_mass_and_change_are_those_of_the_rows():
    base, other = StubSource(seed=1, n_ctx=128), StubSource(seed=2, n_ctx=128)
    ids = {"x": (3, 4), "y": (5,)}
    watcher = TermWatcher(ids, base.n_vocab)
    compare(base, other, TEXT, watch=watcher)
    tokens = base.tokenize(TEXT)
    together, x, y = watcher.result(resamples=200)
    for term, members in ((x, [3, 4]), (y, [5]), (together, [3, 4, 5])):
        masses = [
            np.mean([np.exp(naive_logprobs(s.row(tokens[:i])))[members].sum() for i in range(1, len(tokens))])
            for s in (base, other)
        ]
        assert (term.base, term.other) == pytest.approx(masses)
        odds = [math.log(m / (1 - m)) for m in masses]
        assert term.change == pytest.approx(odds[1] - odds[0])
        assert term.low <= term.change <= term.high


def test_the_interval_covers_no_change_for_a_model_and_itself_and_excludes_it_for_a_shifted_one():
    source = StubSource(n_ctx=128)
    same = TermWatcher({"x": (3,)}, source.n_vocab)
    compare(source, source, TEXT, watch=same)
    assert (same.result()[1].low, same.result()[1].high) == (0.0, 0.0)

    def lift(row):
        row = row.copy()
        row[3] += 1.0
        return row

    moved = TermWatcher({"x": (3,), "y": (4,)}, source.n_vocab)
    compare(source, source, TEXT, settings=(None, lift), watch=moved)
    x, y = moved.result()[1:]
    assert 0.5 < x.low < x.change < x.high < 1.1  # the logit moved by 1: so did the log-odds, but for the mean
    assert y.high < 0


def test_the_same_seed_gives_the_same_interval():
    base, other = StubSource(seed=1, n_ctx=128), StubSource(seed=2, n_ctx=128)
    watcher = TermWatcher({"x": (3,)}, base.n_vocab)
    compare(base, other, TEXT, watch=watcher)
    assert watcher.result(seed=4) == watcher.result(seed=4)


def test_occurrences_are_whole_words_in_any_case_with_every_token_that_holds_them():
    pieces = [b"The", b" Ca", b"t", b" and", b" cat", b"alog", "s к".encode(), "от".encode()]
    base = np.array([1, 2, 4, 8, 16, 32, 64, 128], dtype=np.float64)
    found = occurrences(["cat", "кот", "dog"], pieces, (base, 2 * base))
    assert [(o.term, o.count, o.base, o.other) for o in found] == [
        ("cat", 1, -6.0, -12.0),
        ("кот", 1, -192.0, -384.0),
    ]


def test_nothing_watched_is_an_error():
    with pytest.raises(UsageError, match="no place"):
        TermWatcher({"x": (3,)}, 11).result()
