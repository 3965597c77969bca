"""A GGUF file opened in llama.cpp: tokens in, raw logits out, rewind. The only room that imports llama_cpp.

    engine = Engine("model.gguf", n_ctx=4096)
    engine.eval(engine.tokenize("The capital of France is"))
    engine.logits()                 # (n_vocab,) float32, a view on llama.cpp's own buffer
    engine.rewind(3)                # keep three positions, forget the rest

Sequences. One context holds `n_parallel` independent texts of up to `n_ctx` tokens each; every method that touches
a text takes `seq=` (default 0). `eval_batch` advances several of them in one decode.

Rewinding. llama.cpp is asked to cut its cache. It can refuse (recurrent and hybrid models fold the past into one
state) or cut what a sliding window has already forgotten. Then the nearest saved state at or before the position
is restored and the rest evaluated again in the batches it was first evaluated in, so that the logits which follow
are those of a fresh run.
"""

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from os import PathLike, cpu_count, fsencode
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ggufban.errors import ContextFullError, ModelError, ModelFileError, ParameterError, UsageError
from ggufban.header import check_file
from ggufban.vocab import Vocab

__all__ = ["Engine", "EngineWarning", "SavedState", "system_info", "vocab_of"]

_LOG_LEVEL_ERROR = 4  # of ggml.h
_CHECKPOINTS = 8
"""Saved states kept for each sequence of a model whose cache cannot be cut."""


class EngineWarning(UserWarning):
    """Something that was asked for cannot be had here, and the work goes on without it."""


class SavedState(NamedTuple):
    """What `Engine.save` returns: the tokens of a sequence, and llama.cpp's state after them."""

    tokens: tuple[int, ...]
    chunks: tuple[int, ...]
    data: bytes


class _Sequence:
    """What the engine knows of one text in the context."""

    __slots__ = ("checkpoints", "chunks", "row", "tokens")

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.chunks: list[int] = []  # where each evaluated batch began, to evaluate again alike
        self.row: int | None = None  # which row of the last decode holds this text's logits
        self.checkpoints: dict[int, bytes] = {}  # position -> state, oldest first


def vocab_of(llama: Any) -> Vocab:
    """The vocabulary of a `llama_cpp.Llama`, read from llama.cpp (a second for 262,144 tokens)."""
    return _read_vocab(llama_cpp.llama_model_get_vocab(llama._model.model))


def _read_vocab(pointer: Any) -> Vocab:
    attr, is_eog, to_piece = (
        llama_cpp.llama_vocab_get_attr,
        llama_cpp.llama_vocab_is_eog,
        llama_cpp.llama_token_to_piece,
    )
    hidden = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
    tokens = range(llama_cpp.llama_vocab_n_tokens(pointer))
    buffer = ctypes.create_string_buffer(256)
    pieces = []
    for token in tokens:
        size = to_piece(pointer, token, buffer, len(buffer), 0, False)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = to_piece(pointer, token, buffer, len(buffer), 0, False)
        pieces.append(buffer.raw[:size])
    return Vocab(
        pieces,
        control=[token for token in tokens if attr(pointer, token) & hidden],
        end=[token for token in tokens if is_eog(pointer, token)],
    )


class Engine:
    """A model and a context in llama.cpp.

    `n_ctx` is the number of tokens a text may have (None: 4,096 or what the model was trained on, whichever is
    less; 0: what the model was trained on), `n_batch` the most that are evaluated at once, `n_threads` defaults to
    half of the logical processors, `n_gpu_layers` counts the layers put on a GPU (-1: all), `n_parallel` the
    independent texts that one context can hold. `verbose` lets llama.cpp's log through to stderr.

    Raises `ModelFileError` if the file is missing, damaged, or of an architecture that this llama.cpp does not
    know; `ModelError` if the context cannot be made; `ParameterError` for a number out of its range.
    """

    path: Path | None

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        n_ctx: int | None = None,
        n_batch: int = 512,
        n_threads: int | None = None,
        n_gpu_layers: int = 0,
        n_parallel: int = 1,
        verbose: bool = False,
    ) -> None:
        self._owned = True
        self._model: Any = None
        self._context: Any = None
        self._batch: Any = None
        for name, value, least in (
            ("n_ctx", n_ctx, 0),
            ("n_batch", n_batch, 1),
            ("n_threads", n_threads, 1),
            ("n_gpu_layers", n_gpu_layers, -1),
            ("n_parallel", n_parallel, 1),
        ):
            if value is not None and value < least:
                raise ParameterError(f"{name} is {value}; it must be at least {least}")
        self.path = Path(path)
        check_file(self.path)
        self._model = _load_model(self.path, n_gpu_layers, verbose)
        n_ctx_train = llama_cpp.llama_model_n_ctx_train(self._model)
        if n_ctx is None:
            n_ctx = min(4096, n_ctx_train)
        n_ctx = n_ctx or n_ctx_train
        try:
            self._context = _make_context(
                self._model, n_ctx * n_parallel, min(n_batch, n_ctx), n_threads, n_parallel, verbose
            )
        except ModelError:
            self.close()
            raise
        self._attach()

    @classmethod
    def wrap(cls, llama: Any) -> Self:
        """An engine on the weights and the context of a `llama_cpp.Llama`, which goes on owning both.

        The context is shared: what either evaluates, the other must not rely on. The engine starts by clearing it.
        """
        self = cls.__new__(cls)
        self._owned = False
        self.path = Path(llama.model_path)
        self._model, self._context = llama._model.model, llama._ctx.ctx
        self._batch = None
        self._attach()
        self.reset()
        llama.reset()  # or the Llama would believe that its tokens are still in the cache
        return self

    def _attach(self) -> None:
        """Read the facts of the model and the context, and allocate the batch."""
        self._vocab_pointer = llama_cpp.llama_model_get_vocab(self._model)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.n_vocab: int = llama_cpp.llama_vocab_n_tokens(self._vocab_pointer)
        self.n_parallel: int = llama_cpp.llama_n_seq_max(self._context)
        self.n_ctx: int = llama_cpp.llama_n_ctx_seq(self._context)
        self.n_batch: int = llama_cpp.llama_n_batch(self._context)
        self._n_swa: int = llama_cpp.llama_model_n_swa(self._model)
        self.can_cut: bool = not (
            llama_cpp.llama_model_is_recurrent(self._model) or llama_cpp.llama_model_is_hybrid(self._model)
        )
        self._sequences = [_Sequence() for _ in range(self.n_parallel)]
        self._batch = llama_cpp.llama_batch_init(self.n_batch, 0, 1)
        for i in range(self.n_batch):
            self._batch.n_seq_id[i] = 1
        self._batch_token = np.ctypeslib.as_array(self._batch.token, (self.n_batch,))
        self._batch_pos = np.ctypeslib.as_array(self._batch.pos, (self.n_batch,))
        self._batch_logits = np.ctypeslib.as_array(self._batch.logits, (self.n_batch,))
        self._row_type = ctypes.c_float * self.n_vocab
        self.evaluations = 0
        """Tokens evaluated since the engine was made, repeated ones included."""

    # -- tokens and text ------------------------------------------------------------------------------------------

    @cached_property
    def vocab(self) -> Vocab:
        """Every token's bytes and kind, read from llama.cpp once (a second for 262,144 tokens)."""
        return _read_vocab(self._vocab_pointer)

    def tokenize(self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """The ids of `text` as the model's own tokenizer splits it.

        `add_special` puts the beginning-of-text token in front where the model asks for one; `parse_special` reads
        what looks like a control token (`<|im_start|>`) as one, for text that came from a chat template.
        """
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        size = len(data) + 8
        while True:
            buffer = (llama_cpp.llama_token * size)()
            count: int = llama_cpp.llama_tokenize(
                self._vocab_pointer, data, len(data), buffer, size, add_special, parse_special
            )
            if count >= 0:
                return list(buffer[:count])
            size = -count

    def prompt_tokens(self, prompt: str) -> list[int]:
        """The ids of a prompt; what stands in for an empty one is the beginning of text, or else its end."""
        beginning = self.bos if self.bos is not None else min(self.vocab.end, default=0)
        return self.tokenize(prompt) or [beginning]

    def token_text(self, token: int) -> str:
        """How the vocabulary itself writes a token (`<|im_end|>`, `Ġthe`): for showing, never for text."""
        return str(llama_cpp.llama_vocab_get_text(self._vocab_pointer, token).decode("utf-8", "replace"))

    @property
    def bos(self) -> int | None:
        """The beginning-of-text token, or None if the vocabulary has none."""
        token = llama_cpp.llama_vocab_bos(self._vocab_pointer)
        return None if token < 0 else token

    @cached_property
    def _chat_template(self) -> Any:
        """The model's chat template, ready to be filled in; `ModelError` if there is none or it is no template."""
        raw = llama_cpp.llama_model_chat_template(self._model, None)
        if not raw:
            raise ModelError(
                f"{self._name} has no chat template: it was not made for conversation; generate from a plain prompt"
            )
        # llama-cpp-python's Jinja2 environment: sandboxed, and what Llama.create_chat_completion uses.
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        def text_of(token: int) -> str:
            return self.token_text(token) if token >= 0 else ""

        bos = text_of(llama_cpp.llama_vocab_bos(self._vocab_pointer))
        eos = text_of(llama_cpp.llama_vocab_eos(self._vocab_pointer))
        try:
            return Jinja2ChatFormatter(raw.decode("utf-8"), eos, bos)
        except Exception as error:  # a template is a program of the model's author: it may raise anything
            raise ModelError(f"the chat template of {self._name} cannot be read: {error}") from error

    def chat_prompt(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of a conversation written in the model's own chat template, ready for the answer.

        `messages` are mappings with `role` (`system`, `user`, `assistant`) and `content`. An assistant's message may
        have `tokens` too: the ids in which the model wrote it. They are then kept as they are, so that a conversation
        that goes on finds all that was said before in the cache; tokenizing the text might cut it otherwise. Where
        the template changes what went before, or `tokens` say something else than `content`, the text is tokenized.

        Raises `ModelError` if the model has no template, or if its template refuses these messages.
        """
        text = self._chat_text(messages)
        found: list[int] = []
        done = 0
        for at, message in enumerate(messages):
            ids = message.get("tokens")
            if ids is None or self.vocab.decode(ids).decode("utf-8", "replace") != message["content"]:
                continue
            before = self._chat_text(messages[:at])
            if not text.startswith(before):
                continue
            for written in (message["content"], message["content"].strip()):  # many templates trim
                if text.startswith(written, len(before)):
                    found += [*self._chat_tokens(text[done : len(before)], first=not done), *ids]
                    done = len(before) + len(written)
                    break
        return found + self._chat_tokens(text[done:], first=not done)

    def _chat_text(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """What the template makes of the messages, up to where an answer begins."""
        template = self._chat_template
        plain = [{key: value for key, value in message.items() if key != "tokens"} for message in messages]
        try:
            return str(template(messages=plain).prompt)
        except Exception as error:  # see `_chat_template`
            raise ModelError(f"the chat template of {self._name} refused the messages: {error}") from error

    def _chat_tokens(self, text: str, *, first: bool) -> list[int]:
        """The ids of part of what the template wrote: control tokens are read as such, a beginning is not doubled."""
        add = first and not (self.bos is not None and text.startswith(self.token_text(self.bos)))
        return self.tokenize(text, add_special=add, parse_special=True)

    # -- evaluation -----------------------------------------------------------------------------------------------

    def tokens(self, seq: int = 0) -> list[int]:
        """The tokens that sequence `seq` has evaluated (a copy)."""
        return list(self._sequences[seq].tokens)

    def n_past(self, seq: int = 0) -> int:
        """How many tokens sequence `seq` has evaluated."""
        return len(self._sequences[seq].tokens)

    def eval(self, tokens: Sequence[int], *, seq: int = 0) -> None:
        """Evaluate `tokens` after what sequence `seq` holds; `logits(seq)` then belong to the last of them."""
        for _ in self.eval_rows(tokens, seq=seq, n_rows=1):
            pass

    def eval_rows(
        self, tokens: Sequence[int], *, seq: int = 0, n_rows: int | None = None, max_rows: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Evaluate `tokens` and give the logits after each of the last `n_rows` of them (None: after all).

        Yields arrays of shape (rows, n_vocab), views that are valid until the next step of the iteration; at
        most 512 MB or `max_rows` rows are asked of llama.cpp at once. Raises `ContextFullError` before anything is
        evaluated.
        """
        text = self._sequences[seq]
        self._check(tokens, len(text.tokens))
        n_rows = len(tokens) if n_rows is None else n_rows
        most = min(max_rows or self.n_batch, max(1, (128 << 20) // self.n_vocab))
        first_row = len(tokens) - n_rows
        end = 0
        while end < len(tokens):
            begin, end = end, min(len(tokens), end + self.n_batch, max(end, first_row) + most)
            chunk = tokens[begin:end]
            wanted = max(0, end - max(begin, first_row))
            text.chunks.append(len(text.tokens))
            self._fill(0, chunk, seq, len(text.tokens), wanted)
            self._decode(len(chunk), {seq: chunk})
            text.row = len(chunk) - 1 if wanted else None
            if wanted:
                yield self._rows(len(chunk) - wanted, wanted)
        self._remember_state(seq)

    def eval_batch(self, tokens: Mapping[int, int]) -> None:
        """Evaluate one token for each of several sequences in one decode: {seq: token}."""
        for i, (seq, token) in enumerate(tokens.items()):
            text = self._sequences[seq]
            self._check([token], len(text.tokens))
            self._fill(i, [token], seq, len(text.tokens), 1)
        for seq in tokens:
            text = self._sequences[seq]
            text.chunks.append(len(text.tokens))
        for text in self._sequences:
            text.row = None
        self._decode(len(tokens), {seq: [token] for seq, token in tokens.items()})
        for i, seq in enumerate(tokens):
            self._sequences[seq].row = i
            self._remember_state(seq)

    def logits(self, seq: int = 0) -> NDArray[np.float32]:
        """The raw logits after the last evaluated token: `(n_vocab,)` float32, read-only, not a copy.

        The view shows llama.cpp's own buffer and is valid until the next evaluation. Raises `ModelError` if there
        is none: nothing evaluated yet, or a rewind since.
        """
        row = self._sequences[seq].row
        if row is None:
            raise ModelError("there are no logits yet: evaluate at least one token after opening or rewinding")
        return self._row(row)

    def _row(self, index: int) -> NDArray[np.float32]:
        pointer = llama_cpp.llama_get_logits_ith(self._context, index)
        if not pointer:
            raise ModelError(f"llama.cpp has no logits for row {index}")
        row = np.frombuffer(self._row_type.from_address(ctypes.addressof(pointer.contents)), dtype=np.float32)
        row.flags.writeable = False
        return row

    def _rows(self, begin: int, count: int) -> NDArray[np.float32]:
        """Rows `begin` … of the last decode, which llama.cpp keeps next to each other."""
        first = llama_cpp.llama_get_logits_ith(self._context, begin)
        if not first:
            raise ModelError(f"llama.cpp has no logits for row {begin}")
        buffer = (self._row_type * count).from_address(ctypes.addressof(first.contents))
        rows = np.frombuffer(buffer, dtype=np.float32).reshape(count, self.n_vocab)
        rows.flags.writeable = False
        return rows

    def _check(self, tokens: Sequence[int], n_past: int) -> None:
        """Raise unless `tokens` can be evaluated after `n_past` others."""
        if self._context is None:
            raise ModelError("this model is closed")
        if not tokens:
            raise UsageError("there is nothing to evaluate: the list of tokens is empty")
        if n_past + len(tokens) > self.n_ctx:
            raise ContextFullError(
                f"{n_past + len(tokens)} tokens do not fit into a context of {self.n_ctx}; "
                "shorten the text or raise the context size (n_ctx, --ctx-size)"
            )
        low, high = min(tokens), max(tokens)
        if low < 0 or high >= self.n_vocab:
            wrong = low if low < 0 else high
            raise UsageError(f"token id {wrong} is outside this vocabulary of {self.n_vocab} tokens")

    def _fill(self, at: int, tokens: Sequence[int], seq: int, position: int, wanted: int) -> None:
        """Write `tokens` into the batch from slot `at`; logits are asked for the last `wanted`."""
        end = at + len(tokens)
        self._batch_token[at:end] = tokens
        self._batch_pos[at:end] = np.arange(position, position + len(tokens))
        self._batch_logits[at:end] = 0
        self._batch_logits[end - wanted : end] = 1
        for i in range(at, end):
            self._batch.seq_id[i][0] = seq

    def _decode(self, count: int, tokens: Mapping[int, Sequence[int]]) -> None:
        """Run the batch and note what it added to each sequence."""
        self._batch.n_tokens = count
        code = llama_cpp.llama_decode(self._context, self._batch)
        if code != 0:
            for seq in tokens:  # whatever part of the batch was processed is taken back
                self._forget(seq, len(self._sequences[seq].tokens))
            reason = "no room in the cache" if code == 1 else "aborted" if code == 2 else f"code {code}"
            raise ModelError(f"llama.cpp could not evaluate {count} tokens: {reason}")
        for seq, chunk in tokens.items():
            self._sequences[seq].tokens += chunk
        self.evaluations += count

    # -- rewinding ------------------------------------------------------------------------------------------------

    def goto(self, tokens: Sequence[int], *, seq: int = 0) -> None:
        """Make sequence `seq` hold exactly `tokens`, with logits: keep the common beginning, evaluate the rest."""
        self.eval(tokens[self.cut_to(tokens, seq=seq) :], seq=seq)

    def cut_to(self, tokens: Sequence[int], *, seq: int = 0) -> int:
        """Rewind to the longest beginning that `seq` shares with `tokens` short of their last; its length."""
        held = self._sequences[seq].tokens
        keep = min(len(held), len(tokens) - 1)
        if held[:keep] != list(tokens[:keep]):
            keep = next(i for i, (a, b) in enumerate(zip(held, tokens, strict=False)) if a != b)
        self.rewind(keep, seq=seq)
        return keep

    def rewind(self, keep: int, *, seq: int = 0) -> None:
        """Keep the first `keep` tokens of sequence `seq` and forget the rest.

        There are no logits until something is evaluated. What follows is as on a fresh run, whether llama.cpp
        could cut its cache or the engine had to evaluate again.
        """
        text = self._sequences[seq]
        if not 0 <= keep <= len(text.tokens):
            raise UsageError(f"cannot keep {keep} of {len(text.tokens)} tokens")
        if keep == len(text.tokens):
            return
        text.row = None
        if keep == 0:
            self._forget(seq, 0)
        elif not self._cut(seq, keep):
            self._replay(seq, keep)

    def reset(self) -> None:
        """Forget every sequence."""
        llama_cpp.llama_memory_clear(self._memory, True)
        self._sequences = [_Sequence() for _ in range(self.n_parallel)]

    def copy_sequence(self, source: int, target: int) -> None:
        """Make sequence `target` hold what `source` holds (a shared prompt, evaluated once)."""
        self._forget(target, 0)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        old, new = self._sequences[source], self._sequences[target]
        new.tokens, new.chunks, new.row = list(old.tokens), list(old.chunks), None
        new.checkpoints = dict(old.checkpoints)

    def _cut(self, seq: int, keep: int) -> bool:
        """Ask llama.cpp to forget from position `keep` on; whether what is left is complete."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, seq, keep, -1):
            return False
        oldest = llama_cpp.llama_memory_seq_pos_min(self._memory, seq)
        newest = llama_cpp.llama_memory_seq_pos_max(self._memory, seq)
        needed = max(0, keep - self._n_swa) if self._n_swa else 0
        if newest != keep - 1 or oldest > needed:
            return False
        self._truncate(seq, keep)
        return True

    def _replay(self, seq: int, keep: int) -> None:
        """Restore the nearest state at or before `keep` and evaluate the rest in the batches of the first time."""
        text = self._sequences[seq]
        tokens, bounds = text.tokens[:keep], [c for c in text.chunks if c < keep]
        start = max((p for p in text.checkpoints if p <= keep), default=0)
        saved = text.checkpoints.get(start)
        self._forget(seq, 0, checkpoints=True)
        if saved is not None:
            self._set_state(seq, saved)
            text.tokens, text.chunks = tokens[:start], [c for c in bounds if c < start]
        edges = [start, *(c for c in bounds if c > start), keep]
        for begin, end in pairwise(edges):
            if end > begin:
                self.eval(tokens[begin:end], seq=seq)
        text.row = None

    def _forget(self, seq: int, keep: int, *, checkpoints: bool = False) -> None:
        """Forget from `keep` on without asking what is left (`keep` is 0, or the end of what was there)."""
        kept = self._sequences[seq].checkpoints if checkpoints else {}
        llama_cpp.llama_memory_seq_rm(self._memory, seq, keep or -1, -1)
        self._truncate(seq, keep)
        if checkpoints:
            self._sequences[seq].checkpoints = kept

    def _truncate(self, seq: int, keep: int) -> None:
        text = self._sequences[seq]
        text.tokens = text.tokens[:keep]
        text.chunks = [c for c in text.chunks if c < keep]
        text.checkpoints = {p: s for p, s in text.checkpoints.items() if p <= keep}

    # -- saved states ---------------------------------------------------------------------------------------------

    def save(self, seq: int = 0) -> SavedState:
        """Everything needed to come back to this point of sequence `seq`, also in another engine on this file."""
        text = self._sequences[seq]
        return SavedState(tuple(text.tokens), tuple(text.chunks), self._get_state(seq))

    def restore(self, saved: SavedState, *, seq: int = 0) -> None:
        """Put sequence `seq` back to what `save` saw. There are no logits until something is evaluated."""
        self._forget(seq, 0)
        self._set_state(seq, saved.data)
        text = self._sequences[seq]
        text.tokens, text.chunks, text.row = list(saved.tokens), list(saved.chunks), None

    def _get_state(self, seq: int) -> bytes:
        size = llama_cpp.llama_state_seq_get_size(self._context, seq)
        buffer = (ctypes.c_uint8 * size)()
        written = llama_cpp.llama_state_seq_get_data(self._context, buffer, size, seq)
        if not written:
            raise ModelError("llama.cpp could not save the state of the text")
        return bytes(memoryview(buffer)[:written])

    def _set_state(self, seq: int, data: bytes) -> None:
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        if not llama_cpp.llama_state_seq_set_data(self._context, buffer, len(data), seq):
            raise ModelError("llama.cpp could not restore the saved state: it belongs to another model or context")

    def _remember_state(self, seq: int) -> None:
        """Keep the last few states of a model whose cache cannot be cut."""
        if self.can_cut:
            return
        text = self._sequences[seq]
        text.checkpoints[len(text.tokens)] = self._get_state(seq)
        while len(text.checkpoints) > _CHECKPOINTS:
            # The oldest stays: it stands after the prompt, and saves reading that again.
            del text.checkpoints[list(text.checkpoints)[1]]

    # -- facts and the end ----------------------------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return self.path.name if self.path else "this model"

    def close(self) -> None:
        """Free the model and the context (not those of a wrapped Llama). Closing twice does nothing."""
        if self._batch is not None:
            # The numpy views end with the memory that they show.
            del self._batch_token, self._batch_pos, self._batch_logits
            llama_cpp.llama_batch_free(self._batch)
            self._batch = None
        if self._owned:
            if self._context is not None:
                llama_cpp.llama_free(self._context)
            if self._model is not None:
                llama_cpp.llama_model_free(self._model)
        self._context = self._model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_model", None) is not None and not sys.is_finalizing():
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._context is None else f"n_ctx={self.n_ctx}, n_vocab={self.n_vocab}"
        return f"{type(self).__name__}({self._name!r}, {state})"


def system_info() -> dict[str, Any]:
    """What the installed llama.cpp can do.

    `features` as llama.cpp prints them; `gpu_offload` says whether it can use a GPU, `amx_workaround` whether models
    are opened without the extra buffer types because of AMX (see `_load_model`).
    """
    features = llama_cpp.llama_print_system_info().decode("utf-8", "replace").strip()
    return {
        "llama_cpp_python": llama_cpp.__version__,
        "features": features,
        "gpu_offload": bool(llama_cpp.llama_supports_gpu_offload()),
        "amx_workaround": "AMX_INT8 = 1" in features,
    }


def _load_model(path: Path, n_gpu_layers: int, verbose: bool) -> Any:
    params = llama_cpp.llama_model_default_params()
    # -1 is every layer; no model has 2**31 of them, and older builds know no -1.
    params.n_gpu_layers = 0x7FFFFFFF if n_gpu_layers < 0 else n_gpu_layers
    # llama.cpp built by GCC 12 for a CPU with AMX crashes in ggml_backend_amx_mul_mat at the first evaluation.
    # Without the extra buffer types the weights are not repacked for AMX and that code is never reached. Seen with
    # llama-cpp-python 0.3.16 to 0.3.36; it can go when a build with AMX_INT8 = 1 passes the tests without it.
    if system_info()["amx_workaround"]:
        params.use_extra_bufts = False
    if n_gpu_layers and not llama_cpp.llama_supports_gpu_offload():
        warnings.warn(
            "the installed llama.cpp was built without GPU support: running on the CPU "
            "(n_gpu_layers, -ngl has no effect)",
            EngineWarning,
            stacklevel=4,
        )
    with _captured_log(verbose) as log:
        model = llama_cpp.llama_model_load_from_file(fsencode(path), params)
    if not model:
        raise ModelFileError(f"{path}: llama.cpp cannot load this file: {_reason(log)}")
    return model


def _make_context(model: Any, n_ctx: int, n_batch: int, n_threads: int | None, n_parallel: int, verbose: bool) -> Any:
    processors = cpu_count() or 1
    params = llama_cpp.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_seq_max = n_ctx, n_batch, n_parallel
    params.n_ubatch = min(params.n_ubatch, n_batch)
    params.n_threads = n_threads or max(1, processors // 2)
    params.n_threads_batch = n_threads or processors
    params.swa_full = True  # keep what a sliding window would forget, so that rewinding is a cut
    params.kv_unified = False  # each text has its own n_ctx
    params.no_perf = True
    with _captured_log(verbose) as log:
        context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise ModelError(
            f"llama.cpp could not make a context of {n_ctx} tokens: {_reason(log)}; "
            "a smaller context (n_ctx, --ctx-size) needs less memory"
        )
    return context


def _reason(log: list[str]) -> str:
    """The most telling line of what llama.cpp logged: its first error."""
    for line in log:
        _, separator, rest = line.partition("error loading model: ")
        if separator:
            return rest
    return log[0] if log else "it gave no reason"


@contextmanager
def _captured_log(verbose: bool) -> Iterator[list[str]]:
    """Take llama.cpp's log for a moment: its warnings and errors are listed, and shown on stderr if `verbose`.

    Afterwards the log goes back to llama-cpp-python's own callback, which a program with its own `Llama` may rely
    on. Where nobody has set that callback's level, it is set to say nothing: its default is to print everything.
    """
    lines: list[str] = []

    def note(level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace")
        if verbose:
            sys.stderr.write(line)
        if level == _LOG_LEVEL_ERROR and line.strip():
            lines.append(line.strip())

    callback = llama_cpp.llama_log_callback(note)  # kept in a name: llama.cpp holds a bare pointer to it
    logger = logging.getLogger("llama-cpp-python")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.DEBUG if verbose else logging.CRITICAL)
    llama_cpp.llama_log_set(callback, None)
    try:
        yield lines
    finally:
        from llama_cpp._logger import llama_log_callback

        llama_cpp.llama_log_set(llama_log_callback, None)
