"""`opsbook backups prune`: why each backup is kept or goes, and the run that deletes what goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from opsbook.cli.engine import planning, say
from opsbook.cli.packaged_run import How, run_options, run_packaged

if TYPE_CHECKING:
    from opsbook.connectors.backups.pruning import Pruning
    from opsbook.engine.service import Service


@click.command("prune")
@click.argument("names", nargs=-1, metavar="[BACKUP]...")
@run_options
def command(names: tuple[str, ...], book: str | None, env: str | None, **how: Any) -> int:
    """Delete the backups that no generation of the book keeps: of all, or of the named ones.

    Shows for each why it is kept or goes. Held ones stay, and so do the newest good and the newest proven one.
    Exit codes: 0 done or nothing to do, 1 failed or cancelled, 2 wrong usage, 3 could not run, 4 waits or was refused.
    """
    from opsbook.connectors.backups.catalogue import backup_named
    from opsbook.errors import UsageError
    from opsbook.recovery.backups import taken

    wish, worst = How(**how), 0
    told: dict[str, dict[str, Any]] = {}
    with planning(book, env) as service:
        here = taken(service.system)
        wanted = [backup_named(service.system, name) for name in names] or here
        for one in wanted:
            if one not in here:
                raise UsageError(f"{one.id} is not taken by opsbook itself", "its own tool prunes it")
        for one in wanted:
            found = _looked(service, one.id, wish)
            told[one.id] = {"stores": [_as_json(pruning) for pruning in found]}
            if wish.dry_run or not any(pruning.going or pruning.listing.attempts for pruning in found):
                continue
            code, run = run_packaged(service, f"prune-{one.id}", {}, wish)
            told[one.id]["run"] = run
            worst = max(worst, code)
    if wish.output == "json":
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    elif not wanted:
        say("the book has no backups that opsbook takes; write `backups` in book.yaml")
    return worst


def _looked(service: Service, name: str, wish: How) -> list[Pruning]:
    from opsbook.cli.generations_view import print_prunings
    from opsbook.connectors.backups.catalogue import backup_named
    from opsbook.connectors.backups.pruning import prunings
    from opsbook.recovery.pruning import zone_of

    backup, now = backup_named(service.system, name), service.setting.clock.now()
    found = prunings(service.system, backup, now, service.setting.head.public)
    if wish.output != "json":
        print_prunings(backup, found, now, zone_of(service.system, backup))
    return found


def _as_json(one: Pruning) -> dict[str, Any]:
    return {
        "store": one.address,
        "backups": [
            {"stamp": each.stored.manifest.stamp, "data_time": each.stored.manifest.data_time.isoformat(),
             "stored": each.stored.manifest.stored, "kept": each.kept, "why": each.why}
            for each in one.chosen
        ],
        "unreadable": [vars(each) for each in one.listing.unreadable],
        "attempts": list(one.listing.attempts),
    }  # fmt: skip
