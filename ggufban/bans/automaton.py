r"""A regular language over symbols -> a small table that is walked one symbol at a time.

`regex.py` turns what people write into a tree of the five nodes below. Here the tree becomes an automaton:

1. *Positions* (Glushkov): every place of the tree that takes a symbol is a position; `follow[p]` are the
   positions that may come next. Sets of positions are Python integers used as bit sets, so that one step of
   a set is a few `|` and `&`. Position 0 stands for "not begun yet" and is in every set: that is what makes
   this a search, in which a match may begin anywhere.
2. *Classes*: symbols that no label tells apart are one column of the table.
3. *States*: the sets of positions that can be reached, in the order they are met: all of them at once and not
   lazily, so that the cost of a pattern is known when the list is read.
4. *Minimizing* (Moore): states that no continuation tells apart become one.

Four things are special in a stream of folded symbols, and all four live in `_determinize`:

- an EDGE between a word and what is no word passes unnoticed, unless a position asks for it (`\b`);
- it is zero-width, so that one EDGE serves several `\b` in a row;
- a run of white space is one symbol, so that one space serves several spaces in a row;
- a position that `extends` takes the combining marks after its symbol with it: `.` takes all of `e` + U+0301.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import BanError

__all__ = [
    "EDGE",
    "Automaton",
    "Choice",
    "Edge",
    "Node",
    "Ranges",
    "Repeat",
    "Row",
    "Symbols",
    "build",
    "least_length",
    "normalize",
]

EDGE = "\ud800"
"""The symbol between a word and what is no word: a lone surrogate, which no text contains."""

Ranges = tuple[tuple[int, int], ...]
"""A set of symbols: inclusive ranges of code points, ascending and apart from each other."""

MAX_POSITIONS = 4096
MAX_WORK = 1_000_000
"""Elementary steps (an `|` of two sets, or one entry of the table) before a pattern counts as too big."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """One symbol of `ranges`; with `extends` also the combining marks that follow it."""

    ranges: Ranges
    extends: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """The edge of a word: takes no symbol but one EDGE."""


@dataclass(frozen=True, slots=True)
class Row:
    """One after the other; nothing at all if `items` is empty."""

    items: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`item`, at least `least` times and at most `most` times (None: without bound)."""

    item: "Node"
    least: int
    most: int | None


Node = Symbols | Edge | Row | Choice | Repeat


def normalize(ranges: Iterator[tuple[int, int]] | Sequence[tuple[int, int]]) -> Ranges:
    """The same set of code points as ascending ranges that neither overlap nor touch.

    >>> normalize([(5, 9), (1, 2), (3, 3), (8, 12)])
    ((1, 3), (5, 12))
    """
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


def least_length(node: Node) -> int:
    """The fewest symbols that `node` takes, edges not counted."""
    match node:
        case Symbols():
            return 1
        case Edge():
            return 0
        case Row(items):
            return sum(map(least_length, items))
        case Choice(items):
            return min(map(least_length, items))
        case Repeat(item, least, _):
            return least * least_length(item)


def greatest_length(node: Node, *, marks: bool) -> int | None:
    """The most symbols that `node` takes, edges not counted, or None; `marks`: are there any?"""
    match node:
        case Symbols(_, extends):
            return None if extends and marks else 1
        case Edge():
            return 0
        case Repeat(item, _, most):
            length = greatest_length(item, marks=marks)
            if length == 0 or most == 0:
                return 0
            return None if length is None or most is None else length * most
        case Row(items) | Choice(items):
            lengths = [greatest_length(item, marks=marks) for item in items]
            known = [length for length in lengths if length is not None]
            if len(known) < len(lengths):
                return None
            return sum(known) if isinstance(node, Row) else max(known)


def _bits(mask: int) -> Iterator[int]:
    """The members of a set of positions, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _union(sets: Sequence[int], members: int) -> int:
    """The union of `sets[p]` over the members `p`."""
    result = 0
    for position in _bits(members):
        result |= sets[position]
    return result


class _Budget:
    """Counts the work done on one pattern, and ends it with an error that says what to do."""

    def __init__(self, max_states: int) -> None:
        self.max_states = max_states
        self.left = MAX_WORK

    def spend(self, work: int) -> None:
        self.left -= work
        if self.left < 0:
            self.refuse("it takes too long to compile")

    def refuse(self, what: str) -> NoReturn:
        raise BanError(
            f"too big: {what}. Counted repetitions multiply, above all after something they overlap with, as "
            "in (a|b)*a(a|b){20}; write smaller counts, or * instead, or split the pattern into several lines"
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """What joining needs to know of a part of the tree: sets of positions as bits."""

    empty: bool
    """It can take nothing."""
    first: int
    last: int


_NOTHING = _Part(True, 0, 0)


class _Positions:
    """Glushkov's construction: walks a tree once and notes which position may follow which."""

    def __init__(self, budget: _Budget) -> None:
        self.labels: list[Symbols | Edge | None] = [None]
        self.follow: list[int] = [0]
        self.budget = budget

    def add(self, node: Node) -> _Part:
        """Adds the positions of `node`, the last ones first."""
        match node:
            case Symbols() | Edge():
                here = 1 << len(self.labels)
                if len(self.labels) > MAX_POSITIONS:
                    self.budget.refuse(f"written out it is longer than {MAX_POSITIONS:,} symbols")
                self.labels.append(node)
                self.follow.append(0)
                return _Part(False, here, here)
            case Row(items):
                part = _NOTHING
                for item in reversed(items):
                    part = self.join(self.add(item), part)
                return part
            case Choice(items):
                parts = [self.add(item) for item in items]
                first = last = 0
                for part in parts:
                    first, last = first | part.first, last | part.last
                return _Part(any(part.empty for part in parts), first, last)
            case Repeat():
                return self.repeat(node)

    def repeat(self, node: Repeat) -> _Part:
        """x{2,} is x(x+), and x{2,4} is xx(x(x)?)?: each copy is followed by the next one only."""
        if node.most == 0:
            return _NOTHING
        before = len(self.labels)
        part = self.add(node.item)
        if len(self.labels) == before:  # nothing, however often
            return part
        if node.most is None:
            self.connect(part.last, part.first)
            optional = 0
            part = _Part(part.empty or node.least == 0, part.first, part.last)
        else:
            optional = node.most - node.least
            part = _Part(part.empty or optional > 0, part.first, part.last)
        for copy in range(2, (node.most or max(node.least, 1)) + 1):
            part = self.join(self.add(node.item), part)
            if copy <= optional:
                part = _Part(True, part.first, part.last)
        return part

    def join(self, one: _Part, two: _Part) -> _Part:
        self.connect(one.last, two.first)
        return _Part(
            one.empty and two.empty,
            one.first | (two.first if one.empty else 0),
            two.last | (one.last if two.empty else 0),
        )

    def connect(self, lasts: int, firsts: int) -> None:
        self.budget.spend(lasts.bit_count())
        for position in _bits(lasts):
            self.follow[position] |= firsts


@dataclass(frozen=True, slots=True)
class _Graph:
    """Positions and classes, ready for stepping: every set of positions is an integer."""

    chained: int
    """Positions `p` that `p - 1` may follow: nearly all, since trees are walked from their end."""
    jumps: tuple[int, ...]
    """For every position, what else may follow it."""
    jumping: int
    """Positions that something else may follow."""
    last: int
    extending: int
    spaces: int
    """Positions that take white space and nothing else."""
    takes: tuple[int, ...]
    """For every class, the positions that take its symbols."""
    marks: tuple[bool, ...]
    """For every class, whether its symbols are combining marks that extend a character."""
    edge: int
    """The class of EDGE."""
    space: int
    """The class of the space."""

    def after(self, members: int) -> int:
        """What may follow some of these positions."""
        return (members & self.chained) >> 1 | _union(self.jumps, members & self.jumping)

    def absorbers(self, symbol_class: int) -> int:
        """Positions that need no symbol of their own right after a symbol of this class."""
        if symbol_class == self.edge:
            return self.takes[self.edge]
        return self.spaces if symbol_class == self.space else 0


def _partition(labels: Sequence[Ranges]) -> tuple[list[int], list[int]]:
    """The code points at which some label begins or ends, and which labels hold from there on (as bits)."""
    toggles: dict[int, int] = {0: 0}
    for number, ranges in enumerate(labels):
        for low, high in ranges:
            toggles[low] = toggles.get(low, 0) ^ 1 << number
            toggles[high + 1] = toggles.get(high + 1, 0) ^ 1 << number
    toggles.pop(0x110000, None)
    starts, members, holding = sorted(toggles), [], 0
    for start in starts:
        holding ^= toggles[start]
        members.append(holding)
    return starts, members


_SPACE = ((ord(" "), ord(" ")),)
_EDGE = ((ord(EDGE), ord(EDGE)),)


def _classify(positions: _Positions, whole: _Part, marks: Ranges) -> tuple[list[int], list[int], _Graph]:
    """Numbers the classes: where the intervals of code points begin, their classes, the graph over them."""
    held_by: dict[Ranges, int] = {_EDGE: 0, _SPACE: 0, marks: 0}  # these are told apart in any case
    extending = 0
    for position, label in enumerate(positions.labels):
        if label is not None:
            ranges = label.ranges if isinstance(label, Symbols) else _EDGE
            held_by[ranges] = held_by.get(ranges, 0) | 1 << position
            if isinstance(label, Symbols) and label.extends:
                extending |= 1 << position
    labels = list(held_by)
    starts, members = _partition(labels)
    number: dict[int, int] = {}
    classes = [number.setdefault(holding, len(number)) for holding in members]
    mark_label = labels.index(marks)
    chained = sum(1 << p for p, following in enumerate(positions.follow) if p and following >> (p - 1) & 1)
    jumps = tuple(following & ~(1 << p >> 1) for p, following in enumerate(positions.follow))
    graph = _Graph(
        chained=chained,
        jumps=jumps,
        jumping=sum(1 << position for position, others in enumerate(jumps) if others),
        last=whole.last,
        extending=extending,
        spaces=held_by[_SPACE],
        takes=tuple(_union([held_by[label] for label in labels], holding) for holding in number),
        marks=tuple(bool(marks) and bool(holding >> mark_label & 1) for holding in number),
        edge=classes[starts.index(ord(EDGE))],
        space=classes[starts.index(ord(" "))],
    )
    return starts, classes, graph


def _determinize(graph: _Graph, budget: _Budget) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The table of all states that can be reached, `(n_states, n_classes)`, and which of them accept.

    A state is a set of positions and whether a match ends at the symbol that led there. The two are apart
    because an EDGE that nobody asked for keeps the positions, while no match ends at it.
    """
    number = {(1, False): 0}
    rows: list[list[int]] = []
    states = [(1, False)]
    for state, _ in states:
        budget.spend((state & graph.jumping).bit_count() + len(graph.takes))
        following = graph.after(state)
        row = []
        for symbol_class, takes in enumerate(graph.takes):
            reached = newly = following & takes
            absorbers = graph.absorbers(symbol_class)
            while newly and absorbers:
                budget.spend(newly.bit_count())
                newly = graph.after(newly) & absorbers & ~reached
                reached |= newly
            if graph.marks[symbol_class]:
                reached |= state & graph.extending
            kept = state if symbol_class == graph.edge else 1
            target = (reached | kept, bool(reached & graph.last))
            if target not in number:
                if len(number) == budget.max_states:
                    budget.refuse(f"it needs more than {budget.max_states:,} states")
                number[target] = len(number)
                states.append(target)
            row.append(number[target])
        rows.append(row)
    return np.array(rows, dtype=np.int32), np.array([accepts for _, accepts in states], dtype=np.bool_)


def _minimize(table: NDArray[np.int32], accepting: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The smallest table that accepts the same, its states numbered breadth first from the start, which is 0.

    Moore's refinement, a whole round at a time: states are split by the blocks that their rows lead to,
    compared by a 64-bit hash. Two hashes that agree by accident could merge states that differ, and so the
    result is checked at the end; the next seed is for that case. States of different distance from a match
    differ: beginning with that spares a long chain of states one round for each of its links.
    """
    distances = _distances(table, accepting)
    for seed in range(8):
        random = np.random.Generator(np.random.PCG64(seed))
        names = random.integers(0, 2**64, size=len(table), dtype=np.uint64)
        weights = random.integers(0, 2**63, size=table.shape[1] + 1, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        _, block = np.unique(distances, return_inverse=True)
        count = 0
        while count < block.max() + 1:
            count = int(block.max()) + 1
            named = names[block]
            _, block = np.unique(named * weights[0] + named[table] @ weights[1:], return_inverse=True)
        _, first = np.unique(block, return_index=True)
        if np.array_equal(block[table], block[table[first]][block]) and np.array_equal(
            accepting, accepting[first][block]
        ):
            return _renumber(block[table[first]], accepting[first], int(block[0]))
    raise AssertionError("eight hashes of 64 bits failed in a row")


def _distances(table: NDArray[np.int32], accepting: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The fewest symbols from each state to an accepting one, `(n_states,)`: there is a way from each."""
    sources = np.argsort(table, axis=None, kind="stable") // table.shape[1]
    begins = np.searchsorted(np.sort(table, axis=None), np.arange(len(table) + 1)).tolist()
    distances = np.full(len(table), -1)
    level, distance = np.flatnonzero(accepting), 0
    while len(level):
        distances[level] = distance
        before = np.concatenate([sources[begins[state] : begins[state + 1]] for state in level.tolist()])
        level, distance = np.unique(before[distances[before] < 0]), distance + 1
    return distances


def _renumber(
    table: NDArray[np.int64], accepting: NDArray[np.bool_], start: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """The same automaton with its states in breadth-first order, so that equal languages get equal tables."""
    order = {start: 0}
    rows = table.tolist()
    queue = [start]
    for state in queue:
        for target in rows[state]:
            if target not in order:
                order[target] = len(order)
                queue.append(target)
    renamed = np.array([order[state] for state in range(len(rows))], dtype=np.int32)
    return renamed[table[queue]], accepting[queue]


def _shortest(table: NDArray[np.int32], accepting: NDArray[np.bool_], edge: int) -> int:
    """The fewest symbols, EDGE not counted, that lead from the start to an accepting state."""
    rows, accepts = table.tolist(), accepting.tolist()
    level, seen, length = [0], {0}, 0
    while True:
        for state in level:  # grows by what an EDGE leads to
            if rows[state][edge] not in seen:
                seen.add(rows[state][edge])
                level.append(rows[state][edge])
        if any(accepts[state] for state in level):
            return length
        level = list(dict.fromkeys(target for state in level for target in rows[state] if target not in seen))
        seen.update(level)
        length += 1


class _ClassOf(dict[str, int]):
    """symbol -> class, each looked up once."""

    def __init__(self, starts: list[int], classes: list[int]) -> None:
        super().__init__()
        self.starts, self.classes = starts, classes

    def __missing__(self, symbol: str) -> int:
        self[symbol] = found = self.classes[bisect_right(self.starts, ord(symbol)) - 1]
        return found


class Automaton:
    """A search for one regular expression in a stream of folded symbols: a finite automaton as a table.

    Begin at `start`, and `step` over the symbols of a text, EDGE among them: `accepting` says of each state
    whether a match ends at the symbol just read, wherever it began. All of it is immutable: a state is an
    int, and going back to an earlier one is free. Two automata are equal if they were made from one pattern
    and find the same; they can be hashed and pickled. Made by `ggufban.bans.regex.compile_regex`.

    The states are as few as they can be, and `start` is what every text leads back to of which nothing
    matters any more: see `is_resting`.
    """

    __slots__ = (
        "_class_of", "_graph", "_preceding", "_rows", "accepting_mask", "classes", "max_length", "min_length",
        "pattern", "starts", "table",
    )  # fmt: skip

    pattern: str
    """What it was made from."""
    table: NDArray[np.int32]
    """`(n_states, n_classes)` int32, read-only: `table[state, class]` is the next state."""
    accepting_mask: NDArray[np.bool_]
    """`(n_states,)` bool, read-only: `accepting` of every state."""
    starts: NDArray[np.uint32]
    """`(n,)` uint32, ascending from 0, read-only: where the intervals of code points of one class begin."""
    classes: NDArray[np.int32]
    """`(n,)` int32, read-only: the class of each of these intervals."""
    min_length: int
    """Symbols of the shortest match, EDGE not counted; at least 1."""
    max_length: int | None
    """Symbols that no match exceeds, EDGE not counted; None if there is no bound."""

    def __init__(
        self,
        pattern: str,
        table: NDArray[np.int32],
        accepting_mask: NDArray[np.bool_],
        starts: NDArray[np.uint32],
        classes: NDArray[np.int32],
        max_length: int | None,
        graph: _Graph,
    ) -> None:
        self.pattern, self.max_length, self._graph = pattern, max_length, graph
        self.table, self.accepting_mask, self.starts, self.classes = table, accepting_mask, starts, classes
        for array in self._arrays():
            array.setflags(write=False)
        self.min_length = _shortest(table, accepting_mask, graph.edge)
        self._rows: list[list[int]] = table.tolist()
        self._class_of = _ClassOf(starts.tolist(), classes.tolist())
        self._preceding: list[int] = []

    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.table, self.accepting_mask, self.starts, self.classes

    def __reduce__(self) -> tuple[object, ...]:
        return Automaton, (self.pattern, *self._arrays(), self.max_length, self._graph)

    def _identity(self) -> tuple[object, ...]:
        return self.pattern, *(array.tobytes() for array in self._arrays())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Automaton) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash((self.pattern, self.table.shape))

    def __repr__(self) -> str:
        return f"Automaton({self.pattern!r}, {self.n_states} states, {self.n_classes} classes)"

    @property
    def start(self) -> int:
        """The state before any symbol: always 0."""
        return 0

    @property
    def n_states(self) -> int:
        """How many states there are."""
        return len(self.table)

    @property
    def n_classes(self) -> int:
        """How many classes of symbols there are: the columns of `table`."""
        return int(self.table.shape[1])

    def classify(self, code_points: NDArray[np.uint32]) -> NDArray[np.int32]:
        """The class of every symbol, an int32 array of the shape of `code_points`; EDGE is U+D800."""
        return self.classes[np.searchsorted(self.starts, code_points, side="right") - 1]

    def step(self, state: int, symbol: str) -> int:
        """The state after one more symbol, a string of length 1."""
        return self._rows[state][self._class_of[symbol]]

    def accepting(self, state: int) -> bool:
        """Whether a match ends at the symbol that led here (an EDGE only if the pattern asks for one)."""
        return bool(self.accepting_mask[state])

    def is_resting(self, state: int) -> bool:
        """Whether nothing read so far matters any more.

        Whatever follows, whether and where a match ends is the same as if the text began here, and
        `latest_start` of it is not before here.
        """
        return state == 0

    def find_start(self, symbols: str, end: int) -> int:
        r"""Where the longest match in `symbols` that ends at `end` begins: the one to show.

        The match is `symbols[begin:end]`, without the EDGE that a `\b` at its beginning takes. Takes time in
        proportion to the match, or to how far back something could still belong to one. `ValueError` if no
        match ends at `end`.
        """
        return min(self._begins(symbols, end))

    def latest_start(self, symbols: str, end: int) -> int:
        """Where the shortest match in `symbols` that ends at `end` begins: the one to undo.

        As `find_start`, but never before a place where the state was resting, so that text which was released
        at such a place need not be taken back.
        """
        return max(self._begins(symbols, end))

    def _begins(self, symbols: str, end: int) -> list[int]:
        """Where the matches that end at `end` begin, descending: the positions are walked backwards."""
        graph, preceding, found = self._graph, self._precede(), []
        alive = graph.last
        for index in range(end - 1, -1, -1):
            symbol_class = self._class_of[symbols[index]]
            newly, absorbers = alive, graph.absorbers(symbol_class)
            while newly := _union(preceding, newly & absorbers) & graph.takes[symbol_class] & ~alive:
                alive |= newly
            before = _union(preceding, alive & graph.takes[symbol_class])
            if before & 1:
                found.append(index + (symbol_class == graph.edge))
            if graph.marks[symbol_class]:
                before |= alive & graph.extending
            if symbol_class == graph.edge and index < end - 1:
                before |= alive
            alive = before & ~1
            if not alive:
                break
        if not found:
            raise ValueError(f"no match of {self.pattern!r} ends at {end}")
        return found

    def _precede(self) -> list[int]:
        """For every position, what may stand before it; made when first asked for."""
        if not self._preceding:
            preceding = [0] * len(self._graph.jumps)
            for position in range(len(preceding)):
                for other in _bits(self._graph.after(1 << position)):
                    preceding[other] |= 1 << position
            self._preceding = preceding
        return self._preceding


def build(pattern: str, tree: Node, marks: Ranges, *, max_states: int) -> Automaton:
    """The automaton that searches for `tree`; `marks` are the combining marks there can be in a stream.

    `tree` takes at least one symbol. `BanError` if that needs more than `max_states` states, or too much
    work.
    """
    budget = _Budget(max_states)
    positions = _Positions(budget)
    whole = positions.add(tree)
    positions.follow[0] = whole.first
    starts, classes, graph = _classify(positions, whole, marks)
    table, accepting = _minimize(*_determinize(graph, budget))
    return Automaton(
        pattern,
        table,
        accepting,
        np.array(starts, dtype=np.uint32),
        np.array(classes, dtype=np.int32),
        greatest_length(tree, marks=bool(marks)),
        graph,
    )
