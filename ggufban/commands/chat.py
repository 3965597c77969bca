"""`ggufban chat`: a conversation in the terminal under bans."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from shutil import get_terminal_size
from typing import Any

import click

from ggufban.bans import BanList
from ggufban.commands.conversation import Conversation, Turn
from ggufban.commands.interrupt import stop_on_interrupt
from ggufban.commands.options import (
    Text,
    ban_options,
    model_options,
    open_model,
    option,
    read_bans,
    read_sampling,
    sampling_options,
    strategy_option,
)
from ggufban.errors import BanError, GgufbanError, UsageError
from ggufban.rendering.removals import removals_table
from ggufban.rendering.terminal import stats_text
from ggufban.rendering.width import wrap

__all__ = ["command"]

PROMPT = "> "
SHOWN_BANS = 40


HELP = """\
  /ban PATTERN   ban one more word, phrase or pattern, from the next answer on
  /bans          show what is banned
  /undo          forget the last question and its answer
  /retry         answer the last question again, with other random numbers
  /why           what the bans did to the last answer, and where
  /help, /quit   show these commands; leave
Ctrl-C stops an answer, Ctrl-D leaves. A line that begins with a space is never a command."""


EPILOG = f"""\b
While talking:
{HELP}"""


@click.command("chat", epilog=EPILOG)
@option("--system", metavar="TEXT", help="System message.")
@ban_options
@strategy_option
@option("-n", "--predict", type=click.IntRange(-1), default=512, help="Most tokens of an answer; -1: until the end.")
@option("-s", "--seed", type=click.IntRange(0), help="Makes the answers repeatable.  [default: a fresh one]")
@option("--stop", multiple=True, type=Text(), help="End an answer before this text; repeatable.")
@click.option("--stats", is_flag=True, help="Say on stderr what the bans did to each answer and what it cost.")
@sampling_options
@model_options
def command(**options: Any) -> int:
    """Talk with a model in the terminal, under bans.

    \b
    Examples:
      ggufban chat --ban-file slop.txt
      ggufban chat --system "You are a pirate." --ban "as an AI" --ban —
      ggufban chat --ban Paris --seed 1 < questions.txt

    The answers go to stdout, all else to stderr. From a pipe, every line is a question (there are no commands), and
    a blank line stands between the answers. When the context is full, the oldest turns are forgotten, the system
    message is not.
    """
    if "-" in options["ban_file"]:
        raise UsageError("stdin is the conversation and cannot be a ban list too; give the list as a file")
    fold = options["fold"]
    bans, sampling = read_bans(options), read_sampling(options)
    with open_model(options) as model:
        settings = {
            "strategy": options["strategy"],
            "n_predict": None if options["predict"] < 0 else options["predict"],
            "stop": options["stop"],
            **sampling,
        }
        conversation = Conversation(model, options["system"])
        interactive = sys.stdin.isatty()
        session = Session(model, conversation, bans, fold, options["seed"], settings, options["stats"], interactive)
        return _talk(session) if interactive else _read_all(session)


# -- where the questions come from ----------------------------------------------------------------------------------


def _talk(session: "Session") -> int:
    """Questions and commands from a terminal, until somebody leaves; the exit code."""
    with suppress(ImportError):
        import readline  # noqa: F401  # its import gives input() the arrow keys; Windows has them without
    session.say(session.greeting())
    leaving = False
    while True:
        try:
            click.echo(err=True)
            line = _read_line()
            leaving = False
            if line.startswith("/"):
                if session.command(line) is LEAVE:
                    return 0
            elif line.strip():
                session.ask(line.strip())
        except EOFError:
            click.echo(err=True)
            return 0
        except KeyboardInterrupt:
            if leaving:
                click.echo(err=True)
                return 130
            leaving = True
            click.echo(err=True)
            session.say("Ctrl-C once more leaves, and so does Ctrl-D; /help lists the commands")
        except GgufbanError as error:
            session.say(str(error))


def _read_line() -> str:
    """A line from the terminal; the prompt is not to be among the answers where these go elsewhere."""
    if sys.stdout.isatty():
        return input(PROMPT)
    click.echo(PROMPT, nl=False, err=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def _read_all(session: "Session") -> int:
    """A question from every line of a pipe; the exit code. A question that fails is said and left out."""
    code = 0
    for question in _lines():
        try:
            if session.ask(question):
                return 130
        except UsageError:
            raise  # a bad setting: it would be the same with every question
        except GgufbanError as error:
            session.say(str(error))
            code = 1
    return code


def _lines() -> Iterator[str]:
    """The lines of stdin as they come, without blank ones. Raises `UsageError` if one is not UTF-8."""
    for number, data in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        try:
            line = data.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            at = error.start
            raise UsageError(f"stdin is not UTF-8: byte {data[at]:#04x} at offset {at} of line {number}") from None
        if line:
            yield line


# -- what is done with them -----------------------------------------------------------------------------------------

LEAVE = object()
"""What a command returns to end the conversation."""


class Session:
    """A conversation, its bans and its settings; every method speaks on stderr, and answers on stdout."""

    def __init__(
        self,
        model: Any,
        conversation: Conversation,
        bans: BanList | None,
        fold: str,
        seed: int | None,
        settings: dict[str, Any],
        stats: bool,
        interactive: bool,
    ) -> None:
        self._model, self._conversation = model, conversation
        self._bans = bans or BanList([], fold=fold)
        self._seed, self._settings = seed, settings
        self._stats, self._interactive = stats, interactive
        self._answers = 0

    def say(self, text: str) -> None:
        """A note, on stderr: in brackets and wrapped between words in a conversation, else as any error is said."""
        lines = wrap(f"({text})", get_terminal_size().columns) if self._interactive else [f"ggufban: {text}"]
        click.echo("\n".join(lines), err=True)

    def greeting(self) -> str:
        """What is said first."""
        bans = f"{len(self._bans):,} banned, " if self._bans else ""
        return f"{self._model.path.name}, {bans}/help lists the commands"

    # -- an answer --

    def ask(self, question: str) -> bool:
        """Answer a question and remember both; whether the answer was interrupted."""
        limit, quarter = self._settings["n_predict"], self._model.n_ctx // 4
        forgotten = self._conversation.make_room(question, quarter if limit is None else min(limit, quarter))
        if forgotten:
            self.say(f"the context is full: {forgotten} of the oldest turns forgotten")
        seed = None if self._seed is None else self._seed + self._answers
        messages = self._conversation.messages(question)
        stream = self._model.stream_chat(messages, bans=self._bans, seed=seed, **self._settings)
        if self._answers and not (self._interactive and sys.stdout.isatty()):
            click.echo()  # the blank line between answers; a terminal has one before the prompt
        self._answers += 1
        try:
            with stop_on_interrupt(stream.stop) as interrupted:
                for step in stream:
                    sys.stdout.write(step.text)
                    sys.stdout.flush()
        except KeyboardInterrupt:  # the second one; the engine may be in the middle of something
            raise click.Abort from None
        click.echo()
        self._conversation.turns.append(Turn(question, stream.generation))
        self._comment(stream.generation)
        return interrupted()

    def _comment(self, out: Any) -> None:
        """What there is to say of an answer."""
        if out.note:
            self.say(out.note)
        if out.finish_reason == "banned":
            self.say("every continuation is banned: the answer ends here")
        elif self._interactive and out.finish_reason == "interrupted":
            self.say("stopped")
        elif self._interactive and out.finish_reason == "length":
            self.say(f"cut off after {len(out.steps)} tokens; -n allows more")
        if self._stats:
            click.echo(stats_text(out), err=True)
        elif self._interactive and out.report.hits:
            count = out.report.hits.total()
            self.say(f"bans hit {count} {'time' if count == 1 else 'times'}: /why")

    # -- commands --

    def command(self, line: str) -> object:
        """Do what a line that begins with a slash says; `LEAVE` to end the conversation."""
        name, _, rest = line[1:].partition(" ")
        action = COMMANDS.get(name.strip())
        if action is None:
            self.say(f"there is no command /{name}; /help lists them; a space in front makes it a question")
            return None
        return action(self, rest.strip())

    def ban(self, pattern: str) -> None:
        """Add a pattern to the list."""
        if not pattern:
            raise UsageError('give a pattern, as in: /ban delve*, /ban "shivers down"')
        try:
            bans = self._bans + BanList([pattern], self._bans.fold, self._bans.after, source="/ban")
        except BanError as error:
            raise UsageError(str(error).removeprefix("/ban:1: ")) from None  # which line it was is plain to see
        bans.compile(self._model.vocab)  # a list that leaves nothing to say is refused now
        self._bans = bans
        self.say(f"banned from the next answer on: {bans.patterns[-1]}")

    def show_bans(self, rest: str) -> None:
        """Show the list."""
        shown = [str(pattern) for pattern in self._bans.patterns[-SHOWN_BANS:]]
        missing = len(self._bans) - len(shown)
        if missing:
            click.echo(f"… {missing:,} before these", err=True)
        if shown:
            click.echo("\n".join(shown), err=True)
        else:
            self.say("nothing is banned")

    def undo(self, rest: str) -> None:
        """Forget the last turn."""
        turn = self._last_turn()
        self._conversation.turns.pop()
        self.say(f"forgotten: {turn.question}")

    def retry(self, rest: str) -> None:
        """Answer the last question again."""
        turn = self._last_turn()
        self._conversation.turns.pop()
        try:
            self.ask(turn.question)
        except (GgufbanError, KeyboardInterrupt):
            self._conversation.turns.append(turn)
            raise

    def why(self, rest: str) -> None:
        """Show what the bans did to the last answer."""
        out = self._last_turn().answer
        click.echo(stats_text(out), err=True)
        removed = removals_table(out.steps)
        if removed:
            click.echo(f"\n{removed}", err=True)

    def help(self, rest: str) -> None:
        """Show the commands."""
        click.echo(HELP, err=True)

    def _last_turn(self) -> Turn:
        if not self._conversation.turns:
            raise UsageError("nothing has been said yet")
        return self._conversation.turns[-1]


def _leave(session: Session, rest: str) -> object:
    """Leave."""
    return LEAVE


COMMANDS: dict[str, Callable[[Session, str], object]] = {
    "ban": Session.ban,
    "bans": Session.show_bans,
    "undo": Session.undo,
    "retry": Session.retry,
    "why": Session.why,
    "help": Session.help,
    "quit": _leave,
}
"""What can be written after a slash."""
