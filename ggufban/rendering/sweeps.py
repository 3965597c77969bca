"""A sweep in plain text and as JSON."""

from collections.abc import Sequence
from typing import Any

from ggufban.inspection.sweep import Setting
from ggufban.rendering.steps import Names, show
from ggufban.rendering.table import number, probability, table
from ggufban.vocab import Vocab

__all__ = ["sweep_json", "sweep_text"]

_SHORT = {"temperature": "temp", "top_k": "top-k", "top_p": "top-p", "min_p": "min-p", "typical_p": "typical"}


def sweep_text(settings: Sequence[Setting], vocab: Vocab, words: Sequence[str], names: Names | None = None) -> str:
    """A row for each setting, and where each of the watched tokens, called `words`, is likeliest."""
    swept = list(settings[0].values)
    header = [_SHORT.get(name, name) for name in swept]
    header += ["left", "kept", "H", "choices", *(f"p({word})" for word in words), "most probable"]
    rows = []
    for s in settings:
        best = ", ".join(f"{show(token, vocab.pieces[token], names, 14)} {p:.3f}" for token, p in s.best)
        figures = [f"{s.survivors:,}", probability(s.kept), number(s.entropy), number(s.effective_choices, 1)]
        rows.append([*(f"{s.values[name]:g}" for name in swept), *figures, *map(probability, s.watched), best])
    lines = [table(header, rows, left=[len(header) - 1])]
    for i, word in enumerate(words):
        best_setting = max(settings, key=lambda s: s.watched[i])
        if best_setting.watched[i] == 0.0:
            lines.append(f"{word!r} is removed by every one of these settings")
        else:
            told = ", ".join(f"{_SHORT.get(name, name)} {best_setting.values[name]:g}" for name in swept)
            lines.append(f"{word!r} is likeliest with {told}: {probability(best_setting.watched[i])}")
    return "\n".join(lines)


def sweep_json(settings: Sequence[Setting], vocab: Vocab, words: Sequence[str]) -> list[dict[str, Any]]:
    """An object for each setting."""
    return [
        {
            **s.values,
            "survivors": s.survivors,
            "kept": s.kept,
            "entropy": s.entropy,
            "effective_choices": s.effective_choices,
            "top": [
                {"id": token, "token": vocab.pieces[token].decode("utf-8", "replace"), "probability": p}
                for token, p in s.best
            ],
            "watched": dict(zip(words, s.watched, strict=True)),
        }
        for s in settings
    ]
