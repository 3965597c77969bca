"""llama.cpp's own samplers, chained as its `common_sampler_init` chains them, on any row of logits.

The definition that this room is held to. Nothing of ggufban is used here but the names of parameters.
"""

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from ggufban.sampling.parameters import DEFAULT_SAMPLERS, PARAMETERS

TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""`llama_token_data`."""

SEED = 1
MIROSTAT_M = 100
"""The constant that common/sampling.cpp gives to mirostat."""


class Left(NamedTuple):
    """What llama.cpp left of a row, tokens of logit -inf taken out."""

    ids: NDArray[np.int32]
    logits: NDArray[np.float32]
    probs: NDArray[np.float32]
    size: int
    """How many there were with those of logit -inf."""
    selected: int
    """The token that llama.cpp drew."""

    def descending(self) -> "Left":
        """In descending order of logits, and of ids among equals: an order in which results can be compared.

        llama.cpp leaves the array in the order of ids, or of typicality, where nothing after needed it
        sorted, and in no defined order among equal logits.
        """
        order = np.lexsort((self.ids, -self.logits))
        return self._replace(ids=self.ids[order], logits=self.logits[order], probs=self.probs[order])


class Oracle:
    """A chain of llama.cpp's samplers that remembers, as llama.cpp's do."""

    def __init__(self, parameters: Mapping[str, Any], n_vocab: int, vocab: Any = None) -> None:
        self.chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        self.keep: list[Any] = []  # what ctypes must not let go of
        values = {p.name: p.default for p in PARAMETERS} | dict(parameters)
        for sampler in self.samplers(values, n_vocab, vocab):
            llama_cpp.llama_sampler_chain_add(self.chain, sampler)

    def samplers(self, v: Mapping[str, Any], n_vocab: int, vocab: Any) -> Iterator[Any]:
        if v["logit_bias"]:
            bias = (llama_cpp.llama_logit_bias * len(v["logit_bias"]))()
            for i, (token, amount) in enumerate(v["logit_bias"].items()):
                bias[i].token, bias[i].bias = token, amount
            yield llama_cpp.llama_sampler_init_logit_bias(n_vocab, len(bias), bias)
        if v["mirostat"]:
            yield llama_cpp.llama_sampler_init_temp(v["temperature"])
            tau, eta = v["mirostat_tau"], v["mirostat_eta"]
            if v["mirostat"] == 1:
                yield llama_cpp.llama_sampler_init_mirostat(n_vocab, SEED, tau, eta, MIROSTAT_M)
            else:
                yield llama_cpp.llama_sampler_init_mirostat_v2(SEED, tau, eta)
            return
        names = v["samplers"] or DEFAULT_SAMPLERS
        for name in names:
            if name != "adaptive_p":
                yield self.sampler(name, v, n_vocab, vocab)
        if "adaptive_p" in names:
            yield llama_cpp.llama_sampler_init_adaptive_p(v["adaptive_target"], v["adaptive_decay"], SEED)
        else:
            yield llama_cpp.llama_sampler_init_dist(SEED)

    def sampler(self, name: str, v: Mapping[str, Any], n_vocab: int, vocab: Any) -> Any:
        match name:
            case "penalties":
                return llama_cpp.llama_sampler_init_penalties(
                    n_vocab,
                    v["repeat_last_n"],
                    v["repeat_penalty"],
                    v["frequency_penalty"],
                    v["presence_penalty"],
                )
            case "dry":
                breakers = [text.encode() for text in v["dry_sequence_breakers"]]
                array = (ctypes.c_char_p * len(breakers))(*breakers)
                self.keep.append((breakers, array))
                return llama_cpp.llama_sampler_init_dry(
                    vocab, v["dry_multiplier"], v["dry_base"],
                    v["dry_allowed_length"], v["dry_penalty_last_n"], array, len(breakers),
                )  # fmt: skip
            case "top_n_sigma":
                return llama_cpp.llama_sampler_init_top_n_sigma(v["top_n_sigma"])
            case "top_k":
                return llama_cpp.llama_sampler_init_top_k(v["top_k"])
            case "typ_p":
                return llama_cpp.llama_sampler_init_typical(v["typical_p"], v["min_keep"])
            case "top_p":
                return llama_cpp.llama_sampler_init_top_p(v["top_p"], v["min_keep"])
            case "min_p":
                return llama_cpp.llama_sampler_init_min_p(v["min_p"], v["min_keep"])
            case "xtc":
                return llama_cpp.llama_sampler_init_xtc(v["xtc_probability"], v["xtc_threshold"], v["min_keep"], SEED)
            case "temperature":
                return llama_cpp.llama_sampler_init_temp_ext(
                    v["temperature"], v["dynatemp_range"], v["dynatemp_exponent"]
                )
        raise AssertionError(name)

    def accept(self, tokens: Iterable[int]) -> None:
        for token in tokens:
            llama_cpp.llama_sampler_accept(self.chain, token)

    def apply(self, logits: NDArray[np.float32]) -> Left:
        data = np.empty(len(logits), dtype=TOKEN_DATA)
        data["id"] = np.arange(len(logits))
        data["logit"] = logits
        data["p"] = 0
        array = token_data_array(data)
        llama_cpp.llama_sampler_apply(self.chain, ctypes.byref(array))
        return left_in(array)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        llama_cpp.llama_sampler_free(self.chain)


def token_data_array(data: NDArray[Any]) -> Any:
    """A `llama_token_data_array` on top of a numpy array, which has to stay alive."""
    pointer = data.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
    return llama_cpp.llama_token_data_array(data=pointer, size=len(data), selected=-1, sorted=False)


def left_in(array: Any) -> Left:
    """A copy of what stands in a `llama_token_data_array`."""
    # XTC moves the pointer, so that it is read anew
    buffer = (llama_cpp.llama_token_data * array.size).from_address(ctypes.addressof(array.data.contents))
    data = np.frombuffer(buffer, dtype=TOKEN_DATA).copy()
    selected = int(data["id"][array.selected]) if array.selected >= 0 else -1
    there = data[data["logit"] > -np.inf]
    return Left(there["id"], there["logit"], there["p"], len(data), selected)


def ask(parameters: Mapping[str, Any], logits: NDArray[np.float32], history: Sequence[int] = ()) -> Left:
    """What llama.cpp leaves of one row, after a history of tokens."""
    with Oracle(parameters, len(logits)) as chain:
        chain.accept(history)
        return chain.apply(logits)
