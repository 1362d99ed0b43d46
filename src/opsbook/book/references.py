"""Secret references: `${ENV}`, `${ENV:-default}`, `file:PATH`, `cmd:PROGRAM ARGS`. They print as written.

They resolve late: the value is only taken when a connector needs it. `str()` and `repr()` of a reference,
and everything that is made of a book (errors, plans, JSON), show the text as written, with a literal password of a URL
hidden.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from opsbook.errors import UsageError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PASSWORD_IN_URL = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^:/@\s]*):(?P<password>[^@/\s]+)@", re.IGNORECASE)
COMMAND_SECONDS = 20
"""A secret helper (a vault client, a keyring) that takes longer than this is not usable at 3 a.m."""


class MissingSecret(UsageError):
    """A reference points to a variable, file or command that yields nothing."""


class Reference:
    """Text that may refer to secrets. Compared and shown by its text alone."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        if text.startswith("${") and not VARIABLE.match(text):
            raise ValueError(f"{text!r} is not a reference; write ${{NAME}} or ${{NAME:-default}}")
        self.text = text

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables without which it has no value."""
        return tuple(
            name for name, default in VARIABLE.findall(self.text) if not default and f"{{{name}:-" not in self.text
        )

    @property
    def literal_secret(self) -> bool:
        """Whether a password stands in the book itself."""
        found = _PASSWORD_IN_URL.search(self.text)
        return bool(found) and not VARIABLE.fullmatch(found["password"] if found else "")

    def resolve(self, env: Mapping[str, str], folder: Path) -> str:
        """The value. `folder` is where relative paths of `file:` start: the book's own. Raises MissingSecret."""
        if self.text.startswith("file:"):
            return _from_file(folder / Path(self.text[5:]).expanduser(), self.text)
        if self.text.startswith("cmd:"):
            return _from_command(self.text[4:], env, folder)

        def value(match: re.Match[str]) -> str:
            found = env.get(match[1], match[2])
            if found is None:
                raise MissingSecret(
                    f"the environment variable {match[1]} is not set",
                    f"set {match[1]}, or name an env_file that does in this environment of book.yaml",
                )
            return found

        return VARIABLE.sub(value, self.text)

    def __str__(self) -> str:
        return hide_password(self.text)

    def __repr__(self) -> str:
        return f"Reference({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.str_schema(min_length=1),
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "description": "a value or a secret reference: ${ENV}, ${ENV:-default}, file:PATH, cmd:PROGRAM ARGS",
        }


def hide_password(text: str) -> str:
    """A URL without its literal password; references inside it stay."""

    def mask(match: re.Match[str]) -> str:
        return match[0] if VARIABLE.fullmatch(match["password"]) else f"{match['head']}:***@"

    return _PASSWORD_IN_URL.sub(mask, text)


def _from_file(path: Path, text: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise MissingSecret(f"{text}: {error.strerror}", f"create {path} readable by this user only") from error


def _from_command(command: str, env: Mapping[str, str], folder: Path) -> str:
    argv = shlex.split(command)
    try:
        done = subprocess.run(
            argv,
            env=dict(env),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingSecret(
            f"the secret command {argv[0]!r} did not answer: {error}", "run it by hand to see why"
        ) from error
    if done.returncode:
        # Its output may hold the secret; only the exit code is told.
        raise MissingSecret(f"the secret command {argv[0]!r} ended with {done.returncode}", "run it by hand to see why")
    return done.stdout.strip()
