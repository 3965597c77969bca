"""The slow twin: fold the whole text, then look at every place of it with plain code.

Nothing here is shared with `ggufban.bans`: folding, the reading of a line, word edges, look-alikes and the search
are written again, as literally as they are described, and with no thought of speed. Only lines of text are
understood (words, phrases, stars, quotes), not regular expressions, scripts and ids.
"""

import unicodedata
from functools import cache, lru_cache
from typing import NamedTuple

IGNORABLE_RANGES = (
    "00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 2800 3164 FE00-FE0F FEFF FFA0 "
    "FFF0-FFF8 1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)
IGNORABLE = {
    chr(code)
    for low, _, high in (item.partition("-") for item in IGNORABLE_RANGES.split())
    for code in range(int(low, 16), int(high or low, 16) + 1)
}
LOOK_ALIKE = (
    "aаα", "bвβ", "cс", "dԁ", "eеε", "hнһ", "iіι", "jј", "kкκ", "lӏ", "mмμ", "nη", "oоο", "pрρ",
    "qԛ", "sѕ", "tтτ", "uυ", "vѵν", "wԝ", "xхχ", "yуγ", "zζ", "фφ", "пπ",
)  # fmt: skip
UNSPACED = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA",
            "HALFWIDTH KATAKANA", "COMBINING KATAKANA-HIRAGANA", "THAI", "LAO", "KHMER", "MYANMAR")  # fmt: skip


@cache
def fold(char: str, level: str) -> str:
    if char.isspace():
        return " "
    if level == "exact":
        return char
    if char in IGNORABLE:
        return ""
    if level == "case":
        return unicodedata.normalize("NFD", unicodedata.normalize("NFD", char).casefold())
    if "가" <= char <= "힣":
        return char
    symbols = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    kept = [s for s in symbols if unicodedata.category(s) not in ("Mn", "Me") or s in "\u0306\u3099\u309a"]
    return "".join(kept).replace("ı", "i")


@cache
def is_word(symbol: str) -> bool:
    return unicodedata.category(symbol)[0] in "LMN"


class Symbol(NamedTuple):
    symbol: str
    place: int
    """The code point it comes from."""
    own: bool
    mixed: bool


def letters(text: str, level: str, own_from: int) -> list[Symbol]:
    """The symbols of a text without its edges; those of code points from `own_from` on are the output's."""
    found = []
    for place, char in enumerate(text):
        for symbol in fold(char, level):
            if symbol.isspace():
                if found and found[-1].symbol == " ":
                    continue
                symbol = " "
            found.append(Symbol(symbol, place, place >= own_from, False))
    return mark_mixed(found) if level == "loose" else found


@cache
def script(symbol: str) -> str | None:
    if unicodedata.category(symbol)[0] == "L":
        for name in ("LATIN", "CYRILLIC", "GREEK"):
            if unicodedata.name(symbol, "").split(" ")[0] == name:
                return name
    return None


def mark_mixed(symbols: list[Symbol]) -> list[Symbol]:
    """Tells for every symbol whether its word has letters of two scripts."""
    marked = list(symbols)
    begin = 0
    while begin < len(symbols):
        end = begin
        while end < len(symbols) and is_word(symbols[end].symbol):
            end += 1
        scripts = {script(s.symbol) for s in symbols[begin:end]} - {None}
        for at in range(begin, end):
            marked[at] = symbols[at]._replace(mixed=len(scripts) > 1)
        begin = max(end, begin + 1)
    return marked


def look_alike(one: str, other: str) -> bool:
    return one == other or any(one in group and other in group for group in LOOK_ALIKE)


class Needle(NamedTuple):
    symbols: str
    edge_left: bool
    edge_right: bool


@lru_cache(maxsize=64)
def parse(line: str, level: str) -> Needle:
    """What a line of text means: a word, a phrase, stars at its ends, quotes around it."""
    left = line.startswith("*")
    right = line.endswith("*") and len(line) > 1
    body = line[left : len(line) - right]
    if len(body) > 1 and body.startswith('"') and body.endswith('"'):
        body = body[1:-1].replace('""', '"')
    symbols = letters(body, level, 0)
    text = "".join(s.symbol for s in symbols)
    first, last = body[symbols[0].place], body[symbols[-1].place]
    return Needle(
        text,
        not left and is_word(text[0]) and not unicodedata.name(first, "").startswith(UNSPACED),
        not right and is_word(text[-1]) and not unicodedata.name(last, "").startswith(UNSPACED),
    )


def matches(needle: Needle, text: list[Symbol], ended: bool) -> list[tuple[int, int]]:
    """Every place of a text at which a needle stands: its symbols `[begin, end)`."""
    found = []
    size = len(needle.symbols)
    for begin in range(len(text) - size + 1):
        end = begin + size
        if not all(
            mine == theirs.symbol or (theirs.mixed and look_alike(mine, theirs.symbol))
            for mine, theirs in zip(needle.symbols, text[begin:end], strict=True)
        ):
            continue
        if needle.edge_left and begin and is_word(text[begin - 1].symbol):
            continue
        if needle.edge_right and (is_word(text[end].symbol) if end < len(text) else not ended):
            continue
        if any(symbol.own for symbol in text[begin:end]):
            found.append((begin, end))
    return found


WELL_FORMED = (  # Unicode, table 3-7: first byte, what the second may be, how many bytes there are
    (0x00, 0x7F, None, 1), (0xC2, 0xDF, (0x80, 0xBF), 2), (0xE0, 0xE0, (0xA0, 0xBF), 3),
    (0xE1, 0xEC, (0x80, 0xBF), 3), (0xED, 0xED, (0x80, 0x9F), 3), (0xEE, 0xEF, (0x80, 0xBF), 3),
    (0xF0, 0xF0, (0x90, 0xBF), 4), (0xF1, 0xF3, (0x80, 0xBF), 4), (0xF4, 0xF4, (0x80, 0x8F), 4),
)  # fmt: skip


def decode(data: bytes, ended: bool) -> list[tuple[str, int]]:
    """The characters of a text and where the bytes of each end; an unfinished one only if the text has ended."""
    found = []
    at = 0
    while at < len(data):
        end, char = at + 1, "\ufffd"
        for low, high, second, size in WELL_FORMED:
            if low <= data[at] <= high:
                while end < min(at + size, len(data)):
                    allowed = second if end == at + 1 else (0x80, 0xBF)
                    assert allowed is not None
                    if not allowed[0] <= data[end] <= allowed[1]:
                        break
                    end += 1
                if end == at + size:
                    char = data[at:end].decode("utf-8")
                elif end == len(data) and not ended:
                    return found
        found.append((char, end))
        at = end
    return found


def find(lines: list[str], level: str, prompt: bytes, output: bytes, ended: bool) -> list[tuple[str, int, int]]:
    """Every match in an output: the line, and the bytes of the output it takes (a prompt's part cut off)."""
    chars = decode(prompt + output, ended)
    own_from = sum(end <= len(prompt) for _, end in chars)
    text = letters("".join(char for char, _ in chars), level, own_from)
    found = []
    for line in lines:
        for begin, end in matches(parse(line, level), text, ended):
            first, last = text[begin].place, text[end - 1].place
            first_byte = chars[first - 1][1] if first else 0
            found.append((line, max(0, first_byte - len(prompt)), chars[last][1] - len(prompt)))
    return found


def is_banned(lines: list[str], level: str, prompt: bytes, output: bytes, ended: bool) -> bool:
    """Whether an output, after a prompt, holds a match; `ended` tells whether more of it may follow."""
    return bool(find(lines, level, prompt, output, ended))
