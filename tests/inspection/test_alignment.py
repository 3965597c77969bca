import math

import pytest

from ggufban.errors import UsageError
from ggufban.inspection.alignment import compare_bytes
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Step


def trace(*parts):
    """Steps from (piece, loss); a loss of None is a token that was not scored."""
    steps = []
    for piece, loss in parts:
        piece = piece.encode() if isinstance(piece, str) else piece
        known = {} if loss is None else {"logprob": -loss, "probability": math.exp(-loss), "rank": 1}
        steps.append(Step(1, piece, piece.decode("utf-8", "replace"), **known))
    return Trace(tuple(steps))


def stretches(found):
    return [(s.text, round(s.nll_base, 6), round(s.nll, 6)) for s in found.stretches]


def test_losses_are_summed_between_shared_boundaries():
    one = trace(("ab", 1.0), ("c", 2.0), ("de", 4.0), ("f", 8.0))
    two = trace(("a", 0.5), ("b", 0.25), ("cd", 3.0), ("ef", 6.0))
    found = compare_bytes(one, two)
    assert stretches(found) == [("ab", 1.0, 0.75), ("cdef", 14.0, 9.0)]
    assert found.bits_per_byte == pytest.approx((15 / math.log(2) / 6, 9.75 / math.log(2) / 6))
    assert found.worst(1)[0].text == "cdef"


def test_what_one_of_them_did_not_score_is_left_out_and_spoils_nothing():
    one = trace(("a", None), ("b", 1.0), ("c", 1.0))
    two = trace(("ab", 2.0), ("c", 3.0))
    assert stretches(compare_bytes(one, two)) == [("c", 1.0, 3.0)]


def test_a_tokenizers_own_space_at_the_beginning_is_not_text():
    one, two = trace((" ab", 1.0), ("c", 1.0)), trace(("ab", 2.0), ("c", 3.0))
    assert stretches(compare_bytes(one, two)) == [("ab", 1.0, 2.0), ("c", 1.0, 3.0)]
    assert stretches(compare_bytes(two, one)) == [("ab", 2.0, 1.0), ("c", 3.0, 1.0)]


def test_pieces_of_characters():
    one = trace((b"\xd0", 1.0), (b"\xba", 1.0), ("x", 1.0))
    two = trace(("к", 3.0), ("x", 1.0))
    assert stretches(compare_bytes(one, two)) == [("к", 2.0, 3.0), ("x", 1.0, 1.0)]


def test_other_texts_are_not_compared():
    with pytest.raises(UsageError, match="different bytes"):
        compare_bytes(trace(("ab", 1.0)), trace(("ac", 1.0)))
    with pytest.raises(UsageError, match="nothing was scored"):
        compare_bytes(trace(("ab", None)), trace(("ab", 1.0)))
