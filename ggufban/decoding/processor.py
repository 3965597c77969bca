"""Bans in a program that already has a `llama_cpp.Llama`: a logits processor.

    llama = llama_cpp.Llama("model.gguf")
    processor = ggufban.BanLogitsProcessor(ggufban.BanList(["Paris"]), llama)
    llama.create_completion("The capital of France is", logits_processor=processor)

It works as `mask` does: what is illegal gets -inf, on the safe side, for a processor never knows which token is the
last. What llama-cpp-python makes of the tokens afterwards is part of the promise, and so a few more things are
illegal here than elsewhere (each checked with llama-cpp-python 0.3.36):

- bytes that are not UTF-8: its text leaves them out, where everyone else shows U+FFFD, and joins what stood on
  either side of them;
- pieces that its `detokenize` does not give back: those of more than 32 bytes come out as nothing;
- tokens that a stop string would cut where a banned word stands, if the processor is told the stop strings.
"""

import codecs
import logging
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggufban.bans import BanList
from ggufban.bans.folding import WORD, fold_text, kind
from ggufban.bans.matcher import Matcher, State
from ggufban.engine import vocab_of
from ggufban.errors import BannedError, UsageError
from ggufban.vocab import Vocab

__all__ = ["BanLogitsProcessor"]

_log = logging.getLogger(__name__)


class BanLogitsProcessor:
    """Sets the scores of illegal tokens to -inf, in place, and gives them back.

    `bans` is a BanList, the patterns of one, or a Matcher that it was compiled to. Pass the processor itself as
    `logits_processor`, as above: it is a list of one, and `logit_bias` works beside it. Inside a
    `LogitsProcessorList` llama-cpp-python 0.3.36 drops the whole list, bans included, as soon as `logit_bias` is given
    too. Where there are several processors this one comes last, or a later one might bring back what it took away.

    One processor serves one `Llama`, for any number of completions one after the other:

    - Where the ids are those of the call before (or of a beginning of its output, when a caller jumps back) and one
      more, the text goes on there. Any other ids are a new prompt, and so are those whose last token is illegal.
    - The text of a prompt is read, so that a word begun in it counts when the output finishes it; a match counts if
      a symbol of it, other than an edge, is the output's own. `prompt` is read instead, if it is given: `""` lets
      every answer begin fresh. A chat template ends in a line break or a control token, after which a word begins
      fresh in any case.
    - `stop` are the stop strings that are given to the completion, if any. A stop string that begins with a letter
      can cut `catalog` to `cat` in the middle of a token. One that does not is safe untold.

    Fail closed. Scores count as illegal until they are judged; whatever goes wrong on the way, an interrupt too,
    leaves nothing but the end of the text, and every later call for that text too. `error` then says what it was,
    and `raise_for_error` raises it; llama-cpp-python swallows what is raised in a processor. Where bans leave no
    token at all, the text ends as well, with a `BannedError`. An error is forgotten when a new prompt begins.

    `UsageError` if the Llama has a draft model (a processor is not told which of its tokens are only guesses), or
    its vocabulary no token that ends the text.

    Not covered: the pieces of a *stream with `logprobs`*, from which llama-cpp-python 0.3.36 leaves out characters
    that are spread over several tokens; and an interrupt inside llama-cpp-python's own part of the callback, which
    it swallows and goes on with unjudged scores: that is found out one token later.
    """

    matcher: Matcher
    error: BaseException | None
    """What went wrong in the text that is being written; None if nothing did."""

    def __init__(
        self,
        bans: BanList | Iterable[str] | Matcher,
        llama: Any,
        *,
        prompt: str | None = None,
        stop: str | Sequence[str] = (),
    ) -> None:
        self._llama = llama
        self._check_draft()
        self.matcher = bans if isinstance(bans, Matcher) else BanList.of(bans).compile(vocab_of(llama))
        self._vocab = self.matcher.vocab
        if len(self._vocab) != llama.n_vocab():
            raise UsageError(
                f"the matcher was compiled for a vocabulary of {len(self._vocab)} tokens, and this model has "
                f"{llama.n_vocab()}: give the BanList, or compile it for this model"
            )
        self._ends = _ends_of(self._vocab, int(llama.token_eos()), self.matcher)
        self._bytes = _Bytes(self._vocab, llama)
        self._stops = _Stops([stop] if isinstance(stop, str) else stop, self.matcher)
        self._prompt = prompt
        self.error = None
        self.reset()

    def reset(self) -> None:
        """Forget the text: the ids that come next are a new prompt, whatever they are."""
        self.error = None
        self._ids: NDArray[np.intc] = np.empty(0, dtype=np.intc)
        self._n_prompt = 0
        self._trail: list[tuple[State, bytes]] = []  # after each token of the output: state, unfinished character
        self._generation: Any = None

    def raise_for_error(self) -> None:
        """Raise `error`, if there is one."""
        if self.error is not None:
            raise self.error

    def __iter__(self) -> Iterator["BanLogitsProcessor"]:
        """The processor alone, as llama-cpp-python looks for it in a list."""
        yield self

    def __len__(self) -> int:
        return 1

    def extend(self, others: Sequence[Any]) -> list[Any]:
        """A list of `others` and, last, this processor; llama-cpp-python asks for it where `logit_bias` is given."""
        return [*others, self]

    def __call__(self, input_ids: NDArray[np.intc], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Judge `scores` `(n_vocab,)` float32, the logits after `input_ids` `(n,)`; changed in place and returned."""
        try:
            row = scores.copy()
            self._close(scores)
            self._judge(input_ids, row)
            scores[:] = row
        except BaseException as error:
            self._close(scores)
            self._fail(input_ids, error)
        return scores

    def _close(self, scores: NDArray[np.float32]) -> None:
        """Leave nothing but the end of the text."""
        scores[:] = -np.inf
        scores[self._ends[self._ends < len(scores)]] = 0.0

    def _fail(self, input_ids: NDArray[np.intc], error: BaseException) -> None:
        self._ids, self._trail = np.array(input_ids, dtype=np.intc), []
        if error is not self.error:
            self.error = error
            quiet = isinstance(error, BannedError)
            _log.error("the text ends here: %s", error, exc_info=None if quiet else error)

    def _judge(self, ids: NDArray[np.intc], row: NDArray[np.float32]) -> None:
        """Set what is illegal after `ids` to -inf; raise if nothing is left."""
        if row.shape != (len(self._vocab),):
            raise UsageError(f"scores have the shape {row.shape}, and the vocabulary {len(self._vocab)} tokens")
        self._check_draft()
        self._follow(np.array(ids, dtype=np.intc))
        state, unfinished = self._trail[-1]
        row[self.matcher.illegal(state, waiting=False)] = -np.inf
        row[self._bytes.refused(unfinished)] = -np.inf
        if self._stops:
            pieces = [self._vocab.pieces[token] for token in self._ids[self._n_prompt :].tolist()]
            row[self._stops.refused([state for state, _ in self._trail], pieces)] = -np.inf
        if not (row > -np.inf).any():
            raise BannedError("every continuation is illegal")

    def _check_draft(self) -> None:
        if getattr(self._llama, "draft_model", None) is not None:
            raise UsageError(
                "this Llama has a draft_model: its guesses are among the ids that a logits processor is given, "
                "and cannot be told from the text; make the Llama without one"
            )

    # -- where in the text we are ---------------------------------------------------------------------------------

    def _follow(self, ids: NDArray[np.intc]) -> None:
        """Make the trail end after `ids`."""
        generation, known = getattr(self._llama, "_sampler", None), len(ids) - 1
        same = self._generation is not None and self._generation() is generation
        self._generation = None if generation is None else weakref.ref(generation)
        has_begun = bool(self._trail) or self.error is not None
        is_near = has_begun and self._n_prompt <= known <= len(self._ids)
        if not (is_near and np.array_equal(ids[:known], self._ids[:known])):
            self._begin(ids)
        elif self.error is not None:
            raise self.error
        elif not self._go_on(known, token := int(ids[known])):
            if same and known == len(self._ids):
                raise BannedError(
                    f"the illegal token {token} ({self._vocab.piece(token)!r}) was drawn: the scores were changed "
                    "after they were judged, or an interrupt kept them from being judged"
                )
            self._begin(ids)
        self._ids = ids

    def _begin(self, ids: NDArray[np.intc]) -> None:
        """Take all of `ids` for a prompt."""
        self.error = None
        text = self._vocab.decode(ids.tolist())
        self._n_prompt = len(ids)
        state = self.matcher.start(text if self._prompt is None else self._prompt)
        self._trail = [(state, _unfinished(text))]

    def _go_on(self, known: int, token: int) -> bool:
        """Follow with `token` upon the first `known` ids; False if it is illegal there."""
        state, unfinished = self._trail[known - self._n_prompt]
        if not self.matcher.legal(state, token, waiting=False):
            return False
        del self._trail[known - self._n_prompt + 1 :]
        piece = self._vocab.pieces[token]
        self._trail.append((self.matcher.step(state, token), _unfinished(unfinished + piece)))
        return True


def _ends_of(vocab: Vocab, eos: int, matcher: Matcher) -> NDArray[np.int32]:
    """The token with which a text is ended: the model's own, or one that the list does not ban."""
    if not vocab.end:
        raise UsageError("no token of this vocabulary ends a text: where bans leave nothing, there would be no way out")
    legal = [token for token in vocab.end_ids.tolist() if matcher.legal(matcher.start(), token)]
    choice = legal or vocab.end_ids.tolist()
    return np.array([eos if eos in choice else choice[0]], dtype=np.int32)


class _Bytes:
    """Which tokens do not come out as the text that they are: see the head of this file."""

    def __init__(self, vocab: Vocab, llama: Any) -> None:
        self._vocab = vocab
        pieces = vocab.pieces
        self._lost = {
            token for token, piece in enumerate(pieces) if len(piece) > 32 and llama.detokenize([token]) != piece
        }
        self._continuing = [token for token, piece in enumerate(pieces) if piece and 0x80 <= piece[0] < 0xC0]
        self._texts = np.flatnonzero([piece != b"" for piece in pieces])
        broken = [token for token, piece in enumerate(pieces) if not piece.isascii() and not _is_sound(piece)]
        self._known = {b"": np.array(sorted({*broken, *self._lost}), dtype=np.int64)}

    def refused(self, unfinished: bytes) -> NDArray[np.int64]:
        """The tokens, `(n,)`, that must not follow upon the first bytes of a character."""
        known = self._known.get(unfinished)
        if known is None:
            pieces = self._vocab.pieces
            good = [token for token in self._continuing if _is_sound(unfinished + pieces[token])]
            good = [token for token in good if token not in self._lost]
            known = self._known[unfinished] = np.setdiff1d(self._texts, np.array(good, dtype=np.int64))
        return known


def _is_sound(data: bytes) -> bool:
    """Whether `data` is UTF-8, as far as it goes."""
    try:
        codecs.utf_8_decode(data, "strict", False)
    except UnicodeDecodeError:
        return False
    return True


def _unfinished(data: bytes) -> bytes:
    """The bytes of an unfinished character at the end of `data`."""
    for size in range(1, min(4, len(data) + 1)):
        byte = data[-size]
        if byte >= 0xC0:
            whole = size >= 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return b"" if whole or not _is_sound(data[-size:]) else data[-size:]
        if byte < 0x80:
            break
    return b""


class _Stops:
    """Where stop strings cut a text: between tokens it may end anyway, inside of one perhaps not.

    A cut between a word and what is none is no danger: there the word would have ended in any case. So only stop
    strings are looked at that begin with what can be part of a word.
    """

    def __init__(self, stop: Sequence[str], matcher: Matcher) -> None:
        if not all(stop):
            raise UsageError("a stop string is empty; give at least one character")
        self._matcher, level = matcher, matcher.bans.fold
        self._stops = [text.encode() for text in stop if kind[(fold_text(text, level) or "a")[0]] == WORD]
        self._beginning: dict[bytes, list[int]] = {}
        self._inside: list[tuple[int, bytes]] = []
        """Tokens that hold a stop string behind the end of a word, and what of them comes before it."""
        for text in self._stops:
            for token, piece in enumerate(matcher.vocab.pieces):
                if (at := piece.find(text)) > 0:
                    before = fold_text(piece[:at].decode("utf-8", "ignore"), level)
                    if not before or kind[before[-1]] == WORD:
                        self._inside.append((token, piece[:at]))

    def __bool__(self) -> bool:
        return bool(self._stops)

    def refused(self, states: Sequence[State], pieces: Sequence[bytes]) -> list[int]:
        """The tokens after which the text would be cut where it must not end.

        `pieces` are the output so far, `states` the states before each of them and after the last.
        """
        matcher = self._matcher
        refused = [token for token, part in self._inside if not matcher.end_legal(matcher.read(states[-1], part))]
        for text in self._stops:
            recent, at = b"", len(pieces)
            while at and len(recent) < len(text):
                at -= 1
                recent = pieces[at] + recent
            for begun in range(1, len(text)):
                if recent.endswith(text[:begun]) and not self._may_end(states, pieces, begun):
                    refused += self._tokens(text[begun:])
        return refused

    def _may_end(self, states: Sequence[State], pieces: Sequence[bytes], back: int) -> bool:
        """Whether the text may end `back` bytes before its end."""
        at = len(pieces) - 1
        while back > len(pieces[at]):
            back -= len(pieces[at])
            at -= 1
        part = pieces[at][: len(pieces[at]) - back]
        return not part or self._matcher.end_legal(self._matcher.read(states[at], part))

    def _tokens(self, beginning: bytes) -> list[int]:
        """The tokens that begin so."""
        known = self._beginning.get(beginning)
        if known is None:
            pieces = enumerate(self._matcher.vocab.pieces)
            known = self._beginning[beginning] = [token for token, piece in pieces if piece.startswith(beginning)]
        return known
