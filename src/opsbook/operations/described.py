"""Operations described for people: as data, and as the reference page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opsbook.book.catalogue import OperationSpec
from opsbook.book.reference import told_parameters
from opsbook.book.schema import parameter_schema
from opsbook.operations.contract import Operation

INTRODUCTION = """\
# Operations

This page is generated: `opsbook operations --format markdown`. An operation is a named change with typed parameters. A
procedure names one in an `op` fence. It is planned first: its changes are shown, and exactly those are made.

*Risk* is fixed: `read` changes nothing, `safe` is noticed by nobody, `disruptive` may be noticed, `destructive` cannot
be taken back. An operation that is *repeatable* is simply made again where a crash leaves its outcome open; of the
others opsbook finds out whether they happened, or asks a person.

"""


def described(operation: Operation) -> dict[str, Any]:
    """An operation as plain data."""
    spec = operation.spec
    return {
        "name": spec.name,
        "doc": spec.doc,
        "kinds": list(spec.kinds),
        "risk": str(spec.risk),
        "repeatable": spec.idempotent,
        "parameters": parameters(spec),
        "fence": example_fence(spec),
    }


def parameters(spec: OperationSpec) -> list[dict[str, Any]]:
    """Its parameters with type, default and meaning."""
    return told_parameters(parameter_schema(spec.parameters))


def example_fence(spec: OperationSpec) -> str:
    """A fence of a procedure that uses it, with what it needs."""
    words = ", ".join(f"{one['name']}: …" for one in parameters(spec) if one["needed"])
    return f"```op\n{spec.name}: {{{words}}}\n```"


def operation_reference(operations: Sequence[Operation]) -> str:
    """The reference page, by subject."""
    text, subject = INTRODUCTION, ""
    for operation in sorted(operations, key=lambda one: one.spec.name):
        spec = operation.spec
        if spec.name.partition(".")[0] != subject:
            subject = spec.name.partition(".")[0]
            text += f"## {subject}\n\n"
        text += _section(spec)
    return text.rstrip() + "\n"


def _section(spec: OperationSpec) -> str:
    of = ", ".join(
        "any component that names a `workload`" if kind == "workload" else f"`{kind}`" for kind in spec.kinds
    )
    again = "repeatable" if spec.idempotent else "not repeatable"
    more = "".join(f", **{risk}** with `{name}`" for name, risk in spec.riskier.items())
    text = f"### `{spec.name}`\n\n{spec.doc}\n\nRisk: **{spec.risk}**{more}; of {of}; {again}.\n\n"
    text += "| parameter | type | default | meaning |\n|---|---|---|---|\n"
    for one in parameters(spec):
        default = "**needed**" if one["needed"] else (f"`{one['default']}`" if one["default"] else "")
        cells = (f"`{one['name']}`", one["type"], default, one["doc"])
        text += "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |\n"
    return text + f"\n{_indented(example_fence(spec))}\n\n"


def _indented(fence: str) -> str:
    return f"````markdown\n{fence}\n````"
