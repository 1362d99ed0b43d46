"""Where the certificate of a book lies: its chain and key, what is to come beside them, and what was there before.

Either may be a file, or a key of a Kubernetes Secret; a Secret that holds both is written at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from opsbook.book.planned import Certificate
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.connectors.certificates.pairs import Chain, PrivateKey, read_chain, read_key
from opsbook.connectors.contract import Connections
from opsbook.connectors.held.contract import PRIVATE, PUBLIC, Held, write
from opsbook.connectors.held.files import InFile
from opsbook.connectors.held.kubernetes_secrets import InSecret
from opsbook.connectors.held.opening import opened
from opsbook.connectors.held.places import Written, parts_of
from opsbook.errors import Refused

TLS_SECRET, CHAIN, KEY = "kubernetes.io/tls", "tls.crt", "tls.key"
"""The type of Secrets for certificates, and its keys."""


@dataclass(frozen=True)
class Places:
    """Where the chain and its key are."""

    chain: Held
    key: Held

    @property
    def next(self) -> Places:
        """What was obtained and is not served yet."""
        return Places(self.chain.beside("next"), self.key.beside("next"))

    @property
    def previous(self) -> Places:
        """What was served before."""
        return Places(self.chain.beside("previous"), self.key.beside("previous"))

    @property
    def restoring(self) -> Places:
        """What is being put back, while it takes the place of what it then replaces."""
        return Places(self.chain.beside("restoring"), self.key.beside("restoring"))

    async def pem(self) -> bytes | None:
        """The chain as it is there."""
        return await self.chain.read()

    async def read_chain(self) -> Chain | None:
        """None where there is none yet. Raises Refused for what is no certificate."""
        pem = await self.chain.read()
        return None if pem is None else read_chain(pem, str(self.chain))

    async def read_key(self) -> PrivateKey | None:
        """None where there is none yet. Raises Refused."""
        pem = await self.key.read()
        return None if pem is None else read_key(pem, str(self.key))

    async def write(self, pem: bytes, private: bytes) -> None:
        """Both. Raises ChangeFailed."""
        chain, key = self.chain, self.key
        if isinstance(chain, InSecret) and isinstance(key, InSecret) and chain.secret == key.secret:
            kind = TLS_SECRET if {chain.key, key.key} == {CHAIN, KEY} else "Opaque"
            await chain.secret.change(lambda _: {chain.key: pem, key.key: private}, kind)
            return
        await write(key, private, PRIVATE)
        await write(chain, pem, PUBLIC)

    async def remove(self) -> None:
        """Nothing is left of both."""
        await self.chain.remove()
        await self.key.remove()


def certificate_of(system: System, name: str) -> Certificate:
    """Raises Refused with the nearest name."""
    found = {one.id: one for one in system.model.certificates if system.holds(one.environments)}
    if name not in found:
        raise Refused(f"the book has no certificate named {name!r} here", nearest(name, found) or "see `certificates`")
    return found[name]


def places_of(system: System, connections: Connections, certificate: Certificate) -> Places:
    """Raises Refused where the book does not say where it lies, or where opsbook cannot write."""
    return Places(
        opened(system, connections, _written(system, certificate.id, "certificate", certificate.certificate, CHAIN)),
        opened(
            system, connections, _written(system, certificate.id, "key", certificate.key or _same(certificate), KEY)
        ),
    )


def request_of(system: System, certificate: Certificate, places: Places) -> Path:
    """The file of the signing request that a person takes away: beside the chain, or in the book's folder."""
    chain = places.chain
    return (
        chain.path.with_name(f"{chain.path.name}.csr")
        if isinstance(chain, InFile)
        else system.path(f"{certificate.id}.csr")
    )


def _same(certificate: Certificate) -> Reference | None:
    """A Secret that is named without a key holds both."""
    found = certificate.certificate
    return found if found is not None and found.text.startswith("secret:") and "/" not in found.text else None


def _written(system: System, name: str, key: str, written: Reference | None, held: str) -> Written:
    if written is None:
        raise Refused(
            f"the book does not say where the certificate {name} lies", f"set its `{key}` to file:PATH or secret:NAME"
        )
    scheme, separator, _ = written.text.partition(":")
    if not separator or not scheme.isalnum():
        return Written("file", written.text)
    parts = parts_of(system, written, held)
    if parts is None or parts.variable:
        raise Refused(f"`{key}` of the certificate {name} is neither file nor Secret", "write file:PATH or secret:NAME")
    return parts
