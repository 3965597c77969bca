"""`exact`: reject the whole text and start again, remembering every rejected prefix.

Removed mass is handed up to the beginning of the text, so that no rejected text is drawn twice, and what is accepted
is a sample from the sampler's law conditioned on never matching: constrained adaptive rejection sampling (CARS,
arXiv 2510.01902). Several samples may share one tree: it holds only what is impossible.
"""

__all__ = ["Exact"]


class Exact:
    """See the head of this file."""

    name = "exact"
    eager = False
    conditions_filtered = True

    def back_to(self, length: int, back: int) -> int:
        """Start again."""
        return 0

    def held(self, pending: int, written: int) -> int:
        """Hold everything."""
        return written
