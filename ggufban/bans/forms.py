"""`кот ~ru`: a word -> all its inflected forms.

The morphology is not ours: for Russian it is pymorphy3 with the OpenCorpora dictionary, an optional extra
(`pip install "ggufban[ru]"`, 17 MB) that is imported when the first such line is read. Here stands only
what a *ban* needs of it:

- A word may be a form of several (`стали` is of `стать` and of `сталь`). If it is the dictionary form of one
  (`мой`, which could also be an imperative of `мыть`), that one is meant. Otherwise all are taken that
  pymorphy3 holds at least 1 % likely, for a ban that finds too little is worse than one that finds a rare
  homonym too.
- Words that are not in the dictionary are predicted by their ending, in several ways where the ending leaves
  it open; some of the forms may then be no words.
- A form with `ё` is also taken with `е`, as most Russian texts print it.
- In a phrase every Russian word is inflected for itself, and all combinations are taken: agreement would be a
  grammar, and combinations that do not agree cost nothing since nobody writes them.
- Capitals are kept: `Москва`, `Москвы` …; `МИД`, `МИДА` ….
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import product
from math import prod
from typing import Any

from ggufban.errors import BanError

__all__ = ["LANGUAGES", "forms_of"]

LANGUAGES = ("ru",)
"""What may follow `~`."""

MAX_FORMS = 10_000
"""Forms of one line, above all of a phrase, before it counts as a mistake."""

LEAST_SCORE = 0.01
"""How likely a reading of a word must be, in pymorphy3's estimate, for its forms to be taken."""


def forms_of(word: str, language: str) -> tuple[str, ...]:
    """All inflected forms of a word or phrase, itself among them, sorted.

    `language` is one of `LANGUAGES`. White space between words becomes one blank, and the forms are composed
    (NFC). `BanError` if the language is not known, if what inflects it is not installed (the message says how
    to install it), if no word of the phrase is of that language, or if there would be more than 10,000 forms.
    """
    if language.lower() not in LANGUAGES:
        known = ", ".join(f"~{name}" for name in LANGUAGES)
        raise BanError(
            f"~{language}: inflected forms are known for {known} only; write the forms line by line, or the "
            "beginning of the word and *"
        )
    phrase = " ".join(unicodedata.normalize("NFC", word).split())
    if not _CYRILLIC.search(phrase):
        raise BanError(f"~{language}: there is no Russian word in {word!r}; leave out ~{language}")
    choices = [_russian(part) if _CYRILLIC.search(part) else (part,) for part in _WORDS.split(phrase)]
    if (count := prod(map(len, choices))) > MAX_FORMS:
        raise BanError(
            f"~{language}: {phrase!r} has {count:,} combinations of forms, more than {MAX_FORMS:,}; inflect "
            "its words one by one, or write a regular expression"
        )
    return tuple(sorted({phrase, *map("".join, product(*choices))}))


_WORDS = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)")
_CYRILLIC = re.compile("[а-яёА-ЯЁ]")


def _russian(word: str) -> tuple[str, ...]:
    """The forms of one Russian word, sorted."""
    parses = _analyzer().parse(word)
    lemmas = [parse for parse in parses if _without_yo(parse.normal_form) == _without_yo(word.lower())]
    scores: dict[tuple[str, str], float] = {}
    for parse in parses:
        lexeme = (parse.normal_form, str(parse.tag.POS))
        scores[lexeme] = scores.get(lexeme, 0.0) + parse.score
    likely = [parse for parse in parses if scores[parse.normal_form, str(parse.tag.POS)] >= LEAST_SCORE]
    forms = {form.word for parse in lemmas or likely for form in parse.lexeme} | {word.lower()}
    forms |= set(map(_without_yo, forms))
    return tuple(sorted({_capitals_of(word)(form) for form in forms}))


def _without_yo(word: str) -> str:
    return word.replace("ё", "е")


def _capitals_of(word: str) -> Callable[[str], str]:
    if len(word) > 1 and word.isupper():
        return str.upper
    if word[0].isupper():
        return lambda form: form[0].upper() + form[1:]
    return lambda form: form


@cache
def _analyzer() -> Any:
    """pymorphy3's analyzer, made once: about 0.2 s and 30 MB."""
    try:
        import pymorphy3
    except ImportError as error:
        raise BanError('~ru needs the package pymorphy3: pip install "ggufban[ru]"') from error
    return pymorphy3.MorphAnalyzer(lang="ru")
