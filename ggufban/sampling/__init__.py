"""Logits -> one token, as llama.cpp defines its samplers, in numpy."""

from ggufban.sampling.candidates import Candidates
from ggufban.sampling.distribution import Distribution
from ggufban.sampling.parameters import PARAMETERS, Parameter
from ggufban.sampling.sampler import Sampler, SamplerState

__all__ = ["PARAMETERS", "Candidates", "Distribution", "Parameter", "Sampler", "SamplerState"]
