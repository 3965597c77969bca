"""Drivers: an engine and one writer, or an engine and several writers in one batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ggufban.decoding.loop import Writer
from ggufban.inspection.trace import Step

__all__ = ["LogitsSource", "ParallelSource", "write", "write_all"]


class LogitsSource(Protocol):
    """What a driver asks of an engine; see `ggufban.engine.Engine`."""

    evaluations: int

    def goto(self, tokens: Sequence[int], *, seq: int = 0) -> None: ...  # noqa: D102
    def logits(self, seq: int = 0) -> NDArray[np.float32]: ...  # noqa: D102


class ParallelSource(LogitsSource, Protocol):
    """What `write_all` asks of an engine that holds several texts."""

    def cut_to(self, tokens: Sequence[int], *, seq: int = 0) -> int: ...  # noqa: D102
    def eval(self, tokens: Sequence[int], *, seq: int = 0) -> None: ...  # noqa: D102
    def eval_batch(self, tokens: Mapping[int, int]) -> None: ...  # noqa: D102
    def copy_sequence(self, source: int, target: int) -> None: ...  # noqa: D102


def write(
    engine: LogitsSource,
    writer: Writer,
    *,
    seq: int = 0,
    max_evaluations: int | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Step]:
    """Drive one writer on one engine, giving each Step as it is released.

    Interrupts the writer as soon as `stopping()` says so. When `max_evaluations` tokens have been evaluated (None:
    never), it returns, and the writer has no `finish_reason` yet: the caller may interrupt it, or go on.
    """
    report = writer.report
    while writer.finish_reason is None:
        if stopping():
            yield from writer.interrupt()
        elif not writer.wants_logits:
            yield from writer.advance()
        elif max_evaluations is not None and report.evaluations >= max_evaluations:
            return
        else:
            before = engine.evaluations
            engine.goto(writer.tokens, seq=seq)
            report.evaluations += engine.evaluations - before if report.evaluations else 1  # the prompt counts as one
            yield from writer.advance(engine.logits(seq))


def write_all(
    engine: ParallelSource, writers: Sequence[Writer], *, stopping: Callable[[], bool] = lambda: False
) -> Iterator[tuple[int, Step]]:
    """Drive several writers of one prompt, one in each sequence of the engine, in common batches.

    Gives (which writer, Step) as each is released. The prompt is evaluated once. Under `exact` the writers must not
    share a tree here: what one learns in the middle of another's text would bias it.
    """
    engine.goto(writers[0].tokens, seq=0)
    for seq in range(1, len(writers)):
        engine.copy_sequence(0, seq)
    ready = dict.fromkeys(range(len(writers)), 0)  # writer -> the sequence that holds its logits
    for writer in writers:
        writer.report.evaluations = 1
    while True:
        for number, seq in ready.items():
            for step in writers[number].advance(engine.logits(seq)):
                yield number, step
        going = [number for number, writer in enumerate(writers) if writer.finish_reason is None]
        if stopping():
            for number in going:
                for step in writers[number].interrupt():
                    yield number, step
            return
        if not going:
            return
        last = {}
        for number in going:
            tokens = writers[number].tokens
            keep = engine.cut_to(tokens, seq=number)
            if len(tokens) - keep > 1:  # a path that was left and taken again: all but its end in a batch of its own
                engine.eval(tokens[keep:-1], seq=number)
            writers[number].report.evaluations += len(tokens) - keep
            last[number] = tokens[-1]
        engine.eval_batch(last)
        ready = dict(zip(last, last, strict=True))
