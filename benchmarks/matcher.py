"""What a ban list costs: compiling it, and each of its two questions.

    python -m benchmarks.matcher MODEL.gguf ... [--out benchmarks/results/matcher.json]

For every vocabulary and lists of 100, 10,000 and 100,000 whole words (the over-represented words in
`tests/data/slop_words.txt`, then pairs of them run together): the time of `BanList(...)`, of the vocabulary's index
cold and from disk, of `compile` with it, of `legal` and `illegal`, each asked once at every token of a text that
walks through beginnings of banned words (first visits count), and the memory it all takes. Every measurement of a
list runs in a process of its own. Times are CPU time, so that other work on the machine counts as little as it can.
"""

import argparse
import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ggufban.bans import BanList
from ggufban.bans.index import index_of
from ggufban.bans.matcher import Matcher
from ggufban.vocab import Vocab

DATA = Path(__file__).parent.parent / "tests" / "data"
SIZES = (100, 10_000, 100_000)


def words(count: int) -> list[str]:
    """Whole words: those of the list first, then pairs of them."""
    lines = (DATA / "slop_words.txt").read_text(encoding="utf-8").splitlines()
    found = dict.fromkeys(line for line in lines if not line.startswith("#"))
    single = list(found)
    rng = random.Random(0)
    while len(found) < count:
        found[rng.choice(single) + rng.choice(single)] = None
    return list(found)[:count]


def text(banned: list[str], count: int = 4000) -> str:
    """Words that begin as banned ones do and go on otherwise, whole banned ones, and plain English, mixed."""
    rng = random.Random(1)
    plain = (DATA / "slop_phrases.txt").read_text(encoding="utf-8").split()
    parts = []
    for _ in range(count):
        word = rng.choice(banned)
        draw = rng.random()
        if draw < 0.5:
            word = word[: rng.randint(1, len(word))] + rng.choice(("", "o", "ing", "x", "est"))
        elif draw < 0.9:
            word = rng.choice(plain)
        parts.append(word)
    return " ".join(parts)


def timed(call: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    call()
    return time.process_time() - started


def resident() -> float:
    """Memory of this process, in MB (0 where that is not known)."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def read_vocab(path: Path) -> tuple[Vocab, Callable[[bytes], list[int]]]:
    """The vocabulary of a GGUF file, without its weights, and its tokenizer."""
    import llama_cpp

    from ggufban.engine import vocab_of

    llama = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    return vocab_of(llama), lambda data: llama.tokenize(data, add_bos=False)


def measure(path: Path, size: int, fold: str) -> dict[str, object]:
    """The figures of one vocabulary and one list."""
    vocab, tokenize = read_vocab(path)
    banned = words(size)
    tokens = tokenize(text(banned).encode())
    _ = vocab.fingerprint
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        from ggufban.bans import index as module

        cold = timed(lambda: index_of(vocab, fold, cache))
        module._RECENT.clear()
        bans = BanList(banned, fold=fold)
        listed = min(timed(lambda: BanList(banned, fold=fold)) for _ in range(3))
        compiled = []
        for _ in range(3):
            module._RECENT.clear()
            compiled.append(timed(lambda: bans.compile(vocab, cache)))
        matcher = bans.compile(vocab, cache)
    row: dict[str, object] = {
        "vocabulary": len(vocab),
        "patterns": size,
        "fold": fold,
        "index_cold_s": round(cold, 3),
        "banlist_s": round(listed, 3),
        "compile_with_cached_index_s": round(min(compiled), 3),
        "tokens_walked": len(tokens),
    }
    for waiting in (True, False):
        row |= walk(matcher, tokens, waiting)
    return row


def measure_memory(path: Path, size: int, fold: str) -> dict[str, object]:
    """How much the peak of resident memory grows by a list, its matcher and a text walked both ways."""
    vocab, tokenize = read_vocab(path)
    banned = words(size)
    tokens = tokenize(text(banned).encode())
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.matcher", str(path), "--keep", folder, "--fold", fold]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        gc.collect()
        started = resident()
        matcher = BanList(banned, fold=fold).compile(vocab, folder)
    compiled = resident()
    for waiting in (True, False):
        walk(matcher, tokens, waiting)
    return {
        "more_memory_to_compile_mb": round(compiled - started),
        "more_memory_after_walking_mb": round(resident() - started),
    }


ROUNDS = 5


def walk(matcher: Matcher, tokens: list[int], waiting: bool) -> dict[str, object]:
    """Both questions at every token of a text, in several rounds between which everything is forgotten.

    Of each token the quickest round counts: first visits stay first visits, and what else the machine did at that
    moment counts as little as it can.
    """
    name = "waiting" if waiting else "safe"
    clock = time.thread_time_ns
    idle = float(np.median([-(clock() - clock()) for _ in range(1001)]))  # what looking at the clock costs
    legal, illegal = np.full((2, ROUNDS, len(tokens)), np.inf)
    sizes = []
    for round_ in range(ROUNDS):
        for times in (legal, illegal):
            state = matcher.start()
            matcher._cache.clear()
            matcher._needles.forget()
            gc.collect()
            for at, token in enumerate(tokens):
                if times is legal:
                    started = clock()
                    matcher.legal(state, token, waiting)
                    times[round_, at] = clock() - started
                else:
                    started = clock()
                    found = matcher.illegal(state, waiting)
                    times[round_, at] = clock() - started
                    sizes.append(len(found))
                state = matcher.step(state, token)
    legal, illegal = legal.min(axis=0), illegal.min(axis=0)
    return {
        f"legal_{name}_median_us": round((float(np.median(legal)) - idle) / 1e3, 2),
        f"legal_{name}_p99_us": round((float(np.quantile(legal, 0.99)) - idle) / 1e3, 1),
        f"illegal_{name}_median_us": round((float(np.median(illegal)) - idle) / 1e3, 2),
        f"illegal_{name}_p99_us": round((float(np.quantile(illegal, 0.99)) - idle) / 1e3, 1),
        f"illegal_{name}_max_us": round(float(illegal.max()) / 1e3),
        f"illegal_{name}_median_ids": int(np.median(sizes)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--fold", default="case")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.keep:
        index_of(read_vocab(options.models[0])[0], options.fold, options.keep)
    elif options.one:
        measuring = measure_memory if options.memory else measure
        print(json.dumps(measuring(options.models[0], options.one, options.fold)))
    else:
        measure_all(options.models, options.fold, options.out)


def measure_all(models: list[Path], fold: str, out: Path | None) -> None:
    """Every vocabulary and list, each in processes of its own."""
    rows = []
    for path in models:
        for size in SIZES:
            row: dict[str, object] = {}
            for mode in ([], ["--memory"]):
                command = [sys.executable, "-m", "benchmarks.matcher", str(path), "--one", str(size), "--fold", fold]
                result = subprocess.run(command + mode, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
                row |= json.loads(result.stdout.splitlines()[-1])
            rows.append(row)
            print(json.dumps(row), flush=True)
    if out:
        out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
