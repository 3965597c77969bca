"""The one loop: logits in, legal text out.

    writer = Writer(prompt_tokens, vocab, sampler, rng, strategy=Rewind(), matcher=matcher, n_predict=64)
    while writer.finish_reason is None:
        engine.goto(writer.tokens)                  # the common beginning stays in the cache
        for step in writer.advance(engine.logits()):
            print(step.text, end="")                # released: never taken back

A Writer knows no engine. It says which tokens it wants evaluated, is given the logits after the last of them, and
goes as far as it can with that row: draws, rejects, goes back to a row that it kept, draws again. That is why a
driver (`drive.py`) can serve one text or several in one batch, and the tests a model whose whole law is known.

The path runs from the last place that the reader has seen, `path[0]`, to the end of the text so far, `path[-1]`.
"""

import codecs
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ggufban.decoding.report import Report
from ggufban.decoding.strategy import Strategy
from ggufban.decoding.tree import DEAD, Node, Tree
from ggufban.errors import ParameterError
from ggufban.inspection.trace import Detour, Fates, Observer, Step
from ggufban.sampling import Distribution, Sampler
from ggufban.sampling.candidates import Candidates
from ggufban.vocab import Vocab

__all__ = ["MatcherLike", "Writer"]

_PATIENCE = 512
"""Tokens taken back without any progress, after which `rewind` works like `mask` until something is released."""


_DETOURS = 1000
"""Paths taken back that are remembered: `exact` may take back any number."""

_WIDE = 4096
"""`exact` keeps the distribution of every place that it has seen, if it has at most this many survivors."""


class MatcherLike(Protocol):
    """What the loop asks of a compiled ban list; `ggufban.bans.matcher.Matcher` says what each answer means."""

    def start(self, prompt: str | bytes = "", chat: bool = False) -> Any: ...  # noqa: D102
    def step(self, state: Any, token: int, /) -> Any: ...  # noqa: D102
    def legal(self, state: Any, token: int, /, waiting: bool = True) -> bool: ...  # noqa: D102
    def illegal(self, state: Any, /, waiting: bool = True) -> NDArray[np.int32]: ...  # noqa: D102
    def end_legal(self, state: Any, /) -> bool: ...  # noqa: D102
    def read(self, state: Any, data: bytes, /) -> Any: ...  # noqa: D102
    def held(self, state: Any, /) -> int: ...  # noqa: D102
    def hits(self, state: Any, token: int, /) -> Sequence[Any]: ...  # noqa: D102
    def hits_end(self, state: Any, /) -> Sequence[Any]: ...  # noqa: D102


class BiasLike(Protocol):
    """What the loop asks of compiled soft edits; see `ggufban.bans.bias.BiasMatcher`."""

    def start(self, prompt: str | bytes = "", *, chat: bool = False) -> Any: ...
    def step(self, state: Any, token: int) -> Any: ...
    def edit(self, state: Any, logits: NDArray[np.float32]) -> NDArray[np.float32]: ...


class NoBans:
    """A matcher that allows everything."""

    def start(self, prompt: str | bytes = "", chat: bool = False) -> None:
        """There is nothing to remember, here and below."""

    def step(self, state: None, token: int, /) -> None:
        """The same state."""

    def read(self, state: None, data: bytes, /) -> None:
        """The same state."""

    def legal(self, state: None, token: int, /, waiting: bool = True) -> bool:
        """Every token is legal."""
        return True

    def illegal(self, state: None, /, waiting: bool = True) -> NDArray[np.int32]:
        """No token is illegal."""
        return np.empty(0, dtype=np.int32)

    def end_legal(self, state: None, /) -> bool:
        """The text may end anywhere."""
        return True

    def held(self, state: None, /) -> int:
        """Nothing waits."""
        return 0

    def hits(self, state: None, token: int, /) -> Sequence[Any]:
        """No pattern fires."""
        return ()

    def hits_end(self, state: None, /) -> Sequence[Any]:
        """No pattern fires."""
        return ()


class Writer:
    """Writes one text.

    `prompt` are the ids before the text, `state` the matcher's state after it (None: `matcher.start()`); `rng` draws
    and `sampler` filters; both are this writer's own. At most `n_predict` tokens are written (None: no limit but
    the driver's). Generation also stops before the first of the strings in `stop`, which is not part of the text.
    `top` is how many candidates each Step shows (None: no statistics). `tree` is that of earlier writers of the same
    prompt and settings, under `exact`. `bias` edits every row before the sampler sees it, `bias_state` is its state
    after the prompt (None: `bias.start()`).
    """

    def __init__(
        self,
        prompt: Sequence[int],
        vocab: Vocab,
        sampler: Sampler,
        rng: np.random.Generator,
        *,
        strategy: Strategy,
        matcher: MatcherLike | None = None,
        state: Any = None,
        n_predict: int | None = None,
        stop: Sequence[str] = (),
        top: int | None = None,
        tree: Tree | None = None,
        bias: BiasLike | None = None,
        bias_state: Any = None,
    ) -> None:
        if n_predict is not None and n_predict < 0:
            raise ParameterError(f"n_predict is {n_predict}; it must be at least 0")
        if not all(stop):
            raise ParameterError("a stop string is empty; give at least one character")
        self._vocab, self._sampler, self._rng, self._strategy = vocab, sampler, rng, strategy
        self._matcher: MatcherLike = matcher or NoBans()
        if matcher is not None and state is None:
            state = matcher.start()
        self._n_predict = math.inf if n_predict is None else n_predict
        self._stop = [text.encode("utf-8") for text in stop]
        self._observer = Observer(vocab, top, np.float32)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._bias = bias
        if bias is not None and bias_state is None:
            bias_state = bias.start()
        self._first_state = state
        self.tree = tree or Tree(Node(state, 0, sampler.state, bias=bias_state))
        self.path = [self.tree.root]
        self.tokens = list(prompt)
        """What the engine must have evaluated before the next `advance`."""
        self.steps: list[Step] = []
        """What has been released."""
        self.detours: deque[Detour] = deque(maxlen=_DETOURS)
        """What was taken back, the last of it, where steps carry statistics."""
        self.report = Report()
        self.finish_reason: str | None = None
        self._since_release = 0
        self.tree.begin()
        if self._n_predict == 0:
            self.finish_reason = "length"

    @property
    def strategy_name(self) -> str:
        """The name of the strategy that it follows."""
        return self._strategy.name

    @property
    def text(self) -> str:
        """The text released so far."""
        return "".join(step.text for step in self.steps)

    @property
    def wants_logits(self) -> bool:
        """Whether the next `advance` needs the logits after `tokens`."""
        return self.finish_reason is None and not _ready(self.path[-1])

    def advance(self, logits: NDArray[np.float32] | None = None) -> list[Step]:
        """Go as far as the raw row `logits` `(n_vocab,)` allows; the Steps that this released.

        `logits` belong to the last of `tokens`; None where `wants_logits` is false. They are read now and not kept.
        """
        before = len(self.steps)
        borrower = self.path[-1]
        if logits is not None and not _ready(borrower):
            borrower.row = logits
        while self.finish_reason is None and _ready(self.path[-1]):
            self._draw_one(self.path[-1])
        self._give_back(borrower)
        return self.steps[before:]

    def interrupt(self) -> list[Step]:
        """End here: release what can be shown of the text so far without a match in it."""
        before = len(self.steps)
        if self.finish_reason is None:
            self._cut_to_legal_end()
            self._finish("interrupted")
        return self.steps[before:]

    def _cut_to_legal_end(self) -> None:
        """Drop the end of the path after which the text may not end."""
        keep = max(k for k, node in enumerate(self.path) if k == 0 or self._matcher.end_legal(node.state))
        self._drop(len(self.path) - 1 - keep)

    # -- one draw -------------------------------------------------------------------------------------------------

    def _draw_one(self, node: Node) -> None:
        """Draw at the end of the path, and follow or reject what came."""
        self._look(node)
        if self._speechless(node):
            self._cut_to_legal_end()
            self._finish("banned")
            return
        chosen = self._choose(node)
        if chosen is None:
            self._bury(node)
            return
        token, step = chosen
        last = len(self.steps) + len(self.path) >= self._n_predict
        waiting = not (last or self._eager)  # may a banned word stand complete, waiting for its edge?
        if token in self._vocab.end:
            if self._matcher.end_legal(node.state):
                self.report.log_legal_mass += _log_legal(node)
                self._finish("stop")
            else:
                self._reject(node, step, waiting)
        elif not self._matcher.legal(node.state, token, waiting=waiting):
            self._reject(node, step, waiting)
        else:
            self._follow(node, token, step, last)

    def _look(self, node: Node) -> None:
        """Turn a row that was just evaluated into the sampler's distribution, and note what there is to see."""
        if node.distribution is None:
            assert node.row is not None
            sight, row = self._observer.look(Candidates.of(node.row, self._place))
            node.sight = node.sight or sight
            node.distribution = self._filter(node, row)
            if self._strategy.conditions_filtered:
                node.known = _known(node.row, node.distribution)
        if self._eager and not len(node.illegal):
            illegal = self._matcher.illegal(node.state, waiting=False)
            if len(illegal):
                node.forbid(illegal)
                best = int(node.distribution.ids[0])
                if node.forbids(best):
                    self._count(node, best, self._hits(node, best))

    def _speechless(self, node: Node) -> bool:
        """Whether the bans forbid every letter, and all that the sampler would draw from here.

        Other bans leave words to fall back on, however unlikely; here there would be nothing but rows of dots and
        digits that the model never meant.
        """
        return node.removed_mass() >= DEAD and self._no_letter_is_legal

    @cached_property
    def _no_letter_is_legal(self) -> bool:
        illegal = self._matcher.illegal(self._first_state)
        if 2 * len(illegal) < len(self._vocab):  # before looking at what every token says
            return False
        return not np.delete(self._vocab.has_letter, illegal).any()

    def _filter(self, node: Node, row: Candidates) -> Distribution:
        """The sampler's distribution over `row` at this place in the text."""
        self._sampler.restore(node.sampler)
        edited = row.logits if self._bias is None else self._bias.edit(node.bias, row.logits)
        return self._sampler.distribution(
            row if edited is row.logits else edited,
            rng=self._rng,
            explain=self._observer.top is not None,
            step=self._place,
        )

    @property
    def _place(self) -> int:
        """The number of the token that is drawn next, from 1."""
        return len(self.steps) + len(self.path)

    @property
    def _eager(self) -> bool:
        return self._strategy.eager or self._since_release > _PATIENCE

    def _choose(self, node: Node) -> tuple[int, Step] | None:
        """Draw from p · (1 - r); None where nothing is left."""
        assert node.distribution is not None
        if not len(node.illegal) and not node.shares:
            law = _Law(node.distribution, {})
        else:
            left = self._what_is_left(node)
            if left is None:
                return None
            law = left
        token, random = law.sample(self._rng)
        node.probabilities[token] = node.distribution.prob_of(token)
        return token, self._observe(node, token, law, random)

    def _what_is_left(self, node: Node) -> "_Law | None":
        """What the filters leave when what is dead never reaches them, with p · (1 - r); None where that is nothing.

        Under `exact` the filters have seen everything, and only their survivors are conditioned.
        """
        filtered = node.distribution
        assert filtered is not None
        if self._strategy.conditions_filtered:
            shares = {token: share for token in filtered.ids.tolist() if (share := node.share(token))}
            law = _Law(filtered, shares)
            return law if law.total > 1.0 - DEAD else None
        assert node.row is not None
        row = node.row.copy()
        while True:
            row[node.dead_ids()] = -np.inf
            if row.max() == -np.inf:
                return None
            filtered = self._filter(node, Candidates.of(row, self._place))
            law = _Law(filtered, {t: r for t, r in node.shares.items() if r < 1.0})
            if law.total > 1.0 - DEAD:
                return law
            for token in law.filtered.ids.tolist():  # what the filters let through is spent: let others through
                node.probabilities.setdefault(token, 0.0)
                node.give(token, 1.0)

    def _observe(self, node: Node, token: int, law: "_Law", random: float) -> Step:
        """The record of this draw."""
        drawn_with = law.probability(token)
        if node.sight is None:
            return self._observer.step(None, token, math.nan, 0, drawn_with=drawn_with, random=random)
        if node.row is not None:
            logit, rank = node.sight.place(node.row, token)
        else:
            assert node.known is not None
            logit, rank = node.known[token]

        fates: Fates = law.filtered.fates
        if len(node.illegal) or node.shares or len(law.filtered) > _WIDE:  # what changes, and what is too much to keep
            known = {candidate: self._fate(node, law, candidate) for candidate in node.sight.best}
            fates = partial(map, known.__getitem__)
        return self._observer.step(node.sight, token, logit, rank, fates=fates, drawn_with=drawn_with, random=random)

    def _fate(self, node: Node, law: "_Law", token: int) -> tuple[float, str | None]:
        """The probability that a token has at this draw, and what removed it, if anything did."""
        if node.share(token) == 1.0:
            return 0.0, f"ban: {self._reason(node, token)}"
        p = law.probability(token)
        return p, law.filtered.removed_by(token) if p == 0.0 else None

    def _reason(self, node: Node, token: int) -> str:
        """The patterns that a token was removed for."""
        if token not in node.reasons:
            node.reasons[token] = _names(self._hits(node, token)) if node.forbids(token) else ""
        return node.reasons[token]

    # -- after the draw -------------------------------------------------------------------------------------------

    def _follow(self, node: Node, token: int, step: Step, last: bool) -> None:
        """Take a legal token into the path; end or release text where it can be."""
        child = node.children.get(token)
        if child is None:
            self._sampler.restore(node.sampler)
            self._sampler.accept(token, node.distribution)
            state = self._matcher.step(node.state, token)
            bias = None if self._bias is None else self._bias.step(node.bias, token)
            child = Node(state, node.end + len(self._vocab.pieces[token]), self._sampler.state, bias=bias)
        child.step = step
        self.path.append(child)
        self.tokens.append(token)
        if self._stop and (cut := self._find_stop()) is not None:
            self._stop_at(cut)
        elif last:
            self._finish("length")
        else:
            self._release()

    def _hits(self, node: Node, token: int) -> Sequence[Any]:
        """The matches that `token` would complete, or leave complete and waiting for their edge."""
        if token in self._vocab.end:
            return self._matcher.hits_end(node.state)
        if not self._matcher.legal(node.state, token):
            return self._matcher.hits(node.state, token)
        size = len(self._vocab.pieces[token])
        waiting = self._matcher.hits_end(self._matcher.step(node.state, token))
        return [hit._replace(back=hit.back - size) for hit in waiting]

    def _count(self, node: Node, token: int, hits: Sequence[Any]) -> None:
        self.report.hits.update({str(hit.pattern) for hit in hits})
        node.reasons[token] = _names(hits)

    def _reject(self, node: Node, step: Step, waiting: bool) -> None:
        """Remove what is illegal at `node`, the token of `step` among it, and go back as far as the strategy says."""
        token = step.token
        hits = self._hits(node, token)
        self._count(node, token, hits)
        node.forbid(self._matcher.illegal(node.state, waiting=waiting))
        node.give(token, 1.0)
        self.report.discarded_tokens += 1
        self._since_release += 1
        self._go_back(node.end - max((hit.back for hit in hits), default=0), _names(hits), step)

    def _go_back(self, begin: int, reason: str, *rejected: Step) -> None:
        """Hand removed mass up the path and cut it before the token that holds byte `begin` of the output.

        `rejected` is what was drawn at its end and is not part of it.
        """
        length = len(self.path) - 1
        place = max((k for k, node in enumerate(self.path) if node.end <= begin), default=0)
        keep = max(0, self._strategy.back_to(length, length - place))
        for k in range(length, keep, -1):
            child, parent = self.path[k], self.path[k - 1]
            assert child.step is not None
            parent.give(child.step.token, child.removed_mass())
            parent.reasons.setdefault(child.step.token, reason)
            parent.children[child.step.token] = child
        lost = tuple(node.step for node in self.path[keep + 1 :] if node.step is not None) + rejected
        if self._observer.top is not None and lost:
            self.detours.append(Detour(len(self.steps) + keep, lost, reason))
        self._drop(length - keep)
        if self._strategy.conditions_filtered:
            self.report.attempts += 1
            self.tree.begin()

    def _bury(self, node: Node) -> None:
        """Nothing is left at `node`: its parent must do without it."""
        if len(self.path) == 1:
            self._finish("banned")
            return
        assert node.step is not None
        parent = self.path[-2]
        parent.give(node.step.token, 1.0)
        parent.children.pop(node.step.token, None)
        reason = next(iter(node.reasons.values()), "")
        parent.reasons.setdefault(node.step.token, reason)
        self._drop(1)
        if self._strategy.conditions_filtered:
            self._go_back(0, reason)

    def _drop(self, count: int) -> None:
        if count:
            del self.path[-count:], self.tokens[-count:]
            self.report.discarded_tokens += count
            self._since_release += count

    # -- the end of the text, and what may be shown ---------------------------------------------------------------

    def _pending(self) -> bytes:
        """The bytes of the path: written, not yet released."""
        return b"".join(node.step.piece for node in self.path[1:] if node.step is not None)

    def _find_stop(self) -> int | None:
        """Where in the pending bytes the first stop string begins."""
        pending = self._pending()
        places = [at for text in self._stop if (at := pending.find(text)) >= 0]
        return min(places, default=None)

    def _stop_at(self, cut: int) -> None:
        """End the text before a stop string, `cut` bytes into the pending ones, if it may end there."""
        begin = self.path[0].end + cut
        place = max(k for k, node in enumerate(self.path) if node.end <= begin)
        node = self.path[place]
        part = self._pending()[node.end - self.path[0].end : cut]
        state = self._matcher.read(node.state, part) if part else node.state
        if self._matcher.end_legal(state):
            child = self.path[place + 1]
            assert child.step is not None
            beyond = len(self.path) - 1 - (place + 1 if part else place)
            if beyond:
                del self.path[-beyond:], self.tokens[-beyond:]
            if part:
                child.step = replace(child.step, piece=part)
            self._finish("stop")
            return
        leaf, parent = self.path[-1], self.path[-2]
        assert leaf.step is not None
        rejected, hits = leaf.step, self._matcher.hits_end(state)
        self._drop(1)
        self._count(parent, rejected.token, hits)
        parent.give(rejected.token, 1.0)
        self._since_release += 1
        self._go_back(begin - max((hit.back for hit in hits), default=0), _names(hits), rejected)

    def _release(self) -> None:
        """Show what no match can begin in, as far as the text may end there too (an interrupt may come any time)."""
        leaf = self.path[-1]
        written = leaf.end - self.path[0].end
        pending = self._matcher.held(leaf.state) if not self._strategy.eager else 0
        held = self._strategy.held(pending, written)
        if self._stop:
            held = max(held, self._half_stop())
        limit = leaf.end - held
        for k in range(len(self.path) - 1, 0, -1):
            node = self.path[k]
            if node.end <= limit and self._matcher.end_legal(node.state):
                self._commit(k)
                return

    def _half_stop(self) -> int:
        """The length of the longest end of the pending bytes with which a stop string begins."""
        pending = self._pending()
        most = min(len(pending), max(map(len, self._stop)) - 1)
        for size in range(most, 0, -1):
            if any(text.startswith(pending[-size:]) for text in self._stop):
                return size
        return 0

    def _commit(self, count: int) -> None:
        """Release the first `count` tokens of the path, after which the text may end.

        It may not end after each of them, and a reader may stop at any Step: the text of those in between comes
        with the next Step after which it may.
        """
        text = ""
        for parent, node in zip(self.path[:count], self.path[1 : count + 1], strict=True):
            assert node.step is not None
            mass = parent.removed_mass()
            self.report.log_legal_mass += _log_legal(parent)
            text += self._decoder.decode(node.step.piece)
            shown = text if node is self.path[count] or self._matcher.end_legal(node.state) else ""
            text = text[len(shown) :]
            self.steps.append(replace(node.step, text=shown, removed_mass=mass))
            if not self._strategy.conditions_filtered:
                parent.row = None  # not come back to, and a row is a megabyte
        self.path = self.path[count:]
        self._since_release = 0

    def _finish(self, reason: str) -> None:
        self.finish_reason = reason
        if reason in ("stop", "length"):
            self.tree.accepted += 1
        self._commit(len(self.path) - 1)
        rest = self._decoder.decode(b"", final=True)
        if rest and self.steps:
            self.steps[-1] = replace(self.steps[-1], text=self.steps[-1].text + rest)
        self.report.tokens = len(self.steps)
        if self._strategy.conditions_filtered:
            self.report.clean_probability = self.tree.clean_probability
            self.report.clean_at_most = self.tree.clean_at_most

    def _give_back(self, node: Node) -> None:
        """The row was lent: keep a copy where the loop may come back to it, else let go of it.

        A distribution from which nothing was removed is a view on the row, and goes with it.
        """
        if node.row is None:
            return
        if self.finish_reason is not None:
            node.row = None
        elif not self._strategy.conditions_filtered:
            node.row, node.distribution = node.row.copy(), None
        else:
            node.row = None
            if node.distribution is not None and len(node.distribution) > _WIDE:
                node.distribution = None  # too much to keep for a whole tree: evaluated again if need be


class _Law:
    """p · (1 - r) over the survivors of the filters, where few tokens have an r and it is less than 1."""

    def __init__(self, filtered: Distribution, shares: dict[int, float]) -> None:
        self.filtered = filtered
        self.shares = shares
        self.total = 1.0 - sum(filtered.prob_of(token) * share for token, share in shares.items())

    def probability(self, token: int) -> float:
        """The probability that a token is drawn with."""
        p = self.filtered.prob_of(token)
        return p * (1.0 - self.shares.get(token, 0.0)) / self.total if self.shares else p

    def sample(self, rng: np.random.Generator) -> tuple[int, float]:
        """A token, and the random number in [0, 1) that chose it."""
        if not self.shares:
            return self.filtered.sample(rng)
        ids = self.filtered.ids
        p = self.filtered.probs
        for token, share in self.shares.items():
            p[ids == token] *= 1.0 - share
        random = float(rng.random())
        running = p.cumsum()
        return int(ids[running.searchsorted(random * running[-1], side="right")]), random


def _ready(node: Node) -> bool:
    return node.row is not None or node.distribution is not None


def _names(hits: Sequence[Any]) -> str:
    return ", ".join(dict.fromkeys(str(hit.pattern) for hit in hits))


def _log_legal(node: Node) -> float:
    mass = node.removed_mass()
    return -math.inf if mass >= 1.0 else math.log1p(-mass)


def _known(row: NDArray[np.float32], filtered: Distribution) -> dict[int, tuple[float, int]]:
    """Raw logit and rank of every survivor, for a node whose row is not kept."""
    logits = row[filtered.ids]
    above = np.sort(row[row >= logits.min()])
    ranks = len(above) - np.searchsorted(above, logits, side="right") + 1
    return {
        int(token): (float(logit), int(rank)) for token, logit, rank in zip(filtered.ids, logits, ranks, strict=True)
    }
