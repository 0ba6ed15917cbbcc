"""What can go wrong with the stack, each in one line with its remedy."""

from __future__ import annotations


class StackError(Exception):
    """Something about the stack is wrong and its user can mend it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message}: {remedy}")
        self.message = message
        self.remedy = remedy
