"""`ggufban compare`: two models, or two settings, on one text."""

from contextlib import ExitStack
from typing import Any

import click

from ggufban.commands.options import engine_options, open_named
from ggufban.commands.progress import count_bar
from ggufban.commands.views import CAVEATS, echo_json, read_text
from ggufban.errors import UsageError
from ggufban.inspection.alignment import compare_bytes
from ggufban.inspection.compare import Setting, compare, same_vocabulary
from ggufban.inspection.comparison import Comparison
from ggufban.inspection.protocol import PROTOCOLS
from ggufban.inspection.settings import read_setting
from ggufban.inspection.terms import TermWatcher, first_tokens, occurrences
from ggufban.rendering.comparisons import (
    bytes_json,
    bytes_text,
    comparison_json,
    comparison_text,
    terms_json,
    terms_text,
)

__all__ = ["command"]

EPILOG = f"""\b
What the figures mean. Names and conventions are those of llama-perplexity
--kl-divergence; per token, natural logarithms. The first model is the base,
the second Q.
  KLD          KL(base || Q): what is lost by using Q where the base is right
  Δp           probability of the text's token under Q less under the base
  Same top p   how often both have the same first choice
  overlap      the share of the ten best tokens that both have; rank-biased
               overlap weighs the first ranks more
  ±            one standard error, as if tokens were independent of each
               other: the true one is rather greater

\b
With different vocabularies tokens have no common ground: losses are summed
between the bytes at which both models end a token. --terms says how the
probability of a domain's words moved: mass is that of the tokens with which
the words begin, over all places of the text; the interval is a bootstrap
over blocks of 16 places.

{CAVEATS}"""


@click.command("compare", epilog=EPILOG)
@click.argument("file", required=False)
@click.option("-m", "--model", "models", multiple=True, metavar="MODEL", help="A name or a GGUF file: give it twice.")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    metavar="NAME=VALUE,…",
    help="Compare sampling settings of one model: give it once or twice.",
)
@click.option("--text", metavar="TEXT", help="The text, instead of a file.")
@click.option("--terms", "terms_file", metavar="FILE", help="Words of a domain, one a line: how did their mass move?")
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="full", show_default=True, help="What counts.")
@click.option("--window", type=click.IntRange(4), help="Tokens seen at once.  [default: -c; 512 for llama.cpp]")
@click.option(
    "--top", type=click.IntRange(1), default=5, show_default=True, help="Candidates kept at the worst places."
)
@click.option(
    "--worst", type=click.IntRange(0), default=5, show_default=True, help="Places of greatest difference to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@engine_options
def command(**options: Any) -> int:
    """Compare two models, or two settings, on one text.

    \b
    Examples:
      ggufban compare -m smollm2 -m smollm2-q2.gguf essay.txt
      ggufban compare -m smollm2 -m gemma3-270m essay.txt
      ggufban compare -m base.gguf -m tuned.gguf essay.txt --terms terms.txt
      ggufban compare -m smollm2 --setting temp=0.5 essay.txt

    The first model is the reference. Both are open at the same time, and nothing but figures is kept. FILE is
    UTF-8, - is stdin. A --setting is made of sampling flags without their dashes (temp=0.5,top-k=40); what it does
    not name is off. One is compared with the model itself, two with each other.
    """  # fmt: skip
    models, settings = options["models"], [read_setting(text) for text in options["settings"]]
    if settings and (len(models) != 1 or len(settings) > 2):
        raise click.UsageError("--setting compares one or two settings of one model: give -m once")
    if not settings and len(models) != 2:
        raise click.UsageError("give -m twice: the reference and the other model; or -m once and --setting")
    if (options["file"] is None) == (options["text"] is None):
        raise click.UsageError("give one text: a FILE, or --text")
    text = options["text"] if options["file"] is None else read_text(options["file"])
    with ExitStack() as stack:
        opened = [stack.enter_context(open_named(name, options)) for name in models]
        base, other = opened[0], opened[-1]
        if not same_vocabulary(base.vocab, other.vocab):
            return _by_bytes(base, other, text, options)
        pair: tuple[Setting | None, Setting | None] = (None, None)
        if settings:
            pair = (None, settings[0]) if len(settings) == 1 else (settings[0], settings[1])
        return _by_token(base, other, text, pair, options)


def _by_token(base: Any, other: Any, text: str, settings: Any, options: dict[str, Any]) -> int:
    watcher, terms = None, []
    if options["terms_file"]:
        terms = _read_terms(options["terms_file"])
        watcher = TermWatcher(first_tokens(base, terms), base.n_vocab)
    kept = {name: options[name] for name in ("protocol", "window", "worst", "top")}
    with count_bar("comparing") as progress:
        found = compare(base, other, text, settings=settings, watch=watcher, progress=progress, **kept)
    masses = watcher.result() if watcher else []
    said = _occurrences(found, terms) if terms else []
    if options["as_json"]:
        echo_json({**comparison_json(found), **({"terms": terms_json(masses, said)} if terms else {})})
        return 0
    click.echo(comparison_text(found, base.token_text))
    if masses:
        click.echo(f"\n{terms_text(masses, said)}")
    return 0


def _read_terms(file: str) -> list[str]:
    terms = list(dict.fromkeys(line.strip() for line in read_text(file).splitlines() if line.strip()))
    if not terms:
        raise UsageError(f"{file} names no terms; write one a line")
    return terms


def _occurrences(found: Comparison, terms: list[str]) -> Any:
    pieces = [found.vocab.pieces[found.tokens[i]] for i in found.at]
    return occurrences(terms, pieces, (found["nll_base"], found["nll"]))


def _by_bytes(base: Any, other: Any, text: str, options: dict[str, Any]) -> int:
    if options["terms_file"]:
        raise click.UsageError("--terms needs two models of one vocabulary, such as a model and its fine-tune")
    with count_bar("comparing") as progress:
        traces = [
            model.score(text, protocol=options["protocol"], window=options["window"], top=0, progress=progress)
            for model in (base, other)
        ]
    found = compare_bytes(*traces)
    if options["as_json"]:
        echo_json(bytes_json(found))
    else:
        click.echo(bytes_text(found, options["worst"]))
    return 0
