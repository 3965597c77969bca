"""Running the command as a user does: a process of its own, with its stdout, stderr and exit code."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["run_cli"]

ROOT = str(Path(__file__).parent.parent.parent)
"""The checkout: the command is found from any folder, installed or not."""


def run_cli(*args: object, input: bytes | str = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    """`ggufban ARGS`, with `input` on stdin and `environment` added."""
    data = input.encode() if isinstance(input, str) else input
    result = subprocess.run(
        [sys.executable, "-m", "ggufban", *map(str, args)],
        input=data,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": ROOT, "NO_COLOR": "1", **environment},
        check=False,
    )
    return subprocess.CompletedProcess(
        result.args, result.returncode, result.stdout.decode("utf-8"), result.stderr.decode("utf-8")
    )
