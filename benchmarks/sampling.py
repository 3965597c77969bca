"""Sampling in numpy against llama.cpp's own chain in C, on real rows of logits, in one run.

    python benchmarks/sampling.py MODEL.gguf [MODEL.gguf ...]

What is timed is what each has to do for one token, from a row of logits that lies ready to the token drawn:
llama.cpp fills its array of (id, logit, p) as `common_sampler_sample` does, applies the chain and draws;
ggufban makes a `Distribution` and draws. The rows are those of a text drawn by the very chain. Both go over
them in turn, the one that begins changes from row to row, each row is written anew before each call as a
model would have just done, and the ratio is that of the medians. On a busy machine the fastest tenths say
more: what else runs there takes the caches away.
"""

import argparse
import ctypes
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ggufban.sampling import Sampler
from ggufban.sampling.parameters import DEFAULT_SAMPLERS, PARAMETERS

CHAINS: dict[str, dict[str, Any]] = {
    "default": {},
    "top-p 0.95, no top-k": {"top_k": 0, "min_p": 0.0},
    "min-p 0.05 alone": {"top_k": 0, "top_p": 1.0},
    "temperature alone": {"top_k": 0, "top_p": 1.0, "min_p": 0.0},
    "default and penalties": {"repeat_penalty": 1.1, "presence_penalty": 0.5},
    "mirostat 2": {"mirostat": 2},
}

TEXT = "Once upon a time there was a little house at the edge of the forest. In it lived an old woman who"

TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def llama_chain(parameters: dict[str, Any], n_vocab: int) -> Any:
    """llama.cpp's chain as `common_sampler_init` builds it; stages that are off are empty there too."""
    v = {p.name: p.default for p in PARAMETERS} | parameters
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    makers: dict[str, Callable[[], Any]] = {
        "penalties": lambda: llama_cpp.llama_sampler_init_penalties(
            n_vocab, v["repeat_last_n"], v["repeat_penalty"], v["frequency_penalty"], v["presence_penalty"]
        ),
        "top_k": lambda: llama_cpp.llama_sampler_init_top_k(v["top_k"]),
        "top_p": lambda: llama_cpp.llama_sampler_init_top_p(v["top_p"], v["min_keep"]),
        "min_p": lambda: llama_cpp.llama_sampler_init_min_p(v["min_p"], v["min_keep"]),
        "temperature": lambda: llama_cpp.llama_sampler_init_temp_ext(v["temperature"], 0.0, 1.0),
    }
    if v["mirostat"]:
        samplers = [
            llama_cpp.llama_sampler_init_temp(v["temperature"]),
            llama_cpp.llama_sampler_init_mirostat_v2(1, v["mirostat_tau"], v["mirostat_eta"]),
        ]
    else:
        samplers = [makers[name]() for name in DEFAULT_SAMPLERS if name in makers]
        samplers.append(llama_cpp.llama_sampler_init_dist(1))
    for sampler in samplers:
        llama_cpp.llama_sampler_chain_add(chain, sampler)
    return chain


def draw_with_llama(chain: Any, row: NDArray[np.float32], data: NDArray[Any]) -> int:
    """One token from llama.cpp's chain."""
    data["id"] = IDS[: len(row)]
    data["logit"] = row
    pointer = data.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
    array = llama_cpp.llama_token_data_array(data=pointer, size=len(data), selected=-1, sorted=False)
    llama_cpp.llama_sampler_apply(chain, ctypes.byref(array))
    token = int(array.data[array.selected].id)
    llama_cpp.llama_sampler_accept(chain, token)
    return token


def draw_with_numpy(sampler: Sampler, row: NDArray[np.float32], rng: np.random.Generator) -> int:
    """One token from ggufban's chain."""
    token, _ = sampler.distribution(row).sample(rng)
    sampler.accept(token)
    return token


IDS = np.arange(1 << 20, dtype=np.int32)


def seconds(call: Callable[[], object]) -> float:
    """The processor time of a call: both sides use one thread, and other programs' time is not theirs."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def rows_of(llama: llama_cpp.Llama, parameters: dict[str, Any], n: int) -> NDArray[np.float32]:
    """The rows that n tokens of a text are drawn from, `(n, n_vocab)`, where this very chain draws them."""
    llama.reset()
    llama.eval(llama.tokenize(TEXT.encode()))
    sampler, rng, rows = Sampler(**parameters), np.random.default_rng(1), []
    for _ in range(n):
        row = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llama.ctx, -1), shape=(llama.n_vocab(),))
        rows.append(row.copy())
        llama.eval([draw_with_numpy(sampler, rows[-1], rng)])
    return np.array(rows)


def compare(
    parameters: dict[str, Any], rows: NDArray[np.float32], rounds: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The seconds of every token of numpy and of llama.cpp."""
    sampler, rng = Sampler(**parameters), np.random.default_rng(1)
    chain, data = llama_chain(parameters, rows.shape[1]), np.zeros(rows.shape[1], dtype=TOKEN_DATA)
    fresh = np.empty(rows.shape[1], dtype=np.float32)
    ours: list[float] = []
    theirs: list[float] = []
    for i in range(rounds * len(rows)):
        calls = [
            (ours, lambda: draw_with_numpy(sampler, fresh, rng)),
            (theirs, lambda: draw_with_llama(chain, fresh, data)),
        ]
        for times, call in calls if i % 2 else calls[::-1]:
            fresh[:] = rows[i % len(rows)]  # just written, as the model leaves it
            times.append(seconds(call))
    llama_cpp.llama_sampler_free(chain)
    return np.array(ours), np.array(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="GGUF files")
    parser.add_argument("--rows", type=int, default=40, help="how many rows of each model (default: 40)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each row is sampled from (default: 5)")
    parser.add_argument("--chain", action="append", choices=list(CHAINS), help="only this chain (repeatable)")
    options = parser.parse_args()
    print(f"numpy {np.__version__}, llama_cpp {llama_cpp.__version__}, Python {platform.python_version()}")
    print("\n| model | tokens | chain | numpy, µs | llama.cpp, µs | ratio | ratio of the fastest tenths |")
    print("|---|---|---|---|---|---|---|")
    for path in options.models:
        llama = llama_cpp.Llama(str(path), n_ctx=512, verbose=False)
        for name in options.chain or CHAINS:
            parameters = CHAINS[name]
            rows = rows_of(llama, parameters, options.rows)
            times = compare(parameters, rows, options.rounds)
            ours, theirs = (np.median(side) for side in times)
            fast, their_fast = (np.quantile(side, 0.1) for side in times)
            print(
                f"| {path.stem} | {rows.shape[1]:,} | {name} | {ours * 1e6:.0f} | {theirs * 1e6:.0f} "
                f"| {ours / theirs:.2f} | {fast / their_fast:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
