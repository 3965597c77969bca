"""`rewind`: draw freely; when a token completes a match, go back to the token where the match began.

From the path that led there the probability that is known to lead to matches is taken away, and the loop draws
again. What is shown to the reader is never taken back: text is released once no match can begin before its end.
"""

__all__ = ["Rewind"]


class Rewind:
    """See the head of this file."""

    name = "rewind"
    eager = False
    conditions_filtered = False

    def back_to(self, length: int, back: int) -> int:
        """Go back to where the match began."""
        return length - back

    def held(self, pending: int, written: int) -> int:
        """Hold what may still become part of a match."""
        return pending
