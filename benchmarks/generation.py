"""Whole generations: tokens a second of ggufban over those of `llama_cpp.Llama.generate`, in one run.

    python benchmarks/generation.py --model smollm2 --predict 200 --rounds 7

Both systems use the same file, threads, context and sampling, and write the same number of tokens after the same
prompt (the end of text is suppressed in ggufban, and `generate` does not stop at it). They take turns at every token,
so that whatever else the machine does falls on both alike; a token's time runs from asking for it to having its text.
The ratio is the median, over the tokens of all rounds, of their time over ours.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice

import llama_cpp

from ggufban import Model

PROMPT = "The capital of France is"
SETTINGS = {
    "greedy": {"temperature": 0.0},
    "default": {},
    "no top-k": {"top_k": 0, "min_p": 0.0},
}


def ours(model: Model, n: int, sampling: dict) -> Iterator[None]:
    """A token at every step."""
    model.reset()
    for step in model.stream(PROMPT, n_predict=n, seed=1, top=None, ignore_eos=True, **sampling):
        _ = step.text
        yield


def theirs(llama: llama_cpp.Llama, n: int, sampling: dict) -> Iterator[None]:
    """A token at every step, by Llama.generate with the same settings."""
    settings = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, **sampling}
    llama.reset()
    tokens = llama.generate(
        llama.tokenize(PROMPT.encode()),
        temp=settings["temperature"],
        top_k=settings["top_k"],
        top_p=settings["top_p"],
        min_p=settings["min_p"],
        repeat_penalty=1.0,
    )
    for token in islice(tokens, n):
        llama.detokenize([token])  # what any caller does with it
        yield


def race(
    first: Iterator[None], second: Iterator[None], clock: Callable[[], float] = time.perf_counter
) -> list[tuple[float, float]]:
    """The seconds by `clock` that each took for every token after its first, which carries the prompt.

    Which of them begins changes from token to token.
    """
    next(first)
    next(second)
    times: list[tuple[float, float]] = []
    while True:
        spent = [0.0, 0.0]
        for side in (0, 1) if len(times) % 2 else (1, 0):
            began = clock()
            if next((first, second)[side], False) is False:
                return times
            spent[side] = clock() - began
        times.append((spent[0], spent[1]))


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--predict", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    model = Model(args.model, n_ctx=512, n_threads=args.threads)
    llama = llama_cpp.Llama(
        str(model.path), n_ctx=512, n_threads=args.threads, n_threads_batch=args.threads, verbose=False
    )
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {model.path.name}, {args.predict} tokens, {args.threads} threads")
    for name, sampling in SETTINGS.items():
        times = []
        for _ in range(args.rounds):
            times += race(ours(model, args.predict, sampling), theirs(llama, args.predict, sampling))
        a, b = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        print(f"{name:<10} ggufban {1 / a:6.1f} tok/s   Llama.generate {1 / b:6.1f} tok/s   ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
