import pytest

from ggufban.errors import ContextFullError, ParameterError
from ggufban.inspection.protocol import Window, plan, stream_rows
from tests.inspection.source import StubSource


def targets(windows):
    return [list(range(w.first, w.first + w.n_rows)) for w in windows]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8, 9, 10, 11, 16, 17, 40, 101])
def test_full_predicts_every_token_after_the_first_once(count):
    windows = plan(range(100, 100 + count), size=8, begin=7)
    assert [t for group in targets(windows) for t in group] == list(range(1, count))
    assert all(len(w.tokens) <= 8 for w in windows)


def test_full_gives_every_later_window_half_a_window_of_what_came_before():
    windows = plan(range(100, 120), size=8, begin=7)
    assert windows[0] == Window(list(range(100, 108)), 1, 8)  # the row after the last token predicts token 8
    assert windows[1].tokens == [7, 106, 107, 108, 109, 110, 111, 112]
    assert targets(windows)[1] == [9, 10, 11, 12, 13]
    assert plan(range(100, 120), size=8)[1].tokens[0] == 105


def test_llama_cpp_counts_the_second_half_of_whole_windows():
    windows = plan(range(100, 127), protocol="llama.cpp", size=8, begin=7)
    assert [w.tokens for w in windows] == [
        [7, 101, 102, 103, 104, 105, 106],
        [7, 109, 110, 111, 112, 113, 114],
        [7, 117, 118, 119, 120, 121, 122],
    ]
    assert targets(windows) == [[5, 6, 7], [13, 14, 15], [21, 22, 23]]  # n_ctx - 1 - n_ctx/2 of each


def test_the_rows_that_come_are_those_that_predict():
    source = StubSource(n_ctx=16)
    tokens = source.tokenize("abcabdachbbadcgfeabcdefgah")
    windows = plan(tokens, size=16, begin=0)
    seen = {}
    for at, rows in stream_rows(source, windows):
        for i, row in enumerate(rows, at):
            seen[i] = row.copy()
    assert sorted(seen) == list(range(1, len(tokens)))
    for window in windows:
        for i in range(window.n_rows):
            before = window.tokens[: len(window.tokens) - window.n_rows + 1 + i]
            assert (seen[window.first + i] == source.row(before)).all()


def test_a_context_and_a_text_have_to_fit_together():
    assert len(plan(range(9), size=8, first=4)) == 1
    with pytest.raises(ContextFullError, match=r"4 tokens and a text of 6"):
        plan(range(10), size=8, first=4)


@pytest.mark.parametrize(
    ("settings", "word"), [({"protocol": "half", "size": 8}, "half"), ({"size": 3}, "window is 3")]
)
def test_what_is_no_protocol(settings, word):
    with pytest.raises(ParameterError, match=word):
        plan(range(9), **settings)
