"""`ggufban chat` in a terminal: keys typed into a pseudo-terminal, and what the screen then says."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.chatting import Terminal, write_chatty

pytest.importorskip("pty", reason="this system has no pseudo-terminals")

NO_END = ("--logit-bias", "2-inf")


@pytest.fixture(scope="module")
def chatty_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chatty(tmp_path_factory.mktemp("chat") / "chatty.gguf", n_ctx=16384)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """`terminal("chat", ...)` is a program in a terminal; what still runs at the end of a test is ended."""
    screens: list[Terminal] = []

    def start(*args: object, **options: Path) -> Terminal:
        screens.append(Terminal(*args, **options))
        return screens[-1]

    yield start
    for screen in screens:
        screen.kill()


def letters(answer: str) -> set[str]:
    return {c for c in answer.casefold() if c.isalpha()}


def test_a_conversation_with_commands(chatty_path: Path, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("chat", "-m", chatty_path, "-n", 30, "-s", 5, "--ban", "*a*", "--temp", 1, "--top-k", 0, *NO_END)
    screen.expect("chatty.gguf, 1 banned, /help lists the commands")
    screen.enter("/why")
    screen.expect("(nothing has been said yet)")
    screen.enter("the cat")
    screen.expect("the cat\n")
    first = screen.expect("(cut off after 30 tokens; -n allows more)").rsplit("(", 1)[0]
    assert "a" not in letters(first)
    screen.enter("/ban script:Klingonish")
    screen.expect("(there is no script 'Klingonish'")
    screen.enter("/ban")
    screen.expect("give a pattern")
    screen.enter("/ban /[a-z]/")
    screen.expect("(banned from the next answer on: /[a-z]/)")
    screen.enter("/bans")
    screen.expect("/bans\n*a*\n/[a-z]/\n")
    screen.enter("/retry")
    screen.expect("/retry\n")
    second = screen.expect("(cut off").removesuffix("(cut off")
    assert not {c for c in letters(second) if c.isascii()}
    assert second != first
    screen.enter("/why")
    assert "removed  after" in screen.expect("instead of")
    screen.enter("/undo")
    screen.expect("(forgotten: the cat)")
    screen.enter("/undo")
    screen.expect("(nothing has been said yet)")
    screen.enter("/nonsense")
    screen.expect("there is no command /nonsense")
    screen.enter("/help")
    screen.expect("/retry         answer the last question again")
    screen.enter("/quit")
    assert screen.close() == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(chatty_path: Path, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("chat", "-m", chatty_path, "-n", -1, "-s", 5, *NO_END)
    screen.enter("the cat")
    screen.expect("the cat\n")
    screen.expect("e")  # the answer has begun, and would go on for 16,000 tokens
    screen.type("\x03")
    screen.expect("(stopped)")
    screen.enter("/undo")  # it is remembered as far as it came
    screen.expect("(forgotten: the cat)")
    screen.expect("\n> ")
    screen.type("half a line")
    screen.expect("half a line")  # what is echoed has been read: now the program waits for a key
    screen.interrupt("(Ctrl-C once more leaves, and so does Ctrl-D; /help lists the commands)")
    screen.expect("\n> ")
    screen.type("more")
    screen.expect("more")
    screen.interrupt()
    assert screen.close() == 130


def test_the_arrow_keys_bring_lines_back_and_ctrl_d_leaves(
    chatty_path: Path, terminal: Callable[..., Terminal]
) -> None:
    screen = terminal("chat", "-m", chatty_path, "-n", 4, "-s", 5, *NO_END)
    screen.enter("/bans")
    screen.expect("(nothing is banned)")
    screen.enter("\x1b[A")
    screen.expect("(nothing is banned)")
    screen.enter(" /bans")  # a question
    screen.expect("(cut off after 4 tokens")
    screen.expect("\n> ")
    screen.type("\x04")
    assert screen.close() == 0


def test_answers_alone_go_to_a_file(chatty_path: Path, terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    """With stdout elsewhere, the prompt and the notes stay on the terminal."""
    out = tmp_path / "answers.txt"
    screen = terminal("chat", "-m", chatty_path, "-n", 8, "-s", 5, *NO_END, stdout=out)
    for question in ("the cat", "is"):
        screen.enter(f"{question}")
        screen.expect("(cut off after 8 tokens")
    screen.expect("\n> ")
    screen.type("\x04")
    assert screen.close() == 0
    answers = out.read_text(encoding="utf-8")
    assert "> " not in answers
    assert "cut off" not in answers
    assert "\n\n" in answers
