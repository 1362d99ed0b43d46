"""Where workloads read a credential: a file or a key of a Secret that is it, or a variable of lines of KEY=VALUE.

A place holds a secret alone, or a URL with its user and, perhaps, its password in it. Values never leave this room but
into other places.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from opsbook.book.references import Reference
from opsbook.book.system import parse_env
from opsbook.connectors.contract import Connections
from opsbook.connectors.held.contract import Held
from opsbook.connectors.held.opening import opened
from opsbook.connectors.held.places import parts_of, refused
from opsbook.errors import Refused


@dataclass(frozen=True)
class Credential:
    """A user's name, where there is one, and the secret."""

    login: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Place:
    """One place. `name` is the variable; empty where what is held is the credential."""

    held: Held
    name: str = ""

    def __str__(self) -> str:
        return f"{self.held}#{self.name}" if self.name else str(self.held)

    async def value(self) -> str:
        """Raises Refused where there is none."""
        return self._value(await self.held.read())

    def _value(self, content: bytes | None) -> str:
        if content is None:
            raise Refused(f"{self.held}: there is none", "check the place of the rotation, and who may read it")
        text = _text(self.held, content)
        if not self.name:
            return text.strip()
        found = parse_env(text)
        if self.name not in found:
            raise Refused(f"{self.held} has no variable {self.name}", "check the place of the rotation")
        return found[self.name]

    async def put(self, credential: Credential) -> None:
        """The credential into what is there, at once and whole. Raises ChangeFailed, Refused."""
        await self.held.change(lambda content: self._with(content, renewed(self._value(content), credential)))

    async def write(self, value: str) -> None:
        """A value, whatever is there; made where nothing is. Raises ChangeFailed, Refused."""
        await self.held.change(lambda content: self._with(content, value))

    def _with(self, content: bytes | None, value: str) -> bytes:
        before = "" if content is None else _text(self.held, content)
        if self.name:
            return _with(before, self.name, value).encode()
        # A key of a Secret is the value itself; a line of a file ends.
        return f"{value}\n".encode() if content is None or before.endswith("\n") else value.encode()


def place_of(connections: Connections, written: Reference) -> Place:
    """`file:PATH`, `env:FILE#NAME` or `secret:NAME/KEY`. Raises Refused."""
    parts = parts_of(connections.system, written)
    if parts is None:
        raise refused(written)
    return Place(opened(connections.system, connections, parts), parts.variable)


def _text(held: Held, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        # Without its cause, which quotes it.
        raise Refused(f"{held}: it is no text", "check the place of the rotation") from None


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
    if not pattern.search(text):
        text = f"{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{name}=\n"
    # The last line of a name is the one that counts; all get it, so that none is left with the old secret.
    quoted = "'" if set(value) & set(' \t#"$`\\') else ""
    return pattern.sub(lambda found: f"{found[1]}{quoted}{value}{quoted}", text)
