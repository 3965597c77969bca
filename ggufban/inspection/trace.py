"""The record of one token: what the model wanted there, and what was made of it.

A `Step` is made once, while the logits are at hand, and never from a replay: on a quantized model the same prefix
evaluated in another batch gives other logits. Every view (terminal, JSON, CSV, NPZ) is drawn from Steps.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ggufban.inspection.statistics import RowScanner, RowStatistics, nucleus_size, rank_of, top_ids
from ggufban.sampling.candidates import Candidates
from ggufban.vocab import Vocab

__all__ = ["Candidate", "Detour", "Fates", "Observer", "Ranking", "Sight", "Step"]


HEAD = 128
"""How many of the most probable tokens are looked at for the nucleus before others are looked for."""


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
    `candidates` are the most probable tokens, in order; they are made when they are first looked at.
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
    candidates: Sequence[Candidate] = field(default=(), repr=False)
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


Fates = Callable[[Sequence[int]], Iterable[tuple[float, str | None]]]
"""For each of some tokens: the probability that it had at the draw, and the stage that removed it, if any."""


class Sight(NamedTuple):
    """One row as it was seen, before anything was drawn from it: its scalars, its best tokens and their logits."""

    row: RowStatistics
    best: tuple[int, ...]
    logits: tuple[float, ...]
    nucleus: int

    def place(self, logits: NDArray[np.float32], token: int) -> tuple[float, int]:
        """The raw logit and the rank of a token in `logits`, the row that was seen."""
        rank = self.best.index(token) + 1 if token in self.best else rank_of(logits, token)
        return float(logits[token]), rank


class Ranking(Sequence[Candidate]):
    """The best tokens that a Sight saw and what became of each: a sequence whose Candidates are made when looked at.

    It equals a tuple of the same Candidates, and is pickled as one.
    """

    __slots__ = ("_fates", "_made", "_pieces", "_sight")

    def __init__(self, sight: Sight, pieces: Sequence[bytes], fates: Fates | None) -> None:
        self._sight, self._pieces, self._fates = sight, pieces, fates
        self._made: tuple[Candidate, ...] | None = None

    def _all(self) -> tuple[Candidate, ...]:
        if self._made is None:
            best, row, pieces = self._sight.best, self._sight.row, self._pieces
            fates = [(math.nan, None)] * len(best) if self._fates is None else self._fates(best)
            made = []
            for rank, (token, logit, fate) in enumerate(zip(best, self._sight.logits, fates, strict=True), 1):
                piece, logprob = pieces[token], row.logprob(logit)
                text = piece.decode("utf-8", "replace")
                made.append(Candidate(token, piece, text, logit, logprob, math.exp(logprob), rank, *fate))
            self._made, self._fates = tuple(made), None
        return self._made

    def __len__(self) -> int:
        return len(self._sight.best)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Candidate, ...]: ...
    def __getitem__(self, index: int | slice) -> Candidate | tuple[Candidate, ...]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, Ranking) else other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[type[tuple[Candidate, ...]], tuple[tuple[Candidate, ...]]]:
        return tuple, (self._all(),)


class Observer:
    """Makes Steps from raw rows of one vocabulary, each with its `top` best candidates.

    With `top=None` nothing is computed, and Steps carry no statistics. `dtype` is the precision of their scalars:
    what is measured has float64; while text is being written float32 is faster, and right to 1e-6 nats.
    """

    def __init__(self, vocab: Vocab, top: int | None, dtype: type[np.float32 | np.float64] = np.float64) -> None:
        self.vocab = vocab
        self.top = top
        self._scan = RowScanner(len(vocab), dtype)

    def look(self, tokens: Candidates) -> tuple[Sight | None, Candidates]:
        """What a whole raw row says (None with `top=None`), and the row with what was found out of use to a sampler."""
        if self.top is None:
            return None, tokens
        row = self._scan(tokens.logits, float(tokens.top))
        tokens = tokens._replace(head=tokens.greatest(max(self.top, HEAD)), finite=row.finite)
        best = top_ids(tokens, self.top)
        logits = tokens.logits.take(best)
        return Sight(row, tuple(best.tolist()), tuple(logits.tolist()), nucleus_size(tokens, row)), tokens

    def read(self, logits: NDArray[np.float32], token: int, place: int | None = None) -> Step:
        """The Step of a `token` that is there already, from the raw row that predicts it.

        Raises `LogitsError`, which names its `place` in the text.
        """
        sight, _ = self.look(Candidates.of(logits, place))
        return self.step(sight, token, *(sight.place(logits, token) if sight else (math.nan, 0)))

    def step(
        self,
        sight: Sight | None,
        token: int,
        logit: float,
        rank: int,
        *,
        fates: Fates | None = None,
        drawn_with: float = math.nan,
        random: float = math.nan,
    ) -> Step:
        """The Step of choosing `token`, whose raw logit and rank these are, from what `sight` saw.

        `fates` is asked once, when the candidates are looked at, and must know by then what it knows now. `text` is
        left empty: whoever decodes the text fills it in.
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
            candidates=Ranking(sight, self.vocab.pieces, fates),
            nucleus=sight.nucleus,
            n_vocab=len(self.vocab),
        )
