"""`ggufban sweep`: what temperature, top-k, top-p and min-p do to one distribution."""

from typing import Any

import click

from ggufban.commands.options import model_options, open_model, prompt_options, read_prompt
from ggufban.commands.views import CAVEATS, echo_json
from ggufban.errors import ParameterError
from ggufban.inspection.sweep import sweep
from ggufban.inspection.watch import spellings
from ggufban.rendering.sweeps import sweep_json, sweep_text

__all__ = ["command"]

DEFAULTS: dict[str, list[float]] = {
    "temperature": [0.2, 0.5, 0.8, 1.0, 1.5],
    "top_k": [1, 5, 40, 200],
    "top_p": [0.5, 0.8, 0.95, 0.99],
    "min_p": [0.2, 0.1, 0.05, 0.01],
}
"""What is swept, each by itself, if no grid is given."""

EPILOG = f"""\b
What the columns mean:
  left      tokens that can still be drawn
  kept      the model's own probability of all of them
  H         entropy of the draw, in nats
  choices   exp(H): among how many equal tokens the draw is as uncertain
  p(word)   the probability of drawing the first token of a word
Filters act in llama.cpp's order: top-k, top-p, min-p, temperature.

{CAVEATS}"""


@click.command("sweep", epilog=EPILOG)
@prompt_options
@click.option("--temp", "temperature", metavar="A,B,…", help="Temperatures; 1 is off, 0 greedy.")
@click.option("--top-k", "top_k", metavar="A,B,…", help="Values of top-k; 0 is off.")
@click.option("--top-p", "top_p", metavar="A,B,…", help="Values of top-p; 1 is off.")
@click.option("--min-p", "min_p", metavar="A,B,…", help="Values of min-p; 0 is off.")
@click.option(
    "--word", "words", multiple=True, metavar="WORD", help="Which setting makes this word likely? Repeatable."
)
@click.option("--top", type=click.IntRange(1), default=2, show_default=True, help="Most probable tokens to show.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, one object a setting.")
@model_options
def command(**options: Any) -> int:
    """Show what temperature, top-k, top-p and min-p do to one distribution.

    \b
    Examples:
      ggufban sweep "The capital of France is"
      ggufban sweep "The capital of France is" --temp 0.5,1,2 --top-k 0,40 --word Paris --word London

    One row for each combination of the values given, what is not named being off. Without any: each of the four
    by itself. The distribution is that of the next token; nothing is written.
    """
    prompt = read_prompt(options)
    grid = {name: _values(name, options[name]) for name in DEFAULTS if options[name]}
    grids = [grid] if grid else [{name: values} for name, values in DEFAULTS.items()]
    with open_model(options) as model:
        model.inspect(prompt, top=1)
        logits, vocab = model.logits(), model.vocab
        watched = [_likelier(model, word, logits) for word in options["words"]]
        tables = [sweep(logits, one, top=options["top"], watch=watched) for one in grids]
        if options["as_json"]:
            echo_json([row for settings in tables for row in sweep_json(settings, vocab, options["words"])])
        else:
            texts = [sweep_text(settings, vocab, options["words"], model.token_text) for settings in tables]
            click.echo("\n\n".join(texts))
    return 0


def _values(name: str, text: str) -> list[float]:
    try:
        return [int(value) if name == "top_k" else float(value) for value in text.split(",")]
    except ValueError:
        raise ParameterError(f"{name} is {text!r}, but has to be numbers separated by commas") from None


def _likelier(model: Any, word: str, logits: Any) -> int:
    """The first token of the likelier spelling of a word."""
    firsts = [spelling[0] for spelling in spellings(model, word).spellings]
    return max(firsts, key=lambda token: float(logits[token]))
