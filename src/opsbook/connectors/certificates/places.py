"""Where the certificate of a book lies: its chain and key, what is to come beside them, and what was there before.

Either may be a file, or a key of a Kubernetes Secret. A Secret that holds both is written at once, and so are files of
one folder that is a link. Others are two renames: a process that is killed between them leaves halves, which whoever
goes on repairs; what is wanted lies beside, as `next` or `restoring`, until both are there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from opsbook.book.planned import Certificate
from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.book.words import nearest
from opsbook.connectors.certificates.linked import Contents, switch, switches
from opsbook.connectors.certificates.pairs import Chain, PrivateKey, belongs, read_chain, read_key
from opsbook.connectors.change import ChangeFailed
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
        """What is being put back, until it is in its place: whoever finds it goes on with it."""
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
        if isinstance(chain, InFile) and isinstance(key, InFile) and chain.path.parent == key.path.parent:
            folder = chain.path.parent
            files = {chain.path.name: (pem, PUBLIC), key.path.name: (private, PRIVATE)}
            if await asyncio.to_thread(_switched, folder, files):
                return
        await write(key, private, PRIVATE)
        await write(chain, pem, PUBLIC)

    async def is_pair(self) -> bool:
        """Whether there are both, and belong together."""
        try:
            chain, key = await self.read_chain(), await self.read_key()
        except Refused:
            return False
        return chain is not None and key is not None and belongs(chain, key)

    async def wanted_back(self) -> Chain | None:
        """The pair that is put back: the one from before, or the one that an attempt which was cut off had begun with.

        Raises Refused.
        """
        served, begun = await self.pem(), self.restoring
        if await begun.is_pair() and not (await self.is_pair() and served == await begun.pem()):
            return await begun.read_chain()
        return await self.previous.read_chain()

    async def remove(self) -> None:
        """Nothing is left of both."""
        chain, key = self.chain, self.key
        if isinstance(chain, InSecret) and isinstance(key, InSecret) and chain.secret == key.secret:
            await chain.secret.drop(chain.key, key.key)
            return
        await self.chain.remove()
        await self.key.remove()


def _switched(folder: Path, files: Contents) -> bool:
    """Whether both were put there at once. Raises ChangeFailed."""
    try:
        if not switches(folder):
            return False
        switch(folder, files)
    except OSError as error:
        raise ChangeFailed(f"{folder}: {error.strerror}", "check its folder, permissions and space") from error
    return True


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
