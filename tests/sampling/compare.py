"""Whether two distributions are the same, where what is compared is defined."""

import numpy as np
from numpy.typing import NDArray

from ggufban.sampling import Distribution
from tests.sampling.oracle import Left

TOLERANCE = 1e-5


def assert_same(ours: Distribution, theirs: Left, row: NDArray[np.float32]) -> None:
    """The same survivors in the same order, with probabilities within 1e-5.

    Two things are not defined in llama.cpp, and not compared: the order of candidates of equal logit, and
    which of them survive a cut that goes between them (`std::partial_sort` and `std::sort` are not stable).
    There the logits have to be the same, not the ids. And where nothing in a chain needs the candidates
    sorted, llama.cpp leaves them in the order of their ids, or of their typicality: its survivors are looked
    up by id here.

    One in 1,500 of the C library's float32 exponentials differs from ours in its last bit, which can end a
    running sum of more than 10,000 probabilities one token earlier or later: there one survivor more or less
    is allowed.
    """
    if len(ours) != len(theirs.ids):
        assert abs(len(ours) - len(theirs.ids)) == 1, "another number of survivors"
        assert len(ours) > 10_000, "another number of survivors"
        assert_nearly_the_same(ours, theirs)
        return
    logits, probs = np.full(len(row), np.nan), np.full(len(row), np.nan)
    logits[theirs.ids], probs[theirs.ids] = theirs.logits, theirs.probs
    mine = np.zeros(len(row), dtype=bool)
    mine[ours.ids] = True
    only_ours = ours.ids[np.isnan(logits[ours.ids])]
    only_theirs = theirs.ids[~mine[theirs.ids]]
    # survivors of one alone: of equal logits, so that each can stand in for the other
    only_ours = only_ours[np.argsort(row[only_ours])]
    only_theirs = only_theirs[np.argsort(row[only_theirs])]
    assert np.array_equal(row[only_ours], row[only_theirs]), "different survivors"
    logits[only_ours], probs[only_ours] = logits[only_theirs], probs[only_theirs]
    # Adaptive-p makes logits of p - target, in which a last bit of p counts a good deal more
    last_bits = 16 * np.spacing(np.float32(5)) if ours.lessons is not None else 0
    assert (np.diff(logits[ours.ids]) <= last_bits).all(), "another order"
    # mirostat and adaptive-p leave quotients whose sum is not quite 1, and draw with these over their sum
    expected = probs[ours.ids] / theirs.probs.sum(dtype=np.float64)
    assert np.abs(ours.probs - expected).max() < TOLERANCE


def assert_nearly_the_same(ours: Distribution, theirs: Left) -> None:
    """The same probabilities, in order, but for a last one."""
    n = min(len(ours), len(theirs.ids))
    assert np.abs(ours.probs[:n] - np.sort(theirs.probs)[::-1][:n]).max() < TOLERANCE
