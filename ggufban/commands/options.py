"""Options that several commands share, written once; and what they mean for the library."""

import codecs
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ggufban.bans import BanList
from ggufban.bans.bias import BiasList, parse_bias
from ggufban.bans.language import parse_lines
from ggufban.catalogue import DEFAULT_MODEL, resolve_hub
from ggufban.commands.progress import download_bar
from ggufban.decoding import STRATEGIES
from ggufban.errors import BanError, UsageError
from ggufban.sampling import PARAMETERS
from ggufban.sampling.parameters import Parameter, read_logit_bias, read_sequence_breakers

__all__ = [
    "ban_options",
    "bias_options",
    "engine_options",
    "model_options",
    "open_model",
    "open_named",
    "option",
    "prompt_options",
    "read_bans",
    "read_bias",
    "read_prompt",
    "read_sampling",
    "sampling_options",
    "strategy_option",
]

F = TypeVar("F", bound=Callable[..., Any])


def option(*flags: str, **settings: Any) -> Callable[[F], F]:
    """A click option that shows its default and its environment variable, `GGUFBAN_` and the first long flag."""
    long = next(flag for flag in flags if flag.startswith("--"))
    name = "GGUFBAN_" + long.removeprefix("--").replace("-", "_").upper()
    return click.option(*flags, envvar=name, show_envvar=True, **{"show_default": True, **settings})


class Text(click.types.StringParamType):
    """Text as it is given: click would split an environment variable at white space where values may repeat."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """The one value that an environment variable holds."""
        return [rv]


def _stack(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


# -- the model ----------------------------------------------------------------------------------------------------

engine_options = _stack(
    option("-c", "--ctx-size", type=click.IntRange(0), help="Context size in tokens; 0: the model's own."),
    option("-b", "--batch-size", type=click.IntRange(1), default=512, help="Most tokens evaluated at once."),
    option("-t", "--threads", type=click.IntRange(1), help="CPU threads.  [default: half of the processors]"),
    option("-ngl", "--gpu-layers", type=int, default=0, help="Layers put on a GPU; -1: all."),
    option("--verbose", is_flag=True, help="Show llama.cpp's log on stderr."),
)

model_options = _stack(
    option("-m", "--model", default=DEFAULT_MODEL, help="A name that `ggufban models` lists, or a GGUF file."),
    option("-hf", "--hf-repo", metavar="USER/REPO[:QUANT]", help="A Hugging Face repository instead of -m."),
    engine_options,
)


def open_model(options: dict[str, Any], **more: Any) -> Any:
    """The Model that `model_options` ask for; takes their values out of `options`."""
    name, hub = options.pop("model"), options.pop("hf_repo")
    return open_named(resolve_hub(hub) if hub else name, options, **more)


def open_named(name: Any, options: dict[str, Any], **more: Any) -> Any:
    """The Model called `name` with the settings of `engine_options`, whose values stay in `options`."""
    from ggufban.model import Model

    with download_bar() as progress:
        return Model(
            name,
            n_ctx=options["ctx_size"],
            n_batch=options["batch_size"],
            n_threads=options["threads"],
            n_gpu_layers=options["gpu_layers"],
            verbose=options["verbose"],
            progress=progress,
            **more,
        )


# -- the prompt ---------------------------------------------------------------------------------------------------

prompt_options = _stack(
    click.argument("prompt", required=False),
    click.option("-p", "--prompt", "prompt_flag", metavar="TEXT", help="The prompt, as an option."),
    click.option("-f", "--file", "prompt_file", metavar="FILE", help="Read the prompt from a file; - is stdin."),
)


def read_prompt(options: dict[str, Any]) -> str:
    """The prompt, from the argument, -p, -f or stdin; one line break at its end is dropped, as llama.cpp does.

    Raises `UsageError` if it is given twice, is not UTF-8, or would have to be typed into a terminal.
    """
    given = [options.pop("prompt"), options.pop("prompt_flag")]
    file = options.pop("prompt_file")
    texts = [text for text in given if text is not None]
    if len(texts) + (file is not None) > 1:
        raise UsageError("the prompt is given more than once; give it as an argument, with -p, or with -f")
    if texts:
        try:
            texts[0].encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError("the prompt is not UTF-8; put it into a file in UTF-8 and use -f FILE") from None
        return str(texts[0])
    if file is None and sys.stdin.isatty():
        raise UsageError('no prompt: give one, as in: ggufban generate "Once upon a time"; or -f FILE, or -f -')
    if file in (None, "-") and "-" in options.get("ban_file", ()):
        raise UsageError("stdin cannot be both the prompt and a ban list; give one of them by another way")
    return _read_text(file or "-", "prompt").removesuffix("\n").removesuffix("\r")


def _read_text(file: str, what: str) -> str:
    """The text of a file, or of stdin for `-`; `UsageError` if it cannot be read or is not UTF-8."""
    source = "stdin" if file == "-" else file
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"the {what} file {source} cannot be read: {error.strerror or error}") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UsageError(f"{source} is UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start
        raise UsageError(f"{source} is not UTF-8: byte {data[at]:#04x} at offset {at}; save it as UTF-8") from None


# -- bans ---------------------------------------------------------------------------------------------------------

ban_options = _stack(
    click.option("--ban", multiple=True, metavar="PATTERN", help="Ban a word, phrase or pattern; repeatable."),
    option(
        "--ban-file",
        multiple=True,
        metavar="FILE",
        type=click.Path(allow_dash=True),
        help="Ban every pattern of a file; repeatable; - is stdin.",
    ),
    option("--fold", type=click.Choice(["exact", "case", "loose"]), default="case", help="Letters that are equal."),
    option("--ban-after", type=Text(), metavar="TEXT", help="Bans begin only once this text was written (</think>)."),
)


strategy_option = option(
    "--strategy", type=click.Choice(list(STRATEGIES)), default="rewind", help="What happens when a ban is hit."
)

bias_options = _stack(
    click.option("--bias", multiple=True, metavar="WORD=±X", help="Add X to a word's logit; repeatable."),
    option("--bias-file", multiple=True, metavar="FILE", help="A file of WORD=±X, one a line; repeatable."),
)


def read_bias(options: dict[str, Any], fold: str) -> BiasList | None:
    """The biases that `bias_options` ask for, None if there are none; takes their values out of `options`."""
    lists = [BiasList(dict([parse_bias(line)]), fold) for line in options.pop("bias")]
    lists += [BiasList.from_file(file, fold) for file in options.pop("bias_file")]
    return sum(lists[1:], lists[0]) if lists else None


def read_bans(options: dict[str, Any]) -> BanList | None:
    """The ban list that `ban_options` ask for, None if they name no pattern; takes their values out of `options`."""
    words, files, fold = options.pop("ban"), options.pop("ban_file"), options.pop("fold")
    after = options.pop("ban_after", None)
    lists = [BanList(words, fold, after, source="--ban")] if words else []
    lists += [_ban_file(file, fold, after) for file in files]
    whole: BanList | None = None
    for one in lists:
        whole = one if whole is None else whole + one
    return whole


def _ban_file(file: str, fold: str, after: str | None) -> BanList:
    if file == "-":
        lines = _read_text("-", "ban list").replace("\r\n", "\n").split("\n")
        patterns = list(parse_lines(lines, "stdin", Path()))
        if not patterns:
            raise BanError("there is no pattern in this list", source="stdin")
        return BanList(patterns, fold, after)
    return BanList.from_file(file, fold, after)


# -- sampling -----------------------------------------------------------------------------------------------------


def _flag(parameter: Parameter) -> Callable[[Any], Any]:
    described = parameter.help + (f" ({parameter.off}: off)" if parameter.off else "")
    kind = Text() if parameter.type is str else parameter.type
    if parameter.multiple:
        default: Any = parameter.default or ()
        shown = " ".join(json.dumps(text) for text in default) or True
        return option(*parameter.flags, parameter.name, multiple=True, type=kind, help=described, show_default=shown)
    return option(*parameter.flags, parameter.name, type=kind, default=parameter.default, help=described)


sampling_options = _stack(*[_flag(parameter) for parameter in PARAMETERS])


def read_sampling(options: dict[str, Any]) -> dict[str, Any]:
    """The keywords of `Sampler` that `sampling_options` ask for; takes their values out of `options`."""
    given = {parameter.name: options.pop(parameter.name) for parameter in PARAMETERS}
    sampling: dict[str, Any] = {name: value for name, value in given.items() if value not in (None, ())}
    for name, read in (("logit_bias", read_logit_bias), ("dry_sequence_breakers", read_sequence_breakers)):
        if name in sampling:
            sampling[name] = read(sampling[name])
    return sampling
