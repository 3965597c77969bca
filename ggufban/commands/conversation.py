"""A conversation whose earlier turns stay in the engine's cache.

The template writes the whole conversation anew for every turn. Tokenized as a whole it would differ from what the
cache holds wherever the model wrote a text in other tokens than the tokenizer would have, and all that follows would
have to be evaluated again. So only what the template wrote after the last answer is tokenized:

    | prompt of the last turn | the answer's own ids | what the template adds: end of turn, question, ... |
      in the cache              in the cache           new

That is done where the template's text begins with that of the last turn and goes on with the answer. A template may
rewrite what went before (drop thoughts, move a system message); then the whole text is tokenized, and the cache keeps
what is common at the beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ggufban.decoding.report import Generation

__all__ = ["Conversation", "Prompt", "Turn"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that goes before an answer: as the template writes it, and as ids."""

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, what went before its answer, and the answer."""

    question: str
    prompt: Prompt
    answer: Generation


class Conversation:
    """Turns with a model, and the prompt of the next.

    `system` is a message that stands before all turns and is never forgotten. Raises `ModelError` if the model has no
    chat template, or one that refuses such a message.
    """

    def __init__(self, model: Any, system: str | None = None) -> None:
        self._model = model
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self.turns: list[Turn] = []
        """What was said and not forgotten, oldest first."""
        self._prompt([], "Hello")  # what is wrong with the template is better said now

    def prompt(self, question: str, room: int) -> Prompt:
        """What goes before the answer to `question`, with at least `room` tokens left for it in the context.

        Where they are not, the oldest turns are forgotten for good until the rest fills at most half of the context:
        each time the beginning changes the whole must be evaluated again, and so that is seldom. A question that is
        too long by itself is returned as it is.
        """
        prompt = self._prompt(self.turns, question)
        if len(prompt.tokens) + room > self._model.n_ctx:
            while self.turns and len(prompt.tokens) > self._model.n_ctx // 2:
                self._forget_oldest()
                prompt = self._prompt(self.turns, question)
        return prompt

    def _forget_oldest(self) -> None:
        kept: list[Turn] = []
        for turn in self.turns[1:]:
            kept.append(Turn(turn.question, self._prompt(kept, turn.question), turn.answer))
        self.turns = kept

    def _prompt(self, turns: Sequence[Turn], question: str) -> Prompt:
        messages = list(self._system)
        for turn in turns:
            messages.append({"role": "user", "content": turn.question})
            messages.append({"role": "assistant", "content": turn.answer.text})
        text = self._model.chat_text([*messages, {"role": "user", "content": question}])
        rest = self._after(text, turns[-1]) if turns else None
        if rest is None:
            return Prompt(text, tuple(self._model.tokenize_chat(text)))
        new = self._model.tokenize(rest, add_special=False, parse_special=True)
        return Prompt(text, (*turns[-1].prompt.tokens, *turns[-1].answer.tokens, *new))

    def _after(self, text: str, last: Turn) -> str | None:
        """What the template writes after the last answer; None where its ids cannot stand for what it wrote before.

        That is where the template changed what went before, and where the ids say something else than the text: a
        stop string cut the last token, or it held part of a character.
        """
        answer = last.answer.text
        if self._model.vocab.decode(last.answer.tokens).decode("utf-8", "replace") != answer:
            return None
        if not text.startswith(last.prompt.text):
            return None
        rest = text[len(last.prompt.text) :]
        for written in (answer, answer.strip()):  # many templates trim what they are given
            if rest.startswith(written):
                return rest[len(written) :]
        return None
