"""Writes ggufban/bans/scripts.txt from the copy of Unicode's Scripts.txt that fontTools carries.

To go to another version of Unicode: `pip install fonttools`, then `python tests/bans/make_scripts.py`.
"""

import importlib
from pathlib import Path

TARGET = Path(__file__).parents[2] / "ggufban" / "bans" / "scripts.txt"

HEADER = """\
# The Unicode property Script: ISO 15924 code, name, and the ranges of code points (hexadecimal, inclusive).
# Version: {version} of the Unicode Character Database; code points of no script (Zzzz) are left out.
# Source: {source}, by way of fontTools {tool}.
# Written by tests/bans/make_scripts.py, not by hand.
# Licence: Unicode License v3, https://www.unicode.org/license.txt
"""


def main() -> None:
    tables = importlib.import_module("fontTools.unicodedata.Scripts")
    notes = [line.lstrip("# ").strip() for line in Path(tables.__file__).read_text(encoding="utf-8").splitlines()[:20]]
    ends = [*tables.RANGES[1:], 0x110000]
    spans: dict[str, list[str]] = {}
    for low, end, code in zip(tables.RANGES, ends, tables.VALUES, strict=True):
        span = f"{low:X}" if end == low + 1 else f"{low:X}-{end - 1:X}"
        spans.setdefault(code, []).append(span)
    header = HEADER.format(
        version=next(note for note in notes if note.startswith("Scripts-")).removesuffix(".txt"),
        source=next(note for note in notes if note.startswith("Source:")).removeprefix("Source: "),
        tool=importlib.import_module("fontTools").version,
    )
    lines = [f"{code} {tables.NAMES[code]} {' '.join(spans[code])}\n" for code in sorted(spans) if code != "Zzzz"]
    TARGET.write_text(header + "".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
