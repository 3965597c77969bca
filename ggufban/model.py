"""`Model`: what a user holds. A GGUF file, and everything that can be done with it.

    with Model("smollm2") as model:
        out = model.generate("The capital of France is", bans=BanList(["Paris"]), seed=1)

A Model is an Engine (tokens in, raw logits out, rewind) that knows the catalogue's names, writes text under bans,
and looks at what the model wants. The way of the data:

    text -> tokens -> Engine.eval -> logits -> Sampler -> Writer (bans, strategy) -> Steps -> text
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from ggufban.bans import BanList
from ggufban.catalogue import DEFAULT_MODEL, Progress, resolve
from ggufban.decoding import STRATEGIES
from ggufban.decoding.loop import Writer, write
from ggufban.decoding.report import Generation
from ggufban.engine import Engine
from ggufban.errors import ParameterError
from ggufban.inspection.score import score
from ggufban.inspection.statistics import rank_of
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Observer, Step
from ggufban.inspection.watch import Sighting, Watcher
from ggufban.sampling import Sampler

__all__ = ["Model", "Stream"]


class Stream(Iterator[Step]):
    """A text while it is written: an iterator of Steps, each released for good.

    `generation` is the whole of it; before the end it holds what has been released so far. `stop` may be called from
    a signal handler or another thread: the text ends, legally, at the next token.
    """

    def __init__(
        self,
        engine: Engine,
        writer: Writer,
        facts: dict[str, Any],
        max_evaluations: int | None,
        watch: Sequence[str] = (),
    ) -> None:
        self._writer = writer
        self._facts = facts
        self._stopping = False
        self._began = time.perf_counter()
        self._watcher = Watcher(engine, watch) if watch else None
        self._prompt = tuple(writer.tokens)
        source = self._watcher or engine
        self._steps = write(source, writer, max_evaluations=max_evaluations, stopping=lambda: self._stopping)

    def __next__(self) -> Step:
        try:
            return next(self._steps)
        finally:
            self._writer.report.seconds = time.perf_counter() - self._began

    def stop(self) -> None:
        """Ask for the end of the text."""
        self._stopping = True

    @property
    def sightings(self) -> list[tuple[Sighting, ...]]:
        """For each step of the text, the words of `watch` as they stood at its place."""
        if self._watcher is None:
            return []
        tokens = [step.token for step in self._writer.steps]
        return [self._watcher.seen[self._prompt + tuple(tokens[:i])] for i in range(len(tokens))]

    @property
    def generation(self) -> Generation:
        """What has been written, and the report."""
        writer = self._writer
        reason = writer.finish_reason or "interrupted"
        return Generation(writer.text, reason, tuple(writer.steps), writer.report, **self._facts)


class Model(Engine):
    """A GGUF file, by a catalogue name (`smollm2`), a path, or the name of a file in the models folder.

    A catalogue name that is not on this machine is fetched first; `progress` is told how far that is. The other
    arguments are those of `Engine`.
    """

    def __init__(
        self,
        name: str | PathLike[str] = DEFAULT_MODEL,
        *,
        n_ctx: int | None = None,
        n_batch: int = 512,
        n_threads: int | None = None,
        n_gpu_layers: int = 0,
        n_parallel: int = 1,
        verbose: bool = False,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(
            resolve(name, progress),
            n_ctx=n_ctx,
            n_batch=n_batch,
            n_threads=n_threads,
            n_gpu_layers=n_gpu_layers,
            n_parallel=n_parallel,
            verbose=verbose,
        )

    # -- writing --------------------------------------------------------------------------------------------------

    def generate(self, prompt: str = "", **options: Any) -> Generation:
        """Write a continuation of `prompt`; the options are those of `stream`."""
        return _exhaust(self.stream(prompt, **options))

    def chat(self, messages: Sequence[Mapping[str, str]], **options: Any) -> Generation:
        """Write the answer to a conversation, through the model's own chat template.

        `messages` are mappings with `role` and `content`; the options are those of `stream`.
        """
        return _exhaust(self.stream_chat(messages, **options))

    def stream(self, prompt: str = "", **options: Any) -> Stream:
        """Write a continuation of `prompt`, token by token.

        `bans` is a BanList; `strategy` one of `mask`, `rewind` (default), `exact`; `n_predict` the most tokens to
        write (default 256; None: as many as the context holds); `seed` makes the text repeatable on one build (None:
        a fresh one, reported); `stop` are strings that end the text; `ignore_eos` goes on where the model would end;
        `top` is how many candidates each Step shows (default 5; None: no statistics); `max_evaluations` is the
        budget of `exact`; `watch` are words whose probability is noted at every step (`Stream.sightings`). Every
        other keyword is one of `Sampler`: `temperature`, `top_k`, `top_p`, `min_p` …

        Raises `ContextFullError` if the prompt does not fit, `ParameterError` for a value out of its range.
        """
        tokens = self.tokenize(prompt) or self._beginning()
        return self._stream(tokens, prompt, chat=False, **options)

    def stream_chat(self, messages: Sequence[Mapping[str, str]], **options: Any) -> Stream:
        """Write the answer to a conversation, token by token; see `chat` and `stream`."""
        prompt = messages[-1]["content"] if messages else ""
        return self._stream(self.chat_prompt(messages), prompt, chat=True, **options)

    def _beginning(self) -> list[int]:
        """What stands in for an empty prompt: the beginning of text, or else its end."""
        return [self.bos if self.bos is not None else min(self.vocab.end, default=0)]

    def _stream(
        self,
        tokens: list[int],
        prompt: str,
        *,
        chat: bool,
        bans: BanList | None = None,
        strategy: str = "rewind",
        n_predict: int | None = 256,
        seed: int | None = None,
        stop: Sequence[str] = (),
        ignore_eos: bool = False,
        top: int | None = 5,
        max_evaluations: int | None = None,
        watch: Sequence[str] = (),
        **sampling: Any,
    ) -> Stream:
        if strategy not in STRATEGIES:
            raise ParameterError(f"strategy is {strategy!r}; it must be one of {', '.join(STRATEGIES)}")
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        if seed < 0:
            raise ParameterError(f"seed is {seed}; it must be at least 0")
        if ignore_eos:
            bias = dict.fromkeys(self.vocab.end, -np.inf)
            sampling["logit_bias"] = {**(sampling.get("logit_bias") or {}), **bias}
        sampler = Sampler(vocab=self.vocab, **sampling)
        sampler.prime(tokens)
        matcher = bans.compile(self.vocab) if bans else None
        writer = Writer(
            tokens,
            self.vocab,
            sampler,
            np.random.default_rng(seed),
            strategy=STRATEGIES[strategy](),
            matcher=matcher,
            state=matcher.start("" if chat else prompt) if matcher else None,
            n_predict=self._limit(tokens, n_predict),
            stop=stop,
            top=top,
        )
        facts = {
            "prompt": prompt,
            "model": self._name,
            "seed": seed,
            "strategy": strategy,
            "fold": bans.fold if bans else None,
            "sampler": sampler.chain,
            "settings": sampler.describe(),
        }
        return Stream(self, writer, facts, max_evaluations, watch)

    def _limit(self, tokens: Sequence[int], n_predict: int | None) -> int:
        room = self.n_ctx - len(tokens)
        self._check(tokens, 0)
        return room if n_predict is None else min(n_predict, room)

    # -- looking --------------------------------------------------------------------------------------------------

    def inspect(self, prompt: str = "", *, top: int = 10) -> Step:
        """What the model wants to say after `prompt`: nothing is written.

        The Step's `token` is the most probable one, and its `candidates` are the `top` best.
        """
        self.goto(self.tokenize(prompt) or self._beginning())
        logits = self.logits()
        observer = Observer(self.vocab, top)
        best = int(logits.argmax())
        step = observer.step(observer.look(logits), best, float(logits[best]), rank_of(logits, best))
        return replace(step, text=step.piece.decode("utf-8", "replace"))

    def watch(self, prompt: str, words: Sequence[str]) -> tuple[Sighting, ...]:
        """The probability that the model goes on with each of `words` after `prompt`; see `inspection.watch`."""
        watcher = Watcher(self, words)
        tokens = self.tokenize(prompt) or self._beginning()
        watcher.goto(tokens)
        return watcher.seen[tuple(tokens)]

    def score(self, text: str, *, context: str | None = None, **options: Any) -> Trace:
        """How probable the model finds every token of a given text: a Trace; see `ggufban.inspection.score.score`.

        `context` stands before the text and is not scored ("": the beginning of a text; None: the text is all there
        is, and its first token has nothing before it to be predicted from). The options are `protocol` (`full` or
        `llama.cpp`), `window`, `top` and `progress`.
        """
        return score(self, text, context=context, **options)


def _exhaust(stream: Stream) -> Generation:
    for _ in stream:
        pass
    return stream.generation
