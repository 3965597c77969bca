"""`ggufban score`: how probable a given text is, and what a context changes."""

import sys
from typing import Any

import click

from ggufban.commands.options import model_options, open_model
from ggufban.commands.progress import count_bar
from ggufban.commands.views import CAVEATS, echo_json, print_exports, print_views, read_text, view_options
from ggufban.errors import UsageError
from ggufban.inspection.protocol import PROTOCOLS
from ggufban.inspection.score import ContextEffect, context_effect
from ggufban.inspection.text import Trace
from ggufban.inspection.uncertainty import derailments
from ggufban.rendering.jsons import number
from ggufban.rendering.scores import (
    context_text,
    context_tokens,
    derailment_text,
    summary_text,
    token_table,
    worst_table,
)
from ggufban.rendering.traces import trace_json
from ggufban.rendering.width import char_width

__all__ = ["command"]

EPILOG = f"""\b
What the figures mean. Logarithms are natural; bits are surprisals, -log2 p.
  perplexity   exp of the mean loss: as uncertain as a choice among so many
               equal tokens. It belongs to one tokenizer and one protocol;
               between vocabularies compare bits a byte.
  derailment   a run of --derail-window tokens whose mean surprisal is more
               than --derail-above robust standard deviations above the
               median run of the same text. 3 is one run in 740 if runs were
               normally distributed, which they are not quite: take the list
               as places to read first.
  verdict      of a context: helped or misled if it changed the probability
               of the answer by a factor of two or more, and by more than
               its tokens disagree with each other; else ignored. Whether
               the answer is true is yours to know: "helped" on a wrong
               answer says that the context is where it comes from.

{CAVEATS}"""


@click.command("score", epilog=EPILOG)
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--text", "texts", multiple=True, metavar="TEXT", help="A text to score, instead of a file; repeatable.")
@click.option("--lines", is_flag=True, help="Every line of a file is a text of its own: an answer, say.")
@click.option("-p", "--prompt", metavar="TEXT", help="What stands before the text, such as a question; not scored.")
@click.option("--context", "context_file", metavar="FILE", help="Score again with this before it; compare.")
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="full", show_default=True, help="What counts.")
@click.option("--window", type=click.IntRange(4), help="Tokens seen at once.  [default: -c; 512 for llama.cpp]")
@click.option("--top", type=click.IntRange(0), default=5, show_default=True, help="Candidates kept for each token.")
@click.option("--worst", type=click.IntRange(0), default=10, show_default=True, help="Most surprising tokens to list.")
@click.option("--tokens", "each", is_flag=True, help="List every token.")
@click.option("--derail-window", type=click.IntRange(2), default=32, show_default=True, help="Tokens in a run.")
@click.option("--derail-above", type=float, default=3.0, show_default=True, help="Deviations that stand out.")
@view_options
@model_options
def command(**options: Any) -> int:
    """Show how probable a given text is, and what a context changes.

    \b
    Examples:
      ggufban score essay.txt
      ggufban score --text "Paris is the capital of France." --tokens --color surprisal
      ggufban score wiki.txt --protocol llama.cpp -c 512
      ggufban score -p "The capital of Zubrowka is" --text " Lutz." --context facts.txt

    FILE is UTF-8, - is stdin. The protocol `full` counts every token after the first, with overlapping
    windows where the text is longer than the context; `llama.cpp` counts as llama-perplexity does.
    """
    texts = _read_texts(options)
    context = read_text(options["context_file"]) if options["context_file"] else None
    if context is not None and options["protocol"] != "full":
        raise click.UsageError("--context goes with --protocol full")
    if len(texts) > 1 and (options["as_jsonl"] or options["csv_file"] or options["npz_file"]):
        raise click.UsageError("--jsonl, --csv and --npz are for one text; --json takes several")
    with open_model(options) as model, count_bar("scoring") as progress:
        results = [_score(model, name, text, context, options, progress) for name, text in texts]
        if len(results) == 1:
            _, trace, effect = results[0]
            if not print_exports(trace, options, _more(*results[0])):
                _print(trace, effect, options, model.token_text)
        elif options["as_json"]:
            echo_json([{**trace_json(trace), **_more(name, trace, effect)} for name, trace, effect in results])
        else:
            for i, (name, trace, effect) in enumerate(results):
                click.echo(f"{chr(10) if i else ''}== {name}")
                _print(trace, effect, options, model.token_text)
    return 0


def _read_texts(options: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of everything to score."""
    named = [(text, text) for text in options["texts"]]
    files = list(options["files"])
    if not files and not named:
        if sys.stdin.isatty():
            raise UsageError('no text: name a file, as in: ggufban score essay.txt; or --text "…", or - for stdin')
        files = ["-"]
    for file in files:
        text = read_text(file)
        if options["lines"]:
            named += [(line.strip(), line) for line in text.splitlines() if line.strip()]
        else:
            named.append(("stdin" if file == "-" else file, text))
    for name, text in named:
        if not text:
            raise UsageError(f"{name or 'the text'} is empty: there is nothing to score")
    return named


Scored = tuple[str, Trace, ContextEffect | None]


def _score(model: Any, name: str, text: str, context: str | None, options: dict[str, Any], progress: Any) -> Scored:
    settings = {"window": options["window"], "top": options["top"], "progress": progress}
    prompt = options["prompt"]
    if context is None:
        text = _spaced(prompt or "", text)
        return name, model.score(text, context=prompt, protocol=options["protocol"], **settings), None
    if prompt is not None:
        before = f"{context}\n\n{prompt}"
        text = _spaced(before, text)
    else:  # no space in front: alone, the text would begin with it
        before = context if _spaced(context, text) == text else f"{context}\n\n"
    alone = model.score(text, context=prompt or "", **settings)
    within = model.score(text, context=before, **settings)
    return name, within, context_effect(alone, within)


def _spaced(before: str, text: str) -> str:
    """`text` with a space in front where it follows `before`, unless there is one or the script writes none."""
    if not before or before[-1].isspace() or not text[:1].isalnum():
        return text
    return text if char_width(before[-1]) == 2 or char_width(text[0]) == 2 else " " + text


def _more(name: str, trace: Trace, effect: ContextEffect | None) -> dict[str, Any]:
    """What the JSON of a scored text says beyond its trace."""
    if effect is None:
        return {"name": name}
    told = {
        "verdict": effect.verdict,
        "total": number(effect.total),
        "noise": number(effect.noise),
        "difference": [number(x) for x in effect.difference.tolist()],
        "without": trace_json(effect.without),
    }
    return {"name": name, "effect": told}


def _print(trace: Trace, effect: ContextEffect | None, options: dict[str, Any], names: Any) -> None:
    if effect is not None:
        click.echo(context_text(effect))
        click.echo()
        click.echo(context_tokens(effect, names))
        print_views(trace, options)
        return
    click.echo(summary_text(trace))
    if not trace.summary().tokens:
        return
    size, above = options["derail_window"], options["derail_above"]
    click.echo(derailment_text(trace, derailments(trace, size, above), size, above))
    if options["each"]:
        click.echo(f"\n{token_table(trace, names)}")
    elif options["worst"]:
        click.echo(f"\n{worst_table(trace, options['worst'], names)}")
    if options["shade"] or options["span"]:
        click.echo()
    print_views(trace, options)
