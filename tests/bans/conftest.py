"""Vocabularies: those of two real models, and small ones made for a test."""

import ctypes
import os
from pathlib import Path

import pytest

from ggufban.vocab import Vocab

DATA = Path(__file__).parent.parent / "data"


def read_vocab(path: Path) -> tuple[Vocab, "object"]:
    """The vocabulary of a GGUF file and a function that tokenizes with it, through llama.cpp."""
    import llama_cpp

    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model
    vocab = llama_cpp.llama_model_get_vocab(model)
    pieces, control, end = [], [], []
    buffer = ctypes.create_string_buffer(256)
    for token in range(llama_cpp.llama_vocab_n_tokens(vocab)):
        size = llama_cpp.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama_cpp.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, False)
        pieces.append(buffer.raw[:size])
        if llama_cpp.llama_vocab_is_eog(vocab, token):
            end.append(token)
        elif llama_cpp.llama_vocab_is_control(vocab, token):
            control.append(token)

    def tokenize(text: bytes) -> list[int]:
        tokens = (llama_cpp.llama_token * (len(text) + 8))()
        count = llama_cpp.llama_tokenize(vocab, text, len(text), tokens, len(tokens), False, False)
        return list(tokens[:count])

    return Vocab(pieces, control=control, end=end), tokenize


@pytest.fixture(scope="session")
def real_models():
    """Of both real models: name -> (vocabulary, tokenize)."""
    folder = Path(os.environ["GGUFBAN_TEST_MODELS"])
    return {path.name: read_vocab(path) for path in sorted(folder.glob("*.gguf"))}


@pytest.fixture(scope="session")
def real_vocabs(real_models):
    """Of both real models: name -> vocabulary."""
    return {name: vocab for name, (vocab, _) in real_models.items()}
