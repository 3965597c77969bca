"""Regular expressions over folded text: examples by hand, mistakes, and Python's `re` as an oracle."""

import os
import pickle
import re
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggufban.bans.automaton import normalize
from ggufban.bans.regex import EDGE, Automaton, compile_regex
from ggufban.errors import BanError

# Three levels of folding, as DESIGN.md defines them but for what no test here needs.


def exact(character: str) -> str:
    return character


def case(character: str) -> str:
    if unicodedata.category(character) == "Cf":
        return ""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", character).casefold())


def loose(character: str) -> str:
    folded = unicodedata.normalize("NFKD", case(character)).casefold()
    return "".join(c for c in folded if unicodedata.category(c) not in ("Mn", "Me") or c == "\u0306")


FOLDS = {"exact": exact, "case": case, "loose": loose}


def is_word(symbol: str) -> bool:
    return unicodedata.category(symbol)[0] in "LMN"


def folded(text: str, fold: str = "exact") -> str:
    """The symbols of a text without its edges."""
    return re.sub(" +", " ", "".join(" " if c.isspace() else FOLDS[fold](c) for c in text))


def stream(text: str, fold: str = "exact") -> str:
    """The symbols of a whole text, edges included."""
    symbols, before = "", False
    for symbol in folded(text, fold):
        symbols += EDGE * (is_word(symbol) != before) + symbol
        before = is_word(symbol)
    return symbols + EDGE * before


def ends(automaton: Automaton, symbols: str) -> list[int]:
    """Where matches end in a stream: the number of symbols read by then."""
    state, found = automaton.start, []
    for index, symbol in enumerate(symbols):
        state = automaton.step(state, symbol)
        if automaton.accepting(state):
            found.append(index + 1)
    return found


def longest(pattern: str, fold: str, text: str) -> str | None:
    """The longest match that ends last, without edges; None if there is no match."""
    automaton, symbols = compile_regex(pattern, FOLDS[fold]), stream(text, fold)
    found = ends(automaton, symbols)
    if not found:
        return None
    return symbols[automaton.find_start(symbols, found[-1]) : found[-1]].replace(EDGE, "")


EXAMPLES = [
    # name, pattern, fold, text, the longest match that ends last
    ("a phrase with a gap", r"not [a-z]+ but", "case", "It is Not  merely but", "not merely but"),
    ("a literal is folded", r"CAFÉ", "case", "cafe\u0301", "cafe\u0301"),
    ("exact keeps case", r"Cat", "exact", "cat", None),
    ("an accent is not its letter", r"cafe\b", "case", "café", None),
    ("accents vanish at loose", r"CAFÉ", "loose", "cafe", "cafe"),
    ("a class is folded", r"[A-C]+", "case", "xabCx", "abc"),
    ("a class of decomposed characters", r"к[а-я]т", "case", "Кйт", "кйт".replace("й", "и\u0306")),
    ("a class that folds to two symbols", r"stra[ß]e", "case", "STRASSE", "strasse"),
    ("Hangul syllables at case", "[가-힣]{2}", "case", "한국", unicodedata.normalize("NFD", "한국")),
    ("no Hangul outside of the class", r"[^가-힣 ]", "case", "한국 말", None),
    ("no breve outside of the class", r"[^а-яё .]", "case", "Мой ёж.", None),
    ("an accent outside of the class", r"[^а-яё .]", "case", "за\u0301мок", "\u0301"),
    ("a Latin letter outside of the class", r"[^а-яё .]", "case", "Мой cёж.", "c"),
    ("a dot takes a decomposed character", r"\bмо.\b", "case", "мой", "мои\u0306"),
    ("a dot takes one symbol", r"c..t", "case", "cat", None),
    ("a dot takes white space", r"a.b", "case", "a\n\nb", "a b"),
    ("a dot takes Hangul whole", r"\b.\b", "case", "각", unicodedata.normalize("NFD", "각")),
    ("word characters", r"\b\w{3}\b", "case", "ab мой", "мои\u0306"),
    ("the underscore is a word character without edges", r"\ba\b_\bb\b", "case", "a_b", "a_b"),
    ("digits", r"\d+\D", "case", "a٣4x", "٣4x"),
    ("white space is one", r"a\s\s\n b", "case", "a b", "a b"),
    ("white space after a dot", r"a.\sb", "case", "a  b", "a b"),
    ("counted white space", r"a {2,5}b", "case", "a b", "a b"),
    ("a bracket of white space", r"a[ \t][\r\n]b", "case", "a\u00a0b", "a b"),
    ("edges are passed over", r"on-line", "case", "an on-line thing", "on-line"),
    ("an edge that is asked for", r"\bcat\b", "case", "catalog cat.", "cat"),
    ("no edge within a word", r"\bcat\b", "case", "catalog", None),
    ("an edge at the end", r"cat\b", "case", "bobcat", "cat"),
    ("an edge twice", r"\b\bcat\b\b", "case", "cat", "cat"),
    ("an edge between brackets", r"\b(?:\bcat|dog\b)\b", "case", "hotdog", None),
    ("an edge of punctuation", r"\b-\b", "case", "a - b a-b", "-"),
    ("no edge of punctuation", r"\b-\b", "case", "a - b", None),
    ("alternatives", r"(?:gr|br)(?P<vowel>e|a)y", "case", "brey", "brey"),
    ("lazy is no different", r"a+?b*?c??d", "case", "aabbcd", "aabbcd"),
    ("braces that repeat nothing", r"a{b}{,x}", "case", "a{b}{,x}", "a{b}{,x}"),
    ("no lower bound", r"xa{,2}y", "case", "xy xaay", "xaay"),
    ("escapes", r"\x41\u0042\U00000043\N{LATIN SMALL LETTER D}\.\/\-", "case", "abcd./-", "abcd./-"),
    ("brackets in brackets", r"[]\][a-]{4}", "case", "][-a", "][-a"),
    ("a hyphen after a kind", r"[\w-]+!", "case", "a-b!", "a-b!"),
    ("not a kind", r"[^\W\d]+!", "case", "1a!", "a!"),
    ("a category", r"\p{Sc}\p{Nd}", "case", "a$5", "$5"),
    ("not a category", r"\P{L}", "case", "abcй", None),
    ("no control character is an edge", r"[\p{C}\p{Cs}]", "case", "a - b", None),
    ("upper case at exact", r"\p{Lu}{2}", "exact", "aBC", "BC"),
    ("a script", r"\p{Han}+\p{Script=Hiragana}", "case", "日本の", "日本の"),
    ("a script by its code", r"\P{Cyrl}", "case", "ёж", None),
    ("astral characters", "[\U00010000-\U0010ffff]", "case", "a😀b", "😀"),
    ("what vanishes in a pattern", "co\u00adop", "case", "coop", "coop"),
    ("what vanishes in a class", "[\u200b\u2010-\u2015-]", "case", "a\u2014", "\u2014"),
    ("a flag", r"(?i)CAT(?s:.)", "case", "cat!", "cat!"),
    ("found wherever it begins", r"aab", "case", "aaab", "aab"),
    ("the longest", r"[a-z]+tion", "case", "a destination", "destination"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "fold", "text", "match"), [row[1:] for row in EXAMPLES], ids=[row[0] for row in EXAMPLES]
)
def test_examples(pattern: str, fold: str, text: str, match: str | None) -> None:
    assert longest(pattern, fold, text) == match


MISTAKES = [
    # pattern, fold, what the message says
    (r"a(?=b)", "case", "character 2: look-ahead is not supported"),
    (r"a(?!b)", "case", "look-ahead"),
    (r"(?<=a)b", "case", "look-behind"),
    (r"(?<!a)b", "case", "look-behind"),
    (r"(a)\1", "case", "character 4: back-references are not regular; write out"),
    (r"(?P<x>a)(?P=x)", "case", "back-references"),
    (r"(a)?(?(1)b|c)", "case", "write out both cases"),
    (r"^a", "case", "^ holds on to the beginning or end"),
    (r"a$", "case", r"write \b for the edge of a word"),
    (r"\Aa", "case", r"\A holds on"),
    (r"a\Z", "case", r"\Z holds on"),
    (r"a\B", "case", r"\B is not supported"),
    (r"a*+b", "case", "leave out the last +"),
    (r"a{2}+b", "case", "possessive"),
    (r"(?>a)", "case", "write (?: ) instead"),
    (r"(?#note)a", "case", "comments"),
    (r"(?x)a", "case", "the flag x has no meaning here"),
    (r"(?i)a", "exact", "[Aa]"),
    (r"(?a", "case", "no such group"),
    (r"(a", "case", "character 1: this ( is never closed"),
    (r"a)", "case", "character 2: this ) closes no group"),
    (r"[a", "case", "this [ is never closed"),
    (r"[]", "case", "this [ is never closed"),
    (r"[z-a]", "case", "the range z-a runs backwards"),
    (r"[\w-z]", "case", "a range needs a character at each end"),
    (r"[a-\d]", "case", "a range needs a character at each end"),
    (r"[[:alpha:]]", "case", "POSIX"),
    (r"[\b]", "case", "which is no character"),
    ("[\u200b]", "case", "vanish"),
    (r"[^\s\S]", "case", "none is left"),
    (r"*a", "case", "nothing to repeat before *"),
    (r"a|{2}", "case", "nothing to repeat before {"),
    (r"a**", "case", "put the first one in a group"),
    (r"a{2}{3}", "case", "put the first one in a group"),
    (r"a{3,2}", "case", "at least 3 and at most 2"),
    (r"a{99999999999999999}", "case", "more than a million"),
    ("a\\", "case", "a backslash at the end"),
    ("[\\", "case", "a backslash at the end"),
    (r"\q", "case", r"\q means nothing here"),
    (r"\0", "case", r"\0 means nothing here"),
    (r"\x4", "case", "2 hexadecimal digits"),
    (r"\U00110000", "case", "up to 10FFFF"),
    (r"\N{NO SUCH}", "case", "no character is called 'NO SUCH'"),
    (r"\N{LATIN SMALL LETTER R WITH TILDE}", "case", "no character is called"),
    (r"\ud800", "case", "half a character"),
    (r"\pL", "case", r"\p{L}"),
    (r"\p{Lu}", "case", r"write \p{L}"),
    (r"\p{Block=Latin}", "case", "only categories"),
    (r"\p{Hann}", "case", "did you mean Han"),
    (r"", "case", "matches the empty text"),
    (r"a*", "case", "matches the empty text"),
    (r"a|", "case", "matches the empty text"),
    (r"(a?b*)*", "case", "matches the empty text"),
    (r"\b", "case", "matches the empty text"),
    (r"a{0}", "case", "matches the empty text"),
    ("\u200b+", "case", "vanish"),
    ("(" * 60 + "a" + ")" * 60, "case", "groups within groups"),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "fold", "message"), MISTAKES, ids=[repr(row[0][:20]) for row in MISTAKES])
def test_mistakes_are_explained(pattern: str, fold: str, message: str) -> None:
    with pytest.raises(BanError, match=re.escape(message)) as caught:
        compile_regex(pattern, FOLDS[fold])
    assert str(caught.value).startswith(f"/{pattern[:59]}")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(a|b)*a(a|b){20}", "more than 4,096 states"),
        (r".{1000}x.{1000}", "more than 4,096 states"),
        (r"((a{100}){100}){100}", "longer than 4,096 symbols"),
        (r"(?:(?:){999}){999}" * 3 + "(a|b){5000}", "longer than 4,096 symbols"),
        (r"x(a?b?c?d?){900}(a*b*c*d*){100}y", "too long to compile"),
    ],
)
def test_what_explodes_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(BanError, match=message):
        compile_regex(pattern, case)


def test_the_bound_on_states_is_the_callers() -> None:
    assert compile_regex("a.{3}b", exact, max_states=64).n_states <= 64
    with pytest.raises(BanError, match="more than 8 states"):
        compile_regex("a.{3}b", exact, max_states=8)


@pytest.mark.parametrize(
    ("pattern", "fold", "states", "least", "most"),
    [
        ("cat", "case", 4, 3, 3),
        ("(?:a?){50}b", "case", 2, 1, 51),  # whatever comes before b does not matter to a search
        (".*b", "exact", 2, 1, None),
        ("(ab|cd)e{2}", "exact", 6, 4, 4),
        ("é", "case", 3, 2, 2),
        ("c.t", "exact", 6, 3, 3),
        ("c.t", "case", 6, 3, None),  # any number of marks may follow the character in the middle
        (r"a\s\sb", "exact", 5, 3, 4),  # one space serves twice
        ("ab?", "exact", 4, 1, 2),  # start, a, ab, and a with an edge after it, where no match ends
        (r"(?:\b){9}a(?:b{0}){9}", "exact", 3, 1, 1),
    ],
)  # fmt: skip
def test_sizes_worked_by_hand(pattern: str, fold: str, states: int, least: int, most: int | None) -> None:
    automaton = compile_regex(pattern, FOLDS[fold])
    assert (automaton.n_states, automaton.min_length, automaton.max_length) == (states, least, most)


# Python's re as an oracle. A pattern is made together with what it means to re: a mark (U+0301 and U+0306
# here) is a word character and belongs to the character before it; one space stands for several in a row.

MARK = "[\u0301\u0306]"
WORD = "[\\w\u0301\u0306]"
ATOMS = {
    # ours: what it means to re, over folded symbols
    "a": "a",
    "и": "и",
    "й": "и\u0306",
    "-": "-",
    ".": f"(?:.{MARK}*)",
    "[aи]": "[aи]",
    "[а-й]": "(?:[а-и]|и\u0306)",
    "[^a-]": f"(?:[^a-]{MARK}*)",
    "[^й]": f"(?:[^\u0306]{MARK}*)",
    r"\w": f"(?:{WORD}{MARK}*)",
    r"\W": f"(?:(?!{WORD}).{MARK}*)",
}
SPACES = {r"\s": "(?: |(?<= ))", " ": "(?: |(?<= ))"}
EDGES = {r"\b": f"(?:(?<={WORD})(?!{WORD})|(?<!{WORD})(?={WORD}))"}
TEXTS = st.text("aийb- \u0301", max_size=9)


@dataclass(frozen=True)
class Twin:
    """A pattern, and the same for `re`."""

    ours: str
    theirs: str

    def found(self, symbols: str, begin: int, end: int) -> bool:
        """Whether re finds a match from `begin` to `end`, seeing the symbols before it and no others."""
        return re.compile(self.theirs).fullmatch(symbols, begin, end) is not None


def twins(atoms: dict[str, str]) -> st.SearchStrategy[Twin]:
    leaves = st.sampled_from([Twin(*pair) for pair in atoms.items()])

    def grown(inner: st.SearchStrategy[Twin]) -> st.SearchStrategy[Twin]:
        several = st.lists(inner, min_size=2, max_size=4)
        repeats = st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}", "*?", "{,2}"])
        return st.one_of(
            several.map(lambda parts: Twin("".join(p.ours for p in parts), "".join(p.theirs for p in parts))),
            several.map(
                lambda parts: Twin(f"({'|'.join(p.ours for p in parts)})", f"(?:{'|'.join(p.theirs for p in parts)})")
            ),
            st.tuples(inner, repeats).map(
                lambda pair: Twin(f"(?:{pair[0].ours}){pair[1]}", f"(?:{pair[0].theirs}){pair[1]}")
            ),
        )

    return st.recursive(leaves, grown, max_leaves=6)


def compiled(twin: Twin) -> Automaton | None:
    """The automaton of a twin; None if it can match the empty text, and then it must be that."""
    try:
        return compile_regex(twin.ours, case)
    except BanError as error:
        assert "matches the empty text" in str(error)  # noqa: PT017 (any other mistake is a failure)
        return None


@settings(max_examples=2000, deadline=None)
@given(twins(ATOMS | SPACES | EDGES), TEXTS)
def test_matches_end_where_re_says(twin: Twin, text: str) -> None:
    automaton = compiled(twin)
    if automaton is None:
        return
    symbols = folded(text, "case")
    for end in range(1, len(symbols) + 1):
        expected = any(twin.found(symbols, begin, end) for begin in range(end))
        found = ends(automaton, stream(symbols[:end]))
        last = len(stream(symbols[:end]).rstrip(EDGE))
        assert bool(found and found[-1] >= last) == expected, symbols[:end]


def begins(twin: Twin, plain: str, end: int, *, edge: bool) -> list[int]:
    """Where matches begin that end at `end`, in a text that goes on with an edge or without one."""
    following = "a" if is_word(plain[end - 1]) != edge else "-"
    text = Twin(twin.ours, f"(?:{twin.theirs}){following}")
    return [begin for begin in range(end) if text.found(plain[:end] + following, begin, end + 1)]


@settings(max_examples=2000, deadline=None)
@given(twins(ATOMS | EDGES), TEXTS)
def test_matches_begin_where_re_says(twin: Twin, text: str) -> None:
    automaton = compiled(twin)
    if automaton is None:
        return
    symbols = stream(text, "case")
    plain = symbols.replace(EDGE, "")
    state, rested = automaton.start, 0
    for index, symbol in enumerate(symbols, start=1):
        state = automaton.step(state, symbol)
        if automaton.is_resting(state):
            rested = index
        if automaton.accepting(state):
            expected = begins(twin, plain, len(symbols[:index].replace(EDGE, "")), edge=symbol == EDGE)
            first, latest = automaton.find_start(symbols, index), automaton.latest_start(symbols, index)
            assert rested <= latest
            assert EDGE not in (symbols[first], symbols[latest])
            found = [len(symbols[:start].replace(EDGE, "")) for start in (first, latest)]
            if symbol == EDGE:  # re also finds matches that ended before this edge
                assert set(found) <= set(expected)
            else:
                assert found == [expected[0], expected[-1]]


@settings(max_examples=500, deadline=None)
@given(twins(ATOMS | SPACES | EDGES), TEXTS, TEXTS)
def test_nothing_matters_before_a_resting_state(twin: Twin, before: str, after: str) -> None:
    automaton = compiled(twin)
    if automaton is None:
        return
    symbols = stream(before + after, "case")
    state = automaton.start
    for index, symbol in enumerate(symbols):
        if automaton.is_resting(state):
            assert [end - index for end in ends(automaton, symbols) if end > index] == ends(automaton, symbols[index:])
        state = automaton.step(state, symbol)


@settings(max_examples=300, deadline=None)
@given(twins(ATOMS | SPACES | EDGES))
def test_no_two_states_are_alike(twin: Twin) -> None:
    """Splits the states by what can be seen of them until nothing changes: each ends up alone."""
    automaton = compiled(twin)
    if automaton is None:
        return
    names = automaton.accepting_mask.astype(int).tolist()
    for _ in range(automaton.n_states):
        seen = [
            (names[state], *(names[target] for target in row)) for state, row in enumerate(automaton.table.tolist())
        ]
        names = [seen.index(view) for view in seen]
    assert len(set(names)) == automaton.n_states


@settings(max_examples=300, deadline=None)
@given(twins(ATOMS | SPACES | EDGES))
def test_lengths_bound_every_match(twin: Twin) -> None:
    automaton = compiled(twin)
    if automaton is None:
        return
    for text in ("a-aa й", "ййй a\u0301\u0301", "- -  -a", "аи\u0301aa"):
        symbols = stream(text, "case")
        for end in ends(automaton, symbols):
            shortest = symbols[automaton.latest_start(symbols, end) : end].replace(EDGE, "")
            assert len(shortest) >= automaton.min_length
            match = symbols[automaton.find_start(symbols, end) : end].replace(EDGE, "")
            assert automaton.max_length is None or len(match) <= automaton.max_length


PATTERNS = [r"\bcat\b", r"[а-яё]{2}|[^\w ]\p{Han}", r"a.{3}b"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_value_like_any_other(pattern: str) -> None:
    automaton = compile_regex(pattern, case)
    copy = pickle.loads(pickle.dumps(automaton))
    assert copy == automaton == compile_regex(pattern, case)
    assert hash(copy) == hash(automaton)
    assert automaton != compile_regex(pattern + "x", case)
    assert automaton != compile_regex(pattern + "|" + pattern, case)
    assert repr(copy) == repr(automaton)
    for array in (copy.table, copy.accepting_mask, copy.starts, copy.classes):
        assert not array.flags.writeable
    symbols = stream("a cat 猫. abbbb", "case")
    assert ends(copy, symbols) == ends(automaton, symbols)
    assert [copy.find_start(symbols, end) for end in ends(copy, symbols)] == [
        automaton.find_start(symbols, end) for end in ends(automaton, symbols)
    ]


def test_the_fold_is_part_of_the_value() -> None:
    assert compile_regex("É", case) != compile_regex("É", exact)


def test_every_process_makes_the_same_table() -> None:
    code = (
        "import unicodedata, hashlib; from ggufban.bans.regex import compile_regex\n"
        "a = compile_regex('[à-ü가-힣]+(x|y|zz)', lambda c: unicodedata.normalize('NFD', c))\n"
        "print(hashlib.sha256(a.table.tobytes() + a.starts.tobytes() + a.classes.tobytes()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-X", "utf8", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_classify_agrees_with_step(pattern: str) -> None:
    automaton = compile_regex(pattern, case)
    code_points = np.array(
        [*range(0x500), 0x3042, 0x4E00, 0xD7FF, ord(EDGE), 0xE000, 0x1F600, 0x10FFFF], dtype=np.uint32
    )
    classes = automaton.classify(code_points)
    assert classes.dtype == np.int32
    assert classes.shape == code_points.shape
    assert classes.max() < automaton.n_classes
    for state in range(automaton.n_states):
        stepped = [automaton.step(state, chr(code_point)) for code_point in code_points.tolist()]
        assert automaton.table[state, classes].tolist() == stepped
    assert [automaton.accepting(state) for state in range(automaton.n_states)] == automaton.accepting_mask.tolist()
    assert automaton.table.shape == (automaton.n_states, automaton.n_classes)
    assert automaton.table.dtype == np.int32


@pytest.mark.parametrize(
    ("pattern", "text", "end", "longest", "shortest"),
    [
        ("[a-z]+tion", "#a# #destination#", 16, 5, 11),
        (r"\bcat\b", "#cat#", 5, 1, 1),
        (r"aba\b|a", "#aba#", 4, 3, 3),
        (r"aba\b|a", "#aba#", 5, 1, 1),  # the match of a alone ended before the edge
        ("a-b|b", "#a#-#b#", 6, 1, 5),
        (r"\sb|a\s\s+b", "#a# #b#", 6, 1, 3),
    ],
)  # fmt: skip
def test_starts_worked_by_hand(pattern: str, text: str, end: int, longest: int, shortest: int) -> None:
    automaton, symbols = compile_regex(pattern, exact), text.replace("#", EDGE)
    assert end in ends(automaton, symbols)
    assert automaton.find_start(symbols, end) == longest
    assert automaton.latest_start(symbols, end) == shortest


@pytest.mark.parametrize("start", ["find_start", "latest_start"])
def test_no_match_ends_there(start: str) -> None:
    with pytest.raises(ValueError, match="no match of 'cat' ends at 2"):
        getattr(compile_regex("cat", case), start)("cat", 2)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair)))))
def test_normalize_keeps_the_set(ranges: list[tuple[int, int]]) -> None:
    result = normalize(ranges)
    assert {x for low, high in result for x in range(low, high + 1)} == {
        x for low, high in ranges for x in range(low, high + 1)
    }
    assert all(one[1] + 1 < two[0] for one, two in pairwise(result))
