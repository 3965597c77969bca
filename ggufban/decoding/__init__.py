"""The one loop, and a strategy for what happens when a ban is hit."""

from collections.abc import Callable

from ggufban.decoding.exact import Exact
from ggufban.decoding.mask import Mask
from ggufban.decoding.rewind import Rewind
from ggufban.decoding.strategy import Strategy

__all__ = ["STRATEGIES"]

STRATEGIES: dict[str, Callable[[], Strategy]] = {"mask": Mask, "rewind": Rewind, "exact": Exact}
"""The strategies by name."""
