"""The operations that the filters are made of: each against the plain way of doing it."""

import numpy as np
import pytest

from ggufban.sampling.candidates import (
    Candidates,
    descending_order,
    exp32,
    heaviest,
    sum32,
    total32,
    total64,
)
from tests.sampling.rows import KINDS, random_row

SIZES = (1, 2, 5, 63, 64, 2047, 4095, 4096, 4097, 10_001, 49_152, 262_144)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_operations_on_a_row(kind: str, n: int) -> None:
    row = random_row(np.random.default_rng(n), kind, max(n, 4))[-n:]
    if n < 4:
        row = np.where(np.isfinite(row), row, np.float32(0))
    c = Candidates.of(row)
    order = np.lexsort((np.arange(n), -row))
    finite = order[row[order] > -np.inf]
    assert c.top == row.max()
    assert c.ordered().ids.tolist() == finite.tolist()
    for k in (1, 2, 40, 300, n - 1, n, n + 1):
        if k > 0:
            greatest = c.greatest(k)
            assert greatest.ids.tolist() == finite[:k].tolist()
            assert greatest.size == min(k, n)
            assert greatest.logits.tolist() == row[greatest.ids].tolist()
    for threshold in (row.max(), row.max() - np.float32(1), np.median(row[finite]).astype(np.float32)):
        assert c.at_least(threshold).ids.tolist() == np.flatnonzero(row >= threshold).tolist()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_sums_over_a_row(kind: str, n: int) -> None:
    row = random_row(np.random.default_rng(n), kind, max(n, 4))[-n:]
    row = row if np.isfinite(row).any() else np.zeros_like(row)
    c = Candidates.of(row)
    weights = exp32(row - row.max())
    one_by_one = np.float32(0)
    for weight in weights[:5000]:
        one_by_one += weight
    assert sum32(weights[:5000]) == one_by_one
    assert sum32(weights) == np.add.accumulate(weights)[-1]
    assert total32(c) == sum32(weights), "leaving out what is lost in a sum changed the sum"
    assert total64(c) == pytest.approx(np.exp(row - row.max(), dtype=np.float64).sum(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95, 0.999999, 1.0])
def test_the_heaviest_hold_their_share(share: float, kind: str) -> None:
    row = random_row(np.random.default_rng(1), kind, 50_000)
    c = Candidates.of(row)
    total = total64(c)
    order = [token for token in np.lexsort((np.arange(len(row)), -row)) if row[token] > -np.inf]
    for held in heaviest(c, total, share):
        assert held.ids.tolist() == order[: len(held.logits)]
        assert np.exp(held.logits - c.top, dtype=np.float64).sum() >= share * total * (1 - 1e-6)
    assert len(held.logits) == len(order)


@pytest.mark.parametrize("n", [10, 5000])
def test_equal_numbers_and_both_zeros_stay_in_order(n: int) -> None:
    values = np.array([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, -3e38] * n, dtype=np.float32)
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))
    assert descending_order(values).tolist() == expected
