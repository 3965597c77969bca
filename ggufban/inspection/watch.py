"""The probability of given words at every place of a text, whether they are said there or not.

A word is a sequence of tokens. Its probability at a place is that of its first token there, times that of its second
after the first, and so on: the chain rule, each factor from the model itself, evaluated on a branch that is then cut
off again. A word is looked for as it is and after a space (`Paris`, ` Paris`), each as the model's own tokenizer
writes it; these exclude each other, so that the sum is the probability that the text goes on with either.

Two things this is not. It is not the probability of the whole word and no more: ` Paris` is also the beginning of
` Parisian`. And it is a lower bound: the same letters could be written in other tokens, which a model hardly does.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError
from ggufban.inspection.statistics import RowScanner, rank_of

__all__ = ["Branches", "Sighting", "WatchedWord", "Watcher", "spellings"]


class Branches(Protocol):
    """What watching asks of an engine; see `ggufban.engine.Engine`."""

    n_vocab: int
    n_ctx: int
    evaluations: int

    def tokenize(self, text: str | bytes, *, add_special: bool = True) -> list[int]: ...  # noqa: D102
    def goto(self, tokens: Sequence[int], *, seq: int = 0) -> None: ...  # noqa: D102
    def logits(self, seq: int = 0) -> NDArray[np.float32]: ...  # noqa: D102
    def eval_rows(self, tokens: Sequence[int], *, seq: int = 0) -> Iterator[NDArray[np.float32]]: ...  # noqa: D102


class WatchedWord(NamedTuple):
    """A word and the token sequences that spell it."""

    word: str
    spellings: tuple[tuple[int, ...], ...]


class Sighting(NamedTuple):
    """A word at one place: its log-probability there, and the rank of the first token of its likelier spelling."""

    word: str
    logprob: float
    rank: int

    @property
    def probability(self) -> float:
        """exp(logprob)."""
        return math.exp(self.logprob)


def spellings(engine: Branches, word: str) -> WatchedWord:
    """The token sequences of `word` as it is and after a space. `UsageError` if it is empty."""
    if not word.strip():
        raise UsageError("a watched word is empty; give at least one letter")
    texts = [word] if word[0].isspace() else [word, " " + word]
    found = dict.fromkeys(tuple(engine.tokenize(text, add_special=False)) for text in texts)
    return WatchedWord(word, tuple(found))


class Watcher:
    """An engine for the writing loop that also looks for words wherever it is asked for logits.

    `seen` maps what was evaluated (the tokens of the text so far, prompt included) to the Sightings there. The loop
    is given the very row that was looked at.
    """

    def __init__(self, engine: Branches, words: Sequence[str]) -> None:
        self._engine = engine
        self.words = tuple(spellings(engine, word) for word in words)
        self.seen: dict[tuple[int, ...], tuple[Sighting, ...]] = {}
        self._scan = RowScanner(engine.n_vocab)
        self._tokens: list[int] = []
        self._row: NDArray[np.float32] | None = None
        self.evaluations = 0
        """Tokens evaluated for the text itself, without the branches."""

    def goto(self, tokens: Sequence[int], *, seq: int = 0) -> None:
        """As the engine's, and then look for the words."""
        before = self._engine.evaluations
        self._engine.goto(tokens, seq=seq)
        self.evaluations += self._engine.evaluations - before
        self._tokens = list(tokens)
        self._row = self._engine.logits(seq).copy()
        self._row.flags.writeable = False
        self.seen[tuple(tokens)] = tuple(self._look(word) for word in self.words)

    def logits(self, seq: int = 0) -> NDArray[np.float32]:
        """The row after the tokens of the last `goto`, `(n_vocab,)` float32, read-only."""
        assert self._row is not None
        return self._row

    def _look(self, word: WatchedWord) -> Sighting:
        assert self._row is not None
        scalars = self._scan(self._row)
        found = [(scalars.logprob(float(self._row[s[0]])) + self._rest(s), s[0]) for s in word.spellings]
        best = max(found)
        total = float(np.logaddexp.reduce([logprob for logprob, _ in found]))
        return Sighting(word.word, total, rank_of(self._row, best[1]))

    def _rest(self, spelling: Sequence[int]) -> float:
        """The log-probability of a spelling's tokens after the first; -inf where the context has no room for them."""
        if len(spelling) == 1:
            return 0.0
        if len(self._tokens) + len(spelling) - 1 > self._engine.n_ctx:
            return -math.inf
        self._engine.goto([*self._tokens, spelling[0]])
        total = self._next(self._engine.logits(), spelling[1])
        if len(spelling) > 2:
            rows = (row for chunk in self._engine.eval_rows(spelling[1:-1]) for row in chunk)
            total += sum(self._next(row, token) for row, token in zip(rows, spelling[2:], strict=True))
        return total

    def _next(self, row: NDArray[np.float32], token: int) -> float:
        return self._scan(row).logprob(float(row[token]))
