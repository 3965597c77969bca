"""A vocabulary: token id <-> bytes, and what kind of token it is.

Bytes are the truth here. A token (an int) renders as a piece (bytes), which may hold part of a character, whole
words, or nothing at all. Nothing in this module knows where the pieces came from: `Model.vocab` makes a `Vocab`
from a GGUF file, tests and other engines make one by hand.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError

__all__ = ["Vocab"]


class Vocab:
    """The pieces of a vocabulary, in the order of their ids.

    `pieces[i]` is the bytes that token `i` adds to the text. `control` are ids that render as no text whatever
    their piece says (beginning of text, unused, turn markers); `end` are ids at which generation ends (end of
    text, end of turn): they render as no text too. A control token is nothing to a ban; an end token is the
    end of the text.

    >>> vocab = Vocab([b"<s>", b"</s>", b" Par", b"is"], control=[0], end=[1])
    >>> len(vocab), vocab.piece(2), vocab.decode([0, 2, 3, 1])
    (4, b' Par', b' Paris')
    """

    __slots__ = ("__dict__", "control", "end", "pieces")

    pieces: tuple[bytes, ...]
    """The text of every token, `b""` for those that render as none."""
    control: frozenset[int]
    """Ids that render as no text and do not end it."""
    end: frozenset[int]
    """Ids at which generation ends."""

    def __init__(self, pieces: Iterable[bytes], *, control: Iterable[int] = (), end: Iterable[int] = ()) -> None:
        rendered = list(pieces)
        self.end = frozenset(end)
        self.control = frozenset(control) - self.end
        for token in self.control | self.end:
            if not 0 <= token < len(rendered):
                raise UsageError(f"token id {token} is outside this vocabulary of {len(rendered)} tokens")
            rendered[token] = b""
        self.pieces = tuple(rendered)

    def __len__(self) -> int:
        return len(self.pieces)

    def __repr__(self) -> str:
        return f"Vocab({len(self)} tokens, {len(self.control)} control, {len(self.end)} end)"

    def piece(self, token: int) -> bytes:
        """The bytes that `token` adds to the text; `UsageError` if there is no such id."""
        if not 0 <= token < len(self.pieces):
            raise UsageError(f"token id {token} is outside this vocabulary of {len(self)} tokens")
        return self.pieces[token]

    def decode(self, tokens: Sequence[int]) -> bytes:
        """The bytes of a sequence of tokens: exactly their pieces, one after the other."""
        return b"".join(map(self.piece, tokens))

    @cached_property
    def end_ids(self) -> NDArray[np.int32]:
        """The ids at which generation ends, `(n,)` int32, ascending."""
        return np.array(sorted(self.end), dtype=np.int32)

    @cached_property
    def has_letter(self) -> NDArray[np.bool_]:
        """Whether each token holds a whole letter of any script, `(n_vocab,)` bool."""
        return np.array([any(map(str.isalpha, piece.decode("utf-8", "ignore"))) for piece in self.pieces], dtype=bool)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of everything that this vocabulary says: a key for caches."""
        digest = hashlib.sha256()
        digest.update(np.array([len(piece) for piece in self.pieces], dtype="<u4").tobytes())
        digest.update(b"".join(self.pieces))
        for ids in (self.control, self.end):
            digest.update(b"|" + np.array(sorted(ids), dtype="<u4").tobytes())
        return digest.hexdigest()
