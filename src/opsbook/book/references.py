"""Secret references: `${ENV}`, `${ENV:-default}`, `file:PATH`, `cmd:PROGRAM ARGS`. They print as written.

They resolve late: the value is only taken when a connector needs it. `str()` and `repr()` of a reference,
and everything that is made of a book (errors, plans, JSON), show the text as written, with a literal password of a URL
hidden.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from opsbook.errors import UsageError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_BARE_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")
_PASSWORD_IN_URL = re.compile(
    # Up to the last @, because people paste passwords that hold one. A port is not a password.
    r"(?P<head>[a-z][a-z0-9+.-]*://[^:/@\s]*):(?!\d+(?:[/?,\s]|#[^@\s]*(?:\s|$)|$))(?P<password>\$\{[^}]*\}(?=@)|\S+)@",
    re.IGNORECASE,
)
_PASSWORD_IN_WORDS = re.compile(
    r"(?P<head>\b(?:password|passwd|pwd|sslpassword|token|secret|api_?key|access_?key)=)"
    r"(?P<password>\$\{[^}]*\}|'[^']*'|[^\s&;,]+)",
    re.IGNORECASE,
)
COMMAND_SECONDS = 20
"""A secret helper (a vault client, a keyring) that takes longer than this is not usable at 3 a.m."""


class MissingSecret(UsageError):
    """A reference points to a variable, file or command that yields nothing."""


class Reference:
    """Text that may refer to secrets. Compared and shown by its text alone."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text
        if reason := self._malformed():
            raise ValueError(reason)

    def _malformed(self) -> str | None:
        """Why the text is not a reference; None where it is one, or plain text."""
        if "${" in VARIABLE.sub("", self.text):
            return f"{self} has a `${{` that is no reference; write ${{NAME}} or ${{NAME:-default}}"
        if _BARE_VARIABLE.fullmatch(self.text):
            return f"{self.text!r} is not a reference; write ${{{self.text[1:]}}}"
        if self.text.startswith("file:") and not self.text[5:].strip():
            return "`file:` needs the path of a file"
        if self.text.startswith("cmd:"):
            try:
                argv = shlex.split(self.text[4:])
            except ValueError as error:
                return f"the words of `cmd:` cannot be told apart: {error}".lower()
            if not argv:
                return "`cmd:` needs a program to run"
        return None

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables without which it has no value."""
        return tuple(match[1] for match in VARIABLE.finditer(self.text) if match[2] is None)

    @property
    def literal_secret(self) -> bool:
        """Whether a password stands in the book itself."""
        return str(self) != self.text

    @property
    def refers(self) -> bool:
        """Whether its value comes from outside the book."""
        return self.text.startswith(("file:", "cmd:")) or bool(VARIABLE.search(self.text))

    def resolve(self, env: Mapping[str, str], folder: Path) -> str:
        """The value. `folder` is where relative paths of `file:` start: the book's own. Raises MissingSecret."""
        if self.text.startswith("cmd:"):
            return _from_command(self.text[4:], env, folder)

        def value(match: re.Match[str]) -> str:
            # As a shell reads `:-`: an empty variable counts as none.
            if found := env.get(match[1]) or match[2]:
                return found
            if match[2] is not None:
                return ""
            state = "is empty" if match[1] in env else "is not set"
            raise MissingSecret(
                f"the environment variable {match[1]} {state}",
                f"set {match[1]}, or name an env_file that does in this environment of book.yaml",
            )

        text = VARIABLE.sub(value, self.text)
        if self.text.startswith("file:"):
            return _from_file(folder / Path(text[5:].strip()).expanduser(), str(self))
        return text

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
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def _validate(cls, value: Any) -> Self:
        # Not through pydantic's own text type: its errors would show a value that may be a secret.
        if isinstance(value, Reference):
            return cls(value.text)
        if value is None or value == "":
            raise ValueError("a value or a reference such as ${NAME} is missing")
        if not isinstance(value, str):
            raise ValueError("expected text or a reference such as ${NAME}")
        return cls(value.strip())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "x-type": "reference",
            "examples": ["${NAME}", "${NAME:-default}", "file:secrets/name", "cmd:program argument"],
            "description": "a value or a secret reference: ${ENV}, ${ENV:-default}, file:PATH, cmd:PROGRAM ARGS",
        }


class SecretReference(Reference):
    """A reference whose literal text is a secret as a whole: the address of a chat hook or a ping, a token."""

    __slots__ = ()

    def __str__(self) -> str:
        if self.refers:
            return super().__str__()
        scheme, separator, _ = self.text.partition("://")
        return f"{scheme}://***" if separator else "***"

    @property
    def literal_secret(self) -> bool:
        """A mail address is none; an address that carries a token is."""
        return not self.text.startswith(("mailto:", "tel:")) and super().literal_secret


def references(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Reference]]:
    """Every reference inside a part of a book, with its key path."""
    if isinstance(value, Reference):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from references(getattr(value, name), (*path, field.alias or name))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from references(inner, (*path, key))
    elif isinstance(value, tuple | list):
        for n, inner in enumerate(value):
            yield from references(inner, (*path, n))


def hide_password(text: str) -> str:
    """Text without the literal passwords of URLs and `password=…` words; references inside it stay."""

    def mask(match: re.Match[str]) -> str:
        if variable := VARIABLE.fullmatch(match["password"]):
            hidden = match["password"] if not variable[2] else f"${{{variable[1]}:-***}}"
        else:
            hidden = "***"
        return (
            match["head"]
            + (":" if match.re is _PASSWORD_IN_URL else "")
            + hidden
            + ("@" if match[0][-1] == "@" else "")
        )

    return _PASSWORD_IN_WORDS.sub(mask, _PASSWORD_IN_URL.sub(mask, text))


def _from_file(path: Path, text: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise MissingSecret(f"{text}: {reason}", f"create {path} readable by this user only") from error


def _from_command(command: str, env: Mapping[str, str], folder: Path) -> str:
    argv = shlex.split(command)
    try:
        done = subprocess.run(
            argv,
            env=dict(env),
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            timeout=COMMAND_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        # The error itself would tell the whole command line.
        raise MissingSecret(
            f"the secret command {argv[0]!r} did not answer within {COMMAND_SECONDS} s", "run it by hand to see why"
        ) from None
    except OSError as error:
        raise MissingSecret(
            f"the secret command {argv[0]!r} cannot be run: {error.strerror}", "install it, or name it with its path"
        ) from error
    except UnicodeDecodeError:
        raise MissingSecret(
            f"the secret command {argv[0]!r} did not print UTF-8 text", "run it by hand to see what it prints"
        ) from None
    if done.returncode:
        # Its output may hold the secret; only the exit code is told.
        raise MissingSecret(f"the secret command {argv[0]!r} ended with {done.returncode}", "run it by hand to see why")
    return done.stdout.strip()
