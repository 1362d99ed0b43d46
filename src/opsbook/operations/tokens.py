"""The tokens of opsbook's own API, kept in a run as evidence of a review."""

from __future__ import annotations

from collections.abc import AsyncIterator

from opsbook.book.catalogue import Risk
from opsbook.connectors.change import Change
from opsbook.operations.contract import Facts, OperationParameters, Repeatable
from opsbook.operations.registry import operation


@operation(
    "token.list", Risk.READ, of="any", idempotent=True, parameters=OperationParameters,
    doc="Lists the tokens of opsbook's API that let somebody in: whose, with which rights, until when, last used when."
    " The result keeps them; nothing of their text is known. `of` is the component in whose name it runs.",
)  # fmt: skip
class _List(Repeatable):
    async def plan(self, parameters: OperationParameters, facts: Facts) -> AsyncIterator[Change]:
        yield Change("token-list", {}, inverse="nothing to undo: it only looks")
