"""Bundles of data that are handed out."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic import Field

from opsbook.book.catalogue import Risk
from opsbook.book.values import Name
from opsbook.connectors.change import Change
from opsbook.errors import Refused
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


class Bundle(OperationParameters):
    export: Name = Field(description="the export of the book")


@operation(
    "export.bundle",
    Risk.SAFE,
    of="postgres",
    idempotent=True,
    parameters=Bundle,
    doc="Writes the answers of an export's queries, all of one moment, as JSON, CSV or Excel into one zip with a "
    "manifest of rows and checksums. It appears whole or not at all; then the oldest go that `keep` does not keep.",
)
class _Bundle(Repeatable):
    async def plan(self, parameters: Bundle, facts: Facts) -> AsyncIterator[Change]:
        one = next((each for each in facts.system.model.exports if each.id == parameters.export), None)
        if one is None or one.of != parameters.of:
            raise Refused(f"the book has no export {parameters.export} of {parameters.of}", "write it under `exports`")
        if one.to is None:
            raise Refused(f"export {one.id} has no place to be written to", f"set `to` of {one.id} in book.yaml")
        effect = {
            "export": one.id, "component": one.of, "queries": dict(one.queries), "formats": list(one.formats),
            "to": str(one.to), "keep": one.keep,
        }  # fmt: skip
        yield Change("export", effect, inverse="delete the bundle where nobody may have it")
