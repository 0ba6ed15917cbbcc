"""The base of this package's errors: the docstring is the default message, each kind has a stable code."""

from __future__ import annotations

import inspect
from typing import ClassVar


class RuntimeFault(Exception):  # noqa: N818 - the base; each kind names itself
    """Something went wrong in the plumbing."""

    code: ClassVar[str] = "runtime_fault"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class StartupError(RuntimeFault):
    """The process cannot start with its present settings. The message says what to change, in one line."""

    code = "cannot_start"
