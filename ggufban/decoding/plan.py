"""What was asked for, checked once: from it come the writers of one text or of several."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ggufban.bans import BanList
from ggufban.decoding import STRATEGIES
from ggufban.decoding.loop import BiasLike, MatcherLike, Writer
from ggufban.decoding.report import Generation
from ggufban.decoding.tree import Tree
from ggufban.errors import ParameterError
from ggufban.sampling import Sampler
from ggufban.vocab import Vocab

__all__ = ["Plan"]


@dataclass
class Plan:
    """A generation before it begins: the prompt and every setting.

    `prompt` is what the caller said, `tokens` what the engine reads; `matcher` and `state` are the compiled bans and
    their state after the prompt, `bias` and `bias_state` the soft edits and theirs. Raises `ParameterError` for a
    setting out of its range.
    """

    prompt: str
    tokens: list[int]
    vocab: Vocab
    sampler: Sampler
    model: str
    bans: BanList | None
    matcher: MatcherLike | None
    state: Any
    strategy: str
    seed: int
    n_predict: int
    stop: Sequence[str]
    top: int | None
    max_evaluations: int | None = None
    watch: Sequence[str] = ()
    bias: BiasLike | None = None
    bias_state: Any = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ParameterError(f"strategy is {self.strategy!r}; it must be one of {', '.join(STRATEGIES)}")
        if self.seed < 0:
            raise ParameterError(f"seed is {self.seed}; it must be at least 0")
        if self.max_evaluations is not None and self.max_evaluations < 1:
            raise ParameterError(f"max_evaluations is {self.max_evaluations}; it must be at least 1")
        if self.strategy == "exact" and "xtc" in self.sampler.chain:
            raise ParameterError(
                "strategy exact needs a law that stays the same from attempt to attempt, and XTC draws a new one "
                "each time: use rewind, or xtc_probability 0"
            )

    @property
    def budget(self) -> int | None:
        """How many tokens may be evaluated; under `exact` 100 times those that were asked for, unless said."""
        if self.max_evaluations is None and self.strategy == "exact":
            return 100 * max(1, self.n_predict)
        return self.max_evaluations

    def writer(self, sample: int = 0, *, strategy: str | None = None, tree: Tree | None = None) -> Writer:
        """The writer of text number `sample`: each has random numbers of its own, made from the one seed."""
        return Writer(
            self.tokens,
            self.vocab,
            self.sampler.copy(),
            np.random.default_rng([self.seed, sample] if sample else self.seed),
            strategy=STRATEGIES[strategy or self.strategy](),
            matcher=self.matcher,
            state=self.state,
            n_predict=self.n_predict,
            stop=self.stop,
            top=self.top,
            tree=tree,
            bias=self.bias,
            bias_state=self.bias_state,
        )

    def generation(self, writer: Writer, *, note: str | None = None) -> Generation:
        """What `writer` has written so far, with everything that is known of it."""
        return Generation(
            text=writer.text,
            finish_reason=writer.finish_reason or "interrupted",
            steps=tuple(writer.steps),
            report=writer.report,
            prompt=self.prompt,
            model=self.model,
            seed=self.seed,
            strategy=writer.strategy_name,
            fold=self.bans.fold if self.bans else None,
            sampler=self.sampler.chain,
            settings=self.settings,
            note=note,
            detours=tuple(writer.detours),
        )
