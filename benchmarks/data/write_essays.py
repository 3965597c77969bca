"""Writes `essays.txt`, the English text that the benchmarks measure on: essays by SmolLM2 (Apache 2.0), as they came.

    python benchmarks/data/write_essays.py smollm2 > benchmarks/data/essays.txt

On another machine or build the same seeds give other essays; the text in the repository is what the recorded figures
are of.
"""

import sys

from ggufban.model import Model

SUBJECTS = [
    "rivers and the towns beside them", "the history of bread", "why bridges stand", "keeping bees",
    "the printing press", "sailing before engines", "how mountains grow", "learning a second language",
    "gardens in winter", "the sound of old instruments", "railways", "the making of glass", "forests after a fire",
    "maps and those who drew them", "sleep", "markets", "lighthouses", "the migration of birds", "clocks",
    "salt", "libraries", "weather forecasting", "the discovery of vaccines", "cooking with few ingredients",
    "friendship", "astronomy with the naked eye", "the life of a fishing village", "coins and paper money",
    "wool and weaving", "teaching children to count", "deserts", "the invention of the bicycle", "rain",
    "a walk through an old city", "the work of a carpenter", "volcanoes", "letters before the telephone",
]  # fmt: skip
SIZE = 60_000


def main() -> None:
    with Model(sys.argv[1], n_ctx=2048) as model:
        written = 0
        for seed, subject in enumerate(SUBJECTS):
            if written >= SIZE:
                break
            asked = [{"role": "user", "content": f"Write a long essay in plain prose about {subject}."}]
            out = model.chat(asked, n_predict=700, seed=seed, top=None, temperature=0.7)
            text = " ".join(out.text.split()) + "\n\n"
            written += len(text.encode())
            print(text, end="", flush=True)


main()
