import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ggufban.errors import LogitsError
from ggufban.inspection.statistics import RowScanner, nucleus_size, rank_of, row_statistics, top_ids
from ggufban.sampling.candidates import Candidates
from tests.inspection.source import naive_logprobs

ROWS = hnp.arrays(
    np.float32, st.integers(2, 300), elements=st.floats(-60, 60, width=32) | st.sampled_from([0.0, 1.0, -np.inf])
).filter(lambda row: np.isfinite(row).any())


def entropy_of(logprobs):
    alive = logprobs[np.isfinite(logprobs)]
    return -math.fsum(np.exp(alive) * alive)


def varentropy_of(logprobs):
    alive = logprobs[np.isfinite(logprobs)]
    return math.fsum(np.exp(alive) * (alive + entropy_of(logprobs)) ** 2)


@given(ROWS)
def test_scalars_agree_with_a_float64_reference(logits):
    before = logits.copy()
    row, reference = row_statistics(logits), naive_logprobs(logits)
    alive = np.isfinite(reference) & (reference > -600)  # the reference itself underflows below that
    h = entropy_of(reference)
    p = np.exp(reference[alive])
    for token in np.flatnonzero(alive)[:20]:
        assert row.logprob(float(logits[token])) == pytest.approx(reference[token], abs=1e-9)
    assert row.entropy == pytest.approx(h, abs=1e-9)
    assert row.varentropy == pytest.approx(math.fsum(p * (reference[alive] + h) ** 2), abs=1e-7)
    assert np.array_equal(logits, before)


@given(ROWS, st.integers(1, 320))
def test_top_ids_and_ranks_agree_with_a_sort(logits, k):
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    assert top_ids(logits, k).tolist() == order[:k]
    for rank, token in enumerate(order[:30], 1):
        assert rank_of(logits, token) == rank


@given(ROWS, st.sampled_from([0.1, 0.5, 0.9, 0.95, 0.999]))
def test_the_nucleus_is_the_shortest_head_that_reaches_p(logits, p):
    probs = np.sort(np.exp(naive_logprobs(logits)))[::-1]
    sums = np.cumsum(probs)
    size = nucleus_size(logits, row_statistics(logits), p)
    assert sums[size - 1] >= p * (1 - 2e-6)
    assert size == 1 or sums[size - 2] < p
    for k in (1, 5, 400):
        seen = Candidates.of(logits)
        assert nucleus_size(seen._replace(head=seen.greatest(k)), row_statistics(logits), p) == size


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-10), (np.float32, 1e-6)])
@pytest.mark.parametrize("size", [65535, 65536, 65537, 150_000])
@pytest.mark.parametrize("banned", [False, True])
def test_a_row_of_several_parts_is_one_row(size, banned, dtype, error):
    for spread in (0.5, 3.0, 10.0):
        logits = (np.random.default_rng(size).standard_normal(size) * spread).astype(np.float32)
        if banned:
            logits[[0, -1]] = -np.inf
        reference = naive_logprobs(logits)
        row = RowScanner(size, dtype)(logits)
        assert row.logprob(float(logits[5])) == pytest.approx(reference[5], abs=error)
        assert row.entropy == pytest.approx(entropy_of(reference), abs=error)
        assert row.varentropy == pytest.approx(varentropy_of(reference), rel=10 * error)


def test_the_worked_example():
    logits = np.array([0.5, 2.0, 1.0], dtype=np.float32)
    row = row_statistics(logits)
    assert [round(math.exp(row.logprob(float(x))), 2) for x in logits] == [0.14, 0.63, 0.23]


def test_a_banned_token_has_probability_0_and_leaves_the_others_as_they_were():
    row = row_statistics(np.array([1.0, -np.inf, 1.0], dtype=np.float32))
    assert math.exp(row.logprob(-math.inf)) == 0.0
    assert row.logprob(1.0) == pytest.approx(math.log(0.5))
    assert row.entropy == pytest.approx(math.log(2))
    assert row.varentropy == pytest.approx(0.0)


def test_logits_are_subtracted_in_float64():
    # In float32 the difference of these two would be off by more than the tolerance.
    logits = np.array([20.000002, 1.0000001, 3.3333333], dtype=np.float32)
    reference = naive_logprobs(logits)
    assert row_statistics(logits).entropy == pytest.approx(entropy_of(reference), rel=1e-12)


@pytest.mark.parametrize(
    ("row", "word"), [([0.0, np.nan], "NaN"), ([0.0, np.inf], r"\+inf"), ([-np.inf, -np.inf], "nothing finite")]
)
def test_what_is_no_distribution_is_an_error(row, word):
    with pytest.raises(LogitsError, match=word):
        row_statistics(np.array(row, dtype=np.float32))


def test_a_scanner_forgets_what_it_saw_before():
    scan = RowScanner(4)
    first = np.array([1, 2, 3, -np.inf], dtype=np.float32)
    second = np.array([0, 0, 0, 0], dtype=np.float32)
    expected = scan(second)
    scan(first)
    assert scan(second) == expected
    assert expected.entropy == pytest.approx(math.log(4))
