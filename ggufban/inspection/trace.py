"""The record of one token: what the model wanted there, and what was made of it.

A `Step` is made once, while the logits are at hand, and never from a replay: on a quantized model the same prefix
evaluated in another batch gives other logits. Every view (terminal, JSON, HTML) is drawn from Steps.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.inspection.statistics import RowScanner, RowStatistics, nucleus_size, rank_of, top_ids
from ggufban.sampling.candidates import Candidates
from ggufban.vocab import Vocab

__all__ = ["Candidate", "Detour", "Fate", "Observer", "Sight", "Step"]


class Detour(NamedTuple):
    """A path that was written and taken back: `steps` from the place of token number `at` on, for `reason`."""

    at: int
    steps: tuple["Step", ...]
    reason: str

    @property
    def text(self) -> str:
        """What it would have said."""
        return b"".join(step.piece for step in self.steps).decode("utf-8", "replace")


class Candidate(NamedTuple):
    """A token that could have been chosen.

    `logit`, `logprob`, `probability` and `rank` (1-based) are the model's own: raw logits, temperature 1, no ban.
    `drawn_with` is the probability that it had at the draw, after bans and filters: 0 if it was removed, NaN if
    nothing was drawn. `removed_by` names the stage that removed it: `ban: Paris`, `top-k`, `min-p` …
    """

    token: int
    piece: bytes
    text: str
    logit: float
    logprob: float
    probability: float
    rank: int
    drawn_with: float = math.nan
    removed_by: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One token of a text, and what was known when it was chosen.

    `token` is its id, `piece` its bytes, `text` what it adds to the text that is shown (a character comes with the
    token that completes it, and part of a word that may not stand alone with the token after which the text may
    end). `logit`, `logprob`, `probability`, `rank`, `entropy` and `varentropy` (nats, nats²) are of the model's own
    distribution; they are NaN (rank 0) where the step was not traced (`top=None`).
    `drawn_with` is the token's probability at the draw and `random` the number in [0, 1) that chose it.
    `removed_mass` is the probability that bans took away here, out of what the sampler would have drawn from.
    `nucleus` is how few tokens hold 0.95 of the model's probability (0: not traced) and `n_vocab` how many there are.
    """

    token: int
    piece: bytes
    text: str
    logit: float = math.nan
    logprob: float = math.nan
    probability: float = math.nan
    rank: int = 0
    entropy: float = math.nan
    varentropy: float = math.nan
    drawn_with: float = math.nan
    random: float = math.nan
    removed_mass: float = 0.0
    candidates: tuple[Candidate, ...] = field(default=(), repr=False)
    nucleus: int = 0
    n_vocab: int = 0

    @property
    def traced(self) -> bool:
        """Whether there are statistics of this step."""
        return self.rank > 0

    @property
    def surprisal(self) -> float:
        """-ln of the model's own probability, in nats."""
        return -self.logprob

    @property
    def bits(self) -> float:
        """The surprisal in bits."""
        return -self.logprob / math.log(2.0)

    @property
    def normalized_entropy(self) -> float:
        """The entropy over that of a uniform choice among all tokens, H / ln V: 0 certain, 1 no idea."""
        return self.entropy / math.log(self.n_vocab) if self.n_vocab > 1 else math.nan

    @property
    def effective_choices(self) -> float:
        """exp(H): among how many equally probable tokens a choice would be as uncertain."""
        return math.exp(self.entropy)

    @property
    def margin(self) -> float:
        """Probability of the best candidate less that of the second; NaN with fewer than two traced."""
        if len(self.candidates) < 2:
            return math.nan
        return self.candidates[0].probability - self.candidates[1].probability

    @property
    def tail_mass(self) -> float:
        """The probability beyond the candidates shown."""
        return max(0.0, 1.0 - math.fsum(candidate.probability for candidate in self.candidates))


Fate = Callable[[int], tuple[float, str | None]]
"""For a token: the probability that it had at the draw, and the stage that removed it, if any."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One row as it was seen, before anything was drawn from it: its scalars, its best tokens and their logits."""

    row: RowStatistics
    best: tuple[int, ...]
    logits: tuple[float, ...]
    nucleus: int

    def place(self, logits: NDArray[np.float32], token: int) -> tuple[float, int]:
        """The raw logit and the rank of a token in `logits`, the row that was seen."""
        rank = self.best.index(token) + 1 if token in self.best else rank_of(logits, token)
        return float(logits[token]), rank


class Observer:
    """Makes Steps from raw rows of one vocabulary, each with its `top` best candidates.

    With `top=None` nothing is computed, and Steps carry no statistics. `dtype` is the precision of their scalars:
    what is measured has float64; while text is being written float32 is faster, and right to 1e-6 nats.
    """

    def __init__(self, vocab: Vocab, top: int | None, dtype: type[np.float32 | np.float64] = np.float64) -> None:
        self.vocab = vocab
        self.top = top
        self._scan = RowScanner(len(vocab), dtype)

    def look(self, logits: NDArray[np.float32]) -> Sight | None:
        """What the raw row `logits` `(n_vocab,)` says; None with `top=None`. Raises `LogitsError`."""
        if self.top is None:
            return None
        tokens = Candidates.of(logits)
        row = self._scan(logits, float(tokens.top))
        best = top_ids(tokens, self.top)
        nucleus = nucleus_size(tokens, row, best=best)
        return Sight(row, tuple(best.tolist()), tuple(logits[best].tolist()), nucleus)

    def read(self, logits: NDArray[np.float32], token: int) -> Step:
        """The Step of a `token` that is there already, from the raw row that predicts it. Raises `LogitsError`."""
        sight = self.look(logits)
        return self.step(sight, token, *(sight.place(logits, token) if sight else (math.nan, 0)))

    def step(
        self,
        sight: Sight | None,
        token: int,
        logit: float,
        rank: int,
        *,
        fate: Fate | None = None,
        drawn_with: float = math.nan,
        random: float = math.nan,
    ) -> Step:
        """The Step of choosing `token`, whose raw logit and rank these are, from what `sight` saw.

        `text` is left empty: whoever decodes the text fills it in.
        """
        piece = self.vocab.piece(token)
        if sight is None:
            return Step(token, piece, "", drawn_with=drawn_with, random=random)
        logprob = sight.row.logprob(logit)
        return Step(
            token,
            piece,
            "",
            logit,
            logprob,
            math.exp(logprob),
            rank,
            sight.row.entropy,
            sight.row.varentropy,
            drawn_with,
            random,
            candidates=self._candidates(sight, fate),
            nucleus=sight.nucleus,
            n_vocab=len(self.vocab),
        )

    def _candidates(self, sight: Sight, fate: Fate | None) -> tuple[Candidate, ...]:
        made = []
        for rank, (token, logit) in enumerate(zip(sight.best, sight.logits, strict=True), 1):
            piece, logprob = self.vocab.pieces[token], sight.row.logprob(logit)
            text = piece.decode("utf-8", "replace")
            drawn = fate(token) if fate is not None else (math.nan, None)
            made.append(Candidate(token, piece, text, logit, logprob, math.exp(logprob), rank, *drawn))
        return tuple(made)
