"""The signed head of the audit chain, outside the store: it finds a tail that was cut off, or a chain written anew.

The head file gets lines, each the newest record at a time with an Ed25519 signature (RFC 8032); old lines stay. Its
first line names the public key, so that a key that was exchanged is found too. Who can write the store, the key and the
head file can forge all three: keep the head where opsbook's user can only append.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Engine, select

from opsbook.errors import OpsbookError
from opsbook.store import audit as chain
from opsbook.store.database import reading
from opsbook.store.shared_files import KEY, make_file, shared
from opsbook.store.tables import audit

NO_KEY = "make one and refer to it: openssl genpkey -algorithm ed25519 -out audit.pem; then key: file:audit.pem"


class HeadFailed(OpsbookError):
    """The signed head cannot be written or read."""


@dataclass(frozen=True)
class Head:
    """A record that was the newest at a time."""

    seq: int
    hash: str
    at: float
    signature: str

    def signed(self) -> bytes:
        return chain.canonical({"seq": self.seq, "hash": self.hash, "at": self.at}).encode()


class HeadFile:
    """Signs with the key beside the store, or with a given one, and appends to the head file."""

    def __init__(self, key: Path, file: Path, given: Callable[[], str] | None = None) -> None:
        self.key, self.file = key, file
        self.given = given
        """Takes the text of the book's own key (`audit.key`, PKCS #8 PEM)."""
        self._loaded: Ed25519PrivateKey | None = None

    @property
    def key_name(self) -> str:
        """Where the key comes from, for people."""
        return "`audit.key` of the book" if self.given else str(self.key)

    def check(self) -> None:
        """Raises HeadFailed where the key cannot be used, or the head cannot be written with it."""
        try:
            self.key.parent.mkdir(parents=True, exist_ok=True)
            public = self.public
            self.file.parent.mkdir(parents=True, exist_ok=True)
            make_file(self.file)
            with self.file.open("ab"):
                known, _ = self.heads()
        except OSError as error:
            raise self._unwritable(error) from error
        if known and known != public:
            raise HeadFailed(
                f"the audit head {self.file} was begun with another key than {self.key_name}",
                "put that key back; or keep the old file, and name a new one as `audit.head`",
            )

    def _unwritable(self, error: OSError) -> HeadFailed:
        return HeadFailed(
            f"the audit head {self.file}: {error.strerror}", "check its folder, or name another as `audit.head`"
        )

    @property
    def public(self) -> str:
        """The public key that its signatures are verified with, base64. Raises HeadFailed."""
        return _public_text(self._private_key().public_key())

    def sign(self, data: bytes) -> bytes:
        """A signature with the same key, of something else than a head. Raises HeadFailed."""
        return self._private_key().sign(data)

    def write(self, engine: Engine, now: float) -> None:
        """Append the newest record's signed head, where it is not the last line already. Raises HeadFailed."""
        with reading(engine) as connection:
            seq, digest = chain.last(connection)
        if not seq:
            return
        try:
            self._append(seq, digest, now)
        except OSError as error:
            raise self._unwritable(error) from error

    def signed_now(self, seq: int, digest: str, now: float) -> dict[str, object]:
        """A signed head as plain data. Raises HeadFailed."""
        head = Head(seq, digest, now, "")
        signature = base64.b64encode(self._private_key().sign(head.signed())).decode()
        return {"at": now, "hash": digest, "seq": seq, "signature": signature}

    def _append(self, seq: int, digest: str, now: float) -> None:
        private = self._private_key()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        make_file(self.file)
        with self.file.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            if not end:
                file.write(json.dumps({"key": _public_text(private.public_key())}).encode() + b"\n")
            else:
                file.seek(max(0, end - 1024))
                known = file.read().rstrip(b"\n").rpartition(b"\n")[2]
                if f'"seq":{seq},'.encode() in known:
                    return
            line = self.signed_now(seq, digest, now)
            file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def heads(self) -> tuple[str, list[Head]]:
        """The public key that the file names, and its lines. Raises HeadFailed where it is no head file."""
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
            key = str(json.loads(lines[0])["key"]) if lines else ""
            return key, [Head(**json.loads(line)) for line in lines[1:] if line.strip()]
        except FileNotFoundError:
            return "", []
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise HeadFailed(f"{self.file} cannot be read as audit head: {error}", "was it changed by hand?") from error

    def retention(self, cut: chain.Cut, at: float, actor: str, origin: str) -> chain.Act:
        """The signed act that stands for a beginning that was removed."""
        told = vars(cut)
        signature = base64.b64encode(self._private_key().sign(chain.canonical(told).encode())).decode()
        return chain.Act(at, actor, origin, chain.RETENTION, detail={**told, "signature": signature})

    def _private_key(self) -> Ed25519PrivateKey:
        if self.given is not None:
            if self._loaded is None:
                self._loaded = self._parsed(self.given().encode(), NO_KEY)
            return self._loaded
        try:
            text = self.key.read_bytes()
        except FileNotFoundError:
            return self._make_key()
        except OSError as error:
            raise HeadFailed(
                f"the key {self.key} of the audit chain: {error.strerror}", "let this user read it"
            ) from error
        return self._parsed(text, "restore it from a backup of the store")

    def _parsed(self, text: bytes, hint: str) -> Ed25519PrivateKey:
        try:
            found = serialization.load_pem_private_key(text, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Without its cause: the error of the library may quote the key.
            raise HeadFailed(f"{self.key_name} is no private key without a passphrase (PEM)", hint) from None
        if not isinstance(found, Ed25519PrivateKey):
            raise HeadFailed(f"{self.key_name} is no Ed25519 key", hint)
        return found

    def _make_key(self) -> Ed25519PrivateKey:
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # Written aside and linked: two processes that begin at once must end with one key.
        aside = self.key.with_name(f"{self.key.name}.{os.getpid()}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            if shared(self.key.parent):
                # Who may write the store may sign for it: else only one person could act.
                os.fchmod(file.fileno(), KEY)
        try:
            os.link(aside, self.key)
        except FileExistsError:
            return self._private_key()
        finally:
            aside.unlink()
        return private


def verify_store(engine: Engine, head: HeadFile) -> chain.Verification:
    """The chain held against itself and against every signed head outside the store."""
    found = chain.verify(engine)
    if found.broken is not None:
        return found
    broken = next(_disagreements(engine, head, found), None)
    return chain.Verification(found.records, found.first, found.last, found.hash, broken)


def _disagreements(engine: Engine, head: HeadFile, found: chain.Verification) -> Iterator[chain.Broken]:
    key, heads = head.heads()
    if not heads:
        return
    if (head.given or head.key.exists()) and key != _public_text(head._private_key().public_key()):
        yield chain.Broken(found.first, f"the key {head.key_name} is not the one that signed {head.file}")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
    wanted = sorted({one.seq for one in heads if one.seq >= found.first})
    stored: dict[int, str] = {}
    with reading(engine) as connection:
        for start in range(0, len(wanted), 500):
            page = wanted[start : start + 500]
            rows = connection.execute(select(audit.c.seq, audit.c.hash).where(audit.c.seq.in_(page)))
            stored.update({row.seq: row.hash for row in rows})
    if found.first > 1 and not _retention_is_genuine(engine, public, found.first - 1):
        yield chain.Broken(found.first, "what came before it was removed, and not by retention")
    for one in heads:
        try:
            public.verify(base64.b64decode(one.signature), one.signed())
        except (InvalidSignature, ValueError):
            yield chain.Broken(one.seq, f"its head in {head.file} has no valid signature")
        if one.seq > found.last:
            yield chain.Broken(found.last + 1, f"it is missing: {head.file} has seen {one.seq} records")
        elif one.seq in stored and stored[one.seq] != one.hash:
            yield chain.Broken(one.seq, f"it is not the one that {head.file} has seen: the chain was written anew")


def _retention_is_genuine(engine: Engine, public: Ed25519PublicKey, upto: int) -> bool:
    with reading(engine) as connection:
        rows = connection.execute(select(audit.c.detail).where(audit.c.event == chain.RETENTION)).scalars().all()
    for detail in rows:
        told = json.loads(detail)
        signature = base64.b64decode(told.pop("signature", ""))
        if told.get("upto") != upto:
            continue
        try:
            public.verify(signature, chain.canonical(told).encode())
        except InvalidSignature:
            continue
        return True
    return False


def _public_text(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return base64.b64encode(raw).decode()
