"""`ggufban generate`: write text under bans."""

import json
import sys
from typing import Any

import click

from ggufban.commands.interrupt import stop_on_interrupt
from ggufban.commands.options import (
    Text,
    ban_options,
    bias_options,
    model_options,
    open_model,
    option,
    prompt_options,
    read_bans,
    read_bias,
    read_prompt,
    read_sampling,
    sampling_options,
    strategy_option,
)
from ggufban.rendering.jsons import generation_json, step_json
from ggufban.rendering.terminal import stats_text

__all__ = ["command"]

_MOST_TOGETHER = 8
"""Texts in one context: each has a cache of its own."""


@click.command("generate")
@prompt_options
@ban_options
@bias_options
@strategy_option
@option("-n", "--predict", type=click.IntRange(-1), default=256, help="Most tokens to write; -1: until the end.")
@option("-s", "--seed", type=click.IntRange(0), help="Makes the text repeatable.  [default: a fresh one]")
@option("--stop", multiple=True, type=Text(), help="End before this text; repeatable.")
@option("--ignore-eos", is_flag=True, help="Go on where the model would end its text.")
@option("--chat", is_flag=True, help="Ask through the model's own chat template.")
@option("--system", metavar="TEXT", help="System message for --chat.")
@option("--samples", type=click.IntRange(1), default=1, help="Texts to write, in common batches.")
@option(
    "--max-evaluations",
    type=click.IntRange(1),
    help="Budget in tokens evaluated.  [default: none; with --strategy exact 100 for each token asked for]",
)
@option("--top", type=click.IntRange(0), default=5, help="Candidates for each step, in JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end (with --samples a list).")
@click.option(
    "--jsonl",
    "as_jsonl",
    is_flag=True,
    help="Print a JSON object for each token, and one at the end (with --samples one a text).",
)
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
    bias = read_bias(options, options["fold"])
    bans = read_bans(options)
    if bias and bans:
        bias.check_against(bans)  # before the model is opened
    sampling = read_sampling(options)
    # Texts of `exact` learn from each other, one after another; those of the other strategies share batches.
    together = 1 if options["strategy"] == "exact" else min(options["samples"], _MOST_TOGETHER)
    with open_model(options, n_parallel=together) as model:
        traced = options["as_json"] or options["as_jsonl"]
        settings = {
            "bans": bans,
            "bias": bias,
            "strategy": options["strategy"],
            "n_predict": None if options["predict"] < 0 else options["predict"],
            "seed": options["seed"],
            "stop": options["stop"],
            "ignore_eos": options["ignore_eos"],
            "top": options["top"] if traced else None,
            "max_evaluations": options["max_evaluations"],
            **sampling,
        }
        asked: str | list[dict[str, str]] = prompt
        if options["chat"]:
            system = [] if options["system"] is None else [{"role": "system", "content": options["system"]}]
            asked = [*system, {"role": "user", "content": prompt}]
        if options["samples"] > 1:
            return _print_samples(model, asked, settings, options)
        stream = model.stream_chat(asked, **settings) if options["chat"] else model.stream(asked, **settings)
        return _print_stream(stream, options)


def _print_stream(stream: Any, options: dict[str, Any]) -> int:
    """Print a text while it is written, in the form asked for; the exit code."""
    plain = not (options["as_json"] or options["as_jsonl"])
    with stop_on_interrupt(stream.stop) as interrupted:
        for step in stream:
            if plain:
                sys.stdout.write(step.text)
                sys.stdout.flush()
            elif options["as_jsonl"]:
                click.echo(_dump(step_json(step)))
    out = stream.generation
    if plain:
        click.echo()
    else:
        whole = generation_json(out)
        if options["as_jsonl"]:
            whole.pop("steps")
        click.echo(_dump(whole))
    _print_notes(out, options)
    return 130 if interrupted() else 0


def _print_samples(model: Any, asked: Any, settings: dict[str, Any], options: dict[str, Any]) -> int:
    """Print several texts when all are written; the exit code."""
    stopping = False

    def stop() -> None:
        nonlocal stopping
        stopping = True

    with stop_on_interrupt(stop) as interrupted:
        texts = model.samples(options["samples"], asked, stopping=lambda: stopping, **settings)
    for number, out in enumerate(texts, 1):
        if options["as_jsonl"]:
            click.echo(_dump(generation_json(out)))
        elif not options["as_json"]:
            click.echo(f"[{number} of {options['samples']}]", err=True)
            click.echo(out.text)
        _print_notes(out, options)
    if options["as_json"]:
        click.echo(_dump([generation_json(out) for out in texts]))
    return 130 if interrupted() else 0


def _print_notes(out: Any, options: dict[str, Any]) -> None:
    """What stderr says about a finished text."""
    if options["stats"]:
        click.echo(stats_text(out), err=True)
    if out.note:
        click.echo(f"ggufban: {out.note}", err=True)
    if out.finish_reason == "banned" and not (options["as_json"] or options["as_jsonl"]):
        click.echo("ggufban: every continuation is banned: the text ends here", err=True)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
