"""Encryption of streams in the age format (age-encryption.org/v1), through pyrage (the extra `backup`).

A recipient is public and encrypts; its identity is secret and decrypts. Both may be of age itself (`age1…`,
`AGE-SECRET-KEY-1…`) or of SSH.
"""

from __future__ import annotations

from typing import Any, Protocol

from opsbook.errors import OpsbookError, Unreachable, UsageError


class WrongKey(OpsbookError):
    """The identity is not one that the stream was encrypted for."""

    exit_code = 1


class Undecryptable(ValueError):
    """The stream is not one that age wrote, or was changed."""


class Pull(Protocol):
    """At most so many bytes; none at the end."""

    def read(self, size: int, /) -> bytes: ...


class Push(Protocol):
    def write(self, data: bytes, /) -> int: ...
    def flush(self) -> None: ...


def encrypt(source: Pull, target: Push, recipients: str) -> None:
    """Bring a whole stream through. Recipients stand on lines or between commas. Raises UsageError.

    What `source` and `target` raise arrives as an error of pyrage: they remember their own.
    """
    pyrage = _library()
    pyrage.encrypt_io(source, target, [_recipient(pyrage, one) for one in _entries(recipients)])


def decrypt(source: Pull, target: Push, identities: str) -> None:
    """The reverse. Raises WrongKey, Undecryptable, UsageError."""
    pyrage = _library()
    known = [_identity(pyrage, one) for one in _identity_entries(identities)]
    try:
        pyrage.decrypt_io(source, target, known)
    except pyrage.DecryptError as error:
        if "matching keys" in str(error):
            raise WrongKey(
                "it is not encrypted for the identity that `decrypt` names", "name the identity of its recipient"
            ) from None
        raise Undecryptable(str(error)) from None
    except (OSError, ValueError) as error:
        raise Undecryptable(str(error)) from None


def public_recipients(recipients: str) -> str:
    """The recipients as a manifest tells them. Raises UsageError where one cannot be read."""
    pyrage = _library()
    entries = _entries(recipients)
    for one in entries:
        _recipient(pyrage, one)
    return ",".join(entries)


def _entries(text: str) -> list[str]:
    lines = (line.strip() for line in text.replace(",", "\n").splitlines())
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise UsageError("no age recipient is named", "set `encrypt` to one, as age-keygen prints it (age1…)")
    return found


def _identity_entries(text: str) -> list[str]:
    if "PRIVATE KEY-----" in text:
        return [text.strip() + "\n"]
    found = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not found:
        raise UsageError("no age identity is named", "set `decrypt` to one, as in file:/etc/opsbook/age.key")
    return found


def _recipient(pyrage: Any, text: str) -> Any:
    # A secret that was put here by mistake must not stand in the error.
    if text.upper().startswith("AGE-SECRET-KEY-") or "PRIVATE KEY" in text:
        raise UsageError("`encrypt` names a secret identity", "name its public recipient (age1…) there")
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except (ValueError, pyrage.RecipientError) as error:
        raise UsageError(f"{text[:24]!r}… is no age recipient: {error}", "age-keygen prints one (age1…)") from None


def _identity(pyrage: Any, text: str) -> Any:
    try:
        if "PRIVATE KEY-----" in text:
            return pyrage.ssh.Identity.from_buffer(text.encode())
        return pyrage.x25519.Identity.from_str(text)
    except (ValueError, pyrage.IdentityError):
        raise UsageError("`decrypt` names no age identity that can be read", "age-keygen writes one") from None


def _library() -> Any:
    try:
        import pyrage
    except ImportError:
        raise Unreachable("an encrypted backup needs pyrage", "pip install 'opsbook[backup]'") from None
    return pyrage
