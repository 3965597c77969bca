"""`ggufban evaluate`: what each strategy gives and what it costs, on a set of prompts."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

import click

from ggufban.bans import BanList
from ggufban.commands.interrupt import stop_on_interrupt
from ggufban.commands.options import (
    ban_options,
    model_options,
    open_model,
    option,
    read_bans,
    read_sampling,
    sampling_options,
)
from ggufban.commands.progress import count_bar
from ggufban.commands.views import echo_json, read_text
from ggufban.decoding import STRATEGIES
from ggufban.decoding.evaluation import Sample
from ggufban.errors import UsageError
from ggufban.rendering.evaluations import evaluation_json, evaluation_text

__all__ = ["command"]

CHOICES = ("none", *STRATEGIES)

EPILOG = """\b
What the columns mean.
  leaks         matches of the ban list in the texts, found by searching them; under a strategy: 0
  nats/tok      surprise of the text, a token, by the model itself without bans at temperature 1;
                lower reads better, and what a ban did to the text shows here
  - none        the same above text written without bans, with the same prompts and seeds
  ±             one standard error of the figure before it, with a text as the unit
  evals/tok     tokens that the model evaluated for each token of text, the prompt counting as one
  dead          texts that had no legal continuation left
  word          characters between white space: a text whose spaces are banned away has long words

For mask, w is the product of the legal masses along a text: the mean of w is the probability that a text drawn
without bans holds no match, and KL says how far the texts of mask are from such texts, in nats. Both are exact
where no filter cuts (--top-k 0 --top-p 1 --min-p 0); a filter that fills up what was banned makes them approximate.
"""


@click.command("evaluate", epilog=EPILOG)
@ban_options
@click.option("--prompts", "prompt_file", metavar="FILE", help="Prompts, one a line; - is stdin.  [default: built in]")
@option("--strategies", metavar="A,B,…", default="none,mask,rewind", help="Of none, mask, rewind and exact.")
@option("-n", "--predict", type=click.IntRange(1), default=120, help="Most tokens of each text.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Use the first N prompts.  [default: all]")
@option("-s", "--seed", type=click.IntRange(0), default=1, help="Prompt i is answered with seed + i.")
@option("--ignore-eos", is_flag=True, help="Go on where the model would end its text.")
@option("--chat", is_flag=True, help="Ask through the model's own chat template.")
@click.option(
    "--max-evaluations",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Budget of exact, for each text.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every text.")
@sampling_options
@model_options
def command(**options: Any) -> int:
    """Measure what each strategy gives and what it costs.

    \b
    Examples:
      ggufban evaluate --ban-file slop.txt --chat
      ggufban evaluate --ban Paris --ban "the" --limit 8 -n 40 --strategies none,mask,rewind,exact
      ggufban evaluate --ban-file slop.txt --prompts mine.txt --top-p 1 --min-p 0 --json

    A text is written for every prompt under every strategy and examined: are banned words in it, how natural does
    the model find it, what did it cost. The built-in prompts are 40 requests (--chat) or 40 openings of texts.
    """  # fmt: skip
    strategies = _strategies(options["strategies"])
    if options["prompt_file"] == "-" and "-" in options["ban_file"]:
        raise UsageError("stdin cannot be both the prompts and a ban list; give one of them as a file")
    bans = read_bans(options)
    if bans is None:
        raise UsageError("nothing is banned, so there is nothing to evaluate: give --ban or --ban-file")
    prompts = _prompts(options["prompt_file"], options["chat"])[: options["limit"]]
    sampling = read_sampling(options)
    with open_model(options) as model:
        samples, stopped = _run(model, prompts, strategies, bans, options, sampling)
        if options["as_json"]:
            names = ("chat", "predict", "seed", "ignore_eos", "max_evaluations")
            facts = {"model": model.path.name, "bans": len(bans), "fold": bans.fold, "prompts": len(prompts)}
            echo_json(evaluation_json(samples, {**facts, **{name: options[name] for name in names}}))
        else:
            mode = "requests by the chat template" if options["chat"] else "openings"
            kind = mode if options["prompt_file"] is None else "prompts"
            patterns = f"{len(bans):,} pattern{'' if len(bans) == 1 else 's'}"
            click.echo(f"{model.path.name}, {patterns}, {len(prompts)} {kind}, of {options['predict']} tokens each")
            click.echo(evaluation_text(samples))
    return 130 if stopped else 0


def _strategies(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in CHOICES:
            raise UsageError(f"strategies is {text!r}; it must be some of {', '.join(CHOICES)}, with commas between")
    return names


def _prompts(file: str | None, chat: bool) -> list[str]:
    """The prompts of a file, or the built-in ones: one a line, without empty lines and comments (`#`)."""
    if file is None:
        name = "requests.txt" if chat else "openings.txt"
        text = resources.files("ggufban.decoding").joinpath(name).read_text(encoding="utf-8")
    else:
        text = read_text(file)
    prompts = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not prompts:
        raise UsageError(f"{'stdin' if file == '-' else file}: there is no prompt in it")
    return prompts


def _run(
    model: Any,
    prompts: Sequence[str],
    strategies: Sequence[str],
    bans: BanList,
    options: dict[str, Any],
    sampling: dict[str, Any],
) -> tuple[dict[str, list[Sample]], bool]:
    """Every text, by strategy, and whether it was interrupted; an unfinished text is then left out.

    Prompt by prompt rather than strategy by strategy, so that whatever else the machine does falls on all alike, and
    an interrupt leaves texts that can be compared.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in strategies}
    length, total = options["predict"], len(prompts) * len(strategies) * options["predict"]
    done = 0
    with count_bar("evaluating") as progress:
        for at, prompt in enumerate(prompts):
            for name in strategies:
                stream = _stream(model, prompt, name, bans, options["seed"] + at, options, sampling)
                with stop_on_interrupt(stream.stop) as interrupted:
                    for count, _ in enumerate(stream, 1):
                        progress(done + count, total)
                if interrupted():
                    return {kept: texts[:at] for kept, texts in samples.items()}, True
                done += length
                samples[name].append(Sample.of(stream.generation, bans, chat=options["chat"]))
    return samples, False


def _stream(
    model: Any,
    prompt: str,
    strategy: str,
    bans: BanList,
    seed: int,
    options: dict[str, Any],
    sampling: dict[str, Any],
) -> Any:
    """One text on its way."""
    settings = {
        "bans": None if strategy == "none" else bans,
        "strategy": "rewind" if strategy == "none" else strategy,
        "n_predict": options["predict"],
        "seed": seed,
        "ignore_eos": options["ignore_eos"],
        "max_evaluations": options["max_evaluations"] if strategy == "exact" else None,
        "top": 0,
        **sampling,
    }
    if options["chat"]:
        return model.stream_chat([{"role": "user", "content": prompt}], **settings)
    return model.stream(prompt, **settings)
