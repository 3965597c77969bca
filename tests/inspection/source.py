"""An engine whose logits are a known function of the text, for tests of what reads rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ggufban.vocab import Vocab

__all__ = ["LETTERS", "StubSource", "naive_logprobs"]

LETTERS = "abcdefgh "


def naive_logprobs(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-softmax in float64, as it is written in a textbook."""
    x = logits.astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(x - x.max()) / np.exp(x - x.max()).sum())


class StubSource:
    """Tokens are `<s>`, `</s>` and letters; a row depends on the last two tokens and on how many there are.

    Rows come in chunks of changing sizes, in a buffer that the next chunk overwrites, as an engine's do.
    """

    path = Path("stub.gguf")

    def __init__(self, *, n_ctx: int = 64, add_bos: bool = True, seed: int = 0, letters: str = LETTERS) -> None:
        self.vocab = Vocab([b"<s>", b"</s>", *(letter.encode() for letter in letters)], control=[0], end=[1])
        self.n_vocab, self.n_ctx, self.add_bos, self.seed, self.letters = (
            len(self.vocab),
            n_ctx,
            add_bos,
            seed,
            letters,
        )
        self.held: list[int] = []
        self.evaluations = 0
        self.bos = 0

    def tokenize(self, text: str | bytes, *, add_special: bool = True) -> list[int]:
        text = text.decode() if isinstance(text, bytes) else text
        return ([0] if add_special and self.add_bos else []) + [2 + self.letters.index(c) for c in text]

    def prompt_tokens(self, prompt: str) -> list[int]:
        return self.tokenize(prompt) or [self.bos]

    def row(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        rng = np.random.default_rng([self.seed, len(tokens), *tokens[-2:]])
        return (rng.standard_normal(self.n_vocab) * 2).astype(np.float32)

    def rewind(self, keep: int) -> None:
        del self.held[keep:]

    def eval_rows(
        self, tokens: Sequence[int], *, seq: int = 0, n_rows: int | None = None, max_rows: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        assert len(self.held) + len(tokens) <= self.n_ctx
        rows = []
        for token in tokens:
            self.held.append(token)
            rows.append(self.row(self.held))
        self.evaluations += len(tokens)
        rows = rows if n_rows is None else rows[len(rows) - n_rows :]
        sizes = np.random.default_rng(self.seed + 7).integers(1, 5, size=len(rows) + 1).tolist()
        buffer, at = np.empty((5, self.n_vocab), dtype=np.float32), 0
        while at < len(rows):
            size = min(sizes.pop(), len(rows) - at, max_rows or 5)
            buffer[:size] = rows[at : at + size]
            yield buffer[:size]
            buffer[:] = np.nan
            at += size

    def goto(self, tokens: Sequence[int], *, seq: int = 0) -> None:
        keep = 0
        while keep < min(len(self.held), len(tokens) - 1) and self.held[keep] == tokens[keep]:
            keep += 1
        self.evaluations += len(tokens) - keep
        self.held = list(tokens)

    def logits(self, seq: int = 0) -> NDArray[np.float32]:
        return self.row(self.held)
