"""Inflected forms: what pymorphy3 says, and what a ban takes of it."""

import sys

import pytest

from ggufban.bans import forms
from ggufban.bans.forms import forms_of
from ggufban.errors import BanError

CAT = "кот кота котам котами котах коте котов котом коту коты"

CASES = [
    # name, word, forms that must be there, forms that must not
    ("a noun", "кот", CAT, "котик котёнок которого"),
    ("its forms are the same from any of them", "котами", CAT, "котик"),
    ("a verb and its participles", "бегать", "бегал бегают бегай бегающего бегав", "бег побегать"),
    ("an adjective and its degrees", "красивый", "красива красивее красивейшими краше", "красота"),
    ("supplements", "человек", "люди людьми человеком", "людской"),
    ("an inflected form of two words", "стали", "стал стану сталь сталью", ""),
    ("a dictionary form means itself", "мой", "моего моими", "мыть мою-ка моют"),
    ("a rare homonym is left out", "при", "при", "переть пря прёт"),
    ("both letters", "зеленый", "зелёный зеленый зелёного зеленого", ""),
    ("both letters, written with the dots", "Ёж", "Ёж Еж Ежа", "ёж ежа"),
    ("capitals", "Москва", "Москва Москвы Москвой", "москва МОСКВЫ"),
    ("all capitals", "МИД", "МИД МИДА МИДОМ", "мид Мид"),
    ("not in the dictionary", "кринж", "кринж кринжа кринжем", ""),
    ("composed", "и\u0306од", "йод йодом", "и\u0306од"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "there", "missing"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_forms(word: str, there: str, missing: str) -> None:
    found = forms_of(word, "ru")
    assert set(there.split()) <= set(found)
    assert not set(missing.split()) & set(found)
    assert list(found) == sorted(set(found))


def test_the_forms_of_a_noun_are_exactly_these() -> None:
    assert forms_of("кот", "RU") == tuple(CAT.split())


def test_every_word_of_a_phrase_is_inflected() -> None:
    found = forms_of("красный   кот", "ru")
    assert {"красный кот", "красного кота", "красными котами"} <= set(found)
    assert len(found) == len(forms_of("красный", "ru")) * len(forms_of("кот", "ru"))


def test_only_russian_words_of_a_phrase_are_inflected() -> None:
    assert forms_of("iPhone 15, кот!", "ru") == tuple(f"iPhone 15, {form}!" for form in CAT.split())


MISTAKES = [
    ("cat", "ru", "there is no Russian word in 'cat'"),
    ("...", "ru", "there is no Russian word in '...'"),
    ("кот", "en", "~en: inflected forms are known for ~ru only"),
    ("бегать прыгать играть", "ru", "more than 10,000"),
]


@pytest.mark.parametrize(("word", "language", "message"), MISTAKES)
def test_mistakes(word: str, language: str, message: str) -> None:
    with pytest.raises(BanError, match=message):
        forms_of(word, language)


def test_without_the_extra_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymorphy3", None)
    forms._analyzer.cache_clear()
    try:
        with pytest.raises(BanError, match=r'pip install "ggufban\[ru\]"'):
            forms_of("кот", "ru")
    finally:
        forms._analyzer.cache_clear()
    with pytest.raises(BanError, match="known for ~ru only"):
        forms_of("кот", "uk")
