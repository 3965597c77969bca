"""`ggufban generate`: write text under bans."""

import json
import sys
from typing import Any

import click

from ggufban.commands.interrupt import stop_on_interrupt
from ggufban.commands.options import (
    Text,
    ban_options,
    model_options,
    open_model,
    option,
    prompt_options,
    read_bans,
    read_prompt,
    read_sampling,
    sampling_options,
)
from ggufban.rendering.jsons import generation_json, step_json
from ggufban.rendering.terminal import stats_text

__all__ = ["command"]


@click.command("generate")
@prompt_options
@ban_options
@option(
    "--strategy",
    type=click.Choice(["mask", "rewind", "exact"]),
    default="rewind",
    help="What happens when a ban is hit.",
)
@option("-n", "--predict", type=click.IntRange(-1), default=256, help="Most tokens to write; -1: until the end.")
@option("-s", "--seed", type=click.IntRange(0), help="Makes the text repeatable.  [default: a fresh one]")
@option("--stop", multiple=True, type=Text(), help="End before this text; repeatable.")
@option("--ignore-eos", is_flag=True, help="Go on where the model would end its text.")
@option("--chat", is_flag=True, help="Ask through the model's own chat template.")
@option("--system", metavar="TEXT", help="System message for --chat.")
@option("--top", type=click.IntRange(0), default=5, help="Candidates for each step, in JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.option("--jsonl", "as_jsonl", is_flag=True, help="Print a JSON object for each token, and one at the end.")
@click.option("--stats", is_flag=True, help="Say on stderr what the bans did and what it cost.")
@sampling_options
@model_options
def command(**options: Any) -> int:
    """Write text in which banned words cannot appear.

    \b
    Examples:
      ggufban generate "The capital of France is" --ban Paris -n 32
      ggufban generate --chat "Write a poem about rain" --ban-file slop.txt --stats
      echo "Once upon a time" | ggufban generate --temp 0 --json

    The text goes to stdout as it is written, everything else to stderr. Ctrl-C ends the text; what was
    written so far is legal.
    """
    if options["as_json"] and options["as_jsonl"]:
        raise click.UsageError("--json and --jsonl exclude each other")
    if options["system"] is not None and not options["chat"]:
        raise click.UsageError("--system goes with --chat")
    prompt = read_prompt(options)
    bans = read_bans(options)
    sampling = read_sampling(options)
    with open_model(options) as model:
        traced = options["as_json"] or options["as_jsonl"]
        settings = {
            "bans": bans,
            "strategy": options["strategy"],
            "n_predict": None if options["predict"] < 0 else options["predict"],
            "seed": options["seed"],
            "stop": options["stop"],
            "ignore_eos": options["ignore_eos"],
            "top": options["top"] if traced else None,
            **sampling,
        }
        if options["chat"]:
            system = [] if options["system"] is None else [{"role": "system", "content": options["system"]}]
            stream = model.stream_chat([*system, {"role": "user", "content": prompt}], **settings)
        else:
            stream = model.stream(prompt, **settings)
        return _print(stream, options)


def _print(stream: Any, options: dict[str, Any]) -> int:
    """Print a stream in the form asked for; the exit code."""
    plain = not (options["as_json"] or options["as_jsonl"])
    with stop_on_interrupt(stream.stop) as interrupted:
        for step in stream:
            if plain:
                sys.stdout.write(step.text)
                sys.stdout.flush()
            elif options["as_jsonl"]:
                click.echo(json.dumps(step_json(step), ensure_ascii=False, allow_nan=False))
    out = stream.generation
    if plain:
        click.echo()
    else:
        whole = generation_json(out)
        if options["as_jsonl"]:
            whole.pop("steps")
        click.echo(json.dumps(whole, ensure_ascii=False, allow_nan=False))
    if options["stats"]:
        click.echo(stats_text(out), err=True)
    if out.finish_reason == "banned" and plain:
        click.echo("ggufban: every continuation is banned: the text ends here", err=True)
    return 130 if interrupted() else 0
