"""Where workloads read a credential: a file that is it, or a variable of a file of KEY=VALUE lines.

A place holds a secret alone, or a URL with its user and, perhaps, its password in it. Values never leave this room but
into other places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from opsbook.book.references import Reference
from opsbook.book.system import System, parse_env
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.file import replace_file
from opsbook.errors import Refused

PRIVATE = 0o600


@dataclass(frozen=True)
class Credential:
    """A user's name, where there is one, and the secret."""

    login: str
    secret: str


@dataclass(frozen=True)
class Place:
    """One place. `name` is the variable; empty where the file is the credential."""

    path: Path
    name: str = ""

    def __str__(self) -> str:
        return f"{self.path}#{self.name}" if self.name else str(self.path)

    def value(self) -> str:
        """Raises Refused where there is none."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise Refused(f"{self.path}: {reason}", "check its path and permissions") from error
        if not self.name:
            return text.strip()
        found = parse_env(text)
        if self.name not in found:
            raise Refused(f"{self.path} has no variable {self.name}", "check the place of the rotation")
        return found[self.name]

    def write(self, value: str) -> None:
        """At once and whole; its owner and mode stay. Raises ChangeFailed."""
        try:
            before = self.path.read_text(encoding="utf-8")
            after = f"{value}\n" if not self.name else _with(before, self.name, value)
            if after != before:
                replace_file(self.path, after.encode(), PRIVATE)
        except OSError as error:
            raise ChangeFailed(f"{self.path}: {error.strerror}", "check its folder, permissions and space") from error


def place_of(system: System, written: Reference) -> Place:
    """`file:PATH` or `env:FILE#NAME`. Raises Refused."""
    scheme, _, rest = written.text.partition(":")
    if scheme == "file" and rest:
        return Place(system.path(rest))
    if scheme == "env" and "#" in rest:
        path, _, name = rest.rpartition("#")
        return Place(system.path(path), name)
    raise Refused(f"{written} is no place that a credential can be written to", "write file:PATH or env:FILE#NAME")


def is_address(value: str) -> bool:
    """Whether it is a URL with the credential in it."""
    return "://" in value


def credential_in(value: str) -> Credential:
    """What a value holds; its login or its secret is empty where it holds none."""
    if not is_address(value):
        return Credential("", value)
    parts = urlsplit(value)
    return Credential(unquote(parts.username or ""), unquote(parts.password or ""))


def renewed(value: str, credential: Credential) -> str:
    """The value with another credential in it: a URL gets a password only where it had one."""
    if not is_address(value):
        return credential.secret
    parts = urlsplit(value)
    if "@" not in parts.netloc:
        raise Refused("an address among the places of the rotation has no user in it", "name a place that has one")
    login = quote(credential.login or unquote(parts.username or ""), safe="")
    secret = f":{quote(credential.secret, safe='')}" if parts.password is not None else ""
    return urlunsplit(parts._replace(netloc=f"{login}{secret}@{parts.netloc.rpartition('@')[2]}"))


def _with(text: str, name: str, value: str) -> str:
    pattern = re.compile(rf"^(\s*(?:export\s+)?{re.escape(name)}\s*=)(.*)$", re.MULTILINE)
    # The last line of a name is the one that counts; all get it, so that none is left with the old secret.
    quoted = "'" if set(value) & set(' \t#"$`\\') else ""
    return pattern.sub(lambda found: f"{found[1]}{quoted}{value}{quoted}", text)
