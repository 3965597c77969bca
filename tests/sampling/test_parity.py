"""llama.cpp's own samplers on the same logits: the same survivors, in the same order, equally probable."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggufban.sampling import Sampler
from ggufban.sampling.parameters import DEFAULT_SAMPLERS
from tests.sampling.compare import assert_same
from tests.sampling.conftest import RealModel
from tests.sampling.oracle import Oracle, ask
from tests.sampling.rows import KINDS, SIZES, random_row

OFF: dict[str, Any] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "dry_sequence_breakers": (),
}
"""Nothing but softmax."""

ALONE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "temperature 0.7": {"temperature": 0.7},
    "temperature 3": {"temperature": 3.0},
    "greedy": {"temperature": 0.0},
    "greedy below 0": {"temperature": -1.0},
    "dynamic temperature": {"temperature": 0.9, "dynatemp_range": 0.6},
    "dynamic temperature, exponent": {"temperature": 0.5, "dynatemp_range": 0.7, "dynatemp_exponent": 2.0},
    "dynamic temperature down to 0": {"temperature": 0.2, "dynatemp_range": 0.7},
    "top-k 1": {"top_k": 1},
    "top-k 40": {"top_k": 40},
    "top-k 1000": {"top_k": 1000},
    "top-k above all": {"top_k": 1_000_000},
    "top-p 0": {"top_p": 0.0},
    "top-p 0.5": {"top_p": 0.5},
    "top-p 0.95": {"top_p": 0.95},
    "top-p 0.9999": {"top_p": 0.9999},
    "top-p, min-keep": {"top_p": 0.2, "min_keep": 50},
    "min-p 0.05": {"min_p": 0.05},
    "min-p 1": {"min_p": 1.0},
    "min-p, min-keep": {"min_p": 0.5, "min_keep": 50},
    "typical 0.1": {"typical_p": 0.1},
    "typical 0.9": {"typical_p": 0.9},
    "typical, min-keep": {"typical_p": 0.1, "min_keep": 50},
    "top-n-sigma 1": {"top_n_sigma": 1.0},
    "top-n-sigma 2.5": {"top_n_sigma": 2.5},
    "xtc": {"xtc_probability": 1.0, "xtc_threshold": 0.1},
    "xtc 0.01": {"xtc_probability": 1.0, "xtc_threshold": 0.01},
    "xtc above 0.5": {"xtc_probability": 1.0, "xtc_threshold": 0.51},
    "xtc, min-keep": {"xtc_probability": 1.0, "xtc_threshold": 0.01, "min_keep": 3, "top_k": 4},
    "repeat penalty": {"repeat_penalty": 1.3},
    "frequency penalty": {"frequency_penalty": 0.7},
    "presence penalty": {"presence_penalty": -0.7},
    "all penalties": {
        "repeat_penalty": 0.8, "frequency_penalty": 0.3, "presence_penalty": 0.4, "repeat_last_n": 7,
    },
    "dry": {"dry_multiplier": 0.8},
    "dry, all of it": {
        "dry_multiplier": 2.0, "dry_base": 1.1, "dry_allowed_length": 1, "dry_penalty_last_n": 20,
    },
    "logit bias": {"logit_bias": {0: 3.0, 1: -3.0, 2: -np.inf, 4: 0.5}},
    "mirostat": {"mirostat": 1},
    "mirostat, low": {"mirostat": 1, "mirostat_tau": 1.5, "temperature": 0.8},
    "mirostat 2": {"mirostat": 2},
    "mirostat 2, low": {"mirostat": 2, "mirostat_tau": 1.5, "temperature": 0.8},
    "adaptive-p": {"adaptive_target": 0.3, "samplers": ("min_p", "adaptive_p"), "min_p": 0.02},
    "adaptive-p on all": {"adaptive_target": 0.0, "samplers": ("adaptive_p",)},
    "the default": {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
}  # fmt: skip

NOT_DEFINED_WITH_BANS = ("typical", "mirostat")
"""With tokens of logit -inf in its array, llama.cpp takes 0 * log 0 and log(p / 0) in these."""


def history_for(row: NDArray[np.float32]) -> list[int]:
    """Tokens with a repetition, that matter: the greatest logits of the row among them."""
    best = [int(token) for token in np.argsort(-row, kind="stable")[:6]]
    return [3, *best, 2, best[0], best[0], 1, *best[:4]]


def check(parameters: dict[str, Any], row: NDArray[np.float32]) -> None:
    history = history_for(row)
    sampler = Sampler(**parameters)
    sampler.prime(history)
    before = row.copy()
    ours = sampler.distribution(row, rng=np.random.default_rng(0))
    assert np.array_equal(row, before)
    assert_same(ours, ask(parameters, row, history), row)


@pytest.mark.parametrize("n_vocab", SIZES)
@pytest.mark.parametrize("name", ALONE)
def test_each_filter_alone_on_random_rows(name: str, n_vocab: int) -> None:
    for i, kind in enumerate(KINDS):
        if kind != "banned" or not name.startswith(NOT_DEFINED_WITH_BANS):
            check(OFF | ALONE[name], random_row(np.random.default_rng([n_vocab, i]), kind, n_vocab))


@pytest.mark.parametrize("model", ["smollm2", "gemma"])
@pytest.mark.parametrize("name", ALONE)
def test_each_filter_alone_on_real_rows(name: str, model: str, real_rows: dict[str, NDArray[np.float32]]) -> None:
    for row in real_rows[model][::12]:
        check(OFF | ALONE[name], row)


MAKE_ZEROS = ("temperature", "top_n_sigma", "penalties", "dry")


def random_chain(rng: np.random.Generator) -> dict[str, Any]:
    """A chain of any samplers in any order, with any parameters."""
    names = list(rng.permutation(DEFAULT_SAMPLERS)[: rng.integers(1, len(DEFAULT_SAMPLERS) + 1)])
    if rng.random() < 0.5:
        names.sort(key=DEFAULT_SAMPLERS.index)
    if "typ_p" in names:
        # llama.cpp's typical-p is not defined once a probability is 0, which these before it can bring about
        early = names[: names.index("typ_p")]
        names = [name for name in names if name not in early or name not in MAKE_ZEROS]
    if rng.random() < 0.1:
        names.append("adaptive_p")

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    return {
        "samplers": tuple(str(name) for name in names),
        "temperature": pick(0.3, 0.8, 1.0, 1.7, 0.0),
        "dynatemp_range": pick(0.0, 0.0, 0.3),
        "top_k": pick(0, 1, 5, 40, 300, 5000),
        "top_p": pick(1.0, 0.95, 0.7, float(np.round(rng.random(), 3))),
        "min_p": pick(0.0, 0.05, 0.2, float(np.round(rng.random() / 5, 4))),
        "typical_p": pick(1.0, 1.0, 0.9, float(np.round(rng.random(), 3))),
        "top_n_sigma": pick(-1.0, 1.0, 2.0),
        "xtc_probability": pick(0.0, 1.0),
        "xtc_threshold": pick(0.02, 0.1, 0.3),
        "repeat_penalty": pick(1.0, 1.1, 1.5),
        "frequency_penalty": pick(0.0, 0.2),
        "presence_penalty": pick(0.0, 0.5),
        "repeat_last_n": pick(64, 5),
        "dry_multiplier": pick(0.0, 0.8),
        "dry_sequence_breakers": (),
        "min_keep": pick(0, 0, 0, 1, 3, 60),
        "adaptive_target": 0.4 if "adaptive_p" in names else -1.0,
        "logit_bias": pick(None, None, {1: 2.0, 3: -1.5}),
    }


@pytest.mark.parametrize("seed", range(500))
def test_random_chains(seed: int, real_rows: dict[str, NDArray[np.float32]]) -> None:
    rng = np.random.default_rng(seed)
    chain = random_chain(rng)
    source = rng.integers(5)
    if source < len(SIZES):
        kinds = [kind for kind in KINDS if kind != "banned" or "typ_p" not in chain["samplers"]]
        row = random_row(rng, kinds[rng.integers(len(kinds))], SIZES[source])
    else:
        rows = real_rows["smollm2" if source == 3 else "gemma"]
        row = rows[rng.integers(len(rows))]
    check(chain, row)


REMEMBERING: dict[str, dict[str, Any]] = {
    "mirostat": {"mirostat": 1, "mirostat_eta": 0.03},
    "mirostat 2": {"mirostat": 2, "mirostat_eta": 0.3, "temperature": 0.9},
    "adaptive-p": {
        "adaptive_target": 0.3, "adaptive_decay": 0.8, "samplers": (*DEFAULT_SAMPLERS, "adaptive_p"),
    },
    "penalties and DRY": {
        "repeat_penalty": 1.2, "frequency_penalty": 0.3, "presence_penalty": 0.2, "repeat_last_n": 9,
        "dry_multiplier": 0.8, "dry_sequence_breakers": (), "dry_penalty_last_n": 12,
    },
}  # fmt: skip


@pytest.mark.parametrize("model", ["smollm2", "gemma"])
@pytest.mark.parametrize("name", REMEMBERING)
def test_what_is_remembered_from_step_to_step(name: str, model: str, real_rows: dict[str, NDArray[np.float32]]) -> None:
    """llama.cpp draws, both learn from it, and stay together for a whole text."""
    parameters = REMEMBERING[name]
    sampler = Sampler(**parameters)
    with Oracle(parameters, real_rows[model].shape[1]) as chain:
        for row in real_rows[model][::2]:
            theirs = chain.apply(row)
            assert_same(sampler.distribution(row), theirs, row)
            chain.accept([theirs.selected])
            sampler.accept(theirs.selected)


DRY_TEXT = """one two three, one two three: one two three, one two three
one two three, one two "three, one two three, one two" three, one two three, one * two three, one two three,
one"""


@pytest.mark.parametrize("model", ["smollm2", "gemma"])
def test_sequence_breakers_of_a_real_vocabulary(model: str, real_models: dict[str, RealModel]) -> None:
    real = real_models[model]
    parameters = OFF | {
        "dry_multiplier": 1.5,
        "dry_base": 1.2,
        "dry_allowed_length": 1,
        "dry_sequence_breakers": ("\n", ":", '"', "*"),
        "top_k": 2000,
    }
    sampler = Sampler(vocab=real.model.vocab, **parameters)
    plain = Sampler(**(parameters | {"dry_multiplier": 0.0}))
    row = real.rows[5]
    changed = 0
    with Oracle(parameters, len(row), real.vocab) as chain:
        for token in real.model.tokenize(DRY_TEXT):
            sampler.accept(token)
            chain.accept([token])
            ours = sampler.distribution(row)
            assert_same(ours, chain.apply(row), row)
            changed += not np.array_equal(ours.probs, plain.distribution(row).probs)
    assert changed > 10, "DRY had nothing to do here"


@pytest.mark.parametrize("probability", [0.25, 0.8])
def test_xtc_happens_as_often_as_it_should(probability: float) -> None:
    row = np.log(np.array([0.4, 0.3, 0.2, 0.1], dtype=np.float32))
    sampler = Sampler(**(OFF | {"xtc_probability": probability, "xtc_threshold": 0.25}))
    rng = np.random.default_rng(0)
    happened = sum(len(sampler.distribution(row, rng=rng)) < 4 for _ in range(4000))
    assert abs(happened / 4000 - probability) < 4 * np.sqrt(probability * (1 - probability) / 4000)
