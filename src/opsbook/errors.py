"""The errors a person may see. Each says what happened, to what, and what to do next.

The exit code is part of the error, so that every face answers alike (DESIGN: 0 fine, 1 bad result, 2 wrong usage or
invalid book, 3 could not run, 4 waits for or was refused approval, 5 ambiguous).
"""

from __future__ import annotations


class OpsbookError(Exception):
    """Anything opsbook refuses or cannot do. `hint` is the next step, in the imperative."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class UsageError(OpsbookError):
    """Wrong words on the command line, or a book that is not valid."""

    exit_code = 2


class Absent(UsageError):
    """What is named is not in this environment: a release, a workload of its runtime. Elsewhere it may well be."""


class Unreachable(OpsbookError):
    """A component, tool or credential that is needed could not be reached."""


class Refused(OpsbookError):
    """Policy or a guard says no."""

    exit_code = 4


class Ambiguous(OpsbookError):
    """The outcome of a change is not known and must be decided by a person."""

    exit_code = 5
