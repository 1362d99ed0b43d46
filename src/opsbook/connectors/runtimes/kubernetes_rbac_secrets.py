"""The Secrets that a book's rotations and certificates need, by name. Pure."""

from __future__ import annotations

from opsbook.book.references import Reference
from opsbook.book.system import System
from opsbook.connectors.held.places import beside, parts_of

BESIDE = ("next", "previous", "restoring", "account")
"""What stands beside the Secret of a certificate."""


def proven_of(system: System) -> frozenset[str]:
    """Those that cert-manager writes, and that are held against what is served after a restart."""
    kept = [one for one in system.model.certificates if one.method == "runtime" and one.reload]
    return frozenset(name for one in kept if system.holds(one.environments) for name in _named(system, one.certificate))


def secrets_of(system: System) -> tuple[frozenset[str], frozenset[str]]:
    """Those that workloads read and opsbook writes, and those that opsbook makes beside them and removes."""
    held: set[str] = set()
    own: set[str] = set()
    for rotation in system.model.rotations:
        if rotation.to is None or not system.holds(rotation.environments):
            continue
        held |= _named(system, rotation.to, *rotation.also, rotation.previous)
        own |= {beside(name, f"{rotation.id}.pending") for name in _named(system, rotation.to)}
    for one in system.model.certificates:
        if one.method != "runtime" and system.holds(one.environments):
            places = _named(system, one.certificate, one.key)
            held |= places
            own |= {beside(name, what) for name in places for what in BESIDE}
    return frozenset(held), frozenset(own)


def _named(system: System, *written: Reference | None) -> set[str]:
    found = [parts_of(system, one, "any") for one in written if one is not None]
    return {one.where for one in found if one is not None and one.scheme == "secret"}
