"""`ggufban bans`: show what a ban list means."""

import json
from typing import Any

import click

from ggufban.bans import BanList
from ggufban.bans.explain import explain, touched
from ggufban.commands.options import bias_options, option, read_bans, read_bias
from ggufban.errors import UsageError
from ggufban.rendering.banlists import Reach, bans_json, bans_text

__all__ = ["command"]


@click.command("bans")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("--ban", multiple=True, metavar="PATTERN", help="A pattern, beside those of the files; repeatable.")
@option("--fold", type=click.Choice(["exact", "case", "loose"]), default="case", help="Letters that are equal.")
@bias_options
@click.option("-m", "--model", "model_name", metavar="MODEL", help="Show what the list does to this model's tokens.")
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="Most lines shown; 0: all.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(**options: Any) -> int:
    """Show what a ban list means.

    \b
    Examples:
      ggufban bans slop.txt
      ggufban bans --ban "delve*" --ban delves -m smollm2

    Every pattern with its symbols (# is the edge of a word) and forms; lines that mean the same; lines that forbid
    nothing that another one does not; biases that favour what is banned; with -m, the tokens that are illegal at
    the start of a text. The list may come from stdin, as -.
    """
    as_json, limit, name = options["as_json"], options["limit"], options["model_name"]
    bias = read_bias(options, options["fold"])
    bans = read_bans({"ban": options["ban"], "ban_file": options["files"], "fold": options["fold"]})
    if bans is None:
        raise UsageError("no ban list: name a file, as in: ggufban bans slop.txt; or give --ban PATTERN")
    found = explain(bans)
    contradictions = bias.contradictions(bans) if bias is not None else []
    reach = None if name is None else _reach(bans, name)
    if reach is not None:
        contradictions += _endings(bans, reach)
    if as_json:
        click.echo(json.dumps(bans_json(bans, found, contradictions, reach), ensure_ascii=False))
    else:
        click.echo(bans_text(bans, found, contradictions, reach, limit))
    return 0


def _reach(bans: BanList, name: str) -> Reach:
    from ggufban.commands.progress import download_bar
    from ggufban.model import Model

    with download_bar() as progress, Model(name, n_ctx=64, progress=progress) as model:
        vocab = model.vocab
    illegal, touches = touched(bans.compile(vocab))
    return Reach(name, vocab, illegal.tolist(), touches)


def _endings(bans: BanList, reach: Reach) -> list[str]:
    """Bans of the tokens with which a text ends."""
    ends = [pattern for pattern in bans if pattern.kind == "token" and pattern.token in reach.vocab.end]
    return [f"{pattern}: with this token a text ends; banned, it ends at its limit alone" for pattern in ends]
