"""Soft edits: every occurrence counts once. Judged by counting the matches in the text after each token."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ggufban import BanError, BanList, BiasList, Vocab
from ggufban.bans.bias import parse_bias
from ggufban.decoding import STRATEGIES
from ggufban.decoding.loop import Writer
from ggufban.sampling import Sampler
from tests.commands.cli import run_cli

PIECES = [
    b" cat", b"cat", b"c", b"a", b"t", b" ", b"alog", b".", b"s", b" a", b"\xd0", b"\xb9", b"ca", b" cat.", b"\n",
    b"", b"",
]  # fmt: skip
CONTROL, END = len(PIECES) - 2, len(PIECES) - 1
VOCAB = Vocab(PIECES, control=[CONTROL], end=[END])
ZERO = np.zeros(len(VOCAB), dtype=np.float32)


def count(word: str, text: bytes) -> int:
    return len(BanList([word]).find(text.decode("utf-8", "replace")))


@settings(max_examples=500, deadline=None)
@example("cat cat", [0, 0, 0])  # the second occurrence shares a word with the first
@example("cat", [0, 10, 0])
@example(r"/c.t\b/", [0, 0, 6, 0])
@given(
    st.sampled_from(["cat", "cat*", "*cat", "*a*", "cat cat", "a a", "cat.", "catalog", "cats", ".", "t\ufffd"]),
    st.lists(st.integers(0, END), max_size=14),
)
def test_what_a_token_is_given_is_what_it_changes_in_the_number_of_matches(word: str, tokens: list[int]) -> None:
    """The law, token by token, for every token that could follow, and so for the sum over every text."""
    bias = BiasList({word: 0.5}).compile(VOCAB)
    state, text = bias.start(), b""
    for token in tokens:
        given = bias.edit(state, ZERO)
        now = count(word, text)
        for other, piece in enumerate(PIECES):
            change = count(word, text + piece) - now
            # a token that completes two at once counts them once
            change = min(change, 1)
            assert given[other] == 0.5 * change, (text, piece)
        state, text = bias.step(state, token), text + PIECES[token]


def test_by_hand() -> None:
    bias = BiasList({"cat": 2.0, "a": -1.0}).compile(VOCAB)
    state = bias.start()
    start = dict(zip(PIECES, bias.edit(state, ZERO).tolist(), strict=True))
    assert {piece: x for piece, x in start.items() if x} == {b" cat": 2, b"cat": 2, b" cat.": 2, b"a": -1, b" a": -1}
    state = bias.step(state, PIECES.index(b" cat"))
    after = dict(zip(PIECES[:CONTROL], bias.edit(state, ZERO).tolist(), strict=False))
    assert {p for p, x in after.items() if x == -2} == {b"c", b"a", b"t", b"cat", b"alog", b"s", b"ca", b"\xb9"} - {
        b"\xb9"
    }
    assert {p for p, x in after.items() if x == 2} == {b" cat", b" cat."}
    assert {p for p, x in after.items() if x == -1} == {b" a"}
    assert bias.edit(state, ZERO)[[CONTROL, END]].tolist() == [0, 0]


def test_the_row_is_not_changed_and_minus_infinity_stays() -> None:
    row = np.full(len(VOCAB), -np.inf, dtype=np.float32)
    bias = BiasList({"cat": 2.0}).compile(VOCAB)
    assert np.array_equal(bias.edit(bias.start(), row), row)
    row = ZERO.copy()
    row.flags.writeable = False
    assert bias.edit(bias.start(), row).any()


def test_the_prompt_is_read_as_bans_read_it() -> None:
    bias = BiasList({"cat": 2.0}).compile(VOCAB)
    assert bias.edit(bias.start("a c"), ZERO)[PIECES.index(b"a")] == 0
    assert bias.edit(bias.start("a ca"), ZERO)[PIECES.index(b"t")] == 2
    assert bias.edit(bias.start("a cat"), ZERO)[PIECES.index(b"alog")] == 0  # it is the prompt's
    assert bias.edit(bias.start("a ca", chat=True), ZERO)[PIECES.index(b"t")] == 0


def test_lists_of_several_words_with_one_number_count_like_lists_of_one() -> None:
    many = BiasList({"cat": 1.0, "cats": 1.0, "cat*": 1.0, "/a[st]/": 1.0, "token:7": 1.0, "s": 0.0}).compile(VOCAB)
    state, text, total = many.start(), b"", 0.0
    for piece in (b" cat", b"s", b" cat", b"alog", b".", b" cat", b".", b"a", b"s"):
        token = PIECES.index(piece)
        total += float(many.edit(state, ZERO)[token])
        state, text = many.step(state, token), text + piece
    assert text == b" cats catalog. cat.as"
    # cat* three times, cats and cat once each, /a[st]/ in each cat and in as, and two full stops
    assert total == 3 + 2 + 4 + 2


# -- the list -----------------------------------------------------------------------------------------------------


def test_lists_are_values() -> None:
    one = BiasList({"cat": 1.0, "dog": -2.0})
    assert one == BiasList({"cat": 1.0}) + BiasList({"dog": -2.0})
    assert pickle.loads(pickle.dumps(one)) == one
    assert len({one, BiasList({"cat": 1.0, "dog": -2.0})}) == 1
    assert one != BiasList({"cat": 1.0, "dog": -2.5})
    assert repr(one) == "BiasList({'cat': 1.0, 'dog': -2.0}, fold='case')"
    assert not BiasList({})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("delve=-2", ("delve", -2.0)),
        (" shivers down = +1.5 ", ("shivers down", 1.5)),
        ("x=-1e-3  # a = 3", ("x", -0.001)),
        ('"a=5"=+2', ('"a=5"', 2.0)),
        ("/a=b/=3", ("/a=b/", 3.0)),
        ("cat=-inf", ("cat", -math.inf)),
    ],
)
def test_lines(line: str, expected: tuple[str, float]) -> None:
    assert parse_bias(line) == expected


@pytest.mark.parametrize("line", ["delve", "delve=", "delve=much", "=2", "", "delve=2 3"])
def test_lines_that_say_nothing(line: str) -> None:
    with pytest.raises(BanError, match="is no bias: write a pattern, =, and a number"):
        parse_bias(line)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"cat": -math.inf}, r"a bias of -inf on 'cat' is a ban"),
        ({"cat": math.inf}, "must be a finite number"),
        ({"cat": math.nan}, "must be a finite number"),
        ({"cat": 1.0, "Cat": 2.0}, r"'Cat' has two biases, \+1 and \+2"),
        ({"# only a comment": 1.0}, "is no pattern"),
        ({"*": 1.0}, "empty pattern"),
        ({"script:Nonsense": 1.0}, "Nonsense"),
    ],
)
def test_mistakes(words: dict[str, float], message: str) -> None:
    with pytest.raises(BanError, match=message):
        BiasList(words)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "bias.txt"
    path.write_text("\ufeff# words\n\ndelve=-2  # not so often\nrain=+1\n", "utf-8")
    assert BiasList.from_file(path).describe() == {"delve": -2.0, "rain": 1.0}
    path.write_text("delve=-2\nrain\n", "utf-8")
    with pytest.raises(BanError, match=r"bias.txt:2: 'rain' is no bias"):
        BiasList.from_file(path)
    path.write_text("delve=-2\ndelve=-3\n", "utf-8")
    with pytest.raises(BanError, match=r"bias.txt:2: 'delve' has two biases"):
        BiasList.from_file(path)
    path.write_bytes(b"\xff=1")
    with pytest.raises(BanError, match="not UTF-8"):
        BiasList.from_file(path)
    with pytest.raises(BanError, match="cannot read"):
        BiasList.from_file(tmp_path / "no")


@pytest.mark.parametrize(
    ("bias", "ban", "clash"),
    [
        ({"Paris": 5.0}, "paris", True),
        ({"Paris": 5.0}, "par*", True),
        ({"in Paris": 5.0}, "Paris", True),
        ({"日本": 1.0}, "script:Han", True),
        ({"Paris": 1.0}, "/par.s/", True),
        ({"/par.s/": 1.0}, "/par.s/", True),
        ({"Paris": -5.0}, "Paris", False),
        ({"Paris*": 5.0}, "Paris", False),
        ({"Paris": 5.0}, "Pari", False),
    ],
)
def test_favouring_what_is_banned_is_an_error(bias: dict[str, float], ban: str, clash: bool) -> None:
    words, bans = BiasList(bias), BanList([ban])
    if clash:
        with pytest.raises(BanError, match="favours what the ban"):
            words.check_against(bans)
    else:
        words.check_against(bans)


# -- in the loop --------------------------------------------------------------------------------------------------

LETTERS = Vocab([b"a", b"b", b" ", b"</s>"], end=[3])


def texts(bias: dict[str, float], strategy: str, n: int, bans: list[str] | None = None) -> list[str]:
    """Texts of four tokens from a model to which everything but the end is equally likely."""
    row = np.array([0.0, 0.0, 0.0, -np.inf], dtype=np.float32)
    edits = BiasList(bias).compile(LETTERS) if bias else None
    matcher = BanList(bans).compile(LETTERS) if bans else None
    sampler = Sampler(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
    written = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        one = Writer(
            [0], LETTERS, sampler, rng, strategy=STRATEGIES[strategy](), n_predict=4, bias=edits, matcher=matcher
        )
        while one.finish_reason is None:
            one.advance(row if one.wants_logits else None)
        written.append(one.text)
    return written


def law(bias: float) -> dict[str, float]:
    """The probability of every text of four letters, by hand: a word `ab` in it is worth e^bias."""

    def number(text: str) -> int:
        return text.split(" ").count("ab")

    found = {"": 1.0}
    for _ in range(4):
        following = {}
        for text, p in found.items():
            weights = {letter: math.exp(bias * (number(text + letter) - number(text))) for letter in "ab "}
            for letter, weight in weights.items():
                following[text + letter] = p * weight / sum(weights.values())
        found = following
    return found


@pytest.mark.parametrize("strategy", ["rewind", "mask"])
@pytest.mark.parametrize("amount", [1.5, -1.5])
def test_the_law_of_the_texts(strategy: str, amount: float) -> None:
    expected, n = law(amount), 1500
    counts = dict.fromkeys(expected, 0)
    for text in texts({"ab": amount}, strategy, n):
        counts[text] += 1
    chi = sum((counts[text] - n * p) ** 2 / (n * p) for text, p in expected.items())
    assert chi < 80 + 4.5 * math.sqrt(160)  # 81 texts


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_bias_and_bans_go_together_and_rewind_takes_the_bias_back(strategy: str) -> None:
    """Under bans `bb` the law of `exact` is that of the biased texts without a match."""
    expected = {text: p for text, p in law(1.5).items() if "bb" not in text}
    whole, n = sum(expected.values()), 1500
    counts = dict.fromkeys(expected, 0)
    for text in texts({"ab": 1.5}, strategy, n, ["*bb*"]):
        counts[text] += 1
    if strategy == "exact":
        chi = sum((counts[text] - n * p / whole) ** 2 / (n * p / whole) for text, p in expected.items())
        assert chi < len(expected) + 4.5 * math.sqrt(2 * len(expected))


# -- on a real model ----------------------------------------------------------------------------------------------


VILLAGE = "Once upon a time, in a small village, there was a wise old"


def test_a_word_of_several_tokens_is_given_up(smollm2) -> None:
    options = {"temperature": 0.0, "n_predict": 6, "top": None}
    free = smollm2.generate(VILLAGE, **options)
    assert free.text.startswith(" wizard")
    assert free.steps[1].piece == b"izard"
    biased = smollm2.generate(VILLAGE, bias={"wizard": -20.0}, **options)
    assert "wizard" not in biased.text
    assert biased.settings["bias"] == {"wizard": -20.0}
    for nothing in ({"wizards": -20.0}, {}):
        assert smollm2.generate(VILLAGE, bias=nothing, **options).text.startswith(" wizard")


@pytest.mark.parametrize(
    ("prompt", "word", "last"),
    [("The capital of France is", "Paris", b" Paris"), (VILLAGE + " w", "wizard", b"izard")],
)
def test_a_bias_moves_the_odds_of_a_word_by_its_factor(smollm2, prompt: str, word: str, last: bytes) -> None:
    """The odds of the token that completes it against all others change by e^X, whether it is its first or not."""
    options = {"n_predict": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "top": 50, "seed": 1}
    odds = []
    for amount in (0.0, 1.0, -2.0):
        step = smollm2.generate(prompt, bias={word: amount}, **options).steps[0]
        (p,) = [c.drawn_with for c in step.candidates if c.piece == last]
        odds.append(p / (1 - p))
    # not quite e^X: other spellings of the word (" PARIS") are among the others
    assert odds[1] / odds[0] == pytest.approx(math.e, rel=0.02)
    assert odds[2] / odds[0] == pytest.approx(math.exp(-2), rel=0.02)


def test_the_command_line_takes_biases(smollm2_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "bias.txt"
    path.write_text("wizard=-20\n", "utf-8")
    arguments = ("generate", VILLAGE, "--temp", 0, "-n", 4, "-m", smollm2_path, "-t", 1)
    for option in (("--bias", "wizard=-20"), ("--bias-file", path)):
        result = run_cli(*arguments, *option)
        assert (result.returncode, result.stderr) == (0, "")
        assert "wizard" not in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bias", "Paris=+5", "--ban", "paris"], "bias 'Paris' favours what the ban 'paris' forbids"),
        (["--bias", "Paris=-inf"], "is a ban: put the word into the ban list (--ban)"),
        (["--bias", "Paris"], "'Paris' is no bias"),
        (["--bias", "cat=1", "--bias", "cat=2"], "'cat' has two biases"),
    ],
)
def test_every_mistake_on_the_command_line_has_its_message(options: list[str], message: str) -> None:
    result = run_cli("generate", "x", *options)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
