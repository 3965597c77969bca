"""A tiny model with a chat template, and a terminal to talk with it in."""

import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

from tests.tiny import write_tiny

__all__ = ["TEMPLATE", "Terminal", "write_chatty"]

TEMPLATE = (
    "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] | trim }}"
    "{% if m['role'] == 'assistant' %}</s>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)
"""Every message on a line of its own; the model's line ends with its end token."""


def write_chatty(path: Path, template: str = TEMPLATE, n_ctx: int = 256) -> Path:
    return write_tiny(path, n_ctx=n_ctx, metadata={"tokenizer.chat_template": template})


ATTACH = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "ggufban", *sys.argv[1:]])
"""
"""Makes the pseudo-terminal the process's own, so that Ctrl-C typed there is its interrupt, also where the tests were
started in the background, whose children a shell lets ignore it."""


class Terminal:
    """`ggufban ARGS` in a pseudo-terminal: `type` keys, `expect` what the screen is to say next.

    `stdout` is a file to which standard output goes instead.
    """

    def __init__(self, *args: object, stdout: Path | None = None, patience: float = 120.0) -> None:
        import pty

        self._master, slave = pty.openpty()
        self._patience = patience
        self.seen = ""
        self._at = 0
        command = [sys.executable, "-c", ATTACH, *map(str, args)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        out = slave if stdout is None else os.open(stdout, os.O_WRONLY | os.O_CREAT)
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=out, stderr=slave, start_new_session=True, env=environment
        )
        for descriptor in {slave, out}:
            os.close(descriptor)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def enter(self, line: str) -> None:
        """Type a line when the program asks for one: what is typed before would be echoed twice."""
        self.expect("\n> ")
        self.type(line + "\n")

    def expect(self, text: str) -> str:
        """Read until `text` has come; everything since the last call, with it."""
        deadline = time.monotonic() + self._patience
        while (found := self.seen.find(text, self._at)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} did not come; since the last: {self.seen[self._at :]!r}")
        since, self._at = self.seen[self._at : found + len(text)], found + len(text)
        return since

    def interrupt(self, text: str | None = None) -> None:
        """Type Ctrl-C at a prompt until `text` comes, or (None) until the other side has closed.

        Python's readline sleeps on if the signal comes after it echoed a key and before it waits for the next one:
        whoever sits there types it again.
        """
        for _ in range(4):
            self.type("\x03")
            deadline = time.monotonic() + self._patience / 12
            while text is None or self.seen.find(text, self._at) < 0:
                if not self._read(deadline):
                    break
            if text is not None and text in self.seen[self._at :]:
                self.expect(text)
                return
            if text is None and time.monotonic() < deadline:
                return
        raise AssertionError(f"four times Ctrl-C did nothing; since the last: {self.seen[self._at :]!r}")

    def _read(self, deadline: float) -> bool:
        """Read what there is; whether there may be more."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._master, 4096) if ready else b""
        except OSError:  # Linux says so when the other side is closed
            data = b""
        text = data.decode("utf-8", "replace").replace("\r\n", "\n")
        self.seen += re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)
        return bool(data)

    def close(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + self._patience
        while self._read(deadline):
            pass
        code = self._process.wait(self._patience)
        os.close(self._master)
        return code

    def kill(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            os.close(self._master)
