"""A given text, token by token: how probable the model finds each, and what a context changes.

The effect of a context on an answer, given the question:

    alone = score(engine, "Paris.", context="The capital of France is ")
    within = score(engine, "Paris.", context="France is a country in Europe. The capital of France is ")
    context_effect(alone, within).verdict     # "helped", "ignored" or "misled"
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import UsageError
from ggufban.inspection.protocol import LLAMA_WINDOW, RowSource, habit, plan, stream_rows
from ggufban.inspection.text import Trace, with_text
from ggufban.inspection.trace import Observer, Step
from ggufban.vocab import Vocab

__all__ = ["ContextEffect", "Progress", "ScoreSource", "context_effect", "score"]

Progress = Callable[[int, int], None]
"""Told how many tokens of how many are done."""


class ScoreSource(RowSource, Protocol):
    """An engine that knows its vocabulary and its file; see `ggufban.engine.Engine`."""

    @property
    def vocab(self) -> Vocab: ...  # noqa: D102
    @property
    def path(self) -> Path | None: ...  # noqa: D102
    def prompt_tokens(self, prompt: str) -> list[int]: ...  # noqa: D102


def score(
    engine: ScoreSource,
    text: str,
    *,
    context: str | None = None,
    protocol: str = "full",
    window: int | None = None,
    top: int = 5,
    progress: Progress | None = None,
) -> Trace:
    """The Trace of `text`, each Step with its `top` best candidates.

    Without a `context` the text stands at the beginning, and its first token counts only where the vocabulary puts
    a special token before it. With one, also an empty one, every token of the text counts: `context` is tokenized
    by itself and put before it (an empty one is the beginning-of-text token), so that the tokens of the text are
    the same under every context; they have to fit into the engine's context together. `window` is the most tokens
    that the model sees at once: by default the engine's `n_ctx`, and 512 for the protocol `llama.cpp`.

    Memory does not grow with the text but for its Steps: rows are reduced as they appear. Raises `ContextFullError`,
    `ParameterError`, and `LogitsError` naming the step if the model's numbers are not numbers.
    """
    begin = habit(engine)
    if context is None:
        tokens = engine.tokenize(text)
        first = 1
        shown = 1 if begin is not None else 0
    else:
        if protocol != "full":
            raise UsageError(f"protocol {protocol!r} knows no context; a text with a context is scored by 'full'")
        before = engine.prompt_tokens(context)
        tokens = before + engine.tokenize(text, add_special=False)
        first = shown = len(before)
    if window is None:
        window = min(engine.n_ctx, LLAMA_WINDOW if protocol == "llama.cpp" else engine.n_ctx)
    elif window > engine.n_ctx:
        raise UsageError(f"the window is {window} tokens, and the context holds {engine.n_ctx}")
    windows = plan(tokens, protocol=protocol, size=window, begin=begin, first=first)
    observer = Observer(engine.vocab, top)
    steps = [Step(token, engine.vocab.piece(token), "") for token in tokens]
    total, done = sum(w.n_rows for w in windows), 0
    for at, rows in stream_rows(engine, windows):
        for i, row in enumerate(rows, at):
            token = tokens[i]
            steps[i] = observer.read(row, token, i - shown + 1)
        done += len(rows)
        if progress is not None:
            progress(done, total)
    return Trace(with_text(steps[shown:]), "score", engine.path.name if engine.path else "", context, protocol)


@dataclass(frozen=True, slots=True)
class ContextEffect:
    """The same tokens with and without a context.

    `difference` is, for each token, ln p with the context less ln p without it, `(n,)` float64: positive where the
    context made it more probable. `total` is their sum, in nats: exp(total) is the factor by which the context
    changed the probability of the whole answer, and `noise` is the scatter of that sum, √n times the standard
    deviation of a token's difference.
    """

    without: Trace
    within: Trace
    difference: NDArray[np.float64]
    total: float
    noise: float

    @property
    def verdict(self) -> str:
        """`helped`, `misled` or `ignored`.

        `ignored`: the probability of the answer changed by less than a factor of two (|total| < ln 2), or, for an
        answer of eight tokens or more, by less than its tokens disagree with each other (|total| < noise). Else the
        context `helped` this answer where it made it more probable, and `misled` where less. Whether the answer is
        true is for the reader to know: of a wrong answer, `helped` says that the context is where it comes from.
        """
        noisy = len(self.difference) >= 8 and abs(self.total) < self.noise
        if abs(self.total) < math.log(2.0) or noisy:
            return "ignored"
        return "helped" if self.total > 0 else "misled"


def context_effect(without: Trace, within: Trace) -> ContextEffect:
    """What a context changed, from the traces of one text without and within it. `UsageError` if the texts differ."""
    if without.tokens != within.tokens:
        raise UsageError("the two traces are of different tokens: score one text with two contexts")
    difference = without.array("surprisal") - within.array("surprisal")
    known = difference[~np.isnan(difference)]
    scatter = float(known.std(ddof=1)) * math.sqrt(len(known)) if len(known) > 1 else 0.0
    return ContextEffect(without, within, difference, math.fsum(known), scatter)
