"""`ggufban models`: what is on this machine, what is known by name, and what a file says of itself."""

from typing import Any

import click

from ggufban.catalogue import catalogue, fetch, locate, models_dir, on_this_machine, resolve
from ggufban.commands.progress import download_bar
from ggufban.header import ArrayLength, Header, read_header

__all__ = ["command"]


@click.group("models", invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, fetch and describe models.

    \b
    Examples:
      ggufban models
      ggufban models pull gemma3-270m
      ggufban models info smollm2

    Without a command: the models known by name, and the GGUF files on this machine (this project's folder, and
    the caches of llama.cpp, Hugging Face, Ollama and LM Studio).
    """
    if ctx.invoked_subcommand is None:
        _list()


def _list() -> None:
    click.echo("Known by name:")
    for entry in catalogue().values():
        state = "here" if locate(entry.name) else "not fetched"
        click.echo(f"  {entry.name:<14} {entry.size / 1e6:6,.0f} MB  {state:<12} {entry.title}; {entry.license}")
    found = on_this_machine()
    click.echo("On this machine:" if found else f"No GGUF file on this machine yet; they are put into {models_dir()}")
    for model in found:
        click.echo(f"  {model.name:<34} {model.size / 1e6:6,.0f} MB  {model.owner:<12} {model.path}")


@command.command("pull")
@click.argument("name")
def pull(name: str) -> None:
    """Fetch a model by name, check it, and print where it is.

    \b
    Example:
      ggufban models pull gemma3-270m
    """
    with download_bar() as progress:
        path = fetch(name, progress)
    click.echo(path)


@command.command("info")
@click.argument("name")
@click.option("--all", "everything", is_flag=True, help="Every key of the header.")
def info(name: str, everything: bool) -> None:
    """Say what a GGUF file is, from its header, without loading the model.

    \b
    Example:
      ggufban models info smollm2
    """
    with download_bar() as progress:
        path = resolve(name, progress)
    header = read_header(path)
    for key, value in _facts(header).items():
        if value is not None:
            text = str(value)  # what a stranger wrote into the file is not for the terminal to obey
            click.echo(f"{key:<16} {text if text.isprintable() else repr(text)}")
    click.echo(f"{'file':<16} {path}")
    if everything:
        for key, value in sorted(header.metadata.items()):
            shown = f"({value.length:,} values)" if isinstance(value, ArrayLength) else repr(value)
            click.echo(f"{key} = {shown}")


def _facts(header: Header) -> dict[str, Any]:
    meta, arch = header.metadata, header.architecture_value
    n_vocab = header.n_vocab
    return {
        "name": meta.get("general.name"),
        "architecture": meta.get("general.architecture"),
        "parameters": f"{header.n_params / 1e6:,.1f} million",
        "quantization": header.file_type,
        "size": f"{header.size:,} bytes",
        "context": arch("context_length"),
        "layers": arch("block_count"),
        "embedding": arch("embedding_length"),
        "sliding window": arch("attention.sliding_window"),
        "vocabulary": None if n_vocab is None else f"{n_vocab:,} tokens ({meta.get('tokenizer.ggml.model')})",
        "chat template": "yes" if "tokenizer.chat_template" in meta else "no",
        "license": meta.get("general.license"),
    }
