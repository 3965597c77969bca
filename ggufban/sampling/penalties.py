"""What is added to and taken off logits because of what was written before: penalties, DRY, and logit bias.

All take `Candidates` and return `Candidates` with other logits; nothing they are given is changed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ggufban.sampling.candidates import Candidates
from ggufban.vocab import Vocab

__all__ = ["Breakers", "dry", "logit_bias", "repetition", "repetition_lengths"]

Change = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]
"""(logits, amounts) of the same tokens -> their new logits."""


def change_logits(candidates: Candidates, amounts: Mapping[int, float], change: Change) -> Candidates:
    """Candidates with the logits of the tokens in `amounts` changed; others are ignored."""
    tokens = np.fromiter(amounts, dtype=np.int64, count=len(amounts))
    with np.errstate(over="ignore"):
        values = np.array(list(amounts.values()), dtype=np.float64).astype(np.float32)
    if candidates.ids is None:
        there = tokens < len(candidates.logits)
        places, values = tokens[there], values[there]
    else:
        by_id = candidates.ids.argsort()
        places = by_id[candidates.ids[by_id].searchsorted(tokens).clip(max=len(by_id) - 1)]
        there = candidates.ids[places] == tokens
        places, values = places[there], values[there]
    if not len(places):
        return candidates
    logits = candidates.logits.copy()
    with np.errstate(over="ignore"):
        logits[places] = change(logits[places], values)
    return candidates.with_logits(logits)


def logit_bias(candidates: Candidates, bias: Mapping[int, float]) -> Candidates:
    """Candidates with `bias[token]` added to the logit of each token; a bias of -inf bans it.

    llama.cpp: `llama_sampler_logit_bias_apply`.
    """
    return change_logits(candidates, bias, np.add) if bias else candidates


def repetition(
    candidates: Candidates, window: Iterable[int], repeat: float, frequency: float, presence: float
) -> Candidates:
    """Candidates with the logits of the tokens in `window` lowered.

    A positive logit is divided by `repeat` and one that is not is multiplied by it; then `frequency` times
    the count of the token and `presence` are taken off. `repeat` > 0, 1 switches it off; `frequency` and
    `presence` are any finite numbers, 0 switches them off. llama.cpp: `llama_sampler_penalties_apply`; Keskar
    et al., arXiv 1909.05858 (which divides negative logits too, and so makes these tokens more likely).
    """
    r, f, p = np.float32(repeat), np.float32(frequency), np.float32(presence)

    def change(logits: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
        lowered: NDArray[np.float32] = np.where(logits <= 0, logits * r, logits / r) - (counts * f + p)
        return lowered

    counts = Counter(window)
    return change_logits(candidates, counts, change) if counts else candidates


class Breakers:
    """The sequence breakers of DRY: text across which no repetition is seen.

    Told from the pieces of the tokens. Differences from llama.cpp (`get_overlapping_token_sequences`): a
    breaker of several characters that is spread over tokens is found however it was tokenized (llama.cpp
    looks for the one tokenization of its rest), and control tokens have no text. A breaker is cut after 40
    bytes, as there.
    """

    __slots__ = ("breakers", "cache", "vocab")

    def __init__(self, breakers: Iterable[str], vocab: Vocab | None) -> None:
        self.breakers = tuple(text.encode()[:40] for text in breakers if text)
        self.vocab = vocab
        self.cache: dict[int, bool] = {}

    def holds(self, token: int) -> bool:
        """Whether the token's own text holds a whole breaker."""
        if token not in self.cache:
            piece = self.piece(token)
            self.cache[token] = any(breaker in piece for breaker in self.breakers)
        return self.cache[token]

    def piece(self, token: int) -> bytes:
        """The text of a token; nothing if there is no such token."""
        return self.vocab.pieces[token] if self.vocab is not None and token < len(self.vocab) else b""

    def since(self, tokens: Sequence[int]) -> int:
        """How many tokens stand after the last breaker in `tokens`; all of them if there is none."""
        spread = [breaker for breaker in self.breakers if len(breaker) > 1]
        after = b""  # the text of the tokens passed, as far as a breaker can reach
        for i, token in enumerate(reversed(tokens)):
            if self.holds(token):
                return i
            if spread:
                piece = self.piece(token)
                ends = [len(end) for breaker in spread for end in rests(piece, breaker) if after.startswith(end)]
                if ends:
                    return i - self.tokens_of(max(ends), tokens[len(tokens) - i :])
                after = (piece + after)[:40]
        return len(tokens)

    def tokens_of(self, n: int, tokens: Sequence[int]) -> int:
        """How many of `tokens` it takes to hold the first n bytes of their text."""
        for count, token in enumerate(tokens):
            if n <= 0:
                return count
            n -= len(self.piece(token))
        return len(tokens)


def rests(piece: bytes, breaker: bytes) -> list[bytes]:
    """What would be still to come of a breaker that begins at the end of a piece, for each place it can."""
    begun = range(1, min(len(piece) + 1, len(breaker)))
    return [breaker[n:] for n in begun if piece.endswith(breaker[:n])]


def repetition_lengths(window: Sequence[int], allowed_length: int, breakers: Breakers) -> dict[int, int]:
    """For every token that would go on with a repetition: how long the repetition is before it.

    The tail of the window is looked for earlier in the window: `a b c | x a b` has the tail `a b`, which
    stood before `c`, so `c` goes on with a repetition of 2 tokens. Only repetitions of at least
    `allowed_length` tokens count, tails do not reach across a breaker, and of several the longest counts.

    >>> repetition_lengths([1, 2, 3, 9, 1, 2], 2, Breakers((), None))
    {3: 2}
    """
    if len(window) <= allowed_length:
        return {}
    limit = breakers.since(window)
    if limit < allowed_length:
        return {}
    lengths: dict[int, int] = {}
    backwards = window[::-1]
    for k, length in enumerate(matches_with_beginning(backwards)):
        length = min(length, limit)
        # k tokens from the end, `length` tokens equal the tail; the token after them stands at k - 1
        if k > 0 and length >= allowed_length:
            token = backwards[k - 1]
            lengths[token] = max(lengths.get(token, 0), length)
    return {token: length for token, length in lengths.items() if not breakers.holds(token)}


def matches_with_beginning(tokens: Sequence[int]) -> list[int]:
    """For every place, how many tokens from there on equal the beginning: the Z-function, in linear time."""
    n = len(tokens)
    lengths = [n] + [0] * (n - 1)
    left = right = 0  # the match that reaches furthest: tokens[left:right] equals the beginning
    for k in range(1, n):
        length = min(right - k, lengths[k - left]) if k < right else 0
        while k + length < n and tokens[length] == tokens[k + length]:
            length += 1
        lengths[k] = length
        if k + length > right:
            left, right = k, k + length
    return lengths


def dry(candidates: Candidates, lengths: Mapping[int, int], multiplier: float, base: float, allowed: int) -> Candidates:
    """Candidates with `multiplier * base ** (length - allowed)` taken off the logits of tokens in `lengths`.

    `multiplier` 0 switches it off; `base` >= 1. llama.cpp: `llama_sampler_dry_apply`; don't repeat yourself,
    by p-e-w and pi6am.
    """
    if not lengths or multiplier == 0:
        return candidates
    base32, multiplier32 = np.float32(base), np.float32(multiplier)
    # no exponent that would overflow a float32, whose greatest is e^88.72
    most = int(np.float32(88.7228391) / np.log(base32)) if base32 > np.float32(1.000001) else 0

    def amount(length: int) -> float:
        exponent = min(length - allowed, most) if most > 0 else length - allowed
        return float(multiplier32) * float(base32) ** exponent

    return change_logits(candidates, {t: amount(n) for t, n in lengths.items()}, np.subtract)
