"""Vocabularies made for a test, and texts cut into their tokens at random."""

import random
from collections.abc import Sequence

from ggufban.vocab import Vocab

END, CONTROL = 256, 257


def byte_vocab(extra: Sequence[bytes] = ()) -> Vocab:
    """Every byte is a token (its own id), then an end token, a control token, and `extra`."""
    return Vocab([bytes([byte]) for byte in range(256)] + [b"", b"", *extra], control=[CONTROL], end=[END])


def cut(text: bytes, rng: random.Random, longest: int = 6) -> list[bytes]:
    """`text` in pieces of random lengths."""
    pieces = []
    at = 0
    while at < len(text):
        size = rng.randint(1, longest)
        pieces.append(text[at : at + size])
        at += size
    return pieces
