"""`Model`: what a user holds. A GGUF file, and everything that can be done with it.

    with Model("smollm2") as model:
        out = model.generate("The capital of France is", bans=BanList(["Paris"]), seed=1)

A Model is an Engine (tokens in, raw logits out, rewind) that knows the catalogue's names, writes text under bans,
and looks at what the model wants. The way of the data:

    text -> tokens -> Engine.eval -> logits -> Sampler -> Writer (bans, strategy) -> Steps -> text
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from ggufban.bans import BanList
from ggufban.bans.bias import BiasList
from ggufban.bans.matcher import Matcher
from ggufban.catalogue import DEFAULT_MODEL, Progress, cache_dir, resolve
from ggufban.decoding.drive import LogitsSource, write, write_all
from ggufban.decoding.plan import Plan
from ggufban.decoding.report import Generation
from ggufban.engine import Engine
from ggufban.errors import ParameterError
from ggufban.inspection.score import score
from ggufban.inspection.text import Trace
from ggufban.inspection.trace import Observer, Step
from ggufban.inspection.watch import Sighting, Watcher
from ggufban.sampling import Sampler

__all__ = ["Model", "Stream"]

Stopping = Callable[[], bool]
"""Asked before every token whether to end."""


def _never() -> bool:
    return False


class Stream(Iterator[Step]):
    """A text while it is written: an iterator of Steps, each released for good.

    `generation` is the whole of it; before the end it holds what has been released so far. `stop` may be called from
    a signal handler or another thread: the text ends, legally, at the next token.
    """

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self._plan = plan
        self._writer = plan.writer()
        self._note: str | None = None
        self._stopping = False
        self._began = time.perf_counter()
        self._watcher = Watcher(engine, plan.watch) if plan.watch else None
        self._steps = self._write(self._watcher or engine)

    def _write(self, engine: LogitsSource) -> Iterator[Step]:
        budget, tree = self._plan.budget, self._writer.tree
        yield from write(engine, self._writer, max_evaluations=budget, stopping=self._is_stopping)
        if self._writer.finish_reason is not None:
            return
        if self._plan.strategy != "exact":
            yield from self._writer.interrupt()
            return
        spent = self._writer.report
        self._note = (
            f"exact spent its budget of {budget} evaluations on {spent.attempts} attempts and accepted none: "
            f"at most {tree.clean_at_most:.3g} of all texts are clean. This text is rewind's"
        )
        self._writer = self._plan.writer(strategy="rewind")
        self._writer.report.evaluations = spent.evaluations
        self._writer.report.discarded_tokens = spent.discarded_tokens
        self._writer.report.hits.update(spent.hits)
        self._writer.report.attempts = spent.attempts
        self._writer.report.clean_probability = tree.clean_probability
        self._writer.report.clean_at_most = tree.clean_at_most
        yield from write(engine, self._writer, stopping=self._is_stopping)

    def _is_stopping(self) -> bool:
        return self._stopping

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
        prompt, tokens = tuple(self._plan.tokens), [step.token for step in self._writer.steps]
        return [self._watcher.seen[prompt + tuple(tokens[:i])] for i in range(len(tokens))]

    @property
    def generation(self) -> Generation:
        """What has been written, and the report."""
        return self._plan.generation(self._writer, note=self._note)


class Model(Engine):
    """A GGUF file, by a catalogue name (`smollm2`), a path, or the name of a file in the models folder.

    A catalogue name that is not on this machine is fetched first; `progress` is told how far that is. The other
    arguments are those of `Engine`.
    """

    _compiled: tuple[BanList, Matcher] | None = None

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

        `bans` is a BanList, or the patterns of one; `bias` makes words more or less likely: a mapping of patterns to
        what is added to their logit, `{"delve": -2.0}`, folded as the bans are, or a BiasList; `strategy` is `mask`,
        `rewind` (default) or `exact`; `n_predict` the most tokens to write (default 256; None: as many as the context
        holds); `seed` makes the text repeatable on one build (None: a fresh one, reported); `stop` is a string that
        ends the text, or several;
        `ignore_eos` goes on where the model would end; `top` is how many candidates each Step shows (default 5;
        None: no statistics); `max_evaluations` is a budget in tokens (None: no limit; under `exact` 100 times
        `n_predict`, after which `rewind` writes the text and `Generation.note` says so); `watch` are words whose
        probability is noted at every step (`Stream.sightings`). Every other keyword is one of `Sampler`:
        `temperature`, `top_k`, `top_p`, `min_p` …

        Raises `ContextFullError` if the prompt does not fit, `ParameterError` for a value out of its range.
        """
        return Stream(self, self._plan(self.prompt_tokens(prompt), prompt, chat=False, **options))

    def stream_chat(self, messages: Sequence[Mapping[str, str]], **options: Any) -> Stream:
        """Write the answer to a conversation, token by token; see `chat` and `stream`."""
        prompt = messages[-1]["content"] if messages else ""
        return Stream(self, self._plan(self.chat_prompt(messages), prompt, chat=True, **options))

    def samples(
        self, n: int, prompt: str | Sequence[Mapping[str, str]] = "", *, stopping: Stopping = _never, **options: Any
    ) -> list[Generation]:
        """Write `n` texts after one prompt (a text, or the messages of a conversation); see `stream`.

        As many as the context has room for (`n_parallel`) are written at once, in common batches, so that a token of
        each costs little more than a token of one. Under `exact` they are written one after another and share what
        is learnt of the impossible. Each has random numbers of its own, made from one `seed`; the first has those of
        `generate`. `stopping()` is asked before every token whether to end.
        """
        if n < 1:
            raise ParameterError(f"samples is {n}; it must be at least 1")
        chat = not isinstance(prompt, str)
        text = prompt if isinstance(prompt, str) else prompt[-1]["content"] if prompt else ""
        tokens = self.prompt_tokens(prompt) if isinstance(prompt, str) else self.chat_prompt(prompt)
        plan = self._plan(tokens, text, chat=chat, **options)
        if plan.strategy == "exact":
            return self._samples_in_turn(plan, n, stopping)
        found: list[Generation] = []
        while len(found) < n and not stopping():
            began = time.perf_counter()
            writers = [plan.writer(i) for i in range(len(found), min(n, len(found) + self.n_parallel))]
            for _ in write_all(self, writers, stopping=stopping):
                pass
            for writer in writers:
                writer.report.seconds = time.perf_counter() - began
            found += map(plan.generation, writers)
        return found

    def _samples_in_turn(self, plan: Plan, n: int, stopping: Stopping) -> list[Generation]:
        """`exact`: texts of one tree. One that spends its budget ends empty, and so do those that would follow."""
        found: list[Generation] = []
        tree = None
        while len(found) < n and not stopping():
            began = time.perf_counter()
            writer = plan.writer(len(found), tree=tree)
            tree = writer.tree
            for _ in write(self, writer, max_evaluations=plan.budget, stopping=stopping):
                pass
            writer.report.seconds = time.perf_counter() - began
            spent = writer.finish_reason is None
            note = f"exact spent its budget of {plan.budget} evaluations and accepted nothing" if spent else None
            found.append(plan.generation(writer, note=note))
            if spent:
                break
        return found

    def _plan(
        self,
        tokens: list[int],
        prompt: str,
        *,
        chat: bool,
        bans: BanList | Iterable[str] | None = None,
        bias: BiasList | Mapping[str, float] | None = None,
        strategy: str = "rewind",
        n_predict: int | None = 256,
        seed: int | None = None,
        stop: str | Sequence[str] = (),
        ignore_eos: bool = False,
        top: int | None = 5,
        max_evaluations: int | None = None,
        watch: str | Sequence[str] = (),
        **sampling: Any,
    ) -> Plan:
        """Every option of `stream`, checked."""
        self._check(tokens, 0)
        bans = None if bans is None else BanList.of(bans)
        stop, watch = ((texts,) if isinstance(texts, str) else texts for texts in (stop, watch))
        if ignore_eos:
            ends = dict.fromkeys(self.vocab.end, -np.inf)
            sampling["logit_bias"] = {**(sampling.get("logit_bias") or {}), **ends}
        sampler = Sampler(vocab=self.vocab, **sampling)
        sampler.prime(tokens)
        matcher = self._matcher(bans) if bans else None
        if bias is not None and not isinstance(bias, BiasList):
            bias = BiasList(bias, bans.fold if bans else "case")
        if bias and bans:
            bias.check_against(bans)
        edits = bias.compile(self.vocab) if bias else None
        read = "" if chat else prompt
        room = self.n_ctx - len(tokens)
        return Plan(
            prompt=prompt,
            tokens=tokens,
            vocab=self.vocab,
            sampler=sampler,
            model=self._name,
            bans=bans,
            matcher=matcher,
            state=matcher.start(read, chat=chat) if matcher else None,
            strategy=strategy,
            seed=int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed,
            n_predict=room if n_predict is None else min(n_predict, room),
            stop=stop,
            top=top,
            max_evaluations=max_evaluations,
            watch=watch,
            bias=edits,
            bias_state=edits.start(read) if edits else None,
            settings={**sampler.describe(), **({"bias": bias.describe()} if bias else {})},
        )

    def _matcher(self, bans: BanList) -> Matcher:
        """The compiled list; the last one is kept, since many texts are written under one list."""
        if self._compiled is None or self._compiled[0] != bans:
            self._compiled = bans, bans.compile(self.vocab, cache_dir() / "index")
        return self._compiled[1]

    # -- looking --------------------------------------------------------------------------------------------------

    def inspect(self, prompt: str = "", *, top: int = 10) -> Step:
        """What the model wants to say after `prompt`: nothing is written.

        The Step's `token` is the most probable one, and its `candidates` are the `top` best.
        """
        self.goto(self.prompt_tokens(prompt))
        logits = self.logits()
        step = Observer(self.vocab, top).read(logits, int(logits.argmax()))
        return replace(step, text=step.piece.decode("utf-8", "replace"))

    def watch(self, prompt: str, words: Sequence[str]) -> tuple[Sighting, ...]:
        """The probability that the model goes on with each of `words` after `prompt`; see `inspection.watch`."""
        watcher = Watcher(self, words)
        tokens = self.prompt_tokens(prompt)
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
