"""Signed links: who holds one may acknowledge one incident, and nothing else, until it expires. Pure.

A link is `/acknowledge/<incident>?who=…&until=…&sign=…`; its signature is HMAC-SHA-256 (RFC 2104) over purpose,
incident, person and expiry, with a key that lies beside the store, or that the environment gives to several hosts. To
open it shows a page that asks; only the answer to that page acknowledges, for mail scanners open every link.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

from opsbook.errors import OpsbookError, Refused
from opsbook.store.shared_files import KEY, shared

LASTS = timedelta(hours=24)
PURPOSE = "acknowledge"
GIVEN, GIVEN_FILE = "OPSBOOK_LINK_KEY", "OPSBOOK_LINK_KEY_FILE"
"""Variables that hold the key, or the path of a file with it: for several that serve one store, on several hosts."""
SHORTEST = 32
"""Bytes of a key."""


class LinkKeyFailed(OpsbookError):
    """The key that signs links cannot be read or made."""


@dataclass(frozen=True)
class Link:
    """What a link says, before it is believed."""

    incident: str
    who: str
    until: int
    sign: str


def make(key: bytes, incident: str, who: str, now: datetime, lasts: timedelta = LASTS) -> str:
    """The path and query of a link; `who` is the contact or channel that it was sent to."""
    until = int((now + lasts).timestamp())
    query = urlencode({"who": who, "until": until, "sign": _sign(key, incident, who, until)})
    return f"/{PURPOSE}/{quote(incident, safe='')}?{query}"


def verify(key: bytes, link: Link, now: datetime) -> str:
    """The name of who acknowledges. Raises Refused for a link that is forged, of something else, or too old."""
    if not hmac.compare_digest(_sign(key, link.incident, link.who, link.until), link.sign):
        raise Refused("this link was not made by this opsbook", "acknowledge with: opsbook incident ack")
    if now.timestamp() > link.until:
        ended = datetime.fromtimestamp(link.until, UTC)
        raise Refused(f"this link ended at {ended:%Y-%m-%d %H:%M} UTC", "acknowledge with: opsbook incident ack")
    return link.who


def link_key(folder: Path) -> bytes:
    """The key of the environment, else the one beside the store, made where there is none. Raises LinkKeyFailed."""
    if given := _given():
        return given
    path = folder / "links.key"
    try:
        return _read(path) or _make(path)
    except OSError as error:
        raise LinkKeyFailed(f"the key {path}: {error.strerror}", "let this user read and write it") from error


def _given() -> bytes:
    """What the environment says; empty where it says nothing."""
    said, named = os.environ.get(GIVEN, ""), os.environ.get(GIVEN_FILE, "")
    if said and named:
        raise LinkKeyFailed(f"{GIVEN} and {GIVEN_FILE} are both set", "keep one of them")
    if not (said or named):
        return b""
    try:
        found = (Path(named).read_bytes() if named else os.fsencode(said)).strip()
    except OSError as error:
        raise LinkKeyFailed(f"{GIVEN_FILE}: {named}: {error.strerror}", "let this user read it") from error
    if len(found) < SHORTEST:
        raise LinkKeyFailed(
            f"{GIVEN_FILE if named else GIVEN} is no key: it is shorter than {SHORTEST} characters",
            "make one with: openssl rand -hex 32",
        )
    return found


def _read(path: Path) -> bytes:
    try:
        found = path.read_bytes().strip()
    except FileNotFoundError:
        return b""
    if len(found) < SHORTEST:
        raise LinkKeyFailed(f"{path} is no key", "remove it; links that were sent then no longer hold")
    return found


def _make(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and linked: two processes that begin at once must end with one key.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secrets.token_hex(32).encode())
        if shared(path.parent):
            os.fchmod(file.fileno(), KEY)
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()
    return _read(path)


def _sign(key: bytes, incident: str, who: str, until: int) -> str:
    # Lengths first, so that no two different texts are signed alike.
    signed = "\n".join(f"{len(part)}:{part}" for part in (PURPOSE, incident, who, str(until)))
    return hmac.new(key, signed.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
