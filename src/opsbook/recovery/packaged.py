"""The procedures that come with opsbook: for each backup, restore, drill, certificate, rotation, deploy of a book.

They are written out from templates (`procedures/*.md`, with `@name@` where a name of the book goes) for the very
components of the book, so that their locks and risks are known before anything runs. A book overrides one by a file of
its name: `opsbook procedures show NAME --source` prints the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from opsbook.book.system import System
from opsbook.recovery import backups, continuous, drills, failover, rebuilds, restores, retention
from opsbook.recovery.templates import filled
from opsbook.upkeep import (
    access,
    audits,
    certificates,
    containment,
    deploys,
    maintenance,
    read_replicas,
    rotations,
    scaling,
    tuning,
    whole,
)

Family = Callable[[System], Iterator[tuple[str, str]]]
"""Yields name and Markdown of each procedure of its kind that a book has use for."""

FAMILIES: tuple[Family, ...] = (
    backups.families,
    restores.families,
    continuous.families,
    failover.families,
    rebuilds.families,
    retention.families,
    certificates.families,
    rotations.families,
    deploys.families,
    maintenance.families,
    access.families,
    audits.families,
    containment.families,
    scaling.families,
    tuning.families,
    whole.families,
    read_replicas.families,
)


def packaged_procedures(system: System) -> Mapping[str, str]:
    """Name of the procedure → its Markdown."""
    return {name: text for family in FAMILIES for name, text in family(system)}


__all__ = ["FAMILIES", "Family", "drills", "filled", "packaged_procedures"]
