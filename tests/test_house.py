"""The house: each room imports only from the rooms above it, and heavy guests have one door each."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ggufban"

ROOMS = [
    "errors", "vocab", "bans", "sampling", "header", "catalogue", "engine",
    "inspection", "decoding", "rendering", "model", "commands",
]  # fmt: skip
"""From the top of the house to its cellar: a room may import those before it in this list."""

DOORS = {
    "llama_cpp": {"engine"},
    "click": {"commands"},
    "gguf": {"header"},
    "huggingface_hub": {"catalogue"},
    "pymorphy3": {"bans"},
    # The rooms of numbers; nothing else needs it.
    "numpy": {"vocab", "bans", "sampling", "engine", "decoding", "inspection", "rendering", "model", "commands"},
}
"""Third-party packages, and the rooms that may import them."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module or "")
            if node.module == "ggufban":
                found |= {f"ggufban.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or not path.stem.startswith("__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_above_it(path: Path) -> None:
    room = room_of(path)
    assert room in ROOMS, f"{room} is a new room: give it a place in ROOMS and in DESIGN.md"
    for module in imports(path):
        top, _, rest = module.partition(".")
        if top == "ggufban":
            other = rest.partition(".")[0]
            if other and not other.startswith("__"):
                assert other in ROOMS[: ROOMS.index(room) + 1], f"{room} may not import {module}"
        elif top not in sys.stdlib_module_names:
            assert room in DOORS.get(top, set()), f"{room} may not import {module}"


@pytest.mark.parametrize("statement", ["import ggufban", "import ggufban.commands"])
def test_the_package_answers_without_the_engine(statement: str) -> None:
    code = f"import sys; {statement}; print(*sorted(set(sys.modules) & {{'llama_cpp', 'gguf', 'huggingface_hub'}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_import_ggufban_does_not_import_click() -> None:
    code = "import sys, ggufban; print('click' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
