"""`ggufban chat` through pipes, and the cache that it keeps."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from ggufban import BanList, Model
from ggufban.commands.conversation import Conversation, Turn
from tests.commands.chatting import TEMPLATE, write_chatty
from tests.commands.cli import run_cli
from tests.commands.conftest import Run

NO_END = ("--logit-bias", "2-inf")  # a text of random weights would end anywhere


@pytest.fixture(scope="module")
def chatty_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chatty(tmp_path_factory.mktemp("chat") / "chatty.gguf")


@pytest.fixture
def chatty(chatty_path: Path):
    with Model(chatty_path, n_threads=1) as model:
        yield model


def talk(model: Model, conversation: Conversation, question: str, **settings):
    """A turn, as the command makes it: what it evaluated."""
    before = model.evaluations
    out = model.chat(conversation.messages(question), **{"n_predict": 10, "seed": 3, **settings})
    conversation.turns.append(Turn(question, out))
    return out, model.evaluations - before


# -- the cache ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bans", [None, BanList(["*a*", "*e*"])])
def test_a_turn_evaluates_only_what_is_new(chatty: Model, bans: BanList | None) -> None:
    conversation = Conversation(chatty, "the cat")
    talk(chatty, conversation, "the cat sat", bans=bans)
    for question in ["is the cat", "Paris"]:
        prompt = chatty.chat_prompt(conversation.messages(question))
        common = next(i for i, (a, b) in enumerate(zip([*chatty.tokens(), None], prompt, strict=False)) if a != b)
        new = chatty.tokenize(f"</s>\nu:{question}\na:", add_special=False, parse_special=True)
        assert prompt[-len(new) :] == new
        assert len(prompt) - common <= len(new) + 1  # the last token of an answer may have been drawn only
        out, evaluated = talk(chatty, conversation, question, bans=bans)
        assert evaluated == len(prompt) - common + out.report.evaluations - 1  # the report counts a prompt as one
        assert evaluated < len(prompt)


def test_the_ids_of_an_answer_are_kept_and_the_text_is_the_same(chatty: Model) -> None:
    """Random weights write `t` `h` `e` where the tokenizer would say `the`."""
    conversation = Conversation(chatty)
    out, _ = talk(chatty, conversation, "the cat", n_predict=30, logit_bias=dict.fromkeys(range(259), -100.0))
    messages = conversation.messages("is")
    plain = [{key: message[key] for key in ("role", "content")} for message in messages]
    kept, again = chatty.chat_prompt(messages), chatty.chat_prompt(plain)
    assert chatty.vocab.decode(kept) == chatty.vocab.decode(again)
    assert kept != again
    prompt = chatty.chat_prompt(plain[:1])
    assert kept[: len(prompt) + len(out.tokens)] == prompt + out.tokens
    before = chatty.evaluations
    chatty.goto(kept)
    new = chatty.tokenize("</s>\nu:is\na:", add_special=False, parse_special=True)
    assert kept[-len(new) :] == new
    assert chatty.evaluations - before == len(new) + 1  # and the last token of the answer


@pytest.mark.parametrize(
    ("content", "template"),
    [
        ("other", TEMPLATE),  # the ids do not say what the message says
        ("the cat", "{{ messages | length }}" + TEMPLATE),  # what went before is written anew
        ("the cat", TEMPLATE.replace("| trim", "| upper")),  # the answer itself is
    ],
)
def test_ids_that_do_not_stand_for_the_text_are_not_used(tmp_path: Path, content: str, template: str) -> None:
    with Model(write_chatty(tmp_path / "m.gguf", template), n_threads=1) as model:
        ids = [token for c in "the cat" for token in model.tokenize(c, add_special=False)]
        messages = [
            {"role": "user", "content": "is"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": "sat"},
        ]
        plain = model.chat_prompt(messages)
        messages[1]["tokens"] = ids
        assert model.chat_prompt(messages) == plain


def test_an_answer_that_the_template_trims_keeps_its_ids(chatty: Model) -> None:
    ids = chatty.tokenize(" the cat", add_special=False)
    messages = [
        {"role": "user", "content": "is"},
        {"role": "assistant", "content": " the cat", "tokens": ids},
        {"role": "user", "content": "sat"},
    ]
    prompt = chatty.chat_prompt(messages[:1])
    assert chatty.chat_prompt(messages)[: len(prompt) + len(ids)] == prompt + ids


def test_the_oldest_turns_are_forgotten_and_the_system_message_is_not(chatty: Model) -> None:
    conversation = Conversation(chatty, "is Paris")
    for number in range(8):
        answer = SimpleNamespace(text="the cat " * 8, tokens=chatty.tokenize("the cat " * 8, add_special=False))
        conversation.turns.append(Turn(f"question {number}", answer))  # type: ignore[arg-type]
    assert len(chatty.chat_prompt(conversation.messages("is"))) > chatty.n_ctx
    forgotten = conversation.make_room("is", 64)
    assert 0 < forgotten < 8
    assert conversation.turns[-1].question == "question 7"
    assert conversation.turns[0].question == f"question {forgotten}"
    assert conversation.messages("is")[0] == {"role": "system", "content": "is Paris"}
    assert len(chatty.chat_prompt(conversation.messages("is"))) <= chatty.n_ctx // 2
    assert conversation.make_room("is", 64) == 0


# -- through pipes --------------------------------------------------------------------------------------------------


def test_every_line_of_a_pipe_is_a_question(run: Run, chatty_path: Path) -> None:
    given = ("chat", "-m", str(chatty_path), "-n", "8", "-s", "1", "--ban", "*a*", *NO_END)
    both = run(*given, stdin=b"\xef\xbb\xbfthe cat\r\n\n  \n/help\n")
    assert (both.code, both.err) == (0, "")
    first = run(*given, stdin=b"the cat")
    assert both.out.startswith(first.out + "\n")  # a blank line stands between
    assert len(both.out) > len(first.out) + 2
    assert "a" not in both.out.casefold()
    assert run(*given, stdin=b"").out == ""


def test_a_long_conversation_forgets_and_goes_on(run: Run, chatty_path: Path) -> None:
    result = run("chat", "-m", str(chatty_path), "-n", "40", "-s", "1", *NO_END, stdin=b"the cat sat\n" * 9)
    assert result.code == 0
    assert re.search(r"ggufban: the context is full: \d of the oldest turns forgotten\n", result.err)


def test_a_question_that_does_not_fit_is_said_and_the_next_is_answered(run: Run, chatty_path: Path) -> None:
    questions = b"the cat\n" + b"x" * 400 + b"\nis\n"
    result = run("chat", "-m", str(chatty_path), "-n", "8", "-s", "1", *NO_END, stdin=questions)
    assert result.code == 1
    assert "do not fit into a context of 256" in result.err
    assert len(re.split(r"\n\n", result.out.strip())) >= 2


def test_stats_and_a_ban_of_everything(run: Run, chatty_path: Path) -> None:
    result = run(
        "chat", "-m", str(chatty_path), "-n", "8", "--stats", "--ban", "/./", "-s", "1", *NO_END, stdin=b"is\n"
    )
    assert (result.code, result.out) == (0, "\n")
    assert "every continuation is banned: the answer ends here" in result.err
    assert "finished      banned" in result.err


@pytest.mark.parametrize(
    ("args", "stdin", "code", "message"),
    [
        (["--ban-file", "-"], b"", 2, "stdin is the conversation and cannot be a ban list too"),
        (["--ban", "script:Klingonish"], b"is", 2, "--ban:1: there is no script 'Klingonish'"),
        (["--top-p", "2"], b"is\nis\n", 2, "top_p"),
        ([], b"is\ncaf\xe9\n", 2, "stdin is not UTF-8: byte 0xe9 at offset 3 of line 2"),
        (["--seed", "-1"], b"", 2, "-1"),
    ],
)
def test_mistakes(run: Run, chatty_path: Path, args: list[str], stdin: bytes, code: int, message: str) -> None:
    result = run("chat", "-m", str(chatty_path), "-n", "4", *args, stdin=stdin)
    assert result.code == code, result.err
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_model_that_cannot_talk(run: Run, tiny_llama: Path, tmp_path: Path) -> None:
    result = run("chat", "-m", str(tiny_llama), stdin=b"is\n")
    assert (result.code, result.out) == (1, "")
    assert "has no chat template: it was not made for conversation" in result.err
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE
    path = str(write_chatty(tmp_path / "strict.gguf", strict))
    assert "refused the messages: no system" in run("chat", "-m", path, "--system", "is", stdin=b"is\n").err
    broken = str(write_chatty(tmp_path / "broken.gguf", "{% if %}"))
    assert "the chat template of broken.gguf cannot be read" in run("chat", "-m", broken, stdin=b"is\n").err


def test_a_real_conversation(smollm2_path: Path) -> None:
    """The first answer is the one that `generate --chat` gives; the second goes on from it."""
    question = "What is the capital of France?"
    given = ("-m", smollm2_path, "--temp", 0, "-n", 16, "--ban", "Paris", "--system", "Answer briefly.")
    talked = run_cli("chat", *given, input=f"{question}\nAnd of Germany?\n")
    assert (talked.returncode, talked.stderr) == (0, "")
    assert "Paris" not in talked.stdout
    first = run_cli("generate", "--chat", question, *given).stdout
    assert talked.stdout.startswith(first + "\n")
    assert len(talked.stdout[len(first) :].split()) > 3
