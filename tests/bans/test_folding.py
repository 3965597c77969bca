import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggufban.bans import folding
from ggufban.bans.folding import EDGE, LEVELS, OTHER, SPACE, WORD, fold_char, fold_text, join, kind, stream
from ggufban.bans.lookalikes import LIKENESS, script_bits
from tests.bans import twin

EVERY_CHARACTER = [
    chr(code) for code in (*range(0xD800), *range(0xE000, 0x33480), *range(0xDFF00, sys.maxunicode + 1, 77))
]
"""All code points of the planes in which something is assigned, and some of the others."""

texts = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("aаé e\u0301й\u200b\u00ad ﬁß猫が")))


@pytest.mark.parametrize("level", LEVELS)
def test_every_character_folds_as_the_slow_twin_says(level: str) -> None:
    wrong = [
        char for char in EVERY_CHARACTER if fold_char(char, level) != twin.fold(char, level).replace("\u3000", " ")
    ]
    assert wrong == []


@pytest.mark.parametrize("level", LEVELS)
@given(one=texts, two=texts)
def test_folding_the_pieces_is_folding_the_whole(level: str, one: str, two: str) -> None:
    assert fold_text(one + two, level) == fold_text(one, level) + fold_text(two, level)


@pytest.mark.parametrize("level", LEVELS)
@given(one=texts, two=texts)
def test_a_stream_read_in_two_parts_is_the_stream_read_at_once(level: str, one: str, two: str) -> None:
    first, last = join(fold_text(one, level), OTHER)
    second, last_of_two = join(fold_text(two, level), last)
    assert (first + second, last_of_two) == join(fold_text(one + two, level), OTHER)


@pytest.mark.parametrize("level", LEVELS)
@given(text=texts)
def test_an_edge_stands_wherever_a_word_begins_or_ends(level: str, text: str) -> None:
    symbols = stream(text, level)
    padded = f"\0{symbols}\0"
    for before, here, after in zip(padded, padded[1:], padded[2:], strict=False):
        if here == EDGE:
            assert (before != EDGE and kind[before] == WORD) != (after != EDGE and kind[after] == WORD)
        elif EDGE not in (before, after):
            assert (kind[before] == WORD) == (kind[here] == WORD) == (kind[after] == WORD)
    assert SPACE * 2 not in symbols.replace(EDGE, "")


@pytest.mark.parametrize("level", LEVELS)
def test_folding_twice_is_folding_once(level: str) -> None:
    for char in EVERY_CHARACTER:
        symbols = fold_char(char, level)
        if not symbols.isascii():
            assert fold_text(symbols, level) == symbols, f"U+{ord(char):04X}"


@pytest.mark.parametrize("level", LEVELS)
def test_no_text_makes_an_edge(level: str) -> None:
    assert not any(EDGE in fold_char(char, level) for char in EVERY_CHARACTER)
    assert fold_char("\ud800", level) == fold_char("\udfff", level) == "\ufffd"


def test_letters_marks_and_digits_are_words() -> None:
    assert [kind[symbol] for symbol in "aЖ猫5\u0301_-. "] == [1, 1, 1, 1, 1, 0, 0, 0, 2]
    assert not any(kind[char] != WORD for char in EVERY_CHARACTER if char.isalnum())


@pytest.mark.parametrize(
    ("char", "unspaced"),
    [*((char, True) for char in "猫々〇かカｶーがไລខမ"), *((char, False) for char in "aЖ가5 .۵")],
)
def test_scripts_without_spaces(char: str, unspaced: bool) -> None:
    assert folding.is_unspaced(char) == unspaced


def test_look_alikes_are_letters_of_different_scripts_as_loose_folds_them() -> None:
    for letter, likeness in LIKENESS.items():
        assert script_bits[chr(letter)] not in (0, script_bits[likeness])
        assert likeness not in map(chr, LIKENESS)
        assert fold_char(chr(letter), "loose") == chr(letter)
        assert unicodedata.category(chr(letter)) == "Ll"


@pytest.mark.parametrize(("char", "bits"), [("a", 1), ("ж", 2), ("ω", 4), ("ﬁ", 1), ("5", 0), ("猫", 0), ("\u0483", 0)])
def test_scripts_of_letters(char: str, bits: int) -> None:
    assert script_bits[char] == bits
