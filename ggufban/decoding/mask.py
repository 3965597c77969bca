"""`mask`: illegal tokens get -inf before the sampler, and the text never looks back.

A token after which a banned word would stand complete, waiting for its edge, counts as illegal too. So the text
may end at any token, and nothing is forced to run on into `catxyz`; the price is that `catalog` is lost where a
tokenizer writes it `cat` + `alog`. A word is stopped only at its last token, which distorts what follows.
"""

__all__ = ["Mask"]


class Mask:
    """See the head of this file."""

    name = "mask"
    eager = True
    conditions_filtered = False

    def back_to(self, length: int, back: int) -> int:
        """Draw again at the last place."""
        return length

    def held(self, pending: int, written: int) -> int:
        """Hold nothing."""
        return 0
