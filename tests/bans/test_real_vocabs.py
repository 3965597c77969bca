"""`illegal` equals asking `legal` of every token, on the vocabularies of real models, from states of real text."""

import random

import numpy as np
import pytest

from ggufban.bans import BanList
from ggufban.bans.matcher import Matcher, State
from ggufban.vocab import Vocab
from tests.bans.conftest import DATA

TEXT = (
    "The capital of France is Paris, a vibrant symphony of lights. Elara's heart pounding in her chest, she delved "
    "into the tapestry: a testament to… 🙂 naïve Кот catapulted; barely above a whis"
)


def slop(name: str, count: int) -> list[str]:
    """The first lines of a list in `tests/data`."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")][:count]


LISTS = {
    10: ["Paris", "delve*", "*tion", "*ass*", "shivers down", "...", "—", "кот", "C++", "catapult"],
    1_000: slop("slop_phrases.txt", 1_000),
    50_000: slop("slop_words.txt", 50_046),
}


def states(matcher: Matcher, tokens: list[int], count: int, rng: random.Random) -> list[State]:
    """States that real text leads to: some at random, and those in the middle of a character or of a banned text."""
    state = matcher.start("In the beginning, barely above")
    reached = [state]
    for token in tokens:
        state = matcher.step(state, token)
        reached.append(state)
    awkward = [state for state in reached if state.pending][:1]
    longest = max(reached, key=lambda state: len(state.tail))
    return [longest, *awkward, *rng.sample(reached, count)]


def asked(matcher: Matcher, state: State, waiting: bool) -> list[int]:
    return [token for token in range(len(matcher.vocab)) if not matcher.legal(state, token, waiting)]


@pytest.mark.parametrize("size", LISTS)
def test_illegal_is_asking_every_token(size: int, real_models: dict) -> None:
    rng = random.Random(size)
    for vocab, tokenize in real_models.values():
        matcher = BanList(LISTS[size]).compile(vocab)
        count = 4 if len(vocab) < 100_000 else 1
        for state in states(matcher, tokenize(TEXT.encode()), count, rng):
            for waiting in (True, False):
                assert matcher.illegal(state, waiting).tolist() == asked(matcher, state, waiting)


@pytest.mark.parametrize("fold", ["exact", "loose"])
def test_at_other_levels_of_folding(fold: str, real_models: dict) -> None:
    rng = random.Random(fold)
    vocab, tokenize = min(real_models.values(), key=lambda model: len(model[0]))
    matcher = BanList(LISTS[10] + LISTS[1_000], fold=fold).compile(vocab)
    for state in states(matcher, tokenize((TEXT + " a раris, а cаt").encode()), 2, rng):
        for waiting in (True, False):
            assert matcher.illegal(state, waiting).tolist() == asked(matcher, state, waiting)


def test_a_mask_keeps_a_random_model_legal(real_models: dict) -> None:
    """Random logits under the mask, for many tokens: no banned text, and none even where generation just stops."""
    for vocab, _ in real_models.values():
        bans = BanList([*LISTS[10], "*a*", "the"])
        matcher = bans.compile(vocab)
        rng = np.random.default_rng(1)
        state, output = matcher.start(), b""
        for _ in range(300):
            logits = rng.standard_normal(len(vocab))
            logits[matcher.illegal(state, waiting=False)] = -np.inf
            token = int(logits.argmax())
            output += vocab.piece(token)
            state = matcher.step(state, token)
            assert matcher.end_legal(state)
        assert len(output) > 500
        assert bans.find(output.decode("utf-8", "replace")) == []


def test_real_vocabularies_are_what_they_should_be(real_vocabs: dict[str, Vocab]) -> None:
    assert sorted(map(len, real_vocabs.values())) == [49_152, 262_144]
