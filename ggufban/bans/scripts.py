"""`script:Han`: the script of a character, which Python's `unicodedata` does not know.

The table is `scripts.txt` beside this file: the property *Script* of the Unicode Character Database, its
version and source at its head. Each code point has exactly one script. Two of them are no writing system:
`Common` holds what many share (digits, punctuation, white space, emoji) and `Inherited` the marks that take
the script of the character before them. The property *Script_Extensions*, which lists for a shared
character the scripts that use it, is left aside on purpose: under it `script:Han` would also find `、`, `「`
and the digits of Japanese text, and `script:Latin` a combining accent on a Greek letter.
"""

import re
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ggufban.errors import BanError

__all__ = ["SCRIPTS", "UNICODE_VERSION", "script_of", "script_ranges"]


def _load() -> tuple[str, dict[str, str], dict[str, str]]:
    """Unicode's version, code -> name, and name -> ranges as they are written."""
    text = (files("ggufban.bans") / "scripts.txt").read_text(encoding="utf-8")
    version = re.search(r"Scripts-([\d.]+)", text)
    names, ranges = {}, {}
    for line in text.splitlines():
        if not line.startswith("#"):
            code, name, spans = line.split(" ", 2)
            names[code], ranges[name] = name, spans
    return version[1] if version else "", names, ranges


UNICODE_VERSION, _NAMES, _SPANS = _load()
SCRIPTS: tuple[str, ...] = tuple(sorted(_SPANS))
"""The names of all scripts, as Unicode writes them: `Arabic`, `Old_Italic`, `Han` …"""


def _key(name: str) -> str:
    """Case, spaces, hyphens and underscores do not matter (UAX #44, LM3)."""
    return re.sub(r"[\s_-]", "", name).casefold()


_BY_KEY = {_key(alias): name for code, name in _NAMES.items() for alias in (code, name)}
_BY_KEY.update({"qaac": "Coptic", "qaai": "Inherited"})  # older codes that Unicode keeps as aliases

_LANGUAGES = {
    "chinese": "Han",
    "english": "Latin",
    "japanese": "Hiragana, Katakana and Han, one line each",
    "korean": "Hangul",
    "persian": "Arabic",
    "russian": "Cyrillic",
    "ukrainian": "Cyrillic",
}


def script_ranges(name: str) -> NDArray[np.uint32]:
    """The code points of a script, `(n, 2)` uint32: inclusive ranges, ascending and apart; read-only.

    `name` is Unicode's name or the four-letter code of ISO 15924 (`Han`, `hani`, `Old Italic`). `BanError`,
    with names that are close to it, if there is no such script.

    >>> [(hex(low), hex(high)) for low, high in script_ranges("Thai").tolist()]
    [('0xe01', '0xe3a'), ('0xe40', '0xe5b')]
    """
    found = _BY_KEY.get(_key(name))
    if found is None:
        raise BanError(f"there is no script {name.strip()!r}{_advice(name)}")
    return _ranges(found)


def _advice(name: str) -> str:
    if language := _LANGUAGES.get(_key(name)):
        return f", which is a language; its script is {language}"
    close = get_close_matches(_key(name), _BY_KEY, n=4, cutoff=0.7)
    names = sorted({_BY_KEY[key] for key in close})
    if names:
        return f"; did you mean {' or '.join(names)}?"
    return "; scripts are called as in Unicode: Latin, Cyrillic, Greek, Arabic, Hebrew, Han, Hiragana, Hangul …"


@cache
def _ranges(name: str) -> NDArray[np.uint32]:
    ends = [span.partition("-") for span in _SPANS[name].split()]
    pairs = [(int(low, 16), int(high or low, 16)) for low, _, high in ends]
    array = np.array(pairs, dtype=np.uint32)
    array.setflags(write=False)
    return array


@cache
def _index() -> tuple[NDArray[np.uint32], NDArray[np.uint32], list[str]]:
    """All ranges of all scripts, ascending by where they begin: lows, highs, and whose they are."""
    triples = sorted((low, high, name) for name in SCRIPTS for low, high in _ranges(name).tolist())
    lows, highs, names = zip(*triples, strict=True)
    return np.array(lows, dtype=np.uint32), np.array(highs, dtype=np.uint32), list(names)


def script_of(char: str) -> str:
    """The name of the script of one character; `Unknown` if it has none (unassigned, private, surrogate).

    >>> [script_of(char) for char in "aж中あ7"]
    ['Latin', 'Cyrillic', 'Han', 'Hiragana', 'Common']
    """
    lows, highs, names = _index()
    code_point = ord(char)
    place = int(np.searchsorted(lows, code_point, side="right")) - 1
    return names[place] if place >= 0 and code_point <= highs[place] else "Unknown"
