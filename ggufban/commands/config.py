"""The config file: defaults for options, in TOML.

model = "gemma3-270m"      # for every command that has the option
[generate]
temp = 0.5                 # for one command; names are those of the long flags
"""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ggufban.errors import UsageError

__all__ = ["config_path", "read_config"]


def config_path() -> Path:
    """Where the config file is looked for: `GGUFBAN_CONFIG`, or the platform's folder for settings."""
    chosen = os.environ.get("GGUFBAN_CONFIG")
    return Path(chosen) if chosen else Path(click.get_app_dir("ggufban")) / "config.toml"


def read_config(commands: Iterable[str]) -> dict[str, Any]:
    """The defaults of every command, in the form of click's `default_map`; empty if there is no file.

    Raises `UsageError` naming the file if it is not TOML, or if `GGUFBAN_CONFIG` names no file.
    """
    path = config_path()
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get("GGUFBAN_CONFIG"):
            raise UsageError(f"GGUFBAN_CONFIG names {path}, and there is no such file") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None

    def plain(table: dict[str, Any]) -> dict[str, Any]:
        return {key.replace("-", "_"): value for key, value in table.items() if not isinstance(value, dict)}

    general = plain(settings)
    return {command: {**general, **plain(settings.get(command, {}))} for command in commands}
