"""Which row of logits predicts which token of a given text, and rows as they come from an engine.

Two protocols, because a model's context is finite and figures are compared with those of others:

| | `full` | `llama.cpp` |
|---|---|---|
| counts | every token after the first | of every whole window of 512 tokens, the last 255 |
| a window begins with | half a window that was scored before | its own text, BOS in place of the first token |
| an end shorter than a window | counts | is left out |

`llama.cpp` is what the program `llama-perplexity` does (`tools/perplexity/perplexity.cpp`, `perplexity`), to the
token. In both, a vocabulary that begins texts with a special token begins every window with it.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import ContextFullError, ParameterError

__all__ = ["PROTOCOLS", "RowSource", "Window", "plan", "stream_rows"]

PROTOCOLS = ("full", "llama.cpp")

LLAMA_WINDOW = 512
"""The window of `llama-perplexity` unless it is told otherwise."""

_CHUNK_BYTES = 64 << 20
"""Logits asked of an engine at once."""


class RowSource(Protocol):
    """What scoring asks of an engine; see `ggufban.engine.Engine`."""

    n_vocab: int
    n_ctx: int

    @property
    def bos(self) -> int | None: ...  # noqa: D102
    def tokenize(self, text: str | bytes, *, add_special: bool = True) -> list[int]: ...  # noqa: D102
    def rewind(self, keep: int) -> None: ...  # noqa: D102
    def eval_rows(  # noqa: D102
        self, tokens: Sequence[int], *, n_rows: int | None = None, max_rows: int | None = None
    ) -> Iterator[NDArray[np.float32]]: ...


class Window(NamedTuple):
    """Tokens to evaluate from an empty context; the last `n_rows` rows predict tokens `first`, `first` + 1 …"""

    tokens: list[int]
    first: int
    n_rows: int


def plan(
    tokens: Sequence[int], *, protocol: str = "full", size: int, begin: int | None = None, first: int = 1
) -> list[Window]:
    """The windows of at most `size` tokens in which a text is evaluated.

    `begin` is the special token that every window begins with, if the vocabulary has such a habit; `first` is the
    first token to be predicted under `full`: those before it are a context, and have to fit into one window with
    the text unless there is just one of them. Raises `ContextFullError` if they do not.
    """
    if protocol not in PROTOCOLS:
        raise ParameterError(f"protocol is {protocol!r}; it must be one of {', '.join(PROTOCOLS)}")
    if size < 4:
        raise ParameterError(f"the window is {size} tokens; it must be at least 4")
    return _llama(tokens, size, begin) if protocol == "llama.cpp" else _full(tokens, size, begin, first)


def _llama(tokens: Sequence[int], size: int, begin: int | None) -> list[Window]:
    windows = []
    for start in range(0, len(tokens) - size + 1, size):
        window = list(tokens[start : start + size - 1])  # the row after the last one predicts nothing that counts
        if begin is not None:
            window[0] = begin
        first = size // 2 + 1
        windows.append(Window(window, start + first, size - first))
    return windows


def _full(tokens: Sequence[int], size: int, begin: int | None, first: int) -> list[Window]:
    last = len(tokens) - 1
    if last > size and first > 1:
        raise ContextFullError(
            f"a context of {first} tokens and a text of {len(tokens) - first} do not fit into {size}; "
            "shorten one of them or raise the context size (n_ctx, --ctx-size)"
        )
    windows, start, target = [], 0, first
    while target <= last:
        end = min(last, start + size)
        window = list(tokens[start:end])
        if start and begin is not None:
            window[0] = begin
        windows.append(Window(window, target, end - target + 1))
        target = end + 1
        start = target - size // 2
    return windows


def habit(engine: RowSource) -> int | None:
    """The special token that this engine's tokenizer puts before every text, or None."""
    beginning = engine.tokenize("")
    return beginning[0] if beginning and beginning[0] == engine.bos else None


def stream_rows(engine: RowSource, windows: Sequence[Window]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Evaluate `windows`, giving (at, rows): `rows[i]`, `(n_vocab,)` float32 logits, predicts token `at` + i.

    The arrays are views that are valid until the next step of the iteration. At most 64 MB of logits are asked of
    the engine at once.
    """
    most = max(1, _CHUNK_BYTES // (4 * engine.n_vocab))
    for window in windows:
        engine.rewind(0)
        at = window.first
        for rows in engine.eval_rows(window.tokens, n_rows=window.n_rows, max_rows=most):
            yield at, rows
            at += len(rows)
