"""Rows of logits, random and real."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from ggufban.vocab import Vocab

MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma": "gemma-3-270m-q4_k_m.gguf"}
"""Two small models: 49,152 tokens of byte-level BPE, and 262,144 of SentencePiece."""

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
    llama: llama_cpp.Llama

    def ggufban_vocab(self) -> Vocab:
        """The pieces of the tokens, control tokens left out."""
        n = llama_cpp.llama_vocab_n_tokens(self.vocab)
        control = [token for token in range(n) if llama_cpp.llama_vocab_is_control(self.vocab, token)]
        return Vocab([self.piece(token) for token in range(n)], control=control)

    def piece(self, token: int) -> bytes:
        """The text of a token."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, size, 0, False)
            if length >= 0:
                return buffer.raw[:length]
            size = -length


@pytest.fixture(scope="session")
def real_models() -> Iterator[dict[str, RealModel]]:
    """Both models, opened once."""
    folder = Path(os.environ["GGUFBAN_TEST_MODELS"])
    opened = {}
    for name, file in MODELS.items():
        llama = llama_cpp.Llama(str(folder / file), n_ctx=128, n_batch=128, logits_all=True, verbose=False)
        tokens = llama.tokenize(TEXT.encode())
        llama.eval(tokens)
        rows = np.array(llama.scores[: len(tokens)], dtype=np.float32)
        opened[name] = RealModel(rows, tokens, llama_cpp.llama_model_get_vocab(llama.model), llama)
    yield opened
    for model in opened.values():
        model.llama.close()


@pytest.fixture(scope="session")
def real_rows(real_models: dict[str, RealModel]) -> dict[str, NDArray[np.float32]]:
    """Rows of logits of real models, `(n, n_vocab)` float32, by the name of the model."""
    return {name: model.rows for name, model in real_models.items()}
