"""What inspection costs and whether its figures are right, on real models.

    python benchmarks/inspection.py perplexity --llama-perplexity PATH   # equal to llama-perplexity, and as fast?
    python benchmarks/inspection.py tracing                              # generation with and without top-20 traces
    python benchmarks/inspection.py memory                               # peak of scoring 4,096 tokens with Gemma
    python benchmarks/inspection.py requantized                          # SmolLM2 against itself, quantized again

Speeds are ratios in one run: both sides take turns, and the medians are compared. On a machine that others use, too,
`--cpu --threads 1` compares seconds of a processor instead of seconds on the clock.
"""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
from generation import race

from ggufban import Model
from ggufban.catalogue import resolve
from ggufban.inspection.compare import compare
from ggufban.inspection.trace import Step

TEXT = Path(__file__).parent / "data" / "essays.txt"


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} processors, llama-cpp-python {llama_cpp.__version__}"


# -- perplexity ---------------------------------------------------------------------------------------------------


def perplexity(options: argparse.Namespace) -> None:
    """Both programs on the whole text once, then on a part of it in turns."""
    path = resolve(options.model)
    figures = _theirs(options, path, TEXT)
    text = TEXT.read_text(encoding="utf-8").removesuffix("\n")
    with Model(path, n_ctx=512, n_threads=options.threads) as model:
        summary = model.score(text, protocol="llama.cpp").summary()
        ours = summary.perplexity, summary.perplexity_error
        print(f"{path.name}, {TEXT.name} ({TEXT.stat().st_size:,} bytes), {summary.tokens:,} tokens counted")
        print(f"  llama-perplexity  {figures[0]:.4f} ± {figures[1]:.5f}")
        print(f"  ggufban score     {ours[0]:.4f} ± {ours[1]:.5f}   (difference {ours[0] / figures[0] - 1:+.6%})")
        with tempfile.TemporaryDirectory() as folder:
            part = Path(folder) / "part.txt"
            part.write_text(text[: options.part], encoding="utf-8")
            ratios = []
            for _ in range(options.rounds):
                theirs = _theirs(options, path, part)[2]
                clock = time.process_time if options.cpu else time.perf_counter
                began = clock()
                model.score(part.read_text(encoding="utf-8"), protocol="llama.cpp")
                seconds = clock() - began
                ratios.append(theirs / seconds)
                print(f"  llama-perplexity {theirs:6.2f} s   ggufban score {seconds:6.2f} s   ratio {ratios[-1]:.3f}")
    print(
        f"  speed: {statistics.median(ratios):.3f} of llama-perplexity's (median of {len(ratios)}; above 1 is faster)"
    )


def _theirs(options: argparse.Namespace, path: Path, text: Path) -> tuple[float, float, float]:
    """Perplexity, its error, and the seconds between tokenizing and the estimate (`--cpu`: of the whole program)."""
    command = [options.llama_perplexity, "-m", path, "-f", text, "-c", 512, "-b", 512, "-t", options.threads]
    # Its shared libraries are to be those of the installed llama_cpp: the same kernels on both sides.
    libraries = str(Path(llama_cpp.__file__).parent / "lib")
    before = os.times()
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env={**os.environ, "LD_LIBRARY_PATH": libraries}
    )
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    log = result.stdout + result.stderr
    estimate = re.search(r"PPL = ([\d.]+) \+/- ([\d.]+)", log)
    stamps = {}
    for mark in ("calculating perplexity", "Final estimate"):
        # Not at the beginning of a line: what it prints and what it logs run into each other.
        if stamp := re.search(rf"(\d+)\.(\d\d)\.(\d{{3}})\.(\d{{3}}) I (?:perplexity: )?{mark}", log):
            minutes, seconds, thousandths, millionths = map(int, stamp.groups())
            stamps[mark] = 60 * minutes + seconds + thousandths / 1e3 + millionths / 1e6
    if estimate is None:
        sys.exit(f"llama-perplexity gave no estimate:\n{log[-2000:]}")
    clock = stamps["Final estimate"] - stamps["calculating perplexity"]
    return float(estimate[1]), float(estimate[2]), spent if options.cpu else clock


# -- tracing ------------------------------------------------------------------------------------------------------


def tracing(options: argparse.Namespace) -> None:
    """What a trace of the top 20 adds to a token, token by token in turns, over what the token costs without.

    The candidates of a Step are made when they are looked at. They are looked at once the text is there, as an export
    does, and that counts too.
    """
    clock = time.thread_time if options.cpu else time.perf_counter
    for name in ("smollm2", "gemma3-270m"):
        path = resolve(name)
        shares = []
        with Model(path, n_threads=options.threads) as plain, Model(path, n_threads=options.threads) as traced:
            for seed in range(options.rounds):
                steps: list[Step] = []
                sides = (
                    _tokens(plain, options.predict, None, seed, []),
                    _tokens(traced, options.predict, 20, seed, steps),
                )
                pairs = race(*sides, clock)
                without = statistics.median(pair[0] for pair in pairs)
                added = statistics.median(pair[1] - pair[0] for pair in pairs)
                began = clock()
                looked_at = sum(len(list(step.candidates)) for step in steps)
                read = (clock() - began) / len(steps)
                assert looked_at == 20 * len(steps)
                shares.append(without / (without + added + read))
                told = f"{1e3 * without:.2f} ms a token, traced {1e3 * added:+.3f} ms, read {1e3 * read:+.3f} ms"
                print(f"  {path.name}: {told}")
        print(f"  {path.name}: traced speed {statistics.median(shares):.4f} of untraced (median of {len(shares)})")


def _tokens(model: Model, n: int, top: int | None, seed: int, steps: list[Step]) -> Iterator[None]:
    model.reset()
    for step in model.stream("Once upon a time", n_predict=n, seed=seed, top=top):
        steps.append(step)
        yield


# -- memory -------------------------------------------------------------------------------------------------------

_MEASURED = """
import resource, sys
from ggufban import Model
text = open(sys.argv[2], encoding="utf-8").read()
with Model(sys.argv[1], n_ctx=4096) as model:
    tokens = model.tokenize(text)[:4096]
    text = model.vocab.decode(tokens).decode("utf-8", "replace")
    steps = model.score(text).steps
    print(len(steps), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


def memory(options: argparse.Namespace) -> None:
    """The peak of a process that scores 4,096 tokens, next to the size of the model's file."""
    path = resolve("gemma3-270m")
    result = subprocess.run(
        [sys.executable, "-c", _MEASURED, path, TEXT], capture_output=True, text=True, check=True
    ).stdout.split()
    count, peak, size = int(result[0]), int(result[1]), path.stat().st_size
    print(
        f"{path.name}: {count} tokens, peak {peak / 1e6:,.0f} MB: "
        f"{(peak - size) / 1e6:+,.0f} MB over the file's {size / 1e6:,.0f} MB"
    )


# -- a model and itself, quantized again --------------------------------------------------------------------------

QUANTIZATIONS = {"Q8_0": 7, "Q4_K_M": 15, "Q3_K_M": 12, "Q2_K": 10}  # llama.h: enum llama_ftype


def requantized(options: argparse.Namespace) -> None:
    """KLD and the rest of SmolLM2 against itself, and against itself in fewer bits."""
    path = resolve(options.model)
    text = TEXT.read_text(encoding="utf-8")[: options.part]
    with Model(path) as base, tempfile.TemporaryDirectory() as folder:
        rows = [("itself", path)]
        for name, kind in QUANTIZATIONS.items():
            target = Path(folder) / f"{name}.gguf"
            params = llama_cpp.llama_model_quantize_default_params()
            params.ftype, params.allow_requantize, params.nthread = kind, True, options.threads
            if llama_cpp.llama_model_quantize(os.fsencode(path), os.fsencode(target), params) == 0:
                rows.append((name, target))
        for name, target in rows:
            with Model(target) as other:
                figures = compare(base, other, text).figures()
            shown = {
                key: figures[key] for key in ("Mean KLD", "99.0% KLD", "RMS Δp", "Same top p", "Mean PPL(Q)/PPL(base)")
            }
            told = "  ".join(f"{key} {figure.value:.6f}" for key, figure in shown.items())
            print(f"{path.stem} -> {name:<8} {target.stat().st_size / 1e6:4.0f} MB  {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["perplexity", "tracing", "memory", "requantized"])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--predict", type=int, default=100)
    parser.add_argument("--part", type=int, default=14_000, help="characters of the text for what is repeated")
    parser.add_argument("--cpu", action="store_true", help="processor time instead of the clock's")
    parser.add_argument("--llama-perplexity", help="the program, built from the same llama.cpp")
    options = parser.parse_args()
    print(machine())
    {"perplexity": perplexity, "tracing": tracing, "memory": memory, "requantized": requantized}[options.what](options)


if __name__ == "__main__":
    main()
