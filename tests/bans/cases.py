"""Random ban lists, vocabularies and texts, made so that patterns bite often and in awkward places."""

import random
from typing import NamedTuple

from ggufban.bans import BanList
from ggufban.bans.matcher import Matcher
from ggufban.errors import BanError
from ggufban.vocab import Vocab
from tests.bans import twin

ALPHABETS = (
    "ab",
    "aab .",
    "abс а.",  # Latin and Cyrillic
    "aοо cсϲ,",
    "eéè\u0301 ",
    "иий\u0306 .",
    "ßsſS ",
    "kK\u212aк-",
    "a\u200bb\u00ad \u3000",
    "ﬁfi ①1",
    "猫かが ねa",
    "가각a \u1100",
    "🙂‍a👩 ",
    "a\t\n b\u2028",
    "ıiİI.",
    "ab\ufffd é",
)
FOLDS = ("exact", "case", "loose")


class Case(NamedTuple):
    lines: list[str]
    fold: str
    vocab: Vocab
    prompt: bytes


def text(rng: random.Random, letters: str, longest: int) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, longest)))


def line(rng: random.Random, letters: str) -> str:
    """A pattern, perhaps one that vanishes: see `lines`."""
    body = " ".join(text(rng, letters, 4) for _ in range(rng.choice((1, 1, 1, 2, 3)))).replace('"', "")
    body = f'"{body}"' if rng.random() < 0.2 else body.strip()
    return rng.choice(("", "", "*")) + body + rng.choice(("", "", "*"))


def lines(rng: random.Random, letters: str, fold: str, most: int = 4) -> list[str]:
    """Patterns that say something at this level."""
    found: list[str] = []
    for _ in range(50):
        candidate = line(rng, letters)
        body = candidate.strip('*"')
        if any(twin.fold(char, fold).strip() for char in body) and "*" not in body:
            found.append(candidate)
            if len(found) == most or rng.random() < 0.5:
                break
    return found


def pieces(rng: random.Random, letters: str, lines: list[str]) -> list[bytes]:
    """Pieces of text: random ones, parts of patterns, parts of characters, invalid bytes."""
    found = [text(rng, letters, 4).encode() for _ in range(rng.randint(2, 8))]
    for pattern in lines:
        data = pattern.strip('*"').encode()
        for _ in range(3):
            begin = rng.randint(0, len(data) - 1)
            found.append(data[begin : begin + rng.randint(1, 6)])
        found.append(b" " * rng.randint(0, 1) + data + rng.choice((b"", b".", b" ", b"s")))
        if rng.random() < 0.3:
            found += [bytes([byte]) for byte in data]
    odd = (b" ", b".", b"\xe2", b"\x80", b"\xff", b"\xf0\x9f", "\u200b".encode(), b"")
    found += [rng.choice(odd) for _ in range(3)]
    return found


def case(rng: random.Random) -> Case:
    letters = rng.choice(ALPHABETS)
    fold = rng.choice(FOLDS)
    patterns = lines(rng, letters, fold)
    found = pieces(rng, letters, patterns)
    prompt = b"".join(rng.choice(found) for _ in range(rng.choice((0, 0, 1, 2))))
    rng.shuffle(found)
    return Case(patterns, fold, Vocab([b"</s>", b"<pad>", *found], end=[0], control=[1]), prompt)


class Verdict(NamedTuple):
    """What became of one generated text."""

    leaks: int
    false_alarms: int
    bites: int
    text: bytes


def generate(
    case: Case, matcher: Matcher, rng: random.Random, longest: int, waiting: bool, by_mask: bool = False
) -> Verdict:
    """Writes a text of tokens drawn at random under the matcher, and has the twin judge every decision.

    `by_mask` asks `illegal` rather than `legal`. A leak is a match in the text (at its end, or where it might have
    ended on the safe side); a false alarm is a token that was refused although the text with it holds no match.
    """

    def judge(output: bytes, ended: bool) -> bool:
        return twin.is_banned(case.lines, case.fold, case.prompt, output, ended)

    def legal(token: int) -> bool:
        return token not in matcher.illegal(state, waiting) if by_mask else matcher.legal(state, token, waiting)

    state = matcher.start(case.prompt)
    output = b""
    leaks = false_alarms = bites = 0
    if not waiting and judge(output, True) != (not matcher.end_legal(state)):
        leaks += 1
    for _ in range(rng.randint(1, longest)):
        token = rng.randrange(len(case.vocab))
        if token == 0:
            if legal(token):
                break
            bites += 1
            false_alarms += not judge(output, True)
        elif legal(token):
            output += case.vocab.piece(token)
            state = matcher.step(state, token)
        else:
            bites += 1
            longer = output + case.vocab.piece(token)
            false_alarms += not judge(longer, False) and (waiting or not judge(longer, True))
    may_end = matcher.end_legal(state)
    ended = judge(output, True)
    leaks += judge(output, False) or (may_end and ended) or (not waiting and ended)
    false_alarms += not may_end and not ended
    return Verdict(leaks, false_alarms, bites, output)


def compiled(case: Case) -> Matcher | None:
    """The matcher of a case; None for a list that leaves nothing to begin with."""
    try:
        return BanList(case.lines, fold=case.fold).compile(case.vocab)
    except BanError as error:
        if "bans everything" in str(error):
            return None
        raise
