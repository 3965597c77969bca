"""`ggufban inspect`: what the model wants to say next, and why it said what it said."""

from collections.abc import Sequence
from typing import Any

import click

from ggufban.commands.interrupt import stop_on_interrupt
from ggufban.commands.options import (
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
from ggufban.commands.progress import count_bar
from ggufban.commands.views import CAVEATS, echo_json, print_exports, print_views, terminal_width, view_options
from ggufban.decoding import STRATEGIES
from ggufban.inspection.text import Trace
from ggufban.inspection.uncertainty import semantic_entropy
from ggufban.inspection.watch import Sighting
from ggufban.rendering.jsons import generation_json, number
from ggufban.rendering.scores import answers_text, summary_text
from ggufban.rendering.steps import candidate_table, sightings_table, step_facts, trace_blocks
from ggufban.rendering.traces import read_trace

__all__ = ["command"]

EPILOG = f"""\b
What the columns mean. Probability, logit, rank and entropy (H, in nats) are
the model's own: raw logits at temperature 1, before any ban or filter.
With -n:
  -> 0.21        the probability at the draw, after bans and filters
  removed by     the stage that took a candidate away
  drawn … by …   the probability of the token at the draw, and the random
                 number that chose it
  bans took      the probability that bans removed here

\b
--watch gives the probability that the text goes on with a word, written as
it is or after a space: the product over its tokens, each evaluated by the
model. It counts the beginning of longer words too, and no other way of
cutting the word into tokens.

\b
--samples draws N answers, takes those together whose normalized text is
equal (first line, case, articles, punctuation), and gives the entropy over
these groups: 0 all agree, ln N none does. It is for short answers.

{CAVEATS}"""


@click.command("inspect", epilog=EPILOG)
@prompt_options
@option("--top", type=click.IntRange(1), default=10, help="Candidates to show at each step.")
@click.option(
    "-n",
    "--predict",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Tokens to write and explain; 0: look, write nothing.",
)
@click.option("--watch", multiple=True, metavar="WORD", help="Follow a word's probability; repeatable.")
@click.option("--samples", type=click.IntRange(2), help="Draw so many answers and see whether they agree.")
@click.option("--load", "trace_file", metavar="FILE", help="Look at a saved trace (--json, --jsonl) instead.")
@click.option("-s", "--seed", type=click.IntRange(0), help="Makes the text repeatable.  [default: a fresh one]")
@click.option(
    "--strategy",
    type=click.Choice(list(STRATEGIES)),
    default="rewind",
    show_default=True,
    help="What happens when a ban is hit.",
)
@click.option("--chat", is_flag=True, help="Ask through the model's own chat template.")
@view_options
@ban_options
@sampling_options
@model_options
def command(**options: Any) -> int:
    """Show what the model wants to say next, and why it said what it said.

    \b
    Examples:
      ggufban inspect "The capital of France is" --top 5
      ggufban inspect "The capital of France is" --watch Paris --watch London
      ggufban inspect "The capital of France is" -n 20 --ban Paris --top 5 --seed 1
      ggufban inspect --chat "What is the capital of Australia?" -n 12 --samples 10
      ggufban inspect --load trace.json --color entropy

    Without -n nothing is written: the table is of the next token. With -n a text is written, under bans and
    sampling options as in `ggufban generate`, and every choice explained.
    """  # fmt: skip
    if options["trace_file"]:
        return _show_saved(options)
    prompt = read_prompt(options)
    bans, sampling = read_bans(options), read_sampling(options)
    if options["samples"] and not options["predict"]:
        raise click.UsageError("--samples needs -n: how long an answer may be")
    if options["watch"] and options["samples"]:
        raise click.UsageError("--watch and --samples exclude each other")
    if not options["predict"] and (bans or options["chat"]):
        raise click.UsageError("bans and --chat act on what is written: give -n, how many tokens to write")
    with open_model(options) as model:
        if not options["predict"]:
            return _look(model, prompt, options)
        settings = {"bans": bans, "strategy": options["strategy"], "n_predict": options["predict"], **sampling}
        write = model.stream
        if options["chat"]:
            write, prompt = model.stream_chat, [{"role": "user", "content": prompt}]  # type: ignore[assignment]
        if options["samples"]:
            return _sample(lambda **more: write(prompt, **settings, **more), options)
        stream = write(prompt, **settings, seed=options["seed"], top=options["top"], watch=options["watch"])
        return _explain(stream, options, model.token_text)


def _look(model: Any, prompt: str, options: dict[str, Any]) -> int:
    """One step, nothing written."""
    step = model.inspect(prompt, top=options["top"])
    seen = model.watch(prompt, options["watch"]) if options["watch"] else ()
    trace = Trace((step,), "inspect", model.path.name, prompt)
    if not print_exports(trace, options, {"watch": [_sighting_json(s) for s in seen]} if seen else None):
        click.echo(candidate_table(step, model.token_text))
        click.echo(step_facts(step))
        if seen:
            click.echo(f"\n{sightings_table(seen)}")
    return 0


def _sighting_json(seen: Sighting) -> dict[str, Any]:
    return {"word": seen.word, "logprob": number(seen.logprob), "probability": seen.probability, "rank": seen.rank}


def _explain(stream: Any, options: dict[str, Any], names: Any) -> int:
    """A text, and the reason for every token of it."""
    with count_bar("writing") as progress, stop_on_interrupt(stream.stop) as interrupted:
        for done, _ in enumerate(stream, 1):
            progress(done, options["predict"])
    out, seen = stream.generation, stream.sightings
    trace = Trace(out.steps, "generate", out.model, out.prompt, None, _facts(out))
    more = {"watch": [[_sighting_json(s) for s in at] for at in seen]} if seen else None
    if not print_exports(trace, options, more):
        click.echo(trace_blocks(out.steps, names, dict(enumerate(seen)), terminal_width(), out.detours))
        click.echo()
        print_views(trace, options)
        click.echo(f"text          {out.prompt}|{out.text}")
        click.echo(f"seed          {out.seed}; sampler {' > '.join(out.sampler) or 'nothing but softmax'}")
        click.echo(f"finished      {out.finish_reason}")
    return 130 if interrupted() else 0


def _facts(out: Any) -> dict[str, Any]:
    """What `generate --json` says of a text beyond its steps."""
    whole = generation_json(out)
    return {name: value for name, value in whole.items() if name not in ("steps", "tokens", "text", "model")}


def _sample(draw: Any, options: dict[str, Any]) -> int:
    """Several answers to one prompt, and whether they agree."""
    count, texts, seed = options["samples"], [], options["seed"]
    with count_bar("drawing") as progress:
        for i in range(count):
            stream = draw(seed=None if seed is None else seed + i, top=None)
            with stop_on_interrupt(stream.stop) as interrupted:
                for _ in stream:
                    pass
            if interrupted():
                return 130
            texts.append(stream.generation.text)
            progress(i + 1, count)
    answers = semantic_entropy(texts)
    if options["as_json"]:
        clusters: Sequence[Any] = [{"answer": name, "texts": list(same)} for name, same in answers.clusters]
        whole = {"count": answers.count, "entropy": answers.entropy, "normalized": answers.normalized}
        echo_json({**whole, "clusters": clusters})
    else:
        click.echo(answers_text(answers))
    return 0


def _show_saved(options: dict[str, Any]) -> int:
    """A trace from a file, without the model."""
    trace = read_trace(options["trace_file"])
    if print_exports(trace, options):
        return 0
    if options["shade"] or options["span"]:
        print_views(trace, options)
    elif len(trace.steps) == 1:
        click.echo(f"{candidate_table(trace.steps[0])}\n{step_facts(trace.steps[0])}")
    else:
        click.echo(trace_blocks(trace.steps, width=terminal_width()))
    if len(trace.steps) > 1:
        click.echo(f"\n{summary_text(trace)}")
    return 0
