"""The sampler: worked by hand, held to its slow twin, and to laws."""

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ggufban.errors import LogitsError, ParameterError, UsageError
from ggufban.sampling import Candidates, Distribution, Sampler, filters
from ggufban.vocab import Vocab
from tests.sampling import twin
from tests.sampling.rows import random_row

OFF: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def logs(*probs: float) -> NDArray[np.float32]:
    with np.errstate(divide="ignore"):
        return np.log(np.array(probs, dtype=np.float32))


def shown(distribution: Distribution) -> dict[int, float]:
    return dict(zip(distribution.ids.tolist(), distribution.probs.round(4).tolist(), strict=True))


BY_HAND: list[tuple[str, dict[str, Any], NDArray[np.float32], dict[int, float]]] = [
    ("nothing", {}, logs(0.1, 0.2, 0.3, 0.4), {3: 0.4, 2: 0.3, 1: 0.2, 0: 0.1}),
    ("lower id first", {}, logs(0.25, 0.25, 0.25, 0.25), {0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}),
    ("top-k between equals", {"top_k": 2}, logs(0.2, 0.4, 0.2, 0.2), {1: 0.6667, 0: 0.3333}),
    ("temperature 2 is a square root", {"temperature": 2.0}, logs(0.64, 0.04, 0.16, 0.16),
     {0: 0.4444, 2: 0.2222, 3: 0.2222, 1: 0.1111}),
    ("greedy", {"temperature": 0.0}, logs(0.1, 0.4, 0.4, 0.1), {1: 1.0}),
    ("banned", {}, logs(0.5, 0.0, 0.25, 0.25), {0: 0.5, 2: 0.25, 3: 0.25}),
    ("banned and greedy", {"temperature": 0.0}, logs(0.0, 0.0, 0.5, 0.5),
     {2: 1.0}),
    ("temperature last", {"top_p": 0.6, "temperature": 0.5}, logs(0.4, 0.3, 0.2, 0.1), {0: 0.64, 1: 0.36}),
    ("temperature first", {"top_p": 0.6, "temperature": 0.5, "samplers": "temperature;top_p"},
     logs(0.4, 0.3, 0.2, 0.1), {0: 0.64, 1: 0.36}),
    ("temperature first, one left", {"top_p": 0.5, "temperature": 0.5, "samplers": "temperature;top_p"},
     logs(0.4, 0.3, 0.2, 0.1), {0: 1.0}),
    ("min-p of a half", {"min_p": 0.5}, logs(0.4, 0.3, 0.19, 0.11), {0: 0.5714, 1: 0.4286}),
    ("min-keep", {"min_p": 0.5, "min_keep": 3}, logs(0.4, 0.3, 0.2, 0.1), {0: 0.4444, 1: 0.3333, 2: 0.2222}),
    ("bias doubles the odds", {"logit_bias": {3: float(np.log(2))}}, logs(0.4, 0.3, 0.2, 0.1),
     {0: 0.3636, 1: 0.2727, 2: 0.1818, 3: 0.1818}),
    ("bias bans", {"logit_bias": {0: -np.inf}}, logs(0.5, 0.25, 0.125, 0.125), {1: 0.5, 2: 0.25, 3: 0.25}),
    ("xtc", {"xtc_probability": 1.0, "xtc_threshold": 0.25}, logs(0.4, 0.3, 0.2, 0.1),
     {1: 0.5, 2: 0.3333, 3: 0.1667}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "row", "expected"), [case[1:] for case in BY_HAND], ids=[case[0] for case in BY_HAND]
)
def test_worked_by_hand(parameters: dict[str, Any], row: NDArray[np.float32], expected: dict[int, float]) -> None:
    distribution = Sampler(**(OFF | parameters)).distribution(row, rng=np.random.default_rng(0))
    assert shown(distribution) == pytest.approx(expected, abs=2e-4)
    assert list(shown(distribution)) == list(expected)


def test_penalties_worked_by_hand() -> None:
    """Logits 2, -2, 1, 0; tokens 0 and 1 in the window, 0 twice."""
    sampler = Sampler(**OFF, repeat_penalty=2.0, frequency_penalty=0.25, presence_penalty=0.5)
    sampler.prime([0, 1, 0])
    left = sampler.distribution(np.array([2, -2, 1, 0], dtype=np.float32))
    expected = np.exp([1 - 0.5 - 0.5, -4 - 0.25 - 0.5, 1, 0])
    assert [left.prob_of(token) for token in range(4)] == pytest.approx(expected / expected.sum())


def test_mirostat_2_worked_by_hand() -> None:
    """Of surprisals 1, 2, 3, 3 bits, a mu of 2 leaves the first two; the one drawn moves mu."""
    sampler = Sampler(**OFF, mirostat=2, mirostat_tau=1.0, mirostat_eta=0.5)
    assert sampler.state.mu == 2.0
    left = sampler.distribution(logs(0.5, 0.25, 0.125, 0.125))
    assert shown(left) == {0: 0.6667, 1: 0.3333}
    sampler.accept(1)
    assert sampler.state.mu == pytest.approx(2 - 0.5 * (np.log2(3) - 1))


def test_adaptive_p_worked_by_hand() -> None:
    sampler = Sampler(**OFF, adaptive_target=0.3, adaptive_decay=0.5, samplers=["adaptive_p"])
    left = sampler.distribution(logs(0.5, 0.3, 0.1, 0.1))
    d = np.abs(np.array([0.5, 0.3, 0.1, 0.1]) - 0.3) / 0.3
    weights = np.exp(-10 * d * d / (1 + d))
    assert [left.prob_of(token) for token in range(4)] == pytest.approx(weights / weights.sum(), abs=1e-6)
    assert left.ids[0] == 1
    sampler.accept(0)  # drew one more probable than the target: the next goal lies below
    assert sampler.state.adaptive_sum == pytest.approx(0.5 + 0.5 * 0.6)
    assert sampler.state.adaptive_weight == pytest.approx(2.0)


def test_dry_finds_breakers_spread_over_tokens() -> None:
    vocab = Vocab([b"a", b"b", b"c", b"\n", b"\n\n", b"x\n", b" "])
    sampler = Sampler(**OFF, dry_multiplier=1.0, dry_sequence_breakers=["\n\n"], dry_allowed_length=1, vocab=vocab)
    row = np.zeros(7, dtype=np.float32)
    for tokens, penalized in [
        ([0, 1, 2, 0, 1], {2}),
        ([0, 1, 2, 0, 4, 1], {2}),  # only `b` stands after the breaker
        ([0, 1, 2, 0, 5, 3], set()),  # x and two line feeds end the text: nothing is after the breaker
        ([0, 1, 2, 3, 3, 0, 1], {2}),
        ([2, 1, 3, 3, 2, 1], {3}),  # a half of a breaker may be penalized
        ([1, 1, 4, 1, 1], {1}),  # the breaker itself would go on with a repetition, and is let be
    ]:
        sampler.reset()
        sampler.prime(tokens)
        left = sampler.distribution(row)
        usual = max(left.prob_of(token) for token in range(7))
        assert {token for token in range(7) if left.prob_of(token) < usual} == penalized, tokens


ROWS = (
    st.lists(
        st.one_of(st.integers(-24, 24).map(lambda n: n / 4), st.floats(-12, 12, width=32), st.just(-np.inf)),
        min_size=1,
        max_size=9,
    )
    .map(lambda values: np.array(values, dtype=np.float32))
    .filter(lambda row: bool(np.isfinite(row).any()))
)

UNIT = st.floats(0.0, 1.0).map(lambda value: round(value, 3))

STAGES: dict[str, Any] = {
    "top_k": st.tuples(st.just("top_k"), st.integers(0, 10)),
    "top_p": st.tuples(st.just("top_p"), UNIT, st.integers(0, 4)),
    "min_p": st.tuples(st.just("min_p"), UNIT, st.integers(0, 4)),
    "typical": st.tuples(st.just("typical"), UNIT, st.integers(0, 4)),
    "top_n_sigma": st.tuples(st.just("top_n_sigma"), st.floats(0, 3)),
    "xtc": st.tuples(st.just("xtc"), UNIT),
    "temperature": st.tuples(st.just("temperature"), st.sampled_from([0.0, 0.25, 0.7, 1.0, 2.0])),
}


def clear_cut(row: NDArray[np.float32], name: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a threshold a hair lower or higher leaves the same: otherwise rounding decides, and may."""
    if name in ("top_k", "temperature") or not arguments[0]:
        return True
    function, (value, *more) = getattr(twin, name), arguments
    low, high = function(row, value * (1 - 1e-5), *more), function(row, value * (1 + 1e-5), *more)
    return np.array_equal(low, high)


@settings(max_examples=300, deadline=None)
@given(row=ROWS, stages=st.lists(st.one_of(*STAGES.values()), max_size=4))
def test_the_filters_equal_their_slow_twins(row: NDArray[np.float32], stages: list[tuple[Any, ...]]) -> None:
    fast, slow = Candidates.of(row), row
    for name, *arguments in stages:
        assume(clear_cut(slow, name, tuple(arguments)))
        before = fast.logits.copy()
        result = getattr(filters, name)(fast, *arguments)
        assert np.array_equal(fast.logits, before)
        fast, slow = result, getattr(twin, name)(slow, *arguments)
    left = Distribution(fast)
    expected = twin.probs(slow)
    if "typical" not in [stage[0] for stage in stages]:  # equally typical tokens may differ in their last bit
        assert left.ids.tolist() == list(expected)
    assert left.probs == pytest.approx(np.array(list(expected.values())), abs=1e-6)


CHAINS: dict[str, dict[str, Any]] = {
    "default": {},
    "nothing": OFF,
    "everything": {
        "typical_p": 0.9, "top_n_sigma": 3.0, "xtc_probability": 0.5, "xtc_threshold": 0.2,
        "dynatemp_range": 0.3, "repeat_penalty": 1.1, "presence_penalty": 0.2, "logit_bias": {0: 1.0},
        "dry_multiplier": 0.5, "dry_sequence_breakers": (), "adaptive_target": 0.4,
        "samplers": "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature;adaptive_p",
    },
    "mirostat": {"mirostat": 1},
    "mirostat 2": {"mirostat": 2},
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(row=ROWS, seed=st.integers(0, 2**32))
@pytest.mark.parametrize("name", CHAINS)
def test_laws_of_every_distribution(name: str, row: NDArray[np.float32], seed: int) -> None:
    sampler, before = Sampler(**CHAINS[name]), row.copy()
    left = sampler.distribution(row, rng=np.random.default_rng(seed), explain=True)
    assert np.array_equal(row, before)
    assert left.probs.sum() == pytest.approx(1)
    assert (np.diff(left.probs) <= 0).all()
    assert len(set(left.ids.tolist())) == len(left) > 0
    for token in range(len(row)):
        survived = token in left.ids
        reason = left.removed_by(token)
        assert (reason is None) == survived
        assert (reason == "ban") == (row[token] == -np.inf)
        assert reason is None or reason == "ban" or reason in sampler.chain
        assert (left.prob_of(token) > 0) <= survived
    token, u = left.sample(np.random.default_rng(seed))
    assert 0 <= u < 1
    assert left.prob_of(token) > 0
    assert token == left.ids[np.flatnonzero(left.probs.cumsum() > u)[:1]].tolist()[0] or u > 1 - 1e-9


@pytest.mark.parametrize(
    "off",
    [
        {"temperature": 1.0}, {"top_k": 0}, {"top_k": -1}, {"top_p": 1.0}, {"min_p": 0.0}, {"typical_p": 1.0},
        {"top_n_sigma": 0.0}, {"top_n_sigma": -1.0}, {"xtc_probability": 0.0}, {"xtc_threshold": 0.6},
        {"dynatemp_range": 0.0}, {"repeat_penalty": 1.0}, {"repeat_last_n": 0, "repeat_penalty": 2.0},
        {"frequency_penalty": 0.0}, {"presence_penalty": 0.0}, {"dry_multiplier": 0.0},
        {"dry_penalty_last_n": 0, "dry_multiplier": 1.0}, {"mirostat": 0}, {"logit_bias": {}},
        {"adaptive_target": -1.0, "samplers": ["adaptive_p"]}, {"min_keep": 3}, {"samplers": []},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_switched_off_is_the_identity(off: dict[str, Any]) -> None:
    row = random_row(np.random.default_rng(0), "banned", 5000)
    sampler = Sampler(**(OFF | off))
    sampler.prime([1, 2, 3, 1, 2])
    assert sampler.chain == ()
    left, plain = sampler.distribution(row), twin.probs(row)
    assert left.ids.tolist() == list(plain)
    assert left.probs == pytest.approx(np.array(list(plain.values())))


def generate(sampler: Sampler, rng: np.random.Generator, n: int) -> list[int]:
    """A text of random rows, each of which depends on the token before."""
    token, tokens = 0, []
    for _ in range(n):
        row = random_row(np.random.default_rng(token), "normal", 300)
        token, _ = sampler.distribution(row, rng=rng).sample(rng)
        sampler.accept(token)
        tokens.append(token)
    return tokens


@pytest.mark.parametrize("name", CHAINS)
def test_the_same_seed_gives_the_same_text(name: str) -> None:
    texts = [generate(Sampler(**CHAINS[name]), np.random.default_rng(7), 40) for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0] != generate(Sampler(**CHAINS[name]), np.random.default_rng(8), 40)


@pytest.mark.parametrize("name", CHAINS)
def test_restoring_a_state_replays(name: str) -> None:
    sampler = Sampler(**CHAINS[name])
    sampler.prime([5, 6, 5])
    generate(sampler, np.random.default_rng(1), 20)
    state = sampler.state
    for other in (sampler.copy(), pickle.loads(pickle.dumps(sampler))):
        assert other.state == state
        first = generate(other, np.random.default_rng(2), 20)
        assert sampler.state == state, "a copy shares its state"
        other.restore(state)
        assert generate(other, np.random.default_rng(2), 20) == first


def test_a_distribution_given_by_hand_teaches_mirostat() -> None:
    """A node visited again: its distribution was kept, the sampler was elsewhere meanwhile."""
    sampler = Sampler(mirostat=2)
    kept = sampler.distribution(logs(0.4, 0.3, 0.2, 0.1))
    state = sampler.state
    sampler.accept(2)
    once = sampler.state
    sampler.distribution(logs(0.1, 0.2, 0.3, 0.4))
    sampler.restore(state)
    sampler.accept(2)
    assert sampler.state == state, "without a distribution there is nothing to learn from"
    sampler.accept(2, kept)
    assert sampler.state == once


def test_a_token_that_was_not_drawn_teaches_nothing() -> None:
    sampler = Sampler(mirostat=2, mirostat_tau=0.5)
    left = sampler.distribution(logs(0.9, 0.05, 0.05))
    assert left.ids.tolist() == [0]
    sampler.accept(1)
    assert sampler.state.mu == 1.0


def test_the_window_is_as_long_as_it_has_to_be() -> None:
    sampler = Sampler(repeat_penalty=1.1, repeat_last_n=3)
    sampler.prime(range(10))
    sampler.accept(10)
    assert sampler.state.window == (8, 9, 10)
    assert Sampler().state.window == ()
    sampler.reset()
    assert sampler.state.window == ()


def test_reasons() -> None:
    sampler = Sampler(top_k=4, top_p=0.8, min_p=0.0, logit_bias={5: -np.inf})
    row = logs(0.4, 0.3, 0.12, 0.1, 0.05, 0.02, 0.0, 0.01)
    left = sampler.distribution(row, explain=True)
    row[:] = 0.0  # the row may be written to afterwards
    assert [left.removed_by(token) for token in range(8)] == [
        None, None, None, "top-p", "top-k", "logit-bias", "ban", "top-k",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="token id 8 is outside"):
        left.removed_by(8)
    with pytest.raises(UsageError, match="explain=True"):
        sampler.distribution(row).removed_by(0)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("n", [9, 5000])
def test_a_distribution_does_not_depend_on_what_becomes_of_the_row(name: str, n: int) -> None:
    row = random_row(np.random.default_rng(0), "normal", n)
    left, kept = (
        Sampler(**CHAINS[name]).distribution(logits, rng=np.random.default_rng(0)) for logits in (row, row.copy())
    )
    row[:] = 0
    draws = [[d.sample(np.random.default_rng(seed)) for seed in range(20)] for d in (left, kept)]
    assert draws[0] == draws[1]
    assert left.prob_of(3) == kept.prob_of(3)
    assert np.array_equal(left.ids, kept.ids)
    assert np.array_equal(left.probs, kept.probs)


BROKEN: list[tuple[str, list[float], str]] = [
    ("NaN", [0.0, float("nan"), 1.0], r"NaN in 1 of 3 places, first at token 1"),
    ("NaN last", [0.0, 5.0, float("nan")], r"NaN in 1 of 3"),
    ("+inf", [0.0, float("inf"), 1.0], r"\+inf in 1 of 3 places, first at token 1"),
    ("both", [float("nan"), float("inf"), 1.0], r"NaN in 1 of 3"),
    ("nothing finite", [-np.inf, -np.inf], r"none of the 2 logits is finite"),
    ("empty", [], r"none of the 0 logits is finite"),
]


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize(("values", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_rows_are_errors(values: list[float], message: str, name: str) -> None:
    sampler = Sampler(**CHAINS[name])
    with pytest.raises(LogitsError, match=message):
        sampler.distribution(np.array(values, dtype=np.float32), rng=np.random.default_rng(0))
    with pytest.raises(LogitsError, match=f"^step 12: .*{message}"):
        sampler.distribution(np.array(values, dtype=np.float32), rng=np.random.default_rng(0), step=12)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("n", [5, 4096, 49_152, 50_001])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_bad_logit_anywhere_is_found(bad: float, n: int, name: str) -> None:
    sampler = Sampler(**CHAINS[name])
    for place in (0, 1, n // 2, n - 2, n - 1):
        row = random_row(np.random.default_rng(0), "normal", n)
        row[place] = bad
        with pytest.raises(LogitsError, match=f"token {place}:"):
            sampler.distribution(row, rng=np.random.default_rng(0))


def test_bias_that_bans_everything_is_an_error() -> None:
    with pytest.raises(LogitsError, match="none of the 2 logits is finite"):
        Sampler(logit_bias={0: -np.inf, 1: -np.inf}).distribution(logs(0.5, 0.5))


def test_misuse() -> None:
    with pytest.raises(UsageError, match=r"shape \(1, 2\)"):
        Sampler().distribution(np.zeros((1, 2), dtype=np.float32))
    with pytest.raises(UsageError, match="give rng"):
        Sampler(xtc_probability=0.5).distribution(logs(0.5, 0.5))
    with pytest.raises(UsageError, match="token id -1 is negative"):
        Sampler(repeat_penalty=1.1).accept(-1)
    with pytest.raises(ParameterError, match=r"vocab=model\.vocab"):
        Sampler(dry_multiplier=1.0)
    with pytest.raises(ParameterError, match="samplers names adaptive_p"):
        Sampler(adaptive_target=0.5)


@pytest.mark.parametrize(
    "extreme",
    [
        {"min_p": 1e-300}, {"top_p": 1e-300}, {"typical_p": 1e-300}, {"top_n_sigma": 1e-300},
        {"min_keep": 10**9},
        {"repeat_penalty": 3e38}, {"repeat_penalty": 1e-37}, {"frequency_penalty": 3e38}, {"top_k": 2**62},
        {"dry_multiplier": 3e38, "dry_base": 3e38, "dry_sequence_breakers": ()}, {"temperature": 3e38},
        {"dynatemp_range": 3e38, "dynatemp_exponent": 3e38}, {"mirostat": 1, "mirostat_tau": 3e38},
        {"mirostat": 2, "mirostat_tau": 0.0, "mirostat_eta": 3e38}, {"logit_bias": {0: -1e300, 9999: 1.0}},
    ],
    ids=str,
)  # fmt: skip
def test_extremes_still_give_a_distribution(extreme: dict[str, Any]) -> None:
    sampler, rng = Sampler(**(OFF | extreme)), np.random.default_rng(0)
    sampler.prime([1, 2, 3, 1, 2, 3, 1, 2])
    for _ in range(5):
        left = sampler.distribution(random_row(rng, "peaked", 300))
        assert left.probs.sum() == pytest.approx(1)
        sampler.accept(left.sample(rng)[0])


@pytest.mark.parametrize("t", [1e-3, 1e-38, 1e-45, 1e-300])
def test_temperatures_next_to_nothing_are_greedy(t: float) -> None:
    left = Sampler(**(OFF | {"temperature": t})).distribution(logs(0.3, 0.5, 0.2) * np.float32(100))
    assert [left.prob_of(token) for token in range(3)] == [0.0, 1.0, 0.0]
    # A greatest logit of 0 is as far above the others as any.
    left = Sampler(**(OFF | {"temperature": t})).distribution(np.array([-100.0, 0.0, -50.0], dtype=np.float32))
    assert [left.prob_of(token) for token in range(3)] == [0.0, 1.0, 0.0]
    # And where candidates are in order already.
    left = Sampler(**(OFF | {"temperature": t, "top_k": 2})).distribution(np.array([-9, 0, -5], dtype=np.float32) * 10)
    assert [left.prob_of(token) for token in range(3)] == [0.0, 1.0, 0.0]


def critical_value(degrees: int) -> float:
    """Chi-squared is above this once in 1,000 times: Wilson and Hilferty's cube of a normal variable."""
    a = 2 / (9 * degrees)
    return float(degrees * (1 - a + 3.0902 * np.sqrt(a)) ** 3)


CHI_SQUARED: dict[str, tuple[dict[str, Any], str, int]] = {
    "temperature alone, drawn without sorting": (OFF | {"temperature": 1.3}, "normal", 5000),
    "default": ({}, "normal", 5000),
    "top-p, min-p and a banned third": (
        {"top_k": 0, "top_p": 0.9, "min_p": 0.01, "temperature": 1.2},
        "banned",
        300,
    ),
}


@pytest.mark.parametrize("name", CHI_SQUARED)
def test_a_hundred_thousand_draws(name: str) -> None:
    parameters, kind, n = CHI_SQUARED[name]
    row = random_row(np.random.default_rng(3), kind, n)
    distribution, rng = Sampler(**parameters).distribution(row), np.random.default_rng(4)
    draws = 100_000
    counts = np.bincount([distribution.sample(rng)[0] for _ in range(draws)], minlength=n)
    law = np.zeros(n)
    law[distribution.ids] = distribution.probs
    assert (counts[law == 0] == 0).all()
    expected = law * draws
    rare = (expected > 0) & (expected < 10)  # rare tokens count together
    expected = np.append(expected[expected >= 10], expected[rare].sum() or [])
    observed = np.append(counts[law * draws >= 10], counts[rare].sum() if rare.any() else [])
    statistic = float(((observed - expected) ** 2 / expected).sum())
    assert len(expected) > 5
    assert statistic < critical_value(len(expected) - 1)


def test_sampling_an_unsorted_row_equals_sampling_it_sorted() -> None:
    row = random_row(np.random.default_rng(5), "ties", 20_000)
    lazy, eager = Sampler(**OFF).distribution(row), Sampler(**OFF).distribution(row)
    assert len(eager.ids) == 20_000
    for seed in range(300):
        assert lazy.sample(np.random.default_rng(seed)) == eager.sample(np.random.default_rng(seed))
    assert lazy.prob_of(17) == pytest.approx(eager.prob_of(17))
    assert lazy.prob_of(20_000) == eager.prob_of(20_000) == 0.0


def test_describe_is_json() -> None:
    sampler = Sampler(logit_bias={3: -np.inf, 4: 0.5}, samplers="kt")
    described = json.loads(json.dumps(sampler.describe(), allow_nan=False))
    assert described["samplers"] == ["top_k", "temperature"]
    assert described["logit_bias"] == {"3": None, "4": 0.5}
    assert described["top_k"] == 40
    assert repr(sampler) == "Sampler(logit-bias > top-k > temperature)"
