"""Observations described for people: as data, and as the reference page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opsbook.book.catalogue import NoParameters, ObservationSpec
from opsbook.book.reference import told_parameters
from opsbook.book.schema import parameter_schema
from opsbook.book.units import EXAMPLE, Dimension

INTRODUCTION = """\
# Observations

This page is generated: `opsbook observations --format markdown`. An observation is a named read-only fact. A check
names one in `observe`, gives its parameters under `with`, and holds its value against thresholds of the same unit.

*Cost* is what one reading costs the managed system. *Vital* observations tell that a component is there at all:
where one fails, what else is wrong with that component and with those that need it follows from it.

"""

WILDCARDS = {"workload": "any component that names a `workload`", "any": "any component"}


def described(spec: ObservationSpec) -> dict[str, Any]:
    """An observation as plain data."""
    return {
        "name": spec.name,
        "doc": spec.doc,
        "dimension": str(spec.dimension),
        "example": EXAMPLE[spec.dimension],
        "kinds": list(spec.kinds),
        "cost": str(spec.cost),
        "vital": spec.vital,
        "warning": str(spec.warning or ""),
        "critical": str(spec.critical or ""),
        "parameters": parameters(spec),
        "check": example_check(spec),
    }


def parameters(spec: ObservationSpec) -> list[dict[str, Any]]:
    """Its parameters with type, default and meaning."""
    if spec.parameters is NoParameters:
        return []
    return told_parameters(parameter_schema(spec.parameters))


def example_check(spec: ObservationSpec) -> str:
    """A line of a book that uses it."""
    threshold = {Dimension.STATE: "is down", Dimension.TEXT: "!= word"}.get(
        spec.dimension, f"> {EXAMPLE[spec.dimension].split(',')[0]}"
    )
    limits = {"warning": spec.warning, "critical": spec.critical}
    written = [f'{key}: "{limit.text}"' for key, limit in limits.items() if limit] or [f'critical: "{threshold}"']
    words = [f"{one['name']}: …" for one in parameters(spec) if one["needed"]]
    extra = [f"with: {{{', '.join(words)}}}"] if words else []
    identity = spec.name.replace(".", "-").replace("_", "-")
    body = ", ".join([f"id: {identity}", f"observe: {spec.name}", "of: …", *extra, *written])
    return f"- {{{body}}}"


def observation_reference(specs: Sequence[ObservationSpec]) -> str:
    """The reference page, by subject."""
    text = INTRODUCTION
    subject = ""
    for spec in specs:
        if spec.name.partition(".")[0] != subject:
            subject = spec.name.partition(".")[0]
            text += f"## {subject}\n\n"
        text += _section(spec)
    return text.rstrip() + "\n"


def _section(spec: ObservationSpec) -> str:
    of = ", ".join(WILDCARDS.get(kind, f"`{kind}`") for kind in spec.kinds)
    facts = [f"Yields a {spec.dimension}", f"of {of}", f"cost: {spec.cost}"]
    if spec.vital:
        facts.append("vital")
    limits = {"warning": spec.warning, "critical": spec.critical}
    facts += [f"{key} by itself: `{limit.text}`" for key, limit in limits.items() if limit]
    text = f"### `{spec.name}`\n\n{spec.doc}\n\n{'; '.join(facts)}.\n\n"
    if rows := parameters(spec):
        text += "| parameter | type | default | meaning |\n|---|---|---|---|\n"
        for one in rows:
            default = "**needed**" if one["needed"] else (f"`{one['default']}`" if one["default"] else "")
            cells = (f"`{one['name']}`", one["type"], default, one["doc"])
            text += "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"
        text += "\n"
    return text + f"```yaml\n{example_check(spec)}\n```\n\n"
