"""The classic first example, on GPT-2: by its real weights where they are at hand, by its architecture always."""

import os
from pathlib import Path

import numpy as np
import pytest

from ggufban import Model
from tests.tiny import write_tiny

PROMPT = "The capital of France is"

PUBLISHED = [
    (262, " the", 0.0846),
    (783, " now", 0.0479),
    (257, " a", 0.0462),
    (4881, " France", 0.0324),
    (6342, " Paris", 0.0322),
]

if "GGUFBAN_TEST_GPT2" in os.environ:  # the path of a GGUF file of GPT-2 (124M) in 16 or 32 bits

    def test_the_published_top_five() -> None:
        with Model(os.environ["GGUFBAN_TEST_GPT2"]) as model:
            assert model.tokenize(PROMPT) == [464, 3139, 286, 4881, 318]
            step = model.inspect(PROMPT, top=5)
        assert [(c.token, c.text) for c in step.candidates] == [(token, text) for token, text, _ in PUBLISHED]
        assert [c.probability for c in step.candidates] == pytest.approx([p for _, _, p in PUBLISHED], abs=5e-4)


def test_a_tiny_gpt2_is_inspected(tmp_path: Path) -> None:
    with Model(write_tiny(tmp_path / "gpt2.gguf", "gpt2"), n_threads=1) as model:
        step = model.inspect("the cat", top=5)
        logits = model.logits().astype(np.float64)
    probs = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    order = np.argsort(-probs, kind="stable")[:5]
    assert [c.token for c in step.candidates] == order.tolist()
    assert [c.probability for c in step.candidates] == pytest.approx(probs[order], rel=1e-6)
    assert [c.rank for c in step.candidates] == [1, 2, 3, 4, 5]
    assert step.token == order[0]
    assert step.entropy == pytest.approx(-(probs * np.log(probs)).sum(), rel=1e-6)
