"""Logits -> one token, as llama.cpp defines its samplers, in numpy."""
