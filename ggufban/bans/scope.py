"""What a list needs besides symbols: the text after which it begins to hold, and characters by script."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ggufban.bans.reading import characters
from ggufban.vocab import Vocab

__all__ = ["Scope", "Scripts"]


class Scope:
    """The text after which the bans begin to hold, waited for byte by byte (Knuth, Morris and Pratt)."""

    def __init__(self, text: str) -> None:
        self._text = text.encode("utf-8", "replace")
        self._falls = [0, 0]
        for at in range(1, len(self._text)):
            fall = self._falls[at]
            while fall and self._text[at] != self._text[fall]:
                fall = self._falls[fall]
            self._falls.append(fall + (self._text[at] == self._text[fall]))

    def read(self, scope: int, data: bytes) -> tuple[int, int]:
        """The bytes of the text that now stand at the end, or -1 once it is complete, and how much was read."""
        for at, byte in enumerate(data):
            while scope and byte != self._text[scope]:
                scope = self._falls[scope]
            scope += byte == self._text[scope]
            if scope == len(self._text):
                return -1, at + 1
        return scope, len(data)

    def finishing(self, scope: int, pieces: Iterable[bytes]) -> list[int]:
        """The tokens that complete the text and go on behind it."""
        rests = []
        while scope:
            rests.append(self._text[scope:])
            scope = self._falls[scope]
        found = []
        for token, piece in enumerate(pieces):
            if self._text in piece or piece.startswith(tuple(rests)):
                found.append(token)
        return found


class Scripts:
    """The characters of the scripts that a list bans."""

    def __init__(self, scripts: list[tuple[int, NDArray[np.int64]]]) -> None:
        self._scripts = scripts
        self._owners: dict[str, tuple[int, ...]] = {}

    def __bool__(self) -> bool:
        return bool(self._scripts)

    def of(self, char: str) -> tuple[int, ...]:
        """The places in the list of the patterns that ban `char`."""
        owners = self._owners.get(char)
        if owners is None:
            code = ord(char)
            owners = self._owners[char] = tuple(
                at for at, ranges in self._scripts if bool(((ranges[:, 0] <= code) & (code <= ranges[:, 1])).any())
            )
        return owners

    def tokens(self, vocab: Vocab) -> dict[bool, NDArray[np.bool_]]:
        """For `waiting` or not: the tokens that hold a banned character of their own, `(n_vocab,)` bool."""
        masks = {waiting: np.zeros(len(vocab), dtype=bool) for waiting in (True, False)}
        if self._scripts:
            for token, piece in enumerate(vocab.pieces):
                found, pending = characters(piece)
                masks[True][token] = any(self.of(char) for char, _ in found)
                masks[False][token] = masks[True][token] or bool(pending and self.of("\ufffd"))
        return masks
