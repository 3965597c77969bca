"""What a strategy decides, and nothing else: the loop is the same for all of them.

| | `mask` | `rewind` | `exact` |
|---|---|---|---|
| what is removed before a draw | all that is illegal, on the safe side | what was found illegal here | the same |
| removal acts | before the filters | before the filters | after them |
| after an illegal token, back to | (never drawn) | where the match began | the beginning of the text |
| text is shown | at once | when no match can begin in it | when it is whole |
"""

from typing import Protocol

__all__ = ["Strategy"]


class Strategy(Protocol):
    """The four decisions of the table above."""

    name: str
    """What the user calls it."""
    eager: bool
    """Whether illegal tokens are removed before the draw (then on the safe side: no word may wait for its edge)."""
    conditions_filtered: bool
    """Whether what is conditioned is the law after the filters (else removed tokens never reach the filters)."""

    def back_to(self, length: int, back: int) -> int:
        """The length of the path to keep, of `length` tokens, where the match began `back` tokens before its end."""
        ...

    def held(self, pending: int, written: int) -> int:
        """How many bytes at the end of the `written` must wait, where a match can begin in the last `pending`."""
        ...
