"""Planning a procedure for somebody who asks over the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool

from opsbook.api.problems import NotFound
from opsbook.book.references import VARIABLE
from opsbook.engine.mistakes import InvalidProcedure
from opsbook.engine.procedure import Plan, Procedure
from opsbook.engine.service import Service
from opsbook.errors import UsageError


def named(service: Service, name: str) -> Procedure:
    """The procedure. Blocking. Raises NotFound with the nearest name, InvalidProcedure where it is broken."""
    try:
        return service.procedure(name)
    except InvalidProcedure:
        raise
    except UsageError as error:
        raise NotFound(error.message, error.hint) from error


async def plan_of(service: Service, name: str, values: Mapping[str, Any]) -> Plan:
    """Plan it now. Raises what planning raises."""
    procedure = await run_in_threadpool(named, service, name)
    for parameter in procedure.parameters:
        given = values.get(parameter.name)
        # A file of this host is not for whoever asks from another to name.
        if parameter.type == "secret" and given is not None and not VARIABLE.fullmatch(str(given)):
            raise UsageError(
                f"the parameter {parameter.name!r} is a secret", "over the network give a variable, as in ${NAME}"
            )
    return await service.plan(procedure, values=values)
