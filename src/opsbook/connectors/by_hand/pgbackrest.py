"""pgBackRest's own commands, and a recovery to a point by it: a server aside, from which the database is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from opsbook.book.environments import ComposeRuntime, KubernetesRuntime
from opsbook.book.recovery import Backup, PgBackRest
from opsbook.connectors.backups.pgbackrest import CONFIG, USUAL_CONFIG
from opsbook.connectors.backups.pgbackrest_inside import LEADING
from opsbook.connectors.by_hand.backups import INDENT, of_book
from opsbook.connectors.by_hand.psql import address_of
from opsbook.connectors.by_hand.restores import ASIDE, at_service, quoted, rows_back
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, fed, inside_quotes, word, words
from opsbook.connectors.change import Json
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.postgres import PostgresComponent

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
    before, as_server = _as_server(script, of_book(script, effect["backup"]))
    yield from before
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
    before, as_server = _as_server(script, found)
    yield from before
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


def _as_server(script: Script, backup: Backup) -> tuple[list[str], str]:
    """The beginning of a command of the server's user, where the server runs, and what must come before it."""
    component = script.component(backup.of)
    within = _within(script) if backup.pgbackrest and backup.pgbackrest.inside else None
    if within is None:
        return [], AS_SERVER
    failover = component.failover if isinstance(component, PostgresComponent) else None
    servers = [one for one in failover.servers if one.inside] if failover else []
    if len(servers) < 2:
        return [], f"{within(_target(script, component.workload or backup.of))} {AS_SERVER}"
    told = " or ".join(one.workload for one in servers)
    lines, opens = comment(f"{told}: where a server works and follows no other is the primary", INDENT), "if"
    for one in servers:
        target = _target(script, one.workload)
        looks = f"{within(target)} sh -c {word(LEADING)} sh {word(one.inside)}"
        lines.append(f"{opens} {looks}; then primary={target}")
        opens = "elif"
    lines.append('else echo "no server is the primary" >&2; exit 1; fi')
    chosen = within('"$primary"')
    return lines, f"{chosen} {AS_SERVER}"


def _target(script: Script, workload: str) -> str:
    """A workload as the runtime's own tool takes it, as a word."""
    on_kubernetes = isinstance(script.system.environment.runtime, KubernetesRuntime)
    return word(f"statefulset/{workload}" if on_kubernetes and "/" not in workload else workload)


def _within(script: Script) -> Callable[[str], str] | None:
    """How a command in a workload, given as a word, begins; None where nothing runs in containers."""
    runtime = script.system.environment.runtime
    if isinstance(runtime, KubernetesRuntime):
        return lambda one: f"kubectl -n {word(runtime.namespace)} exec -i {one} --"
    if not isinstance(runtime, ComposeRuntime):
        return None
    engine = f"DOCKER_HOST={script.value(runtime.host, 'address of the container engine')} " if runtime.host else ""
    project = f" -p {word(runtime.project)}" if runtime.project else ""
    file = script.value(runtime.file, "the compose file")
    return lambda one: f"{engine}docker compose -f {file}{project} exec -T {one}"


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
