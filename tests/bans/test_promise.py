"""No text holds a match: the matcher against the slow twin, over the table of cases and over random ones."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.bans import BanList
from ggufban.bans.matcher import Matcher
from ggufban.vocab import Vocab
from tests.bans import cases, twin
from tests.bans.conftest import DATA
from tests.bans.stub import byte_vocab, cut

ROWS = [
    json.loads(line)
    for name in ("bans.jsonl", "bans_more.jsonl")
    for line in (DATA / name).read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def is_banned(matcher: Matcher, prompt: str, tokens: list[int], ended: bool) -> bool:
    """Whether a text of these tokens is refused, at one of them or at its end."""
    state = matcher.start(prompt)
    for token in tokens:
        if not matcher.legal(state, token):
            assert token in matcher.illegal(state)
            return True
        assert token not in matcher.illegal(state)
        state = matcher.step(state, token)
    return ended and not matcher.end_legal(state)


@pytest.mark.parametrize("row", ROWS, ids=[row["why"] for row in ROWS])
def test_every_case_under_every_tokenization(row: dict) -> None:
    text = row["text"].encode()
    assert twin.is_banned(row["bans"], row["fold"], row["prompt"].encode(), text, row["ended"]) == row["banned"]
    rng = random.Random(row["why"])
    tokenizations = [[bytes([byte]) for byte in text], [text] if text else []]
    tokenizations += [cut(text, rng) for _ in range(50)]
    extra = sorted({piece for pieces in tokenizations for piece in pieces})
    matcher = BanList(row["bans"], fold=row["fold"]).compile(byte_vocab(extra))
    ids = {piece: 258 + at for at, piece in enumerate(extra)}
    for pieces in tokenizations:
        tokens = [ids[piece] for piece in pieces]
        assert is_banned(matcher, row["prompt"], tokens, row["ended"]) == row["banned"], pieces
    if row["ended"] and not row["prompt"]:
        assert bool(BanList(row["bans"], fold=row["fold"]).find(row["text"])) == row["banned"]


def test_every_case_as_the_real_models_write_it(real_models: dict) -> None:
    for vocab, tokenize in real_models.values():
        for row in ROWS:
            tokens = tokenize(row["text"].encode())
            assert vocab.decode(tokens).lstrip(b" ") == row["text"].encode().lstrip(b" ")
            matcher = BanList(row["bans"], fold=row["fold"]).compile(vocab)
            assert is_banned(matcher, row["prompt"], tokens, row["ended"]) == row["banned"], row


@settings(max_examples=20_000, deadline=None, database=None)
@given(seed=st.integers(0, 2**48))
def test_random_texts_agree_with_the_slow_twin(seed: int) -> None:
    """One example: a random list at a random level, vocabulary and prompt, and two texts written under it."""
    rng = random.Random(seed)
    case = cases.case(rng)
    matcher = cases.compiled(case)
    if matcher is not None:
        for waiting in (True, False):
            verdict = cases.generate(case, matcher, rng, 12, waiting, by_mask=rng.random() < 0.5)
            assert (verdict.leaks, verdict.false_alarms) == (0, 0), (case, verdict)


def test_the_cases_are_worth_their_name() -> None:
    """Patterns bite in many random texts, at every level, with and without prompts: else they would prove nothing."""
    bitten = {(fold, prompted): 0 for fold in cases.FOLDS for prompted in (True, False)}
    for seed in range(400):
        rng = random.Random(seed)
        case = cases.case(rng)
        matcher = cases.compiled(case)
        if matcher is not None:
            verdict = cases.generate(case, matcher, rng, 12, waiting=True)
            bitten[case.fold, bool(case.prompt)] += verdict.bites > 0
    assert min(bitten.values()) > 10


# --- the twin itself ----------------------------------------------------------------------------------------------


@given(data=st.binary(max_size=10))
def test_the_twin_decodes_as_python_does(data: bytes) -> None:
    assert "".join(char for char, _ in twin.decode(data, ended=True)) == data.decode("utf-8", "replace")


def test_the_twin_catches_a_matcher_that_errs() -> None:
    """A matcher that forgets the prompt, or the edge, is found out."""
    vocab = Vocab([b"</s>", b"<pad>", b"ca", b"t", b".", b"s"], end=[0], control=[1])
    case = cases.Case(["cat"], "case", vocab, b"")
    wrong = BanList(["cats"]).compile(vocab)
    also_wrong = BanList(["cat*"]).compile(vocab)
    verdicts = [
        [cases.generate(case, matcher, random.Random(seed), 8, waiting=True) for seed in range(50)]
        for matcher in (wrong, also_wrong)
    ]
    assert sum(verdict.leaks for verdict in verdicts[0]) > 0
    assert sum(verdict.false_alarms for verdict in verdicts[1]) > 0
