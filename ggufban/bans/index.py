"""A vocabulary's symbols, sorted once and cached on disk.

The *reading* of a token is what its piece adds to the symbols of a text when it stands alone: `#cat` for ` cat`
without its space, ` #cat` with it (`#` is the edge). Its *closed* reading is what it adds when the text ends with
it: an unfinished character becomes U+FFFD, and a word is closed by an edge. What came before changes a reading
only at its very beginning (an edge more or less, a space swallowed by the space before it), so that one sorted
array serves every state.

To look up thousands of strings at once, every beginning of every closed reading is kept with a 64-bit hash and
the range of the sorted readings that begin with it.
"""

import codecs
import contextlib
import os
import tempfile
import unicodedata
import zipfile
from collections import OrderedDict
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ggufban.bans.folding import EDGE, OTHER, SPACE, WORD, fold_table, kind
from ggufban.bans.lookalikes import LIKENESS
from ggufban.vocab import Vocab

__all__ = ["ALIKE", "Codes", "Hashes", "Index", "codes_of", "index_of", "kinds_of", "prepend"]

Codes = NDArray[np.uint32]

ALIKE = "alike"
"""The level of an index whose symbols are those of `loose`, reduced to their likenesses."""

_FORMAT = 1
_BREAK = "\udfff"
"""Stands between tokens; a lone surrogate, like EDGE, that no text contains."""
_CUT = "\udffe"
"""Stands for the unfinished character at the end of a token."""
_BASE = np.uint64(0x9E3779B97F4A7C15)
"""The base of the hashes: odd, so that it has an inverse modulo 2**64."""
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))


def _mix(codes: Codes) -> NDArray[np.uint64]:
    """Every symbol as 64 well-mixed bits (the finalizer of splitmix64)."""
    bits = codes.astype(np.uint64)
    bits += np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _powers(base: np.uint64, count: int) -> NDArray[np.uint64]:
    """`base ** 0 ... base ** (count - 1)` modulo 2**64."""
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.multiply.accumulate(factors)


class Hashes:
    """The hashes of all substrings of one array of symbols: sum over j of mix(s[j]) * BASE**j, modulo 2**64."""

    def __init__(self, codes: Codes) -> None:
        self._sums = np.zeros(len(codes) + 1, dtype=np.uint64)
        np.cumsum(_mix(codes) * _powers(_BASE, len(codes)), out=self._sums[1:])
        self._shifts = _powers(_INVERSE, len(codes) + 1)

    def __call__(self, begins: NDArray[np.integer], ends: NDArray[np.integer]) -> NDArray[np.uint64]:
        """The hashes of `codes[begins[i]:ends[i]]`, `(n,)` uint64."""
        found: NDArray[np.uint64] = (self._sums[ends] - self._sums[begins]) * self._shifts[begins]
        return found


def prepend(symbol: str, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The hashes of `symbol` + each string whose hash is given."""
    return _mix(np.array([ord(symbol)], dtype=np.uint32)) + hashes * _BASE


def codes_of(symbols: str) -> Codes:
    """The code points of a string, `(n,)` uint32."""
    if not symbols:
        return np.empty(0, dtype=np.uint32)
    return np.array([symbols]).view(np.uint32)  # a codec that lets lone surrogates pass takes ten times as long


def text_of(codes: Codes) -> str:
    """The string of some code points."""
    closed = np.append(codes, np.uint32(1))  # numpy drops NULs at the end of a string
    return str(closed.view(f"U{len(closed)}")[0])[:-1]


def kinds_of(codes: Codes) -> NDArray[np.uint8]:
    """The kind of every symbol; EDGE and the marks of this module count as OTHER."""
    table = np.zeros(0x110000, dtype=np.uint8)  # memory that is never touched costs nothing
    if len(codes) < 10_000:
        present = np.unique(codes)
    else:
        seen = np.zeros(0x110000, dtype=bool)
        seen[codes] = True
        present = np.flatnonzero(seen).astype(np.uint32)
    table[present] = [OTHER if 0xD800 <= code <= 0xDFFF else kind[chr(code)] for code in present.tolist()]
    return table[codes]


class Index:
    """The readings of every token of a vocabulary at one level of folding.

    `codes` holds the closed readings one after the other: token `t` is `codes[starts[t]:starts[t + 1]]`, of which
    the first `opens[t]` symbols are its open reading. `order` sorts the tokens by closed reading (those of equal
    readings by id). `ragged` are the tokens whose piece begins in the middle of a character, ascending.
    """

    _ARRAYS = ("codes", "starts", "opens", "order", "ragged", "keys", "lows", "highs", "lengths")

    codes: Codes
    starts: NDArray[np.int32]
    opens: NDArray[np.int32]
    order: NDArray[np.int32]
    ragged: NDArray[np.int32]
    keys: NDArray[np.uint64]
    lows: NDArray[np.int32]
    highs: NDArray[np.int32]
    lengths: NDArray[np.int32]

    def __init__(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        for name in self._ARRAYS:
            setattr(self, name, arrays[name])

    @classmethod
    def build(cls, vocab: Vocab, level: str) -> "Index":
        """The index of a vocabulary, worked out (about 2 s for 262,144 tokens)."""
        codes, starts, opens = _readings(vocab, level)
        texts = text_of(codes)
        readings = [texts[begin:end] for begin, end in pairwise(starts.tolist())]
        order = np.array(sorted(range(len(readings)), key=readings.__getitem__), dtype=np.int32)
        keys, lows, highs, lengths = _beginnings(codes, starts, order)
        ragged = [token for token, piece in enumerate(vocab.pieces) if piece and 0x80 <= piece[0] < 0xC0]
        return cls(
            {
                "codes": codes,
                "starts": starts,
                "opens": opens,
                "order": order,
                "ragged": np.array(ragged, dtype=np.int32),
                "keys": keys,
                "lows": lows,
                "highs": highs,
                "lengths": lengths,
            }
        )

    def __len__(self) -> int:
        return len(self.opens)

    @cached_property
    def closes(self) -> NDArray[np.int32]:
        """The length of every token's closed reading."""
        return np.diff(self.starts)

    @cached_property
    def heads(self) -> NDArray[np.uint32]:
        """The first symbol of every token's closed reading, 0 where it is empty."""
        heads = np.zeros(len(self), dtype=np.uint32)
        some = self.closes > 0
        heads[some] = self.codes[self.starts[:-1][some]]
        return heads

    @cached_property
    def opens_sorted(self) -> NDArray[np.int32]:
        """`opens` in the order of `order`."""
        return self.opens[self.order]

    @cached_property
    def texts(self) -> str:
        """`codes` as one string."""
        return text_of(self.codes)

    def look_up(
        self, hashes: NDArray[np.uint64], lengths: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        """Which strings begin a closed reading: their positions, and the ranges of `order` that begin so.

        `hashes` and `lengths` describe the strings. A wrong answer needs two strings of equal length and equal
        64-bit hash; it would make a legal token illegal, never the other way round.
        """
        buckets = (hashes >> self._shift).astype(np.intp)
        at, ends = self._buckets[buckets], self._buckets[buckets + 1]
        left = np.flatnonzero(at < ends)
        found = []
        while len(left):
            equal = self.keys[at[left]] == hashes[left]
            found.append(left[equal])
            left = left[~equal]
            at[left] += 1
            left = left[at[left] < ends[left]]
        where = np.concatenate(found) if found else left
        where = where[self.lengths[at[where]] == lengths[where]]
        rows = at[where]
        return where, self.lows[rows], self.highs[rows]

    @cached_property
    def _shift(self) -> np.uint64:
        """How far to shift a hash to get its bucket: there are as many buckets as keys, about."""
        return np.uint64(64 - max(1, len(self.keys).bit_length()))

    @cached_property
    def _buckets(self) -> NDArray[np.int32]:
        """Where in `keys` each bucket begins, and where the last one ends."""
        counts = np.bincount((self.keys >> self._shift).astype(np.intp), minlength=1 << (64 - int(self._shift)))
        return np.concatenate(([0], np.cumsum(counts))).astype(np.int32)

    def save(self, path: Path, label: str) -> None:
        """Writes the arrays to a file, whole or not at all; `OSError` if that cannot be done."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, label=np.array(label), **{name: getattr(self, name) for name in self._ARRAYS})
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    @classmethod
    def load(cls, path: Path, label: str, n_vocab: int) -> "Index | None":
        """The index in a file, or None if there is none that can be trusted."""
        try:
            with path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
                if str(file["label"]) != label:
                    return None
                index = cls({name: file[name] for name in cls._ARRAYS})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        return index if len(index.starts) == n_vocab + 1 and len(index.order) == n_vocab else None


def _readings(vocab: Vocab, level: str) -> tuple[Codes, NDArray[np.int32], NDArray[np.int32]]:
    """The closed readings of all tokens, where each begins, and how long its open reading is."""
    parts = []
    for piece in vocab.pieces:
        text, used = codecs.utf_8_decode(piece, "replace", False)
        parts.append(text if used == len(piece) else text + _CUT)
    table = fold_table("loose" if level == ALIKE else level, kept=_BREAK + _CUT)
    folded = ("".join(_BREAK + part for part in parts) + _BREAK).translate(table)
    codes = codes_of(folded.translate(LIKENESS) if level == ALIKE else folded)
    kinds = kinds_of(codes)
    repeated = np.zeros(len(codes), dtype=bool)
    repeated[1:] = (codes[1:] == ord(SPACE)) & (codes[:-1] == ord(SPACE))
    codes, kinds = codes[~repeated], kinds[~repeated]

    is_word = kinds == WORD
    edge_before = np.zeros(len(codes), dtype=bool)
    edge_before[1:] = is_word[1:] != is_word[:-1]
    places = np.arange(len(codes)) + np.cumsum(edge_before)
    spread = np.full(len(codes) + int(edge_before.sum()), ord(EDGE), dtype=np.uint32)
    spread[places] = codes

    real = np.zeros(len(spread), dtype=np.int64)  # where a symbol that is text stands, its place + 1
    text_places = places[(codes != ord(_BREAK)) & (codes != ord(_CUT))]
    real[text_places] = text_places + 1
    breaks = places[codes == ord(_BREAK)]
    begins, ends = breaks[:-1] + 1, breaks[1:]
    opens = np.maximum(np.maximum.accumulate(real)[ends] - begins, 0)
    spread[spread == ord(_CUT)] = 0xFFFD
    starts = begins - np.arange(1, len(begins) + 1)  # without the breaks
    starts = np.append(starts, len(spread) - len(breaks))
    return np.delete(spread, breaks), starts.astype(np.int32), opens.astype(np.int32)


def _beginnings(
    codes: Codes, starts: NDArray[np.int32], order: NDArray[np.int32]
) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Every beginning of every reading: its hash (ascending), the range of `order` with it, and its length."""
    counts = np.diff(starts).astype(np.int64)[order]
    ranks = np.repeat(np.arange(len(order)), counts)
    begins = np.repeat(starts[:-1][order].astype(np.int64), counts)
    lengths = np.arange(len(ranks)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    hashes = Hashes(codes)(begins, begins + lengths)
    keys, firsts, sizes = np.unique(hashes, return_index=True, return_counts=True)
    lows = ranks[firsts]
    return keys, lows.astype(np.int32), (lows + sizes).astype(np.int32), lengths[firsts].astype(np.int32)


_RECENT: OrderedDict[tuple[str, str], Index] = OrderedDict()
_KEPT = 4


def index_of(vocab: Vocab, level: str, cache_dir: Path | None) -> Index:
    """The index of a vocabulary: from memory, from `cache_dir`, or built and written there if that works."""
    key = vocab.fingerprint, level
    index = _RECENT.get(key)
    if index is None:
        label = f"ggufban index {_FORMAT}, Unicode {unicodedata.unidata_version}, {level}, {vocab.fingerprint}"
        path = None if cache_dir is None else cache_dir / f"vocab-{vocab.fingerprint[:32]}-{level}.npz"
        index = None if path is None else Index.load(path, label, len(vocab))
        if index is None:
            index = Index.build(vocab, level)
            if path is not None:
                with contextlib.suppress(OSError):
                    index.save(path, label)
        _RECENT[key] = index
        while len(_RECENT) > _KEPT:
            _RECENT.popitem(last=False)
    return index
