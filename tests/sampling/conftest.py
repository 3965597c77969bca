"""Rows of logits, random and real."""

from typing import Any, NamedTuple

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from ggufban import Model

TEXT = """The capital of France is Paris, and it is known for its museums. "And of Spain?" she asked.
1, 2, 3, 4, 5, 6; a, b, c: def f(x):
    return x + 1
Once upon a time there was a"""


class RealModel(NamedTuple):
    """A real model's rows of logits, and what it takes to ask llama.cpp about its vocabulary."""

    rows: NDArray[np.float32]
    """`(n, n_vocab)` float32: a row after each of n tokens of a text."""
    tokens: list[int]
    vocab: Any
    """`llama_vocab *`."""
    model: Model


@pytest.fixture(scope="session")
def real_models(smollm2: Model, gemma: Model) -> dict[str, RealModel]:
    """Both models, by name."""
    found = {}
    for name, model in (("smollm2", smollm2), ("gemma", gemma)):
        tokens = model.tokenize(TEXT)
        model.reset()
        rows = np.concatenate([chunk.copy() for chunk in model.eval_rows(tokens)])
        found[name] = RealModel(rows, tokens, llama_cpp.llama_model_get_vocab(model._model), model)
    return found


@pytest.fixture(scope="session")
def real_rows(real_models: dict[str, RealModel]) -> dict[str, NDArray[np.float32]]:
    """Rows of logits of real models, `(n, n_vocab)` float32, by the name of the model."""
    return {name: model.rows for name, model in real_models.items()}
