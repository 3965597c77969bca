"""The filters once more, slow and plain: masks over the whole row, a loop where llama.cpp has a loop.

Written for reading and for rows of a few tokens. Every function takes logits, `(n,)` float32, and returns
logits with -inf where a token was removed. Equal logits: the lower id first.
"""

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]


def by_logit(logits: Row) -> list[int]:
    """The tokens that are left, the greatest logit first."""
    return sorted(np.flatnonzero(logits > -np.inf).tolist(), key=lambda token: (-logits[token], token))


def only(logits: Row, tokens: list[int]) -> Row:
    """Only these tokens."""
    masked = np.full_like(logits, -np.inf)
    masked[tokens] = logits[tokens]
    return masked


def probs(logits: Row) -> dict[int, np.float64]:
    """The probability of every token that is left."""
    tokens = by_logit(logits)
    weights = np.exp(logits[tokens].astype(np.float64) - float(logits[tokens[0]]))
    return dict(zip(tokens, weights / weights.sum(), strict=True))


def top_k(logits: Row, k: int) -> Row:
    return only(logits, by_logit(logits)[:k]) if k > 0 else logits


def top_p(logits: Row, p: float, min_keep: int = 0) -> Row:
    kept: list[int] = []
    total = 0.0
    for token, prob in probs(logits).items():
        if total >= p and len(kept) >= max(min_keep, 1):
            break
        kept.append(token)
        total += prob
    return only(logits, kept) if p < 1 else logits


def min_p(logits: Row, p: float, min_keep: int = 0) -> Row:
    greatest = max(probs(logits).values())
    kept = [token for i, (token, prob) in enumerate(probs(logits).items()) if prob >= p * greatest or i < min_keep]
    return only(logits, kept)


def typical(logits: Row, p: float, min_keep: int = 0) -> Row:
    law = probs(logits)
    entropy = -sum(prob * np.log(prob) for prob in law.values())
    kept: list[int] = []
    total = 0.0
    for token in sorted(law, key=lambda token: abs(-np.log(law[token]) - entropy)):
        kept.append(token)
        total += law[token]
        if total > p and len(kept) >= min_keep:
            break
    return only(logits, kept) if p < 1 else logits


def top_n_sigma(logits: Row, n: float) -> Row:
    left = logits[logits > -np.inf].astype(np.float64)
    threshold = left.max() - n * left.std()
    return only(logits, [token for token in by_logit(logits) if logits[token] >= threshold]) if n > 0 else logits


def xtc(logits: Row, threshold: float, min_keep: int = 0) -> Row:
    law = probs(logits)
    high = [token for token in law if law[token] >= threshold]
    if threshold > 0.5 or len(high) < 2 or len(law) - len(high) + 1 < min_keep:
        return logits
    return only(logits, [token for token in law if token not in high[:-1]])


def temperature(logits: Row, t: float) -> Row:
    return logits / np.float32(t) if t > 0 else only(logits, by_logit(logits)[:1])
