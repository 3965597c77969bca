"""A sampling setting as something that can be compared: a function from a row of logits to what is drawn from."""

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import ParameterError
from ggufban.inspection.sweep import OFF
from ggufban.sampling import PARAMETERS, Sampler

__all__ = ["SettingRow", "read_setting"]


class SettingRow:
    """Turns a row of logits `(n_vocab,)` into the log-probabilities of a draw, -inf for what was removed.

    `parameters` are those of `Sampler`; what is not named is off. The result is a buffer that the next call reuses.
    """

    def __init__(self, parameters: dict[str, float]) -> None:
        self.parameters = parameters
        self._sampler = Sampler(**{**OFF, **parameters})  # type: ignore[arg-type]
        self._row: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The row that this setting draws from."""
        drawn = self._sampler.distribution(logits)
        if len(self._row) != len(logits):
            self._row = np.empty_like(logits)
        self._row.fill(-np.inf)
        alive = drawn.probs > 0
        self._row[drawn.ids[alive]] = np.log(drawn.probs[alive])
        return self._row


def read_setting(text: str) -> SettingRow:
    """`temp=0.5,top-k=40` as a setting. `ParameterError` for a name that is none, or a value out of its range.

    >>> read_setting("temp=0.5,top-k=40").parameters
    {'temperature': 0.5, 'top_k': 40}
    """
    names = {flag.lstrip("-"): p for p in PARAMETERS for flag in p.flags if p.name in OFF}
    names |= {p.name: p for p in PARAMETERS if p.name in OFF}
    chosen: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        parameter = names.get(name.strip())
        if parameter is None:
            raise ParameterError(f"setting {part!r} is not NAME=VALUE with NAME one of {', '.join(OFF)}")
        try:
            chosen[parameter.name] = parameter.type(value)  # type: ignore[assignment]
        except ValueError:
            raise ParameterError(f"{parameter.name} is {value!r}, but has to be {parameter.range}") from None
    return SettingRow(chosen)
