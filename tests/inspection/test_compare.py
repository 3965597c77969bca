import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ggufban.errors import ParameterError, UsageError
from ggufban.inspection.compare import compare
from ggufban.inspection.comparison import _quantile
from ggufban.inspection.divergence import PairScanner, rank_biased_overlap
from ggufban.inspection.settings import read_setting
from tests.inspection.source import StubSource, naive_logprobs

TEXT = "abcabd achbb adcgfeab hgfedcba abab"


def row(*probs):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probs, dtype=np.float64)).astype(np.float32)


def test_a_pair_worked_by_hand():
    """P = (1/2, 1/4, 1/4), Q = (1/4, 1/4, 1/2), m = (3/8, 1/4, 3/8); all logits are multiples of ln 2.

    KL(P ‖ Q) = 1/2 ln 2 + 0 - 1/4 ln 2 = 1/4 ln 2 = KL(Q ‖ P), TV = (1/4 + 1/4)/2 = 1/4,
    JS = 1/2 (1/2 ln 4/3 + 1/4 ln 2/3) · 2 = 1/2 ln 4/3 + 1/4 ln 2/3.
    """
    # float32 rounds -ln 2 to what it is; twice that is exact, so that these rows are consistent with each other.
    unit = float(np.float32(math.log(2)))
    p, q = (np.array(x, dtype=np.float32) * np.float32(unit) for x in ([-1, -2, -2], [-2, -2, -1]))
    pair = PairScanner(3)(p, q)
    assert pair.kl == pytest.approx(0.25 * math.log(2), rel=1e-7)
    assert pair.kl_reverse == pytest.approx(pair.kl, rel=1e-12)
    assert pair.tv == pytest.approx(0.25, rel=1e-7)
    assert pair.js == pytest.approx(0.5 * math.log(4 / 3) + 0.25 * math.log(2 / 3), rel=1e-6)


def test_a_token_that_one_rules_out():
    pair = PairScanner(3)(row(0.5, 0.5, 0), row(1, 0, 0))
    assert pair.kl == math.inf
    assert pair.kl_reverse == pytest.approx(math.log(2), rel=1e-6)
    assert pair.tv == pytest.approx(0.5, rel=1e-6)
    both = PairScanner(3)(row(0.5, 0.5, 0), row(0.25, 0.75, 0))
    assert both.kl == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-5)


PAIRS = st.integers(2, 60).flatmap(
    lambda n: st.tuples(*[hnp.arrays(np.float32, n, elements=st.floats(-20, 20, width=32))] * 2)
)


@given(PAIRS)
def test_divergences_agree_with_a_float64_reference(pair):
    a, b = pair
    lp, lq = naive_logprobs(a), naive_logprobs(b)
    p, q = np.exp(lp), np.exp(lq)
    m = (p + q) / 2
    found = PairScanner(len(a))(a, b)
    assert found.kl == pytest.approx((p * (lp - lq)).sum(), abs=1e-9)
    assert found.kl_reverse == pytest.approx((q * (lq - lp)).sum(), abs=1e-9)
    assert found.tv == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-9)
    assert found.js == pytest.approx(((p * (lp - np.log(m))).sum() + (q * (lq - np.log(m))).sum()) / 2, abs=1e-9)


def test_rankings():
    a = np.arange(5)
    assert rank_biased_overlap(a, a) == pytest.approx(1.0)
    assert rank_biased_overlap(a, a + 10) == 0.0
    # By hand, p = 0.5, depth 2, the first two swapped: X = 0, 2; (2/2)·1/4 + 1·(0 + (2/2)·1/4) = 1/2.
    assert rank_biased_overlap(np.array([1, 2]), np.array([2, 1]), p=0.5) == pytest.approx(0.5)


def test_a_model_and_itself():
    for other in (StubSource(), None):
        base = StubSource()
        found = compare(base, other or base, TEXT)
        figures = found.figures()
        assert len(found.at) == len(TEXT)
        for name in ("Mean KLD", "Maximum KLD", "99.9% KLD", "Mean Δp", "RMS Δp", "Mean total variation"):
            assert figures[name].value == 0.0
        assert figures["Same top p"].value == 1.0
        assert figures["Mean JS"].value == pytest.approx(0.0, abs=1e-12)
        assert figures["Mean rank-biased overlap"].value == pytest.approx(1.0)
        assert figures["Mean PPL(Q)/PPL(base)"].value == 1.0


def test_figures_are_those_of_llama_perplexity():
    """The same sums as in its `kl_divergence`, written down again over all rows."""
    base, other = StubSource(seed=1), StubSource(seed=2)
    found = compare(base, other, TEXT)
    tokens = base.tokenize(TEXT)
    rows = [[naive_logprobs(s.row(tokens[:i])) for i in range(1, len(tokens))] for s in (base, other)]
    nll_b, nll_q = (np.array([-r[t] for r, t in zip(side, tokens[1:], strict=True)]) for side in rows)
    kld = np.array([(np.exp(b) * (b - q)).sum() for b, q in zip(*rows, strict=True)])
    dp = np.exp(-nll_q) - np.exp(-nll_b)
    n = len(kld)

    def error(values):
        return math.sqrt(((values * values).mean() - values.mean() ** 2) / (n - 1))

    covariance = ((nll_q * nll_b).mean() - nll_q.mean() * nll_b.mean()) / (n - 1)
    log_error = math.sqrt(error(nll_q) ** 2 + error(nll_b) ** 2 - 2 * covariance)
    rms = math.sqrt((dp * dp).mean())
    same = np.mean([b.argmax() == q.argmax() for b, q in zip(*rows, strict=True)])
    expected = {
        "Mean PPL(Q)": (math.exp(nll_q.mean()), math.exp(nll_q.mean()) * error(nll_q)),
        "Mean PPL(base)": (math.exp(nll_b.mean()), math.exp(nll_b.mean()) * error(nll_b)),
        "Cor(ln(PPL(Q)), ln(PPL(base)))": (covariance / error(nll_q) / error(nll_b), None),
        "Mean ln(PPL(Q)/PPL(base))": (nll_q.mean() - nll_b.mean(), log_error),
        "Mean KLD": (kld.mean(), error(kld)),
        "Maximum KLD": (kld.max(), None),
        "99.0% KLD": (np.quantile(kld, 0.99), None),
        "Median KLD": (np.median(kld), None),
        "5.0% KLD": (np.quantile(kld, 0.05), None),
        "Minimum KLD": (kld.min(), None),
        "Mean Δp": (dp.mean(), error(dp)),
        "25.0% Δp": (np.quantile(dp, 0.25), None),
        "Minimum Δp": (dp.min(), None),
        "RMS Δp": (rms, 0.5 / rms * error(dp * dp)),
        "Same top p": (same, math.sqrt(same * (1 - same) / (n - 1))),
    }
    figures = found.figures()
    for name, (value, err) in expected.items():
        assert figures[name].value == pytest.approx(value, rel=1e-6, abs=1e-9), name
        assert figures[name].error == (None if err is None else pytest.approx(err, rel=1e-5)), name


def test_rows_meet_whatever_the_chunks():
    """The two sources give their rows in chunks of other sizes, in buffers that the next chunk overwrites."""
    base, other = StubSource(seed=1, n_ctx=20), StubSource(seed=2, n_ctx=24)
    found = compare(base, other, TEXT, window=16)
    assert found.at.tolist() == list(range(1, len(TEXT) + 1))
    assert np.isfinite(found["kl"]).all()


def test_the_worst_are_the_worst_with_both_sides():
    base, other = StubSource(seed=1), StubSource(seed=2)
    found = compare(base, other, TEXT, worst=4, top=2)
    order = np.argsort(-found["kl"], kind="stable")[:4]
    assert [d.at for d in found.worst] == found.at[order].tolist()
    first = found.worst[0]
    tokens = base.tokenize(TEXT)
    assert first.base.token == first.other.token == tokens[first.at]
    assert first.other.candidates[0].token == other.row(tokens[: first.at]).argmax()
    assert found.context(first.at) == TEXT[: first.at - 1][-60:]
    assert sum(b.tokens for b in found.by_confidence()) == len(found.at)


def test_settings_of_one_model():
    source = StubSource()
    found = compare(source, source, TEXT, settings=(None, read_setting("top-k=3")))
    assert found.figures()["Mean KLD"].value == math.inf
    assert found.figures()["Same top p"].value == 1.0
    assert found["kl_reverse"] == pytest.approx(
        [-np.log(np.sort(np.exp(naive_logprobs(source.row([0, *source.tokenize(TEXT)[1:i]]))))[-3:].sum())
         for i in range(1, len(TEXT) + 1)], rel=1e-5)  # fmt: skip
    off = compare(source, source, TEXT, settings=(None, read_setting("temp=1")))
    assert off.figures()["Mean KLD"].value == pytest.approx(0.0, abs=1e-6)
    for wrong in ("heat=3", "temp", "temp=warm", "top-p=2"):
        with pytest.raises(ParameterError):
            read_setting(wrong)


def test_other_vocabularies_have_no_common_ground():
    with pytest.raises(UsageError, match="different vocabularies"):
        compare(StubSource(), StubSource(letters="abcdefg h"), TEXT)
    with pytest.raises(UsageError, match="too few"):
        compare(StubSource(add_bos=False), StubSource(add_bos=False), "a")


def test_a_quantile_between_infinities():
    assert _quantile(np.array([1.0, math.inf, math.inf]), 0.0) == 1.0
    assert _quantile(np.array([1.0, 2.0, math.inf]), 0.5) == 2.0
