"""A failover by hand: the primary fenced, its standby promoted, everybody led there, the old one rebuilt.

The order matters: two primaries are prevented by the first step alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.environments import SupervisorRuntime
from opsbook.connectors.by_hand.backups import INDENT
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, inside_quotes, word
from opsbook.connectors.by_hand.supervisorctl import control
from opsbook.connectors.change import Json
from opsbook.connectors.postgres import FailoverServer

SIGNAL = "standby.signal"


def _server(script: Script, component: str, workload: str) -> FailoverServer:
    servers: tuple[FailoverServer, ...] = script.component(component).failover.servers
    return next(one for one in servers if one.workload == workload)


def _address(script: Script, server: FailoverServer) -> str:
    script.calls("at_postgres")
    return script.value(server.url, f"url of {server.workload}")


def _data(script: Script, server: FailoverServer) -> str:
    """The inside of a word in double quotes."""
    if server.inside:
        return inside_quotes(server.inside)
    if server.data is None:
        variable = "PGDATA_" + "".join(one if one.isalnum() else "_" for one in server.workload.upper())
        script.needs[variable] = f"data folder of {server.workload}, on its own host"
        return f"${{{variable}}}"
    return script.part(server.data, f"data folder of {server.workload}")


def _where(server: FailoverServer) -> Iterator[str]:
    """In which shell the next command is typed."""
    if server.inside:
        told = f"in a container with the volumes of {server.workload} that does not start its server:"
        yield from comment(told, INDENT)


def _told(script: Script, verb: str, workload: str) -> Iterator[str]:
    if isinstance(script.system.environment.runtime, SupervisorRuntime):
        yield f"{control(script)} {verb} {word(f'{workload}:*')}"
    else:
        yield from comment(f"by hand: {verb} {workload}", INDENT)


@as_commands("postgres-fence")
def fence(change: Json, script: Script) -> Iterator[str]:
    """Stopped, and kept from ever starting as a primary."""
    server = _server(script, change["effect"]["component"], change["effect"]["server"])
    if change["effect"]["planned"]:
        yield from comment("planned: stop what writes first, so that the standby gets all of it", INDENT)
    yield from _told(script, "stop", server.workload)
    yield from _where(server)
    yield f'touch "{_data(script, server)}/{SIGNAL}"  # it never starts as a primary where this lies'
    yield f"! at_postgres {_address(script, server)} psql -X -Atc 'SELECT 1'  # nobody must answer there any more"


@as_commands("postgres-unfence")
def unfence(change: Json, script: Script) -> Iterator[str]:
    """Only while the other was not promoted."""
    server = _server(script, change["effect"]["component"], change["effect"]["server"])
    yield from comment("only where the other server was not promoted: ask it first (pg_is_in_recovery)", INDENT)
    yield from _where(server)
    yield f'rm -f -- "{_data(script, server)}/{SIGNAL}"'
    yield from _told(script, "start", server.workload)


@as_commands("postgres-promote")
def promote(change: Json, script: Script) -> Iterator[str]:
    """Promoted by a statement; `pg_ctl promote` on its host does the same."""
    server = _server(script, change["effect"]["component"], change["effect"]["server"])
    yield from comment("only when the other one is fenced and nobody answers there", INDENT)
    psql = f"at_postgres {_address(script, server)} psql -X -v ON_ERROR_STOP=1 -Atc"
    yield f"{psql} 'SELECT pg_promote(true, 60)'"
    yield f"[ \"$({psql} 'SELECT pg_is_in_recovery()')\" = f ]"


@as_commands("postgres-repoint")
def repoint(change: Json, script: Script) -> Iterator[str]:
    """Files that name the primary are edited by whoever does it."""
    effect = change["effect"]
    found = script.component(effect["component"]).failover.repoint[effect["place"]]
    if found.service:
        told = f"by hand: set the selector of service/{found.service} to the labels of the {found.follows}'s pods"
        yield from comment(told, INDENT)
    else:
        yield from comment(f"by hand: in {found.file} put the address of the new primary", INDENT)
    for name in found.primary:
        yield from comment(f"{name}: the new primary", INDENT)
    for name in found.standby:
        yield from comment(f"{name}: the other server", INDENT)
    if found.reload:
        pool = script.component(found.reload)
        script.calls("at_postgres")
        console = pool.admin or pool.dsn
        yield f"at_postgres {script.value(console, f'console of {found.reload}')} psql -X -c RELOAD"
    for name in found.restart:
        yield from _told(script, "restart", script.component(name).workload)


@as_commands("postgres-rebuild")
def rebuild(change: Json, script: Script) -> Iterator[str]:
    """Whichever is not the primary: rewound, or copied anew where that cannot be."""
    first, second = script.component(change["effect"]["component"]).failover.servers
    yield from comment("the first that answers `f` is the primary; the other one is rebuilt", INDENT)
    for one in (first, second):
        yield f"at_postgres {_address(script, one)} psql -X -Atc 'SELECT pg_is_in_recovery()' || true  # {one.workload}"
    for primary, other in ((first, second), (second, first)):
        yield from comment(f"where {primary.workload} is the primary:", INDENT)
        data = _data(script, other)
        where = [f"in a container with the volumes of {other.workload}:"] if other.inside else []
        rewind = f'pg_rewind --target-pgdata="{data}" --source-server="$address?user=$user" --write-recovery-conf'
        lines = [
            *_told(script, "stop", other.workload),
            *where,
            f"apart {_address(script, primary)}; PGPASSWORD=$password runuser -u postgres -- {rewind}",
            f'or mv the folder aside, and: pg_basebackup -D "{data}" -R -X stream, of {primary.workload}',
            *_told(script, "start", other.workload),
        ]
        yield from (line for told in lines for line in comment(told, INDENT * 2))


@as_commands("postgres-serves")
def serves(change: Json, script: Script) -> Iterator[str]:
    """Every page asked until it answers."""
    tries = max(1, int(change["effect"]["within"]))
    for page in change["effect"]["pages"]:
        base = script.part(script.component(page["component"]).url, f"url of {page['component']}")
        retry = f"--retry {tries} --retry-delay 1 --retry-max-time {tries} --retry-all-errors"
        yield f'curl -fsS -o /dev/null {retry} "{base}"{word(page["path"])}'


@as_commands("drill-failover")
def drill(change: Json, _: Script) -> Iterator[str]:
    """Its steps are those of a failover; the figures are written down by whoever does it."""
    component = change["effect"]["component"]
    yield from comment(
        f"by hand: `opsbook plan failover-{component} --as-commands` and then the rebuild; note when", INDENT
    )
    yield from comment("nobody was served any more, and when everybody was again", INDENT)
