"""Models from Hugging Face, against a stand-in on 127.0.0.1.

huggingface_hub reads its settings when it is imported, so each case runs in a process of its own kind: one process
answers a whole table.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ggufban import Model
from ggufban.catalogue import resolve_hub
from ggufban.errors import ModelError, UsageError
from tests.hub import Hub
from tests.tiny import write_tiny

GGUF = b"GGUF of "

REPOSITORIES = {
    "me/tiny": {
        file: GGUF + file.encode()
        for file in (
            "README.md", "mmproj-tiny-Q8_0.gguf", "tiny-BF16.gguf", "tiny-F16.gguf", "tiny-Q4_K_M.gguf",
            "tiny-Q4_K_S.gguf", "tiny-Q8_0.gguf",
        )
    },
    "me/plain": {"b.gguf": GGUF, "a.gguf": GGUF, "0.txt": b""},
    "me/dotted": {"Tiny.Q4_0_4_4.gguf": GGUF, "Tiny.Q4_0.gguf": GGUF},
    "me/split": {f"Q8_0/tiny-Q8_0-0000{i}-of-00003.gguf": GGUF + bytes([i]) for i in (1, 2, 3)},
    "me/torn": {"tiny-00001-of-00003.gguf": GGUF, "tiny-00003-of-00003.gguf": GGUF},
    "me/weights": {"model.safetensors": b"{}"},
    "me/gated": {"tiny-Q4_K_M.gguf": GGUF},
}  # fmt: skip

FILES = [
    ("me/tiny", "tiny-Q4_K_M.gguf"),
    ("me/tiny:Q8_0", "tiny-Q8_0.gguf"),
    ("me/tiny:q8_0", "tiny-Q8_0.gguf"),
    ("me/tiny:F16", "tiny-F16.gguf"),
    ("me/tiny:BF16", "tiny-BF16.gguf"),
    ("me/tiny:Q4_K_S", "tiny-Q4_K_S.gguf"),
    ("me/plain", "a.gguf"),
    ("me/dotted:Q4_0", "Tiny.Q4_0.gguf"),
    ("me/split:Q8_0", "Q8_0/tiny-Q8_0-00001-of-00003.gguf"),
    ("me/split", "Q8_0/tiny-Q8_0-00001-of-00003.gguf"),
]
"""What is asked for, and the file that is meant."""

ERRORS = [
    (
        "me/tiny:Q4_K",
        "me/tiny has no GGUF file of quantization Q4_K; its GGUF files: tiny-BF16.gguf, tiny-F16.gguf, ",
    ),
    ("me/tiny:Q2_K", "me/tiny has no GGUF file of quantization Q2_K"),
    ("me/weights", "me/weights has no GGUF file; its GGUF files: none"),
    ("me/torn", "me/torn lacks parts of its split model: tiny-00002-of-00003.gguf"),
    ("me/none", "Hugging Face has no repository me/none; if it is a private one, log in: set HF_TOKEN"),
    ("me/gated", "me/gated asks you to accept its terms on its page at Hugging Face, then to log in: set HF_TOKEN"),
]
"""What is asked for, and how the message of the DownloadError begins."""

PROGRAM = """
import json, sys
from ggufban.catalogue import resolve_hub
from ggufban.errors import DownloadError
answers = []
for repository in json.loads(sys.argv[1]):
    try:
        answers.append(str(resolve_hub(repository)))
    except DownloadError as error:
        answers.append(f"DownloadError: {error}")
print(json.dumps(answers))
"""


def ask(home: Path, repositories: list[str], **environment: str) -> list[str]:
    """What `resolve_hub` says to each of these, in a process with this cache and environment."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(repositories)],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]),
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    answers: list[str] = json.loads(result.stdout)
    return answers


def snapshot(home: Path, repository: str, file: str) -> Path:
    repo = repository.partition(":")[0].replace("/", "--")
    [folder] = (home / "hub" / f"models--{repo}" / "snapshots").iterdir()
    return folder / file


def test_files_are_chosen_and_fetched_and_work_without_the_network(tmp_path: Path) -> None:
    with Hub(REPOSITORIES, gated=("me/gated",)) as hub:
        asked = [repository for repository, _ in FILES + ERRORS]
        answers = ask(tmp_path, asked, HF_ENDPOINT=hub.url)
        for (repository, file), answer in zip(FILES, answers, strict=False):
            assert Path(answer) == snapshot(tmp_path, repository, file), repository
            assert Path(answer).read_bytes() == REPOSITORIES[repository.partition(":")[0]][file]
        for (repository, message), answer in zip(ERRORS, answers[len(FILES) :], strict=True):
            assert answer.startswith(f"DownloadError: {message}"), repository
        for i in (2, 3):
            assert snapshot(tmp_path, "me/split", f"Q8_0/tiny-Q8_0-0000{i}-of-00003.gguf").is_file()
        asked_for = [line for line in hub.log if line.startswith("GET /me/tiny/")]
        assert len(asked_for) == 5  # each file once

    asked = ["me/tiny", "me/tiny:Q8_0", "me/plain", "me/split", "me/tiny:Q2_K", "me/none"]
    for down in ({"HF_ENDPOINT": hub.url}, {"HF_HUB_OFFLINE": "1"}):  # the server is gone, or not to be asked
        again = ask(tmp_path, asked, **down)
        assert again[:4] == [answers[[row[0] for row in FILES].index(name)] for name in asked[:4]]
        for repo, answer in zip(("me/tiny", "me/none"), again[4:], strict=True):
            assert answer.startswith(f"DownloadError: Hugging Face repository {repo} could not be read: ")


def test_a_split_model_from_the_hub_opens(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    whole = write_tiny(tmp_path / "tiny.gguf")
    write_tiny(tmp_path / "parts" / "tiny.gguf", split=8)
    parts = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert len(parts) > 2
    with Hub({"me/tiny": parts}) as hub:
        [path] = ask(tmp_path, ["me/tiny"], HF_ENDPOINT=hub.url)
    with Model(path) as model, Model(whole) as same:
        assert model.inspect("the cat", top=3).candidates == same.inspect("the cat", top=3).candidates


@pytest.mark.parametrize(
    "repository",
    [
        "",
        "tiny",
        "/tiny",
        "me/",
        "me/tiny/more",
        "me/tiny:",
        ":Q8_0",
        "me /tiny",
        "https://example.org/me/tiny",
        "me\\tiny",
    ],
)
def test_what_names_no_repository(repository: str) -> None:
    with pytest.raises(
        UsageError, match=r"does not name a Hugging Face repository: write user/repo or user/repo:Q4_K_M"
    ):
        resolve_hub(repository)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = None
    monkeypatch.setitem(sys.modules, "huggingface_hub", nothing)
    with pytest.raises(ModelError, match=r'need an extra: pip install "ggufban\[hub\]"'):
        resolve_hub("me/tiny")
