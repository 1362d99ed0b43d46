"""Signatures of manifests: Ed25519 (RFC 8032), by the key that also signs the head of the audit chain.

`manifest.sig` is JSON with `key` and `signature`, both base64. Whoever can write the store can exchange manifest and
signature together; that is found because the key is then not the one that this opsbook knows.
"""

from __future__ import annotations

import base64
import binascii
import json
from enum import StrEnum
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Signer(Protocol):
    """Signs in the name of this opsbook."""

    @property
    def public(self) -> str:
        """The public key, base64 of its 32 bytes."""
        ...

    def sign(self, data: bytes) -> bytes: ...


class Signature(StrEnum):
    """What a signature says of a manifest."""

    GOOD = "good"
    OTHER_KEY = "signed by another key"
    WRONG = "not the manifest that was signed"
    MISSING = "not signed"


def signature_of(data: bytes, signer: Signer) -> bytes:
    """The content of `manifest.sig`."""
    told = {"key": signer.public, "signature": base64.b64encode(signer.sign(data)).decode()}
    return json.dumps(told, sort_keys=True).encode() + b"\n"


def judged(data: bytes, signature: bytes | None, known: str = "") -> Signature:
    """A manifest held against its signature, and the key against the one that is known; any key where none is."""
    if signature is None:
        return Signature.MISSING
    try:
        told = json.loads(signature)
        key, signed = str(told["key"]), base64.b64decode(told["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True)).verify(signed, data)
    except (ValueError, KeyError, TypeError, binascii.Error, InvalidSignature):
        return Signature.WRONG
    return Signature.GOOD if known in ("", key) else Signature.OTHER_KEY
