"""Needles x index: from which tail which tokens complete a match.

A token is illegal after the tail `u` if what it reads as completes a needle, and there are two ways to do so. The
needle lies wholly inside the token: worked out once, in `Spans.inside`. Or the needle is `v + r`, where `v` is an
end of `u` and the reading begins with `r`: for every needle and every place to cut it, the tokens that begin with
`r` are a range of the sorted readings. All of those ranges are looked up while compiling, at once, and kept
sorted by (length of `v`, place of the needle), so that the ones for a tail are a slice.

The rest `r` is looked up as a token would read on its own, so what a context changes is undone first:

| `v` ends in | `r` begins with | readings that begin with |
|---|---|---|
| a word symbol | an edge | `r` without its edge (a token that begins with no word symbol) |
| a word symbol | a word symbol | edge + `r` |
| other | anything | `r` |
| a space | anything | `r`, and also space + `r` (the space is swallowed) |

The rest that is nothing but an edge is left to the matcher: it is completed by every token that begins with no
word symbol, and by the end of the text.
"""

import numpy as np
from numpy.typing import NDArray

from ggufban.bans.folding import EDGE, OTHER, SPACE, SPACING, WORD
from ggufban.bans.index import Codes, Hashes, Index, codes_of, kinds_of, prepend
from ggufban.bans.needles import Needles

__all__ = ["Spans"]

_EDGE = ord(EDGE)
_NONE = np.empty(0, dtype=np.int32)


class Spans:
    """Where the needles of a list meet the readings of a vocabulary."""

    def __init__(self, needles: Needles, index: Index) -> None:
        self._index = index
        codes = codes_of("".join(needles.strings))
        sizes = np.fromiter(map(len, needles.strings), dtype=np.int32, count=len(needles))
        ends = np.cumsum(sizes, dtype=np.int32)
        hashes = Hashes(codes)
        whole = hashes(ends - sizes, ends)
        self._look_up_rests(codes, sizes, ends, hashes)
        del hashes
        self.inside = self._find_inside(codes[ends - sizes], codes[ends - 1], sizes, whole)
        """`inside[waiting][last]`: is a whole needle inside each token's reading, `(n_vocab,)` bool.

        `waiting` tells open readings (True) from closed ones, `last` is the kind of the symbol before.
        """

    def _look_up_rests(self, codes: Codes, sizes: NDArray[np.int32], ends: NDArray[np.int32], hashes: Hashes) -> None:
        """Fills the table: slots (ascending), ranges of `index.order`, lengths of the rests."""
        owner = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        end = ends[owner]
        kinds = kinds_of(codes)
        before = np.zeros_like(kinds)
        before[1:] = kinds[:-1]
        is_edge = codes == _EDGE
        usable = np.ones(len(codes), dtype=bool)
        usable[ends - sizes] = False  # nothing is cut off
        usable[1:] &= ~is_edge[:-1]  # a tail ends in a symbol of the text
        usable[ends[is_edge[ends - 1]] - 1] = False  # the rest is only an edge
        self._width = len(sizes) + 1
        rows: list[tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]] = []

        def look_up(where: NDArray[np.bool_], skip: int, head: str) -> None:
            """Looks up `head` + the rests from `where` on, without their first `skip` symbols."""
            cuts = np.flatnonzero(where & usable).astype(np.int32)
            found = hashes(cuts + np.int32(skip), end[cuts])
            lengths = end[cuts] - cuts + np.int32(len(head) - skip)
            at, lows, highs = self._index.look_up(prepend(head, found) if head else found, lengths)
            owners = owner[cuts[at]]
            slots = (cuts[at] - (ends - sizes)[owners]).astype(np.int64) * self._width + owners
            rows.append((slots, lows, highs, lengths[at]))

        in_word = before == WORD
        look_up(in_word & is_edge, 1, "")
        look_up(in_word & ~is_edge, 0, EDGE)
        look_up(~in_word, 0, "")
        look_up(before == SPACING, 0, SPACE)
        slots, self._lows, self._highs, self._lengths = (np.concatenate(column) for column in zip(*rows, strict=True))
        order = np.argsort(slots, kind="stable")
        self._slots = slots[order]
        self._lows, self._highs, self._lengths = self._lows[order], self._highs[order], self._lengths[order]

    def after(self, ends: list[tuple[str, int, int]], waiting: bool) -> NDArray[np.int32]:
        """The tokens that complete a needle begun in a tail, in no order, perhaps repeated.

        `ends` are the tail's (`Needles.ends`). Tokens that complete a needle by nothing but its edge are left out.
        """
        parts = []
        for end, low, high in ends:
            slots = len(end) * self._width
            first, beyond = self._slots.searchsorted((slots + low, slots + high)).tolist()
            if first + 1 == beyond:
                parts.append(self._row(first, waiting))
            elif first < beyond:
                parts.append(self._rows(slice(first, beyond), waiting))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else _NONE

    def _row(self, row: int, waiting: bool) -> NDArray[np.int32]:
        """The tokens of one row of the table; with `waiting` those whose open reading holds the whole rest."""
        ranks = slice(self._lows[row], self._highs[row])
        tokens = self._index.order[ranks]
        return tokens[self._index.opens_sorted[ranks] >= self._lengths[row]] if waiting else tokens

    def _rows(self, rows: slice, waiting: bool) -> NDArray[np.int32]:
        """The tokens of several rows: as `_row`, for all of them at once."""
        lows = self._lows[rows]
        sizes = self._highs[rows] - lows
        ends = np.cumsum(sizes)
        ranks = np.arange(ends[-1])
        ranks += np.repeat(lows - (ends - sizes), sizes)
        if waiting:
            ranks = ranks[self._index.opens_sorted[ranks] >= np.repeat(self._lengths[rows], sizes)]
        return self._index.order[ranks]

    def _find_inside(
        self, heads: Codes, tails: Codes, sizes: NDArray[np.int32], whole: NDArray[np.uint64]
    ) -> dict[bool, dict[int, NDArray[np.bool_]]]:
        """For open and closed readings, and each kind of symbol before: is a whole needle inside the token?

        The needles are given by their first and last symbols, their lengths and hashes.
        """
        index = self._index
        inside = {w: {k: np.zeros(len(index), dtype=bool) for k in (OTHER, WORD, SPACING)} for w in (True, False)}
        if not len(sizes):
            return inside
        owner = np.repeat(np.arange(len(index), dtype=np.int32), index.closes)
        readings = Hashes(index.codes)
        edges = np.flatnonzero(index.codes == _EDGE)
        for is_left, is_right in ((True, True), (True, False), (False, True), (False, False)):
            group = ((heads == _EDGE) == is_left) & ((tails == _EDGE) == is_right)
            places = edges if is_left else np.flatnonzero(_among(index.codes, heads[group]))
            room = index.starts[1:][owner[places]] - places
            for length in np.unique(sizes[group]).tolist():
                at = places[room >= length]
                if is_right:
                    at = at[index.codes[at + length - 1] == _EDGE]
                wanted = np.sort(whole[group & (sizes == length)])
                found = readings(at, at + length)
                where = np.searchsorted(wanted, found)
                where[where == len(wanted)] = 0
                self._note(inside, at[wanted[where] == found], length, owner)
        return inside

    def _note(
        self,
        inside: dict[bool, dict[int, NDArray[np.bool_]]],
        places: NDArray[np.int64],
        length: int,
        owner: NDArray[np.int32],
    ) -> None:
        """Records needles of `length` symbols found at `places` of the index."""
        tokens = owner[places]
        offsets = places - self._index.starts[tokens]
        is_open = offsets + length <= self._index.opens[tokens]
        heads = self._index.codes[places]
        for waiting in (True, False):
            counts = is_open if waiting else np.ones(len(places), dtype=bool)
            inside[waiting][OTHER][tokens[counts]] = True
            inside[waiting][WORD][tokens[counts & ((offsets > 0) | (heads != _EDGE))]] = True
            inside[waiting][SPACING][tokens[counts & ((offsets > 0) | (heads != ord(SPACE)))]] = True


def _among(codes: Codes, wanted: Codes) -> NDArray[np.bool_]:
    """Which of `codes` are in `wanted`."""
    table = np.zeros(0x110000, dtype=bool)
    table[wanted] = True
    return table[codes]
