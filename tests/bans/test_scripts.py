"""The script of a character: laws of the table, and names of characters as an independent witness."""

import sys
import unicodedata

import numpy as np
import pytest

from ggufban.bans.scripts import SCRIPTS, UNICODE_VERSION, script_of, script_ranges
from ggufban.errors import BanError

CHARACTERS = [
    ("a", "Latin"), ("ß", "Latin"), ("Å", "Latin"), ("Ω", "Greek"), ("ж", "Cyrillic"), ("ё", "Cyrillic"),
    ("א", "Hebrew"), ("ع", "Arabic"), ("अ", "Devanagari"), ("ก", "Thai"),
    ("𐀀", "Linear_B"), ("ა", "Georgian"),
    ("中", "Han"), ("𠀀", "Han"), ("々", "Han"), ("〇", "Han"), ("あ", "Hiragana"),
    ("ア", "Katakana"), ("ｱ", "Katakana"), ("한", "Hangul"), ("ᄀ", "Hangul"),
    ("、", "Common"), ("ー", "Common"), ("7", "Common"), (" ", "Common"), ("\0", "Common"), ("😀", "Common"),
    ("\u0301", "Inherited"), ("\u200d", "Inherited"), ("\ue000", "Unknown"), ("\ud800", "Unknown"),
    ("\U0010ffff", "Unknown"), ("\u0378", "Unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("character", "script"), CHARACTERS, ids=[f"U+{ord(row[0]):04X}" for row in CHARACTERS])
def test_script_of(character: str, script: str) -> None:
    assert script_of(character) == script


@pytest.mark.parametrize(
    ("name", "same"),
    [("Hani", "Han"), ("hAN", "Han"), ("cyrl", "Cyrillic"), ("old italic", "Old_Italic"),
     ("OLD-ITALIC", "Ital"), (" Latin ", "Latn"), ("Qaac", "Coptic"), ("zinh", "Inherited")],
)  # fmt: skip
def test_names(name: str, same: str) -> None:
    assert np.array_equal(script_ranges(name), script_ranges(same))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Hann", "did you mean Han"),
        ("Cyrilic", "did you mean Cyrillic"),
        ("chinese", "which is a language; its script is Han"),
        ("Russian", "its script is Cyrillic"),
        ("Klingon!!", "scripts are called as in Unicode: Latin"),
        ("", "there is no script ''"),
        ("Unknown", "there is no script 'Unknown'"),
    ],
)
def test_unknown_names_are_explained(name: str, message: str) -> None:
    with pytest.raises(BanError, match=message):
        script_ranges(name)


def test_every_range_is_apart_from_every_other() -> None:
    ranges = np.concatenate([script_ranges(name) for name in SCRIPTS])
    assert ranges.dtype == np.uint32
    assert (ranges[:, 0] <= ranges[:, 1]).all()
    ordered = ranges[np.argsort(ranges[:, 0])]
    assert (ordered[:-1, 1] < ordered[1:, 0]).all()
    for name in SCRIPTS:
        own = script_ranges(name)
        assert (own[:-1, 1].astype(int) + 1 < own[1:, 0]).all(), f"{name}: ranges that touch"
        assert not own.flags.writeable


def test_every_assigned_character_has_a_script() -> None:
    assert tuple(map(int, UNICODE_VERSION.split("."))) >= tuple(map(int, unicodedata.unidata_version.split(".")))
    covered = np.zeros(sys.maxunicode + 1, dtype=bool)
    for name in SCRIPTS:
        for low, high in script_ranges(name).tolist():
            covered[low : high + 1] = True
    assigned = [unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs") for code in range(sys.maxunicode + 1)]
    assert not np.flatnonzero(np.array(assigned) & ~covered).tolist()


WITNESSES = {
    "LATIN": "Latin", "CYRILLIC": "Cyrillic", "GREEK": "Greek", "HEBREW": "Hebrew", "ARABIC": "Arabic",
    "ARMENIAN": "Armenian", "GEORGIAN": "Georgian", "DEVANAGARI": "Devanagari", "BENGALI": "Bengali",
    "THAI": "Thai", "LAO": "Lao", "KHMER": "Khmer", "MYANMAR": "Myanmar", "TIBETAN": "Tibetan",
    "ETHIOPIC": "Ethiopic", "HIRAGANA": "Hiragana", "KATAKANA": "Katakana", "HANGUL": "Hangul",
    "CJK UNIFIED": "Han", "CJK COMPATIBILITY IDEOGRAPH": "Han", "EGYPTIAN HIEROGLYPH": "Egyptian_Hieroglyphs",
}  # fmt: skip
"""How the names of letters begin, and their script: two parts of Unicode's database that were made apart."""

SHARED = {
    "ARABIC TATWEEL",
    "KATAKANA-HIRAGANA PROLONGED SOUND MARK",
    "HALFWIDTH KATAKANA-HIRAGANA PROLONGED SOUND MARK",
}
"""Letters that are named after one script and used by several: Common."""


def test_letters_are_of_the_script_that_their_names_say() -> None:
    wrong, seen = [], 0
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo"):
            name = unicodedata.name(character, "")
            for beginning, script in WITNESSES.items():
                if name.startswith(beginning + " ") or name.startswith(beginning + "-"):
                    seen += 1
                    if script_of(character) != script and name not in SHARED:
                        wrong.append((name, script_of(character)))
    assert not wrong
    assert seen > 100_000
