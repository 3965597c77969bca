"""`exact` samples from the conditional law, `mask` does not, and the account of what a ban cost is right.

The law of a small language model is enumerated, conditioned on no match, and compared with many samples.
"""

import math
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ggufban import Engine
from ggufban.decoding import STRATEGIES
from ggufban.decoding.drive import write
from ggufban.decoding.loop import Writer
from ggufban.sampling import Sampler
from ggufban.vocab import Vocab
from tests.decoding.stub import ABC, SlowMatcher, StubEngine, chi_squared_limit, law_of, pooled
from tests.tiny import write_tiny

N_PREDICT = 5
PLAIN = partial(Sampler, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
FILTERED = partial(Sampler, temperature=0.9, top_k=4, top_p=0.97, min_p=0.02)

# Bans and the seed of the stub's logits; the probability that a text without bans would match.
NEAR_0_04 = ((r"\bab\b",), 1, 0.039)
NEAR_0_3 = (("ab",), 3, 0.318)
NEAR_0_65 = (("aa",), 3, 0.633)


def sample(engine, vocab, matcher, sampler, strategy: str, n: int) -> tuple[Counter, list[float]]:
    """`n` texts under a strategy (under `exact` they share one tree): how often each came, and its ln w."""
    rng, tree = np.random.default_rng(1), None
    counts, log_w = Counter(), []
    for _ in range(n):
        writer = Writer(
            [0],
            vocab,
            sampler.copy(),
            rng,
            strategy=STRATEGIES[strategy](),
            matcher=matcher,
            n_predict=N_PREDICT,
            tree=tree,
        )
        for _ in write(engine, writer):
            pass
        tree = writer.tree if strategy == "exact" else None
        counts[tuple(step.token for step in writer.steps)] += 1
        log_w.append(writer.report.log_legal_mass)
    return counts, log_w


def conditional(law: dict, vocab: Vocab, matcher: SlowMatcher) -> tuple[dict, float]:
    """The law given no match, and the probability of no match."""
    clean = {text: p for text, p in law.items() if matcher.end_legal(vocab.decode(text))}
    z = math.fsum(clean.values())
    return {text: p / z for text, p in clean.items()}, z


@pytest.mark.parametrize("make", [PLAIN, FILTERED], ids=["plain", "filtered"])
@pytest.mark.parametrize(("patterns", "seed", "violation"), [NEAR_0_04, NEAR_0_3, NEAR_0_65])
def test_exact_samples_from_the_conditional_law(patterns, seed: int, violation: float, make) -> None:
    engine, matcher, sampler = StubEngine(len(ABC), seed), SlowMatcher(patterns, ABC), make()
    expected, z = conditional(law_of(engine, ABC, sampler, N_PREDICT, [0]), ABC, matcher)
    if make is PLAIN:
        assert 1 - z == pytest.approx(violation, abs=0.001)
    n = 60_000 if make is PLAIN else 20_000
    counts, _ = sample(engine, ABC, matcher, sampler, "exact", n)
    assert set(counts) <= set(expected)
    chi2, df = pooled(expected, counts, n)
    assert chi2 < chi_squared_limit(df)


def test_mask_does_not() -> None:
    patterns, seed, _ = NEAR_0_3
    engine, matcher = StubEngine(len(ABC), seed), SlowMatcher(patterns, ABC)
    expected, _ = conditional(law_of(engine, ABC, PLAIN(), N_PREDICT, [0]), ABC, matcher)
    counts, _ = sample(engine, ABC, matcher, PLAIN(), "mask", 20_000)
    chi2, df = pooled(expected, counts, 20_000)
    assert chi2 > 2 * chi_squared_limit(df)


def test_the_account_of_mask_is_right() -> None:
    """P(no match) = E[w], and KL(mask ‖ exact) = ln E[w] - E[ln w], each within four standard errors."""
    patterns, seed, _violation = NEAR_0_3
    engine, matcher = StubEngine(len(ABC), seed), SlowMatcher(patterns, ABC)
    law = law_of(engine, ABC, PLAIN(), N_PREDICT, [0])
    expected, z = conditional(law, ABC, matcher)
    _counts, log_w = sample(engine, ABC, matcher, PLAIN(), "mask", 20_000)
    n, w = len(log_w), np.exp(log_w)
    assert abs(w.mean() - z) < 4 * w.std() / math.sqrt(n)
    # A text's probability under mask is its probability without bans over the product of the legal masses.
    masks = {text: law[text] / weight for text, weight in weights(engine, matcher, law).items() if weight > 0}
    kl = math.fsum(p * math.log(p / expected[text]) for text, p in masks.items())
    estimate = math.log(w.mean()) - float(np.mean(log_w))
    assert abs(estimate - kl) < 4 * (np.std(log_w) + w.std() / w.mean()) / math.sqrt(n)
    assert math.fsum(masks.values()) == pytest.approx(1.0)


def weights(engine: StubEngine, matcher: SlowMatcher, law: dict) -> dict:
    """For every text without a match the product of the legal masses along it."""
    sampler, found = PLAIN(), {}
    for text in law:
        state, weight, path = b"", 1.0, [0]
        for token in (*text, *([4] if len(text) < N_PREDICT else [])):
            d = sampler.distribution(engine.row(path))
            legal = [i for i, t in enumerate(d.ids.tolist()) if matcher.legal(state, t, waiting=False)]
            if not matcher.legal(state, token, waiting=False):
                weight = 0.0
                break
            weight *= float(d.probs[legal].sum())
            if token != 4:
                state, path = matcher.step(state, token), [*path, token]
        found[text] = weight
    return found


@pytest.mark.parametrize("banned", ["ab", "b"])
def test_exact_on_a_gguf_model(tmp_path: Path, banned: str) -> None:
    """The same on a real engine: a tiny GGUF whose other tokens are biased away."""
    with Engine(write_tiny(tmp_path / "tiny.gguf", seed=5)) as engine:
        a, b = (engine.tokenize(letter, add_special=False)[0] for letter in "ab")
        keep = {a, b, 2}
        sampler = PLAIN(logit_bias={token: -math.inf for token in range(engine.n_vocab) if token not in keep})
        law: dict[tuple[int, ...], float] = {}

        def walk(text: tuple[int, ...], p: float) -> None:
            if len(text) == N_PREDICT:
                law[text] = p
                return
            engine.goto([0, *text])
            d = sampler.distribution(engine.logits())
            for token, q in zip(d.ids.tolist(), d.probs.tolist(), strict=True):
                if token == 2:
                    law[text] = p * q
                else:
                    walk((*text, token), p * q)

        walk((), 1.0)
        matcher = SlowMatcher((banned,), engine.vocab)
        expected, _ = conditional(law, engine.vocab, matcher)
        n = 60_000
        counts, _ = sample(engine, engine.vocab, matcher, sampler, "exact", n)
    chi2, df = pooled(expected, counts, n)
    assert chi2 < chi_squared_limit(df)
