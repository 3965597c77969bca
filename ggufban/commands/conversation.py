"""A conversation: its turns, and what to forget when the context is full."""

from dataclasses import dataclass
from typing import Any

from ggufban.decoding.report import Generation

__all__ = ["Conversation", "Turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer."""

    question: str
    answer: Generation


class Conversation:
    """Turns with a model, and the messages of the next.

    `system` is a message that stands before all turns and is never forgotten. Answers keep the ids that they were
    written in, so that the engine finds every earlier turn in its cache: see `Engine.chat_prompt`. Raises
    `ModelError` if the model has no chat template, or one that refuses such a message.
    """

    def __init__(self, model: Any, system: str | None = None) -> None:
        self._model = model
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self.turns: list[Turn] = []
        """What was said and not forgotten, oldest first."""
        model.chat_prompt(self.messages("Hello"))  # what is wrong with the template is better said now

    def messages(self, question: str) -> list[dict[str, Any]]:
        """The whole conversation with a new question at its end, for `Model.stream_chat`."""
        said: list[dict[str, Any]] = list(self._system)
        for turn in self.turns:
            said.append({"role": "user", "content": turn.question})
            said.append({"role": "assistant", "content": turn.answer.text, "tokens": turn.answer.tokens})
        return [*said, {"role": "user", "content": question}]

    def make_room(self, question: str, room: int) -> int:
        """Forget the oldest turns if the context has not `room` tokens left for an answer; how many were forgotten.

        What is kept then fills at most half of the context: with a new beginning all of it must be evaluated again,
        and so that is seldom. A question that is too long by itself stays, and the engine will say so.
        """
        size = len(self._model.chat_prompt(self.messages(question)))
        if size + room <= self._model.n_ctx:
            return 0
        before = len(self.turns)
        while self.turns and size > self._model.n_ctx // 2:
            del self.turns[0]
            size = len(self._model.chat_prompt(self.messages(question)))
        return before - len(self.turns)
