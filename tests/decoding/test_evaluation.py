"""Statistics over the texts of a strategy: figures worked by hand, and standard errors that tell the truth."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ggufban import BanList
from ggufban.decoding.evaluation import Sample, count_leaks, difference, distortion, summary

TEXT = Sample(
    prompt="Once", text="upon a time.", strategy="rewind", finish_reason="length", seed=1, tokens=4, nats=6.0,
    leaks=0, evaluations=5, discarded_tokens=2, log_legal_mass=-0.5, seconds=0.5,
)  # fmt: skip


def text(**changes) -> Sample:
    return replace(TEXT, **changes)


@pytest.mark.parametrize(
    ("patterns", "prompt", "written", "leaks"),
    [
        (["Paris"], "", "In PARIS, Paris.", 2),
        (["Paris"], "", "Parisian", 0),
        (["Paris"], "Paris is", " fine", 0),  # the prompt's own match does not count
        (["Paris"], "In Par", "is.", 1),  # one that the text completes does
        (["is"], "In Par", "is.", 0),  # and what looks like a word may be the end of one
        (["delve*"], "", "delves delving", 1),
        (["—"], "a —", " b — c", 1),
    ],
)
def test_leaks_are_counted_where_the_text_goes_on(patterns, prompt: str, written: str, leaks: int) -> None:
    assert count_leaks(BanList(patterns), written, prompt=prompt) == leaks


def test_banned_ids_are_leaks_too() -> None:
    assert count_leaks(BanList(["token:7", "cat"]), "a cat", [7, 8, 7]) == 3


def test_a_summary_by_hand() -> None:
    s = summary([text(), text(tokens=2, nats=1.0, leaks=3, text="a bc", seconds=1.0, finish_reason="banned")])
    assert (s.texts, s.tokens, s.leaks, s.dead_ends, s.unfinished, s.discarded_tokens) == (2, 6, 3, 1, 0, 4)
    assert s.nats == pytest.approx(7 / 6)
    assert s.evaluations_per_token == pytest.approx(10 / 6)
    assert s.tokens_per_second == pytest.approx(4.0)
    assert s.letters_per_word == pytest.approx((4 + 1 + 5 + 1 + 2) / 5)
    assert summary([text(text="uponatime.")]).letters_per_word > summary([text()]).letters_per_word


def test_nothing_to_divide_by_is_nan() -> None:
    empty = summary([text(tokens=0, nats=0.0, text="", seconds=0.0)])
    assert math.isnan(empty.nats)
    assert math.isnan(empty.letters_per_word)
    assert math.isnan(summary([TEXT]).nats_se)  # one text says nothing of others
    assert math.isnan(distortion([]).legal)


def test_standard_errors_of_nats_and_of_a_difference_tell_the_truth() -> None:
    """Texts of random lengths and levels, in pairs that share much: the spread of estimates is what is claimed."""
    rng = np.random.default_rng(1)
    nats, claimed, differences, claimed_differences = [], [], [], []
    for _ in range(600):
        base, other = [], []
        for _ in range(30):
            level = rng.normal(1.2, 0.4)
            for texts, extra in ((base, 0.0), (other, 0.05)):
                n = int(rng.integers(20, 121))
                texts.append(text(tokens=n, nats=float(n * level + n * extra + rng.normal(0, math.sqrt(n)))))
        nats.append(summary(base).nats)
        claimed.append(summary(base).nats_se)
        found = difference(other, base)
        differences.append(found.nats)
        claimed_differences.append(found.se)
    assert np.mean(claimed) == pytest.approx(np.std(nats), rel=0.12)
    assert np.mean(claimed_differences) == pytest.approx(np.std(differences), rel=0.12)
    assert np.mean(differences) == pytest.approx(0.05, abs=4 * np.std(differences) / math.sqrt(600))


def test_the_distortion_of_a_known_law_and_its_errors() -> None:
    """A law of 50 texts whose masses are known: q = P / w on the clean ones."""
    rng = np.random.default_rng(2)
    log_w = -rng.gamma(1.0, 0.4, 50)
    q = rng.dirichlet(np.ones(50))
    legal = float((q * np.exp(log_w)).sum())  # P of every clean text is q·w
    kl = math.log(legal) - float(q @ log_w)
    runs = [distortion(rng.choice(log_w, 400, p=q).tolist()) for _ in range(500)]
    for name, truth in (("legal", legal), ("kl", kl)):
        values = np.array([getattr(run, name) for run in runs])
        errors = np.array([getattr(run, f"{name}_se") for run in runs])
        assert values.mean() == pytest.approx(truth, rel=0.02)
        assert errors.mean() == pytest.approx(values.std(), rel=0.12)


def test_masses_too_small_for_a_float_and_dead_ends() -> None:
    tiny = distortion([-2000.0, -2000.0 + math.log(3.0)])
    assert tiny.legal == 0.0  # e^-2000 is
    assert tiny.kl == pytest.approx(math.log(2.0) - math.log(3.0) / 2)  # and this does not suffer from it
    dead = distortion([0.0, -math.inf])
    assert dead.legal == pytest.approx(0.5)
    assert dead.kl == math.inf
    assert distortion([-math.inf] * 3).legal == 0.0
