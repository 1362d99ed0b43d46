"""`opsbook generate rbac`: the least role with which opsbook can do what the book asks of it in Kubernetes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from opsbook.cli.options import book_options, read_system
from opsbook.cli.written import written

if TYPE_CHECKING:
    from opsbook.book.system import System
    from opsbook.connectors.runtimes.kubernetes_rbac import Review, Right


@click.command("rbac")
@book_options
@click.option("--to", default="-", metavar="FILE", show_default=True, help="Write it there; - prints it.")
@click.option("--name", default="opsbook", show_default=True, help="Name of the service account and its roles.")
@click.option("--read-only", is_flag=True, help="Only what looking needs: no procedure could change anything.")
@click.option("--whole", is_flag=True, help="Also what restart-all, update-system and maintain-node need.")
@click.option("--review", is_flag=True, help="Instead, hold the credential of this environment against that role.")
def rbac(book: str | None, env: str | None, to: str, name: str, read_only: bool, whole: bool, review: bool) -> int:
    """The least Kubernetes role for this book: what it reads, and what the operations of its procedures change.

    Workloads are named, where Kubernetes can tell them apart by name. Exit codes: 0 written, or the credential has just
    this; 1 --review found rights that are missing or not needed; 2 an invalid book, or an environment without
    Kubernetes.
    """
    from opsbook.connectors.runtimes.kubernetes_rbac import manifests, needed

    system = read_system(book, env)
    namespace = _namespace(system)
    rights = needed(system, () if read_only else _operations(system, whole=whole))
    if review:
        return _tell(asyncio.run(_reviewed(system, rights)), namespace)
    return written(to, _as_yaml(manifests(rights, namespace, name)))


def _namespace(system: System) -> str:
    """The namespace of the environment. Raises UsageError."""
    from opsbook.book.environments import KubernetesRuntime
    from opsbook.errors import UsageError

    runtime = system.environment.runtime
    if not isinstance(runtime, KubernetesRuntime):
        raise UsageError(f"the environment {system.name} does not run on Kubernetes", "name one that does with --env")
    return runtime.namespace


def _operations(system: System, *, whole: bool) -> set[str]:
    """The operations of every procedure that can be compiled: the book's own, and what opsbook offers for it."""
    from opsbook.engine.compile import compile_all
    from opsbook.engine.procedure import StepKind
    from opsbook.recovery.packaged import packaged_procedures
    from opsbook.upkeep.whole import WHOLE

    packaged = {name: text for name, text in packaged_procedures(system).items() if whole or name not in WHOLE}
    found, _ = compile_all(system, system.book.catalogue, packaged)
    steps = [step for procedure in found.values() for step in procedure.steps]
    named = {str(step.body["operation"]) for step in steps if step.kind is StepKind.OP}
    if any(step.kind is StepKind.SH and step.body.get("on") for step in steps):
        named.add("workload.exec")
    if any((step.body.get("parameters") or {}).get("autoscaler") for step in steps if step.kind is StepKind.OP):
        named.add("autoscaler.set")  # `workload.scale` that is to bring an autoscaler with it
    return named


async def _reviewed(system: System, rights: list[Right]) -> Review:
    from opsbook.connectors.cluster import kubernetes_of
    from opsbook.connectors.registry import open_connections
    from opsbook.connectors.runtimes.kubernetes_rbac import review

    async with open_connections(system) as connections:
        return review(await kubernetes_of(connections.runtime).rights(), rights)


def _tell(found: Review, namespace: str) -> int:
    for title, words in (("It lacks", found.lacking), ("It does not need", found.beyond)):
        if words:
            click.echo(f"{title}:")
            for one in words:
                click.echo(f"  {one}")
    if not found.lacking and not found.beyond:
        click.echo(f"The credential may do in {namespace} what the book needs, and nothing else.")
    return 1 if found.lacking or found.beyond else 0


def _as_yaml(objects: list[dict[str, object]]) -> str:
    import yaml

    return "---\n".join(yaml.safe_dump(one, sort_keys=False) for one in objects)
