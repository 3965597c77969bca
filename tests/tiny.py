"""Tiny models that the tests write themselves: random weights, real architectures, a few hundred tokens.

A SentencePiece vocabulary (`<unk> <s> </s>`, the 256 byte tokens, then words) serves all of them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import gguf
import numpy as np

__all__ = ["SPECIAL", "WORDS", "write_tiny"]

SPECIAL = ["<unk>", "<s>", "</s>"]
WORDS = [
    *(chr(c) for c in range(ord("a"), ord("z") + 1)),
    " ", "the", " the", " cat", "cat", "alog", " Par", "is", " Paris", ".", "\n", "ca", " sat", "кот", " кот",
]  # fmt: skip
"""Pieces after the special and byte tokens; a space is a space."""

_TYPE = gguf.TokenType


def write_tiny(
    path: Path,
    architecture: str = "llama",
    *,
    words: Iterable[str] = WORDS,
    n_ctx: int = 256,
    n_embd: int = 32,
    n_layer: int = 2,
    seed: int = 0,
    scale: float = 0.6,
    metadata: Mapping[str, str] | None = None,
    split: int = 0,
) -> Path:
    """Write a model of `architecture` (`llama`, `gpt2`, `mamba`) with random weights, and return its path.

    `split` is the most tensors in one file, 0 for no split: the files then have llama.cpp's numbered names.
    """
    words = list(words)
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *(w.replace(" ", "▁") for w in words)]
    kinds = [_TYPE.UNKNOWN, _TYPE.CONTROL, _TYPE.CONTROL, *[_TYPE.BYTE] * 256, *[_TYPE.NORMAL] * len(words)]
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=split)
    writer.add_name(f"tiny {architecture}")
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(n_layer)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * (len(tokens) - len(words)) + [float(len(word)) for word in words])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    for key, value in (metadata or {}).items():
        writer.add_string(key, value)
    rng = np.random.default_rng(seed)

    def add(name: str, *shape: int, value: float | None = None) -> None:
        data = rng.standard_normal(shape) * scale / np.sqrt(shape[-1]) if value is None else np.full(shape, value)
        writer.add_tensor(name, data.astype(np.float32))

    add("token_embd.weight", len(tokens), n_embd)
    {"llama": _llama, "gpt2": _gpt2, "mamba": _mamba}[architecture](writer, add, n_embd, n_layer, n_ctx)
    # Greater than the rest, so that the logits differ by more than noise.
    writer.add_tensor("output.weight", (rng.standard_normal((len(tokens), n_embd)) * 0.5).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _llama(writer, add, n_embd, n_layer, n_ctx):
    writer.add_feed_forward_length(2 * n_embd)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(n_embd // 2)
    for i in range(n_layer):
        add(f"blk.{i}.attn_norm.weight", n_embd, value=1.0)
        for part in ("q", "k", "v", "output"):
            add(f"blk.{i}.attn_{part}.weight", n_embd, n_embd)
        add(f"blk.{i}.ffn_norm.weight", n_embd, value=1.0)
        add(f"blk.{i}.ffn_gate.weight", 2 * n_embd, n_embd)
        add(f"blk.{i}.ffn_up.weight", 2 * n_embd, n_embd)
        add(f"blk.{i}.ffn_down.weight", n_embd, 2 * n_embd)
    add("output_norm.weight", n_embd, value=1.0)


def _gpt2(writer, add, n_embd, n_layer, n_ctx):
    writer.add_feed_forward_length(4 * n_embd)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    add("position_embd.weight", n_ctx, n_embd)
    for i in range(n_layer):
        for norm in ("attn_norm", "ffn_norm"):
            add(f"blk.{i}.{norm}.weight", n_embd, value=1.0)
            add(f"blk.{i}.{norm}.bias", n_embd, value=0.0)
        for name, out, into in (
            ("attn_qkv", 3 * n_embd, n_embd),
            ("attn_output", n_embd, n_embd),
            ("ffn_up", 4 * n_embd, n_embd),
            ("ffn_down", n_embd, 4 * n_embd),
        ):
            add(f"blk.{i}.{name}.weight", out, into)
            add(f"blk.{i}.{name}.bias", out, value=0.0)
    add("output_norm.weight", n_embd, value=1.0)
    add("output_norm.bias", n_embd, value=0.0)


def _mamba(writer, add, n_embd, n_layer, n_ctx):
    inner, state, rank, kernel = 2 * n_embd, 8, 2, 4
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(kernel)
    writer.add_ssm_inner_size(inner)
    writer.add_ssm_state_size(state)
    writer.add_ssm_time_step_rank(rank)
    writer.add_layer_norm_rms_eps(1e-5)
    for i in range(n_layer):
        add(f"blk.{i}.attn_norm.weight", n_embd, value=1.0)
        add(f"blk.{i}.ssm_in.weight", 2 * inner, n_embd)
        add(f"blk.{i}.ssm_conv1d.weight", inner, kernel)
        add(f"blk.{i}.ssm_conv1d.bias", inner, value=0.0)
        add(f"blk.{i}.ssm_x.weight", rank + 2 * state, inner)
        add(f"blk.{i}.ssm_dt.weight", inner, rank)
        add(f"blk.{i}.ssm_dt.bias", inner, value=0.5)
        writer.add_tensor(f"blk.{i}.ssm_a", -np.ones((inner, state), dtype=np.float32))
        add(f"blk.{i}.ssm_d", inner, value=1.0)
        add(f"blk.{i}.ssm_out.weight", n_embd, inner)
    add("output_norm.weight", n_embd, value=1.0)
