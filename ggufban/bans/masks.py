"""Sets of token ids: those that many states share, what a state adds to them, and a cache that forgets."""

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayCache", "Base", "joined"]

_NONE = np.empty(0, dtype=np.int32)


class Base:
    """A set of tokens as a mask, and as ids that many states share."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask
        self.ids = np.flatnonzero(mask).astype(np.int32)
        self.ids.flags.writeable = False


def joined(base: Base, parts: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The ids of `base` and of `parts`, ascending; `base.ids` itself if the parts add nothing."""
    extra = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else _NONE
    if len(extra):
        extra = extra[~base.mask[extra]]
    if not len(extra):
        return base.ids
    if len(extra) > 1:
        extra.sort()
        extra = extra[np.append(extra[1:] != extra[:-1], True)]
    ids = base.ids
    places = ids.searchsorted(extra)
    result = np.empty(len(ids) + len(extra), dtype=np.int32)
    if len(extra) <= 16:  # a few long stretches are copied faster than a mask is made
        begin = 0
        for at, (place, token) in enumerate(zip(places.tolist(), extra.tolist(), strict=True)):
            result[begin + at : place + at] = ids[begin:place]
            result[place + at] = token
            begin = place
        result[begin + len(extra) :] = ids[begin:]
    else:
        places += np.arange(len(extra))
        rest = np.ones(len(result), dtype=bool)
        rest[places] = False
        result[places] = extra
        result[rest] = ids
    return result


class ArrayCache:
    """Arrays by key, the least recently used forgotten when they take too much memory."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._arrays: OrderedDict[tuple[object, ...], tuple[int, NDArray[np.int32]]] = OrderedDict()

    def get(self, key: tuple[object, ...]) -> NDArray[np.int32] | None:
        """The array of a key, or None if there is none (any more)."""
        found = self._arrays.get(key)
        if found is None:
            return None
        self._arrays.move_to_end(key)
        return found[1]

    def clear(self) -> None:
        """Forgets everything."""
        self._arrays.clear()
        self._size = 0

    def put(self, key: tuple[object, ...], array: NDArray[np.int32], shared: bool) -> None:
        """Keeps an array, from now on read-only; a shared one costs nothing but its key."""
        array.flags.writeable = False
        size = 400 + (0 if shared else array.nbytes)
        self._arrays[key] = size, array
        self._size += size
        while self._size > self._limit:
            self._size -= self._arrays.popitem(last=False)[1][0]
