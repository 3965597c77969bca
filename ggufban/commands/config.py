"""The config file: defaults for options, in TOML.

model = "gemma3-270m"      # for every command that has the option
[generate]
temp = 0.5                 # for one command; names are those of the long flags
ban-file = ["slop.txt"]
"""

import os
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ggufban.errors import UsageError

__all__ = ["config_path", "defaults", "read_config", "unknown_keys"]


def config_path() -> Path:
    """Where the config file is looked for: `GGUFBAN_CONFIG`, or the platform's folder for settings."""
    chosen = os.environ.get("GGUFBAN_CONFIG")
    return Path(chosen) if chosen else Path(click.get_app_dir("ggufban")) / "config.toml"


def read_config() -> dict[str, Any]:
    """What the config file says; empty if there is no file.

    Raises `UsageError` naming the file if it is not TOML, or if `GGUFBAN_CONFIG` names no file.
    """
    path = config_path()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        if os.environ.get("GGUFBAN_CONFIG"):
            raise UsageError(f"GGUFBAN_CONFIG names {path}, and there is no such file") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None


def defaults(command: click.Command, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What the settings say of the options of a command, in the form of click's `default_map`.

    A key outside all tables is for every command that has the option; a key of the command's own table has to be
    one of its options. Raises `UsageError` for one that is not, and for a value that the option does not take.
    """
    options, found = _options(command), {}
    for key, value in _plain(settings).items():
        if parameter := options.get(_stem(key)):
            found[str(parameter.name)] = _value(command, parameter, key, value)
    own = settings.get(name, {})
    if not isinstance(own, dict):
        raise UsageError(f"{config_path()}: {name} = {own!r}: this is the name of a command; write [{name}]")
    for key, value in own.items():
        parameter = options.get(_stem(key))
        if parameter is None:
            close = get_close_matches(_stem(key), options, n=1)
            hint = f"; did you mean {close[0].replace('_', '-')}?" if close else ""
            raise UsageError(f"{config_path()}: [{name}] has no option {key!r}{hint}")
        found[str(parameter.name)] = _value(command, parameter, key, value)
    return found


def unknown_keys(commands: Iterable[click.Command], settings: dict[str, Any]) -> list[str]:
    """The keys outside all tables that are an option of no command, and so do nothing."""
    known = {stem for command in commands for stem in _options(command)}
    return [key for key in _plain(settings) if _stem(key) not in known]


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if not isinstance(value, dict)}


def _stem(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _options(command: click.Command) -> dict[str, click.Option]:
    """The options of a command by the names of their long flags."""
    return {
        _stem(flag): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
        if flag.startswith("--")
    }


def _value(command: click.Command, parameter: click.Option, key: str, value: Any) -> Any:
    """`value` if the option takes it; one value of a repeatable option stands for a list of one."""
    if parameter.multiple and not isinstance(value, list):
        value = [value]
    wrong = isinstance(value, dict) or (isinstance(value, list) and not parameter.multiple)
    wrong = wrong or isinstance(value, bool) is not parameter.is_flag
    try:
        if wrong:
            raise click.BadParameter("it takes " + ("true or false" if parameter.is_flag else "one value"))
        parameter.type_cast_value(click.Context(command), value)
    except click.BadParameter as error:
        raise UsageError(f"{config_path()}: {key} = {value!r}: {error.message}") from None
    return value
