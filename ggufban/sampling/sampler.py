"""An ordered chain of filters: one row of logits in, the distribution to draw from out.

```
logits -> logit bias -> penalties -> DRY -> top-n-sigma -> top-k -> typical -> top-p -> min-p -> XTC ->
temperature -> Distribution -> sample(rng) -> accept(token) -> next row
```

That is llama.cpp's default order (`common_sampler_init` in `common/sampling.cpp`); `samplers` gives another.
"""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import LogitsError, ParameterError, UsageError
from ggufban.sampling import filters, penalties
from ggufban.sampling.candidates import Candidates, softmax32
from ggufban.sampling.distribution import Distribution, Trail
from ggufban.sampling.parameters import PARAMETERS, read_samplers
from ggufban.vocab import Vocab

__all__ = ["Sampler", "SamplerState"]


class SamplerState(NamedTuple):
    """What a sampler remembers of the past: small, immutable, comparable. `Sampler.state` makes it."""

    window: tuple[int, ...]
    """The last tokens, as many as penalties and DRY look at."""
    mu: float
    """Mirostat: the surprisal, in bits, that it allows."""
    adaptive_sum: float
    """Adaptive-p: the probabilities of the tokens drawn, the older the less weight."""
    adaptive_weight: float
    """Adaptive-p: the sum of these weights."""


@dataclass(kw_only=True, eq=False, repr=False)
class Sampler:
    """llama.cpp's sampler chain: same names, same defaults, same order, same survivors, same probabilities.

    Every keyword is described in `PARAMETERS`, with its range and the value that switches it off; a value out
    of range is a `ParameterError`. `temperature` <= 0 is greedy. `mirostat` 1 or 2 replaces, as in llama.cpp,
    every filter but temperature, the penalties too. `samplers` gives another order. `vocab` is needed by DRY
    alone, to find its sequence breakers. The parameters are read once, when the sampler is made.

    A generation goes `prime(prompt)`, and then for each token `distribution`, `Distribution.sample`,
    `accept`. Before an evaluation that may be taken back, keep `state`; `restore` goes back to it. A sampler
    serves one generation at a time, and `copy` makes one for another.

    >>> sampler = Sampler(top_k=2, temperature=1.0)
    >>> sampler.chain
    ('top-k', 'top-p', 'min-p')
    >>> sampler.distribution(np.log(np.array([0.1, 0.3, 0.6], dtype=np.float32))).probs.round(3).tolist()
    [0.667, 0.333]
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: Sequence[str] = ("\n", ":", '"', "*")
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    min_keep: int = 0
    logit_bias: Mapping[int, float] | None = None
    samplers: Sequence[str] | str | None = None
    vocab: Vocab | None = None

    def __post_init__(self) -> None:
        for parameter in PARAMETERS:
            if parameter.type is not str:
                parameter.check(getattr(self, parameter.name))
        self._bias = checked_bias(self.logit_bias or {})
        self.samplers = read_samplers(self.samplers)
        self.dry_sequence_breakers = tuple(self.dry_sequence_breakers)
        if self.adaptive_target >= 0 and "adaptive_p" not in self.samplers:
            raise ParameterError(
                f"adaptive_target is {self.adaptive_target!r}, which does nothing unless samplers names "
                f"adaptive_p: give samplers={';'.join((*self.samplers, 'adaptive_p'))!r} too"
            )
        self._chain = self._active_stages()
        self._breakers = penalties.Breakers(self.dry_sequence_breakers, self.vocab)
        if "dry" in self._chain and self._breakers.breakers and self.vocab is None:
            raise ParameterError(
                "dry_multiplier switches on DRY, whose sequence breakers are looked for in the text of "
                "tokens: give vocab=model.vocab too, or dry_sequence_breakers=()"
            )
        self._window_length = max(
            self.repeat_last_n if "penalties" in self._chain else 0,
            self.dry_penalty_last_n if "dry" in self._chain else 0,
        )
        self._last: Distribution | None = None
        self.reset()

    def _active_stages(self) -> tuple[str, ...]:
        """The stages that do something, in order."""
        penalized = self.repeat_penalty != 1 or self.frequency_penalty != 0 or self.presence_penalty != 0
        stages = {
            "penalties": ("penalties", penalized and self.repeat_last_n > 0),
            "dry": ("dry", self.dry_multiplier > 0 and self.dry_penalty_last_n > 0),
            "top_n_sigma": ("top-n-sigma", self.top_n_sigma > 0),
            "top_k": ("top-k", self.top_k > 0),
            "typ_p": ("typical", self.typical_p < 1),
            "top_p": ("top-p", self.top_p < 1),
            "min_p": ("min-p", self.min_p > 0),
            "xtc": ("xtc", self.xtc_probability > 0 and self.xtc_threshold <= 0.5),
            "temperature": ("temperature", self.temperature != 1 or self.dynatemp_range > 0),
            "adaptive_p": ("adaptive-p", self.adaptive_target >= 0),
        }
        if self.mirostat:
            name = "mirostat" if self.mirostat == 1 else "mirostat-v2"
            chosen = [("temperature", self.temperature != 1), (name, True)]
        else:
            # adaptive-p, named anywhere and any number of times, is once at the end: it is what draws in
            # llama.cpp
            chosen = [stages[name] for name in self.samplers or () if name != "adaptive_p"]
            chosen.append(stages["adaptive_p"])
        return tuple(name for name, active in [("logit-bias", bool(self._bias)), *chosen] if active)

    @property
    def chain(self) -> tuple[str, ...]:
        """The stages in the order in which they act, without those that are switched off."""
        return self._chain

    def distribution(
        self,
        logits: NDArray[np.float32] | Candidates,
        *,
        rng: np.random.Generator | None = None,
        explain: bool = False,
        step: int | None = None,
    ) -> Distribution:
        """What is left of a row of logits, `(n_vocab,)` float32, by the chain; the row is not changed.

        A row of which `Candidates` were made already is not looked through again. A logit of -inf is a token
        banned before: it never survives. `explain` notes what `Distribution.removed_by` tells. XTC is random
        itself: where it is in the chain, one number is taken from `rng` for every row, whatever the row.
        `LogitsError`, quoting `step`, if a logit is NaN or +inf, or if none is finite, to begin with or after
        `logit_bias`.
        """
        lucky = "xtc" in self._chain and self._xtc_happens(rng)
        if isinstance(logits, Candidates):
            candidates = whole = logits
        else:
            if logits.ndim != 1:
                raise UsageError(f"logits have the shape {logits.shape}, but have to be one row, (n_vocab,)")
            candidates = whole = Candidates.of(np.asarray(logits, dtype=np.float32), step)
        try:
            trail = Trail(candidates) if explain else None
            lessons = None
            for stage in self._chain:
                if stage == "adaptive-p":
                    candidates, lessons = filters.adaptive_p(candidates, self._adapted_target())
                elif stage != "xtc" or lucky:
                    candidates = self._apply(stage, candidates)
                if trail is not None:
                    trail.add(stage, candidates)
            if candidates.logits is whole.logits:
                candidates = Candidates(None, whole.logits.copy(), *whole[2:6])  # not sorted, and may be written to
            if self.mirostat and candidates.ids is not None:
                lessons = candidates.ids, softmax32(candidates)
        except LogitsError as error:
            raise error if step is None else LogitsError(f"step {step}: {error}") from None
        self._last = Distribution(candidates, trail, lessons)
        return self._last

    def _apply(self, stage: str, c: Candidates) -> Candidates:
        """What one stage leaves of candidates."""
        match stage:
            case "top-k":
                return filters.top_k(c, self.top_k)
            case "top-p":
                return filters.top_p(c, self.top_p, self.min_keep)
            case "min-p":
                return filters.min_p(c, self.min_p, self.min_keep)
            case "temperature":
                # mirostat takes the plain temperature in llama.cpp, not the dynamic one
                spread = 0.0 if self.mirostat else self.dynatemp_range
                return filters.dynamic_temperature(c, self.temperature, spread, self.dynatemp_exponent)
            case "typical":
                return filters.typical(c, self.typical_p, self.min_keep)
            case "top-n-sigma":
                return filters.top_n_sigma(c, self.top_n_sigma)
            case "xtc":
                return filters.xtc(c, self.xtc_threshold, self.min_keep)
            case "mirostat":
                return filters.mirostat(c, self._state.mu)
            case "mirostat-v2":
                return filters.mirostat_v2(c, self._state.mu)
            case "logit-bias":
                return penalties.logit_bias(c, self._bias)
            case "penalties":
                window = self._state.window[-self.repeat_last_n :]
                return penalties.repetition(
                    c, window, self.repeat_penalty, self.frequency_penalty, self.presence_penalty
                )
            case "dry":
                window = self._state.window[-self.dry_penalty_last_n :]
                lengths = penalties.repetition_lengths(window, self.dry_allowed_length, self._breakers)
                return penalties.dry(c, lengths, self.dry_multiplier, self.dry_base, self.dry_allowed_length)
        raise AssertionError(f"no such stage: {stage}")

    def _xtc_happens(self, rng: np.random.Generator | None) -> bool:
        """Whether XTC acts on this row."""
        if rng is None:
            raise UsageError("xtc is in the chain, and whether it acts on a row is drawn: give rng")
        return rng.random() <= self.xtc_probability

    def _adapted_target(self) -> float:
        """Adaptive-p: beyond the target by what the tokens drawn so far fell short of it on average."""
        return 2 * self.adaptive_target - self._state.adaptive_sum / self._state.adaptive_weight

    def accept(self, token: int, distribution: Distribution | None = None) -> None:
        """Takes note of a token that was drawn: the next row is for the one after it.

        It enters the window of penalties and DRY. Mirostat and adaptive-p also learn from the probability
        that it had in `distribution`, by default the one made last; a token that was not in it, or one
        accepted without any (a prompt, a text that is forced), teaches them nothing.
        """
        state = self._remember((token,))
        made = self._last if distribution is None else distribution
        lesson = None if made is None else made.lesson_of(token)
        if lesson is not None and self.mirostat:
            surprisal = -math.log2(max(lesson, 2.0**-149))  # the least that a float32 can be
            excess = surprisal - self.mirostat_tau
            state = state._replace(mu=state.mu - self.mirostat_eta * excess)
        elif lesson is not None:
            state = state._replace(
                adaptive_sum=lesson + self.adaptive_decay * state.adaptive_sum,
                adaptive_weight=1.0 + self.adaptive_decay * state.adaptive_weight,
            )
        self._state, self._last = state, None

    def prime(self, tokens: Iterable[int]) -> None:
        """Lets the tokens of a prompt enter the window of penalties and DRY.

        llama.cpp's tools and its server do so with the whole prompt, its special tokens too (`init_sampler`
        in `tools/server/server-context.cpp`): what was said in the prompt counts as said.
        """
        self._state, self._last = self._remember(tuple(tokens)), None

    def _remember(self, tokens: tuple[int, ...]) -> SamplerState:
        """The state with tokens at the end of its window."""
        if not self._window_length:
            return self._state
        if min(tokens, default=0) < 0:
            raise UsageError(f"token id {min(tokens)} is negative")
        window = self._state.window + tokens[-self._window_length :]
        return self._state._replace(window=window[-self._window_length :])

    @property
    def state(self) -> SamplerState:
        """What it remembers now. It is immutable and stays what it is."""
        return self._state

    def restore(self, state: SamplerState) -> None:
        """Goes back to a `state` of a sampler with the same parameters. The random stream goes on."""
        self._state, self._last = state, None

    def reset(self) -> None:
        """Forgets everything, as if just made."""
        # adaptive-p begins as if every token before had been drawn with the target's probability
        weight = 1.0 / (1.0 - self.adaptive_decay)
        self.restore(SamplerState((), 2.0 * self.mirostat_tau, max(self.adaptive_target, 0.0) * weight, weight))

    def copy(self) -> "Sampler":
        """Another sampler with the same parameters and the same state."""
        return copy.copy(self)

    def describe(self) -> dict[str, Any]:
        """Every parameter by its keyword, as JSON can hold it: a bias of -inf is None, token ids are text."""
        described = {parameter.name: getattr(self, parameter.name) for parameter in PARAMETERS}
        described["dry_sequence_breakers"] = list(self.dry_sequence_breakers)
        described["samplers"] = list(self.samplers or ())
        described["logit_bias"] = {
            str(token): None if amount == -math.inf else amount for token, amount in self._bias.items()
        }
        return described

    def __repr__(self) -> str:
        return f"Sampler({' > '.join(self.chain) or 'nothing but softmax'})"


def checked_bias(bias: Mapping[int, float]) -> dict[int, float]:
    """The bias of every token as a plain dictionary; `ParameterError` if one makes no sense."""
    for token, amount in bias.items():
        if token < 0:
            raise ParameterError(f"logit_bias names token {token}, but token ids are 0 or more")
        if math.isnan(amount) or amount == math.inf:
            raise ParameterError(
                f"logit_bias[{token}] is {amount!r}, but has to be a number or -inf; 0 switches it off"
            )
    return {int(token): float(amount) for token, amount in bias.items()}
