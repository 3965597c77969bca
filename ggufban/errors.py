"""Every exception that ggufban raises, as one tree.

```
GgufbanError
├── UsageError (ValueError)      an argument is wrong: the caller can mend it            exit code 2
│   ├── BanError                 a ban list or pattern is wrong; names file and line
│   └── ParameterError           a sampling or model parameter is out of its range
├── ModelError                   a model cannot be found, opened or run                  exit code 1
│   ├── ModelNotFoundError       no such file or catalogue name
│   ├── ModelFileError           not a GGUF file, truncated, or not readable by this llama.cpp
│   ├── DownloadError            a model could not be fetched, or what came is not what was expected
│   └── ContextFullError         more tokens than the context holds
├── LogitsError                  a row of logits holds NaN or +inf, or nothing finite    exit code 1
└── BannedError                  every continuation is illegal and the caller asked for an error
```

Only `ggufban.commands` turns these into messages and exit codes. A message says what was wrong, quotes the
value, says what is allowed and what to do.
"""

__all__ = [
    "BanError",
    "BannedError",
    "ContextFullError",
    "DownloadError",
    "GgufbanError",
    "LogitsError",
    "ModelError",
    "ModelFileError",
    "ModelNotFoundError",
    "ParameterError",
    "UsageError",
]


class GgufbanError(Exception):
    """The root of every exception that ggufban raises on purpose."""


class UsageError(GgufbanError, ValueError):
    """An argument is wrong; the message says what is allowed."""


class BanError(UsageError):
    """A ban list or one of its patterns is wrong.

    `source` and `line` say where the pattern stands (a file name, or what the caller called the list, and a
    1-based line number), when it stands anywhere; the message begins with them.
    """

    def __init__(self, message: str, *, source: str | None = None, line: int | None = None) -> None:
        self.source = source
        self.line = line
        where = "" if source is None else f"{source}: " if line is None else f"{source}:{line}: "
        super().__init__(where + message)


class ParameterError(UsageError):
    """A sampling or model parameter is out of its range; the message quotes the value and the range."""


class ModelError(GgufbanError):
    """A model cannot be found, opened or run."""


class ModelNotFoundError(ModelError):
    """No such file, and no such name in the catalogue."""


class ModelFileError(ModelError):
    """The file is not GGUF, is truncated, or holds what this llama.cpp cannot run."""


class DownloadError(ModelError):
    """A model could not be fetched, or what came is not what was expected."""


class ContextFullError(ModelError):
    """More tokens than the context holds."""


class LogitsError(GgufbanError):
    """A row of logits holds NaN or +inf, or nothing finite; the message names the step."""


class BannedError(GgufbanError):
    """Every continuation is illegal, and the caller asked for an error rather than for a truncated text."""
