"""Vocabularies: those of two real models, and small ones made for a test."""

from pathlib import Path

import pytest

from ggufban import Model

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture(scope="session")
def real_models(smollm2: Model, gemma: Model):
    """Of both real models: name -> (vocabulary, a function from bytes to ids)."""

    def tokenizer(model: Model):
        return lambda text: model.tokenize(text, add_special=False)

    return {model.path.name: (model.vocab, tokenizer(model)) for model in (smollm2, gemma)}


@pytest.fixture(scope="session")
def real_vocabs(real_models):
    """Of both real models: name -> vocabulary."""
    return {name: vocab for name, (vocab, _) in real_models.items()}
