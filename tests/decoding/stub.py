"""A language model whose whole law is known, and a matcher that is slow and obvious."""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.sampling import Sampler
from ggufban.vocab import Vocab

__all__ = ["ABC", "SlowMatcher", "StubEngine", "law_of"]

ABC = Vocab([b"a", b"b", b" ", b"ab", b"</s>"], end=[4])
"""Two letters, a space, a token of two letters, and the end."""


class StubEngine:
    """An engine whose logits are a fixed function of the last two tokens of the text (and of the prompt)."""

    def __init__(self, n_vocab: int, seed: int = 0, spread: float = 1.0) -> None:
        self.n_vocab, self.evaluations, self._held = n_vocab, 0, []
        self._seed, self._spread = seed, spread
        self._cache: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def row(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The logits after `tokens`."""
        key = tuple(tokens[-2:])
        if key not in self._cache:
            rng = np.random.default_rng([self._seed, *key])
            self._cache[key] = (rng.standard_normal(self.n_vocab) * self._spread).astype(np.float32)
        return self._cache[key]

    def goto(self, tokens: Sequence[int], *, seq: int = 0) -> None:
        """Hold `tokens`, counting what a cache would not have had."""
        keep = 0
        while keep < min(len(self._held), len(tokens) - 1) and self._held[keep] == tokens[keep]:
            keep += 1
        self.evaluations += len(tokens) - keep
        self._held = list(tokens)

    def logits(self, seq: int = 0) -> NDArray[np.float32]:
        """A view, as an engine's is: it must not be written to."""
        view = self.row(self._held).view()
        view.flags.writeable = False
        return view


class Hit(NamedTuple):
    """A match that a token completes, and how many bytes before the token it begins."""

    pattern: str
    back: int


@dataclass(frozen=True)
class SlowMatcher:
    """Regular expressions over the whole text so far, where a match at the very end waits if `\\b` ends it.

    States are the text itself. A pattern such as `\\bab\\b` is a whole word, `ab` a substring.
    """

    patterns: tuple[str, ...]
    vocab: Vocab

    def start(self, prompt: str | bytes = "", *, chat: bool = False) -> bytes:
        return b""

    def step(self, state: bytes, token: int) -> bytes:
        return state + self.vocab.pieces[token]

    def read(self, state: bytes, data: bytes) -> bytes:
        return state + data

    def _matches(self, text: bytes, *, ended: bool) -> list[tuple[str, int]]:
        found = []
        for pattern in self.patterns:
            for match in re.finditer(f"(?=({pattern}))", text.decode("latin-1")):
                at_end = match.start() + len(match.group(1)) == len(text)
                if ended or not (at_end and pattern.endswith(r"\b")):
                    found.append((pattern, match.start()))
        return found

    def legal(self, state: bytes, token: int, waiting: bool = True) -> bool:
        if token in self.vocab.end:
            return self.end_legal(state)
        return not self._matches(self.step(state, token), ended=not waiting)

    def illegal(self, state: bytes, waiting: bool = True) -> NDArray[np.int32]:
        ids = [t for t in range(len(self.vocab)) if not self.legal(state, t, waiting)]
        return np.array(ids, dtype=np.int32)

    def end_legal(self, state: bytes) -> bool:
        return not self._matches(state, ended=True)

    def which(self, state: bytes, token: int) -> tuple[str, ...]:
        return tuple(hit.pattern for hit in self.hits(state, token))

    def hits(self, state: bytes, token: int) -> tuple[Hit, ...]:
        found = self._matches(self.step(state, token), ended=False)
        return tuple(Hit(pattern, len(state) - begin) for pattern, begin in found)

    def hits_end(self, state: bytes) -> tuple[Hit, ...]:
        return tuple(Hit(pattern, len(state) - begin) for pattern, begin in self._matches(state, ended=True))

    def held(self, state: bytes) -> int:
        longest = max(len(pattern.replace(r"\b", "")) for pattern in self.patterns)
        return min(len(state), longest)


def law_of(
    engine: StubEngine, vocab: Vocab, sampler: Sampler, n_predict: int, prompt: Sequence[int]
) -> dict[tuple[int, ...], float]:
    """The probability of every text: a tuple of ids, the end token not among them."""

    def walk(text: tuple[int, ...], p: float) -> Iterator[tuple[tuple[int, ...], float]]:
        if len(text) == n_predict:
            yield text, p
            return
        law = sampler.distribution(engine.row([*prompt, *text]))
        for token, q in zip(law.ids.tolist(), law.probs.tolist(), strict=True):
            if token in vocab.end:
                yield text, p * q
            else:
                yield from walk((*text, token), p * q)

    law = dict(walk((), 1.0))
    assert math.isclose(math.fsum(law.values()), 1.0, rel_tol=1e-9)
    return law


def chi_squared_limit(df: int, z: float = 4.0) -> float:
    """The value that a chi-squared variable of `df` degrees exceeds with the probability of z sigmas (3e-5 for 4).

    Wilson and Hilferty: its cube root is nearly normal.
    """
    return df * (1 - 2 / (9 * df) + z * math.sqrt(2 / (9 * df))) ** 3


def pooled(expected: dict, counts: dict, n: int, least: float = 8.0) -> tuple[float, int]:
    """Chi-squared of `counts` against `n · expected` and its degrees of freedom; rare outcomes are one class."""
    rare_e = rare_c = total = 0.0
    classes = 0
    for outcome in set(expected) | set(counts):
        e, c = n * expected.get(outcome, 0.0), counts.get(outcome, 0)
        if e < least:
            rare_e, rare_c = rare_e + e, rare_c + c
        else:
            total += (c - e) ** 2 / e
            classes += 1
    if rare_e > 0 or rare_c > 0:
        total += (rare_c - rare_e) ** 2 / max(rare_e, 1e-9)
        classes += 1
    return total, max(1, classes - 1)


def every_text(vocab: Vocab, n: int) -> Iterator[tuple[int, ...]]:
    """Every sequence of `n` tokens that render as text."""
    return itertools.product([t for t in range(len(vocab)) if t not in vocab.end], repeat=n)
