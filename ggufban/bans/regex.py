r"""`/not [a-z]+ but/`: a regular expression over folded text -> Automaton.

The syntax is that of Python's `re`, as far as it describes regular languages, and is read by a plain
recursive descent. The text it runs over is the stream of folded symbols, and that decides what things mean:

| written | means |
|---|---|
| a character | its folded symbols: `É` finds `é`, however the text composes it |
| `[a-zé]` | any character that folds as one of these does: at `loose`, `[À-ÿ]` finds plain letters too |
| `.` | any character, white space too: the stream has no lines |
| `[^a-z]` | any character that is none of these, folded |
| white space, `\s` | a run of white space: `\s`, `\s+` and two blanks mean the same |
| `\w`, `\d` | letters, marks, numbers and `_`; decimal digits; `\W`, `\D`, `\S` are all other characters |
| `\p{L}`, `\p{Han}` | a general category or a script of the folded symbol; `\P{L}` is all others |
| `\b` | the edge of a word; a word is letters, marks and numbers, so that `_` is none |
| `( )`, `(?: )`, `(?P<name> )` | a group; nothing is captured |
| `* + ? {2,5}`, `*?` | repetition; lazy ones find the same |
| `(?i)` | is accepted where case is folded anyway |

In `.`, `[^…]`, `\w`, `\W`, `\D`, `\S` and `\p` a character is one symbol with the combining marks that
follow it, if folding decomposes characters: `к.т` finds `кйт`, whose `й` is two symbols.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import NoReturn

from ggufban.bans.automaton import (
    EDGE,
    Automaton,
    Choice,
    Edge,
    Node,
    Ranges,
    Repeat,
    Row,
    Symbols,
    build,
    least_length,
    normalize,
)
from ggufban.bans.scripts import script_ranges
from ggufban.errors import BanError

__all__ = ["EDGE", "Automaton", "compile_regex"]

Fold = Callable[[str], str]

MAX_STATES = 4096
MAX_DEPTH = 50
"""Groups within groups."""


def compile_regex(pattern: str, fold: Fold, *, max_states: int = MAX_STATES) -> Automaton:
    r"""The automaton that searches a stream of folded symbols for `pattern`.

    `fold` maps one code point to its symbols: none, one or several; it is the same for every call with one
    list (what it says is remembered by function). White space is one space whatever `fold` makes of it.

    `BanError`, without source and line, if `pattern` is no regular expression, asks for what is not regular
    (look-around, back-references), holds on to lines, can match the empty text, or needs more than
    `max_states` states or too much time; the message says what to write instead.

    >>> automaton = compile_regex(r"\bdelv(e|ing)\b", str.casefold)
    >>> state = automaton.start
    >>> for symbol in f"{EDGE}we{EDGE} {EDGE}delve{EDGE}":
    ...     state = automaton.step(state, symbol)
    >>> automaton.accepting(state), automaton.min_length, automaton.max_length
    (True, 5, 7)
    """
    parser = _Parser(pattern, fold)
    tree = parser.parse()
    try:
        return build(pattern, tree, parser.marks, max_states=max_states)
    except BanError as error:
        raise _error(pattern, str(error)) from None


def _error(pattern: str, message: str, at: int | None = None) -> BanError:
    """An error that quotes the expression and, where there is one, the place in it."""
    shown = pattern if len(pattern) <= 60 else pattern[:59] + "…"
    where = "" if at is None else f", character {at + 1}"
    return BanError(f"/{shown}/{where}: {message}")


_LAST = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_JAMO = ((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF))
"""The parts of decomposed Hangul syllables."""
_JAMO_AFTER_THE_FIRST = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))


def _complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """All other symbols; EDGE is none."""
    result, low = [], 0
    for first, last in normalize([*ranges, (ord(EDGE), ord(EDGE))]):
        if low < first:
            result.append((low, first - 1))
        low = last + 1
    return (*result, (low, _LAST)) if low <= _LAST else tuple(result)


def _intersection(one: Ranges, two: Ranges) -> Ranges:
    return _complement([*_complement(one), *_complement(two)])


@lru_cache(maxsize=1)
def _categories() -> dict[str, Ranges]:
    """General category, in one letter and in two -> its code points; also "Jamo"."""
    found: dict[str, list[tuple[int, int]]] = {"Jamo": list(_JAMO)}
    low, current = 0, unicodedata.category("\0")
    for code_point in range(1, _LAST + 2):
        category = unicodedata.category(chr(code_point)) if code_point <= _LAST else ""
        if category != current:
            found.setdefault(current, []).append((low, code_point - 1))
            found.setdefault(current[0], []).append((low, code_point - 1))
            low, current = code_point, category
    return {category: _complement(_complement(ranges)) for category, ranges in found.items()}  # without EDGE


@lru_cache(maxsize=64)
def _category(*names: str) -> Ranges:
    return normalize([part for name in names for part in _categories()[name]])


def _symbols(fold: Fold, character: str) -> str:
    return " " if character.isspace() else fold(character)


_BLOCK = 256


@lru_cache(maxsize=8192)
def _changes(fold: Fold, block: int) -> tuple[tuple[int, str], ...]:
    """The code points of one block of 256 that are not their own symbol, and what they are.

    Planes 4 to 13 are unassigned and planes 15 and 16 private: nothing there folds to anything else.
    """
    if block >> 8 not in (0, 1, 2, 3, 14) or block * _BLOCK in range(*_SURROGATES):
        return ()
    pairs = (
        (code_point, _symbols(fold, chr(code_point))) for code_point in range(block * _BLOCK, (block + 1) * _BLOCK)
    )
    return tuple((code_point, symbols) for code_point, symbols in pairs if symbols != chr(code_point))


def _images(fold: Fold, ranges: Ranges) -> tuple[Ranges, frozenset[str]]:
    """What the code points of `ranges` fold to: the single symbols, and the strings of several or none."""
    single, changed, strings = [], [], set()
    for low, high in ranges:
        for block in range(low // _BLOCK, high // _BLOCK + 1):
            for code_point, symbols in _changes(fold, block):
                if low <= code_point <= high:
                    changed.append((code_point, code_point))
                    if len(symbols) == 1:
                        single.append((ord(symbols), ord(symbols)))
                    else:
                        strings.add(symbols)
    unchanged = _intersection(ranges, _complement(changed))
    return normalize([*unchanged, *single]), frozenset(strings)


@lru_cache(maxsize=64)
def _marks(fold: Fold) -> Ranges:
    """The symbols that belong to the character before them: none if folding leaves characters composed."""
    if len(fold("й")) == 1:
        return ()
    candidates = normalize([*_category("M"), *_JAMO_AFTER_THE_FIRST])
    return _intersection(_images(fold, candidates)[0], candidates)


@lru_cache(maxsize=256)
def _others(fold: Fold, members: Ranges) -> Ranges:
    r"""The symbols that are no members, for `[^…]` and `\P{…}`.

    A mark in the image of a member is not a character of its own: `[^а-я]` does not find the breve of `й`.
    """
    inside = {symbol for string in _images(fold, members)[1] for symbol in string}
    parts = _intersection(_category("M", "Jamo"), normalize([(ord(symbol), ord(symbol)) for symbol in inside]))
    return _complement([*members, *parts])


class _Class:
    r"""What stands between brackets, or an escape such as `\w`, while it is read."""

    def __init__(self) -> None:
        self.named: list[tuple[int, int]] = []
        """Characters that are written out: their images count."""
        self.kinds: list[Ranges] = []
        """Kinds of symbols: these are symbols already, and extend where `extends` says so."""
        self.extends = False

    def add_kind(self, ranges: Ranges, *, extends: bool = True) -> None:
        self.kinds.append(ranges)
        self.extends = self.extends or extends

    def node(self, fold: Fold, *, negated: bool) -> Node:
        """The tree of it; a `Choice` of nothing if no symbol can match."""
        kinds = normalize([part for kind in self.kinds for part in kind])
        single, strings = _images(fold, normalize(self.named))
        if negated:
            others = _others(fold, normalize([*self.named, *single, *kinds]))
            return Symbols(others, extends=True) if others else Choice(())
        items: list[Node] = []
        if single:
            items.append(Symbols(single))
        if kinds:
            items.append(Symbols(kinds, self.extends))
        if strings - {""}:
            items.append(_any_of(strings - {""}))
        return items[0] if len(items) == 1 else Choice(tuple(items))


def _any_of(strings: frozenset[str]) -> Node:
    """One of these strings, none of them empty; first symbols with the same continuations are taken together.

    That keeps the 11,172 Hangul syllables, two or three symbols each, at three positions.
    """
    tails: dict[str, set[str]] = {}
    for string in sorted(strings):
        tails.setdefault(string[0], set()).add(string[1:])
    firsts: dict[frozenset[str], list[tuple[int, int]]] = {}
    for first, continuations in tails.items():
        firsts.setdefault(frozenset(continuations), []).append((ord(first), ord(first)))
    items: list[Node] = []
    for tail, ranges in firsts.items():
        rest: Node = _any_of(tail - {""}) if tail != {""} else Row()
        items.append(Row((Symbols(normalize(ranges)), Repeat(rest, 0, 1) if "" in tail else rest)))
    return items[0] if len(items) == 1 else Choice(tuple(items))


def _literal(symbols: str) -> Node:
    items = tuple(Symbols(((ord(symbol), ord(symbol)),)) for symbol in symbols)
    return items[0] if len(items) == 1 else Row(items)


_QUANTIFIER = re.compile(r"[*+?]|\{(?:(\d+)(,?)(\d*)|,(\d*))\}")
_GROUP_NAME = re.compile(r"\?P?<[^\W\d]\w*>")
_FLAGS = re.compile(r"\?([a-zA-Z-]+)([:)])")
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "e": "\x1b"}

_NO_END = (
    "{0} holds on to the beginning or end of a line or text, which a text being written does not have; "
    "write \\b for the edge of a word, or leave it out (for the character itself, write \\{0})"
)
_NO_LOOK_AROUND = (
    "{0} is not supported: a match is what was read, not what stands around it; write the text around it "
    "into the pattern, or \\b for the edge of a word"
)
_NO_REFERENCE = "back-references are not regular; write out the texts that may stand there: (?:aa|bb)"
_NO_REPEAT = "nothing to repeat before {0}; for the character itself, write \\{0}"
_NO_RANGE_END = "a range needs a character at each end; for the hyphen itself, write \\-"
_NO_POSIX = "POSIX classes are not supported; write \\w, \\d, \\s or \\p{L} (for the bracket itself, \\[)"
_UNCLOSED = "this {0} is never closed; for the character itself, write \\{0}"
_GROUPS = {
    "?=": _NO_LOOK_AROUND.format("look-ahead"),
    "?!": _NO_LOOK_AROUND.format("look-ahead"),
    "?<=": _NO_LOOK_AROUND.format("look-behind"),
    "?<!": _NO_LOOK_AROUND.format("look-behind"),
    "?>": "an atomic group never gives back, which is not regular; write (?: ) instead",
    "?P=": _NO_REFERENCE,
    "?(": "a condition on another group is not regular; write out both cases: (?:a…b|c)",
    "?#": "comments do not stand in the pattern; write # and the comment after its last /",
}
"""What may not follow an opening bracket, and why."""


class _Parser:
    """One pattern, read from left to right: `choice` calls `row`, that calls `atom`, that calls `choice`."""

    def __init__(self, pattern: str, fold: Fold) -> None:
        self.pattern = pattern
        self.fold = fold
        self.marks = _marks(fold)
        self.at = 0
        self.depth = 0

    def parse(self) -> Node:
        """The tree of the whole pattern, which takes at least one symbol."""
        tree = self.choice()
        if self.at < len(self.pattern):
            self.fail("this ) closes no group; write \\) for the character", self.at)
        if least_length(tree) == 0:
            self.fail(
                "it matches the empty text, that is, everywhere; let it require at least one character "
                "(+ instead of *), which is not a word edge and does not vanish when folded"
            )
        return tree

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise _error(self.pattern, message, at)

    def ahead(self, text: str) -> bool:
        """Whether `text` comes next; if so, steps over it."""
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) * found
        return found

    def take(self) -> str:
        """The next character; the caller knows that there is one."""
        self.at += 1
        return self.pattern[self.at - 1]

    def choice(self) -> Node:
        items = [self.row()]
        while self.ahead("|"):
            items.append(self.row())
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def row(self) -> Node:
        items: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            items.append(self.quantified(self.atom()))
        return items[0] if len(items) == 1 else Row(tuple(items))

    def quantified(self, item: Node) -> Node:
        at = self.at
        bounds = self.quantifier()
        if bounds is None:
            return item
        if self.ahead("+"):
            self.fail(
                "a possessive repetition never gives back, which is not regular; leave out the last +",
                self.at - 1,
            )
        self.ahead("?")  # lazy: the same texts match
        again = self.at
        if self.quantifier() is not None:
            self.fail("a repetition of a repetition; put the first one in a group: (?:a+){2}", again)
        least, most = bounds
        if most is not None and most < least:
            self.fail(f"at least {least} and at most {most}: the smaller number comes first", at)
        return Repeat(item, least, most)

    def quantifier(self) -> tuple[int, int | None] | None:
        """Steps over `*`, `+`, `?` or `{2,5}` and says how often; any other brace is a character."""
        found = _QUANTIFIER.match(self.pattern, self.at)
        if found is None:
            return None
        if len(found[0]) > 16:
            self.fail("a repetition of more than a million times", self.at)
        self.at = found.end()
        if found[0] in "*+?":
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[0]]
        least, comma, most, only_most = found.groups()
        if least is None:
            return 0, int(only_most) if only_most else None
        return int(least), int(most) if most else None if comma else int(least)

    def atom(self) -> Node:
        at = self.at
        character = self.take()
        match character:
            case "(":
                return self.group(at)
            case "[":
                return self.bracket(at)
            case ".":
                return Symbols(_complement(()), extends=True)
            case "\\":
                return self.escape(at)
            case "^" | "$":
                self.fail(_NO_END.format(character), at)
        if _QUANTIFIER.match(self.pattern, at):
            self.fail(_NO_REPEAT.format(character), at)
        return self.character(character, at)

    def character(self, character: str, at: int) -> Node:
        if 0xD800 <= ord(character) <= 0xDFFF:
            self.fail(f"U+{ord(character):04X} is half a character; write \\U and eight hexadecimal digits", at)
        return _literal(_symbols(self.fold, character))

    def group(self, at: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(f"more than {MAX_DEPTH} groups within groups", at)
        if self.pattern.startswith("?", self.at) and self.extension(at):
            self.depth -= 1
            return Row()
        tree = self.choice()
        if not self.ahead(")"):
            self.fail(_UNCLOSED.format("("), at)
        self.depth -= 1
        return tree

    def extension(self, at: int) -> bool:
        """Steps over what a `(?` means; whether the group is over with it."""
        for mark, why_not in _GROUPS.items():
            if self.pattern.startswith(mark, self.at):
                self.fail(why_not, at)
        if named := _GROUP_NAME.match(self.pattern, self.at):
            self.at = named.end()
            return False
        if flags := _FLAGS.match(self.pattern, self.at):
            self.at = flags.end()
            for flag in flags[1]:
                if flag not in "isu":
                    self.fail(f"the flag {flag} has no meaning here; leave it out", at)
                if flag == "i" and self.fold("A") == "A":
                    self.fail("this list tells upper from lower case (fold='exact'); write both: [Aa]", at)
            return flags[2] == ")"
        if not self.ahead("?:"):
            self.fail("no such group; write ( ) or (?: )", at)
        return False

    def bracket(self, at: int) -> Node:
        """`[…]` after its first bracket."""
        negated = self.ahead("^")
        found = _Class()
        first = self.at
        while not (self.at > first and self.ahead("]")):
            if self.at == len(self.pattern):
                self.fail(_UNCLOSED.format("["), at)
            if self.pattern.startswith(("[:", "[.", "[="), self.at):
                self.fail(_NO_POSIX, self.at)
            self.member(found)
        node = found.node(self.fold, negated=negated)
        if node == Choice(()):
            self.fail("no character can match: all of these vanish, or none is left", at)
        return node

    def member(self, found: _Class) -> None:
        """One character, range or kind in brackets."""
        at = self.at
        low = high = self.class_character(found)
        if self.pattern.startswith("-", self.at) and self.pattern[self.at + 1 : self.at + 2] not in ("", "]"):
            self.at += 1
            high = self.class_character(found)
            if low is None or high is None:
                self.fail(_NO_RANGE_END, at)
            if high < low:
                self.fail(f"the range {self.pattern[at : self.at]} runs backwards; swap its ends", at)
        if low is not None and high is not None:
            found.named.append((ord(low), ord(high)))

    def class_character(self, found: _Class) -> str | None:
        """The next character in brackets; None if it is a kind, which is added to `found`."""
        at = self.at
        character = self.take()
        if character != "\\":
            return character
        if self.at == len(self.pattern):
            self.fail("a backslash at the end; write \\\\ for the character", at)
        if self.pattern[self.at] == "b":
            self.fail("\\b is the edge of a word, which is no character", at)
        return None if self.kind(found, at) else self.escaped_character(at)

    def escape(self, at: int) -> Node:
        """What a backslash outside of brackets means."""
        if self.at == len(self.pattern):
            self.fail("a backslash at the end; write \\\\ for the character", at)
        letter = self.pattern[self.at]
        if self.ahead("b"):
            return Edge()
        if letter == "B":
            self.fail("\\B is not supported; write the characters that may stand there, such as \\w", at)
        if letter in "AZzG":
            self.fail(_NO_END.format("\\" + letter), at)
        if letter in "123456789":
            self.fail(_NO_REFERENCE, at)
        found = _Class()
        if self.kind(found, at):
            return found.node(self.fold, negated=False)
        return self.character(self.escaped_character(at), at)

    def kind(self, found: _Class, at: int) -> bool:
        r"""Adds `\w`, `\d`, `\s`, `\p{…}` or their opposites to `found`, if that is what comes."""
        letter = self.pattern[self.at]
        match letter.lower():
            case "w":
                ranges = normalize([*_category("L", "M", "N"), (ord("_"), ord("_"))])
            case "d":
                ranges = _category("Nd")
            case "s":
                ranges = ((ord(" "), ord(" ")),)
            case "p":
                self.at += 1
                ranges = self.property(at)
            case _:
                return False
        if letter.lower() != "p":
            self.at += 1
        negated = letter.isupper()
        found.add_kind(_others(self.fold, ranges) if negated else ranges, extends=negated or letter not in "ds")
        return True

    def property(self, at: int) -> Ranges:
        r"""The symbols of `{L}`, `{Script=Han}` or `{Han}`, after `\p`."""
        end = self.pattern.find("}", self.at)
        if not self.ahead("{") or end < 0:
            self.fail("write the property in braces: \\p{L}, \\p{Han}", at)
        name = self.pattern[self.at : end]
        self.at = end + 1
        if name in ("Lu", "Lt") and self.fold("A") != "A":
            self.fail(f"\\p{{{name}}}: this list folds upper case; write \\p{{L}}, or fold='exact' for it", at)
        if len(name) <= 2 and name in _categories():
            return _category(name)
        key, _, value = name.rpartition("=")
        if key.lower() not in ("", "script", "sc"):
            self.fail(f"\\p{{{name}}}: only categories (\\p{{L}}, \\p{{Nd}}) and scripts (\\p{{Han}}) are known", at)
        try:
            return tuple((int(low), int(high)) for low, high in script_ranges(value))
        except BanError as error:
            self.fail(f"\\p{{{name}}} is no general category of Unicode, and {error}", at)

    def escaped_character(self, at: int) -> str:
        """The character that an escape stands for, after the backslash."""
        letter = self.take()
        if letter in _HEX_ESCAPES:
            digits = self.pattern[self.at : self.at + _HEX_ESCAPES[letter]]
            self.at += len(digits)
            if not re.fullmatch(rf"[0-9a-fA-F]{{{_HEX_ESCAPES[letter]}}}", digits) or int(digits, 16) > _LAST:
                self.fail(f"\\{letter} needs {_HEX_ESCAPES[letter]} hexadecimal digits, up to 10FFFF", at)
            return chr(int(digits, 16))
        if letter == "N" and (name := re.compile(r"\{([^}]*)\}").match(self.pattern, self.at)):
            self.at = name.end()
            with suppress(KeyError):
                named = unicodedata.lookup(name[1])
                if len(named) == 1:  # sequences of characters have names too
                    return named
            self.fail(f"no character is called {name[1]!r}", at)
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter.isascii() and letter.isalnum():
            self.fail(f"\\{letter} means nothing here; for the character, write {letter} without the backslash", at)
        return letter
