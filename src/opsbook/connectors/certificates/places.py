"""Where the certificate of a book lies: its chain and key, what is to come beside them, and what was there before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from opsbook.book.planned import Certificate
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.connectors.certificates.pairs import Chain, PrivateKey, read_chain, read_key
from opsbook.errors import Refused


@dataclass(frozen=True)
class Places:
    """The two files of a certificate."""

    chain: Path
    key: Path

    @property
    def next(self) -> Places:
        """What was obtained and is not served yet."""
        return Places(_beside(self.chain, "next"), _beside(self.key, "next"))

    @property
    def previous(self) -> Places:
        """What was served before."""
        return Places(_beside(self.chain, "previous"), _beside(self.key, "previous"))

    @property
    def request(self) -> Path:
        """The signing request that somebody takes to an authority."""
        return self.chain.with_name(f"{self.chain.name}.csr")

    def read_chain(self) -> Chain | None:
        """None where there is none yet. Raises Refused for what is no certificate."""
        pem = _read(self.chain)
        return None if pem is None else read_chain(pem, str(self.chain))

    def read_key(self) -> PrivateKey | None:
        """None where there is none yet. Raises Refused."""
        pem = _read(self.key)
        return None if pem is None else read_key(pem, str(self.key))


def certificate_of(system: System, name: str) -> Certificate:
    """Raises Refused with the nearest name."""
    found = {one.id: one for one in system.model.certificates if system.holds(one.environments)}
    if name not in found:
        raise Refused(f"the book has no certificate named {name!r} here", nearest(name, found) or "see `certificates`")
    return found[name]


def places_of(system: System, certificate: Certificate) -> Places:
    """Raises Refused where the book does not say where it lies, or where opsbook cannot write."""
    return Places(
        _file(system, certificate.id, "certificate", certificate.certificate),
        _file(system, certificate.id, "key", certificate.key),
    )


def _file(system: System, name: str, key: str, written: Reference | None) -> Path:
    if written is None:
        raise Refused(f"the book does not say where the certificate {name} lies", f"set its `{key}` to file:PATH")
    scheme, separator, rest = written.text.partition(":")
    if separator and scheme != "file" and scheme.isalnum():
        raise Refused(f"`{key}` of the certificate {name} is no file", "write file:PATH")
    path = system.path(rest if separator and scheme == "file" else written.text)
    return path.resolve() if path.is_symlink() else path


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name}.{what}")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", "check its permissions") from error
