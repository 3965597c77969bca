"""Soft edits: words that are made more or less likely, and not forbidden.

    bias = BiasList({"delve": -2.0, "shivers down": -4.0, "rain": 1.5})

Each occurrence of a word in a text gets the factor e^X, once, however many tokens it is written with. The whole of it
is one law. Let N be the number of matches that a text holds if it ends where it stands. A token that changes N by n
gets n · X added to its logit. So:

- The factor is given at the token *after which the word stands complete*. Given at its first token it would change
  every other word that begins alike; given at the token that follows (the white space or full stop which shows that
  the word has ended) it would come too late to change whether the word is written, and would press an unwanted `cat`
  to run on into `catxyz`.
- Where the word runs on (`cat`, then `alog`), it was none: that token takes the factor back, and over `catalog` a bias
  on `cat` sums to 0.
- The sum over a text is X times the matches in it, for every tokenization: the changes of N add up to N.

A word of several tokens is reached only where the model begins it: X > 0 on a word that it never begins does little
until its beginning stands in the prompt or in the text, and X < 0 is felt at its last token, as a mask's -inf is.

A token that completes several matches of one number at a time counts once, and of a regular expression every token
counts at which a match ends.
"""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ggufban.bans.banlist import BanList
from ggufban.bans.explain import means_of, swallowed
from ggufban.bans.folding import EDGE
from ggufban.bans.language import Pattern, parse_line
from ggufban.bans.matcher import Matcher
from ggufban.errors import BanError
from ggufban.vocab import Vocab

__all__ = ["BiasList", "BiasMatcher", "parse_bias"]

_LINE = re.compile(r"(.*?\S)\s*=\s*([+-]?[\w.]+(?:[eE][+-]?\d+)?)\s*(?:\s#.*)?", re.DOTALL)


def parse_bias(line: str, *, source: str | None = None, number: int | None = None) -> tuple[str, float]:
    """The pattern and the bias that `WORD=±X` says; `BanError` if it says neither.

    >>> parse_bias("shivers down=-2.5")
    ('shivers down', -2.5)
    """
    match = _LINE.fullmatch(line.strip())
    try:
        return match[1], float(match[2])  # type: ignore[index]
    except (TypeError, ValueError):
        raise BanError(
            f"{line.strip()!r} is no bias: write a pattern, =, and a number, as in delve=-2 or rain=+1.5",
            source=source,
            line=number,
        ) from None


class BiasList:
    """Patterns of the ban language, each with a number X that is added to the logits of its words: see above.

    X is finite: positive for more, negative for less, 0 for nothing; -inf would be a ban. `fold` is that of a
    BanList. Immutable; compares by patterns, numbers and fold.

    Raises `BanError` for a number that is not finite, and for two patterns that mean the same with different ones.

    >>> BiasList({"Paris": 2.0, "delve*": -3.0})
    BiasList({'Paris': 2.0, 'delve*': -3.0}, fold='case')
    """

    __slots__ = ("fold", "words")

    words: tuple[tuple[Pattern, float], ...]
    fold: str

    def __init__(self, words: Mapping[str, float], fold: str = "case") -> None:
        found = []
        for line, amount in words.items():
            pattern = parse_line(line)
            if pattern is None:
                raise BanError(f"{line!r} is no pattern: a bias needs a word")
            found.append((pattern, _checked(pattern, amount)))
        BanList([pattern for pattern, _ in found], fold)  # raises for what is wrong with a pattern
        self._set(found, fold)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], fold: str = "case") -> Self:
        """The list that a file says, one `WORD=±X` a line, with blank lines and comments as in a ban list."""
        words: dict[str, float] = {}
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise BanError(f"cannot read this bias list: {error.strerror}", source=str(path)) from None
        except UnicodeDecodeError as error:
            raise BanError(f"this is not UTF-8 (byte 0x{error.object[error.start]:02x})", source=str(path)) from None
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                word, amount = parse_bias(line, source=str(path), number=number)
                if words.get(word, amount) != amount:
                    raise BanError(_twice(word, words[word], amount), source=str(path), line=number)
                words[word] = amount
        return cls(words, fold)

    def _set(self, words: list[tuple[Pattern, float]], fold: str) -> None:
        known: dict[object, float] = {}
        for pattern, amount in words:
            before = known.setdefault(means_of(pattern, fold), amount)
            if before != amount:
                raise BanError(_twice(pattern.text, before, amount))
        self.words, self.fold = tuple(words), fold

    def __add__(self, other: "BiasList") -> "BiasList":
        """Both lists; `BanError` if they fold differently, or do not agree about a word."""
        if not isinstance(other, BiasList):
            return NotImplemented
        if self.fold != other.fold:
            raise BanError(f"these lists cannot be joined: one has fold={self.fold!r}, the other {other.fold!r}")
        joined = BiasList({}, self.fold)
        joined._set([*self.words, *other.words], self.fold)
        return joined

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BiasList):
            return NotImplemented
        return (self.words, self.fold) == (other.words, other.fold)

    def __hash__(self) -> int:
        return hash((self.words, self.fold))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.words, self.fold)

    def __repr__(self) -> str:
        return f"BiasList({self.describe()!r}, fold={self.fold!r})"

    def describe(self) -> dict[str, float]:
        """Pattern -> number, as JSON can hold it."""
        return {pattern.text: amount for pattern, amount in self.words}

    def contradictions(self, bans: BanList) -> list[str]:
        """What is favoured and forbidden by `bans` at once, each as a message: no bias can make it appear."""
        favoured = [pattern for pattern, amount in self.words if amount > 0]
        return [
            f"bias {pattern.text!r} favours what the ban {by.text!r} forbids: drop the bias, or the ban"
            for pattern, by in zip(favoured, swallowed(favoured, bans), strict=True)
            if by is not None
        ]

    def check_against(self, bans: BanList) -> None:
        """Raise `BanError` with the first of the `contradictions`, if there are any."""
        if found := self.contradictions(bans):
            raise BanError(found[0])

    def compile(self, vocab: Vocab, cache_dir: str | os.PathLike[str] | None = None) -> "BiasMatcher":
        """What adds these numbers to rows of logits of a vocabulary; `cache_dir` is that of `BanList.compile`."""
        groups: dict[object, list[Pattern]] = {}
        for pattern, amount in self.words:
            if amount:
                groups.setdefault((amount, _ending(pattern, self.fold)), []).append(pattern)
        compiled = [(BanList(group, self.fold).compile(vocab, cache_dir), key[0]) for key, group in groups.items()]  # type: ignore[index]
        return BiasMatcher(vocab, compiled)


def _rebuilt(words: tuple[tuple[Pattern, float], ...], fold: str) -> BiasList:
    made = BiasList({}, fold)
    made._set(list(words), fold)
    return made


def _checked(pattern: Pattern, amount: float) -> float:
    if amount == -math.inf:
        raise BanError(f"a bias of -inf on {pattern.text!r} is a ban: put the word into the ban list (--ban)")
    if not math.isfinite(amount):
        raise BanError(f"the bias of {pattern.text!r} is {amount!r}; it must be a finite number, as in -2 or 1.5")
    return float(amount)


def _twice(word: str, one: float, other: float) -> str:
    return f"{word!r} has two biases, {one:+g} and {other:+g}: leave one of them out"


def _ending(pattern: Pattern, fold: str) -> object:
    """What must not share a list: words that wait for their edge, and what does not (or may do either)."""
    if pattern.kind == "regex":
        return pattern
    return pattern.kind == "text" and any(pattern.needle(body, fold).endswith(EDGE) for body in pattern.bodies)


class BiasState(NamedTuple):
    """Where a text stands, for every list of a `BiasMatcher`: immutable."""

    states: tuple[Any, ...]


class BiasMatcher:
    """A BiasList on a vocabulary. Made by `BiasList.compile`.

    >>> vocab = Vocab([b"a", b" cat", b"alog", b".", b"</s>"], end=[4])
    >>> bias = BiasList({"cat": 2.0}).compile(vocab)
    >>> state, row = bias.start(), np.zeros(5, dtype=np.float32)
    >>> bias.edit(state, row).tolist()
    [0.0, 2.0, 0.0, 0.0, 0.0]
    >>> bias.edit(bias.step(state, 1), row).tolist()
    [-2.0, 2.0, -2.0, 0.0, 0.0]
    """

    def __init__(self, vocab: Vocab, lists: list[tuple[Matcher, float]]) -> None:
        self._lists = lists
        self._is_text = np.array([piece != b"" for piece in vocab.pieces])

    def start(self, prompt: str | bytes = "", *, chat: bool = False) -> BiasState:
        """The state before anything was generated; the prompt is read as bans read it."""
        return BiasState(tuple(matcher.start(prompt, chat=chat) for matcher, _ in self._lists))

    def step(self, state: BiasState, token: int) -> BiasState:
        """The state after `token`."""
        return BiasState(
            tuple(matcher.step(one, token) for (matcher, _), one in zip(self._lists, state.states, strict=True))
        )

    def edit(self, state: BiasState, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """A copy of `logits`, `(n_vocab,)` float32, with what each token changes in this state added; -inf stays."""
        edited = logits.copy()
        for (matcher, amount), one in zip(self._lists, state.states, strict=True):
            completing = matcher.illegal(one, waiting=False)
            if matcher.end_legal(one):
                edited[completing] += amount
            else:
                runs_on = self._is_text.copy()
                runs_on[completing] = False
                edited[runs_on] -= amount
                edited[matcher.illegal_behind(one)] += amount
        return edited
