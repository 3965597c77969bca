"""See, ban and sample the tokens of a GGUF model: numpy over the raw logits of llama.cpp, no PyTorch."""

__version__ = "0.1.0"
