"""What a generation gives back: the text, how it ended, and what it cost."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ggufban.inspection.trace import Detour, Step

__all__ = ["FINISH_REASONS", "Generation", "Report"]

FINISH_REASONS = {
    "stop": "the model ended its text, or a stop string came",
    "length": "the limit of tokens, or the end of the context, was reached",
    "banned": "no legal continuation was left",
    "interrupted": "it was interrupted",
}
"""Why a text ended."""


@dataclass(slots=True)
class Report:
    """What the bans did and what it cost.

    `hits` counts, for each pattern, how often a token that would have completed it was drawn (under `mask`, where
    none is drawn, how often it was the token that the sampler would have given the most probability). `evaluations`
    are tokens evaluated by the model after the prompt, plus one for the prompt; `discarded_tokens` those that were
    drawn and taken back. `log_legal_mass` is Σ ln(1 - removed mass) over the tokens of the text: its exponential is
    the product of the legal masses, w, whose mean over `mask` samples is the probability of a text without a match.

    Under `exact`, `attempts` is how often the text was begun, `clean_probability` an estimate of the probability that
    a text drawn without bans has no match, and `clean_at_most` a bound that is certain; else 1 and NaN.
    """

    hits: Counter[str] = field(default_factory=Counter)
    evaluations: int = 0
    discarded_tokens: int = 0
    log_legal_mass: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    attempts: int = 1
    clean_probability: float = math.nan
    clean_at_most: float = math.nan

    @property
    def evaluations_per_token(self) -> float:
        """Evaluations for each token of the text; 1 where nothing was taken back."""
        return self.evaluations / self.tokens if self.tokens else math.nan

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the text for each second, the prompt's evaluation included."""
        return self.tokens / self.seconds if self.seconds else math.nan


@dataclass(slots=True)
class Generation:
    """A finished text and everything known of it.

    `text` is what was written, without the prompt; `finish_reason` one of `FINISH_REASONS`; `steps` one Step for
    each token of the text; `tokens` their ids. `strategy` is the one that wrote the text: where `exact` spent its
    budget that is `rewind`, and `note` says so. `detours` are the paths that were taken back (the last 1,000), where
    steps carry statistics.
    """

    text: str
    finish_reason: str
    steps: tuple[Step, ...]
    report: Report
    prompt: str
    model: str
    seed: int
    strategy: str
    fold: str | None
    sampler: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    note: str | None = None
    detours: tuple[Detour, ...] = ()

    @property
    def tokens(self) -> list[int]:
        """The ids of the text's tokens."""
        return [step.token for step in self.steps]
