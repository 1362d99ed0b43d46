"""The certificates of a book as procedures: renewed by an authority, or asked for and installed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from opsbook.book.planned import Certificate
from opsbook.book.system import System
from opsbook.operations.certificates import restarting
from opsbook.upkeep.templates import filled, restarted


def families(system: System) -> Iterator[tuple[str, str]]:
    """Name and Markdown of the procedures of each certificate that opsbook renews or helps to renew."""
    for one in system.model.certificates:
        component = one.of or next(iter(one.reload), "")
        if not component or (one.method == "runtime" and one.certificate is None) or not system.holds(one.environments):
            continue
        names = {"certificate": one.id, "component": component}
        if one.method == "runtime":
            yield (
                f"renew-{one.id}",
                filled("ask-certificate", **names, restarts=_restarts(system, one, component, first=2)),
            )
            continue
        if one.method == "acme":
            restarts = _restarts(system, one, component, first=2)
            risk = "disruptive" if restarts else "safe"
            yield f"renew-{one.id}", filled("renew-certificate", **names, restarts=restarts, risk=risk)
        else:
            yield (
                f"renew-{one.id}",
                filled("sign-certificate", **names, restarts=_restarts(system, one, component, first=4)),
            )
        yield (
            f"restore-{one.id}",
            filled("restore-certificate", **names, restarts=_restarts(system, one, component, first=2)),
        )


def due(certificate: Certificate, begins: datetime, ends: datetime, now: datetime) -> datetime:
    """When it should be renewed: `renew_before` its end, or with a third of its time left where that is shorter.

    Authorities shorten lifetimes: thirty days before the end of a ten-day certificate is before its beginning.
    """
    before = min(certificate.renew_before, (ends - begins) / 3)
    return max(begins, ends - max(before, timedelta(0))) if ends > now else now


def _restarts(system: System, certificate: Certificate, component: str, first: int) -> str:
    """Steps that restart who reads it only when it starts, and look at what is served then; empty without any."""
    names = restarting(system, certificate)
    if not names:
        return ""
    proof = filled("prove-certificate", component=component, certificate=certificate.id, number=str(first + len(names)))
    return f"{restarted(names, first)}\n{proof}"
