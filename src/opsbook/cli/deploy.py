"""`opsbook deploy`: bring a component to a version, proven and watched, and back at once where it is worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import planning
from opsbook.cli.packaged_run import How, run_and_tell, run_options

if TYPE_CHECKING:
    from opsbook.engine.service import Service


@click.command("deploy")
@click.argument("component")
@click.argument("version", default="")
@click.option(
    "--strategy",
    type=click.Choice(["rolling", "blue-green", "hotfix"]),
    default=None,
    help="How versions change over (default: what the book says).",
)
@click.option(
    "--config",
    "values",
    multiple=True,
    metavar="KEY=VALUE",
    help="In place of a version: another value of its configuration. KEY alone takes it out.",
)
@click.option(
    "--config-file",
    "texts",
    multiple=True,
    metavar="NAME=PATH",
    help="In place of a version: another text of a whole file, or key, of its configuration; read from PATH.",
)
@run_options
def command(
    component: str,
    version: str,
    strategy: str | None,
    values: tuple[str, ...],
    texts: tuple[str, ...],
    book: str | None,
    env: str | None,
    **how: Any,
) -> int:
    """Bring COMPONENT to VERSION: gates, backup, schema, the version, smoke tests, and a watch against before.

    Where a proof fails everything goes back by itself, the application first, then the schema. Exit codes: 0 it serves,
    1 it failed (and went back), 2 wrong usage, 3 could not run, 4 waits or was refused, 5 ambiguous.
    """
    from opsbook.upkeep.deploys import procedure_of

    if bool(version) == bool(values or texts):
        raise click.UsageError("name a version, or values with --config")
    with planning(book, env) as service:
        if values or texts:
            name = f"deploy-{component}-config"
            _must_be_deployed(service, component, name)
            return run_and_tell(service, name, {"values": _as_json(values, texts)}, How(**how))
        name = procedure_of(service.system, component, strategy or "")
        _must_be_deployed(service, component, name)
        return run_and_tell(service, name, {"version": version}, How(**how))


def _as_json(values: tuple[str, ...], texts: tuple[str, ...]) -> str:
    """As the procedure takes them. Raises UsageError for a file that cannot be read."""
    import json
    from pathlib import Path

    parts = [one.partition("=") for one in values]
    found: dict[str, str | None] = {key: text if sign else None for key, sign, text in parts}
    for name, sign, path in (one.partition("=") for one in texts):
        if not sign:
            raise click.UsageError("write --config-file NAME=PATH")
        try:
            found[name] = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.UsageError(f"{path} cannot be read as text: {error}") from error
    return json.dumps(found, ensure_ascii=False)


def _must_be_deployed(service: Service, component: str, name: str) -> None:
    """Raises UsageError with the nearest name."""
    from opsbook.book.words import nearest
    from opsbook.errors import UsageError

    known = {one.removeprefix("rollback-") for one in service.setting.packaged(service.system) if "rollback-" in one}
    if component not in known:
        raise UsageError(f"there is no component {component!r} that is deployed", nearest(component, known))
    if name.endswith("-config") and name not in service.setting.packaged(service.system):
        raise UsageError(
            f"the book does not say in which file the configuration of {component} is",
            f"write `config` in `deploys.components.{component}`",
        )
    if name not in service.setting.packaged(service.system):
        raise UsageError(
            f"{component} cannot be deployed {name.removeprefix(f'deploy-{component}-')}",
            f"give it two sides in `deploys.components.{component}`: blue, green, switch, proxy",
        )
