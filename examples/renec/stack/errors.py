"""What can go wrong, said so that the reader knows the next step."""

from __future__ import annotations


class StackError(Exception):
    """A failure with its hint: what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
