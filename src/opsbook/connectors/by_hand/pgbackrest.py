"""pgBackRest's own commands, and a recovery to a point by it: a server aside, from which the database is copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from opsbook.book.environments import ComposeRuntime, KubernetesRuntime
from opsbook.book.recovery import Backup, PgBackRest
from opsbook.connectors.backups.pgbackrest import CONFIG, USUAL_CONFIG
from opsbook.connectors.by_hand.backups import INDENT, of_book
from opsbook.connectors.by_hand.psql import address_of
from opsbook.connectors.by_hand.restores import ASIDE, at_service, quoted, rows_back
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, fed, inside_quotes, word, words
from opsbook.connectors.change import Json
from opsbook.connectors.objectstore.keys import safe

AS_SERVER = "runuser -u postgres --"
"""How root becomes the server's user, on the host or in its container."""
TYPES = {"time": "time", "lsn": "lsn", "name": "name", "xid": "xid", "latest": "default"}
"""Kinds of points → pgBackRest's `--type`."""
PORT = 54329
"""Of the server aside; it listens on a socket alone."""


@as_commands("pgbackrest")
def acts(change: Json, script: Script) -> Iterator[str]:
    """One of its commands, as the user of the server."""
    effect = change["effect"]
    as_server = _as_server(script, of_book(script, effect["backup"]))
    call = f"{as_server} pgbackrest {words(f'--{name}={effect[name]}' for name in ('config', 'stanza'))}"
    if effect["act"] == "configure":
        yield from comment(f"by hand: {effect['config']} must name the repository and the cluster", INDENT)
        yield f"{call} stanza-create"
    elif effect["act"] == "backup":
        yield f"{call} --type={word(effect['type'])} backup"
    else:
        yield f"{call} {word(effect['act'])}"


@as_commands("restore-at")
@as_commands("drill-at")
def at_point(change: Json, script: Script) -> Iterator[str]:
    """The cluster at the point, on a server aside; the database, or rows of it, from there."""
    effect = change["effect"]
    found = of_book(script, effect["backup"])
    component = effect["component"]
    address = address_of(script, component, write=True)
    said = found.pgbackrest or PgBackRest()
    script.calls("at_postgres", "beside")
    yield f'live=$(at_postgres {address} psql -X -Atc "SELECT current_database()")'
    yield f'at_postgres {address} psql -X -qAtc "SELECT pg_switch_wal()"'
    as_server = _as_server(script, found)
    parent = f" -p {word(said.inside.folder)}" if said.inside else ""
    yield f"aside=$({as_server} mktemp -d{parent})"
    options = [f"--stanza={said.stanza or found.of}", f"--type={TYPES[effect['kind']]}"]
    options += [f"--target={effect['target']}", "--target-action=promote"] if effect["kind"] != "latest" else []
    options += [f"--set={effect['label']}"] if effect.get("label") else []
    yield f'{as_server} pgbackrest --config={_config(script, found)} --pg1-path="$aside" {words(options)} restore'
    server = f"-c port={PORT} -c listen_addresses= -c archive_mode=off -c unix_socket_directories="
    yield f'{as_server} pg_ctl -D "$aside" -w -t 3600 -o "{server}$aside" start'
    dump = f'{as_server} pg_dump -h "$aside" -p {PORT} --format=custom'
    if effect.get("into_live"):
        yield from _new(script, component, ASIDE)
        yield f'{dump} "$live" | at_postgres "$(beside {address} {ASIDE})" pg_restore --exit-on-error'
        yield from rows_back(script, component, effect["tables"])
    elif effect.get("database"):
        name = effect["database"]
        yield from _new(script, component, name)
        chosen = f" {words(f'--table={one}' for one in effect['tables'])}" if effect.get("tables") else ""
        yield f'{dump}{chosen} "$live" | at_postgres "$(beside {address} {word(name)})" pg_restore --exit-on-error'
    for one in effect.get("assertions", ()):
        yield from comment(f"hold the assertion {one} of the book against it", INDENT)
    yield f'{as_server} pg_ctl -D "$aside" -m fast stop && {as_server} rm -rf -- "$aside"'


def _as_server(script: Script, backup: Backup) -> str:
    """The beginning of a command of the server's user, where the server runs."""
    runtime, workload = script.system.environment.runtime, script.component(backup.of).workload or backup.of
    if backup.pgbackrest is None or backup.pgbackrest.inside is None:
        return AS_SERVER
    if isinstance(runtime, ComposeRuntime):
        folder = word(str(script.system.path(runtime.file).parent))
        return f"docker compose --project-directory {folder} exec -T {word(workload)} {AS_SERVER}"
    if isinstance(runtime, KubernetesRuntime):
        named = workload if "/" in workload else f"statefulset/{workload}"
        return f"kubectl -n {word(runtime.namespace)} exec -i {word(named)} -- {AS_SERVER}"
    return AS_SERVER


def _new(script: Script, component: str, name: str) -> Iterator[str]:
    yield from fed(at_service(script, component), f"CREATE DATABASE {quoted(name)} TEMPLATE template0;\n", "SQL")


def _config(script: Script, backup: Backup) -> str:
    """Where the stanza's configuration lies, as opsbook finds it."""
    said = backup.pgbackrest or PgBackRest()
    if said.inside is not None and said.config is None:
        return word(f"{said.inside.folder}/{CONFIG}")
    if said.config is not None:
        return script.value(said.config, f"configuration of {backup.id}")
    if backup.to is None or backup.to.text.startswith("s3://"):
        return word(str(USUAL_CONFIG))
    below = Path(safe(script.system.model.system)) / safe(backup.id) / CONFIG
    return f'"{script.part(backup.to, f"place of the backup {backup.id}")}/{inside_quotes(str(below))}"'
