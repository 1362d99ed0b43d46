"""A security audit as one operation: it only looks, and writes its evidence on opsbook's host."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.connectors.audits.record import FOLDER
from opsbook.connectors.change import Change
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Audited(OperationParameters):
    folder: str = Field(FOLDER, min_length=1, description="where the evidence is written, from the book's folder")


@operation(
    "security.audit", Risk.READ, of="any", idempotent=True, parameters=Audited,
    doc="Asks all that belongs to a security audit, of the whole book, and writes what was found, and what could not be"
    " asked, as JSON and Markdown with their SHA-256. `of` is the component in whose name it runs.",
)  # fmt: skip
class _Audit(Repeatable):
    async def plan(self, parameters: Audited, facts: Facts) -> AsyncIterator[Change]:
        yield Change("security-audit", {"folder": parameters.folder}, inverse="nothing to undo: it only looks")
