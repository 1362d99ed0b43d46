"""pgBackRest as the book says it: where its repository and its configuration are, and its commands, run as the server's
user. opsbook drives it and reads what it says; everything that is stored is pgBackRest's own.
"""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from opsbook.book.recovery import Backup, PgBackRest
from opsbook.book.system import System
from opsbook.connectors.backups.pgbackrest_here import Here
from opsbook.connectors.backups.pgbackrest_info import Repository, read_info
from opsbook.connectors.backups.pgbackrest_inside import Running
from opsbook.connectors.backups.pgbackrest_place import Place, Work
from opsbook.connectors.backups.postgres_restore import Target
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.objectstore.addresses import bucket_at
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.postgres import PostgresComponent

USUAL_CONFIG = Path("/etc/pgbackrest/pgbackrest.conf")
CONFIG, REPOSITORY, LOCKS = "pgbackrest.conf", "repository", "lock"
MARK = "# written by opsbook; `opsbook run configure-"
"""Begins a configuration that opsbook may write again. One without it is a person's, and is used as it is."""
OLDEST = (2, 41)
"""Annotations, by which a change finds its backup, are as old."""
BUSY = 50
"""Exit code: another pgBackRest has the lock."""
COMPRESSION = {"zstd": "zst", "gzip": "gz", "none": "none"}
LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ P\d+ +([A-Z]+): (.*)$")
SHOWN = ("WARN", "ERROR", "HINT")
LAST_LINES = 400
SPARE_SECONDS = 600.0
"""Over the time-out of the backup, before a command in a container is ended by force."""

CLUSTER = """
SELECT current_setting('data_directory'), current_setting('port')::int,
       current_setting('unix_socket_directories'), current_setting('server_version_num')::int,
       (SELECT rolname::text FROM pg_roles WHERE oid = 10), current_setting('max_prepared_transactions')::int,
       current_setting('archive_mode'), current_setting('archive_command'), pg_is_in_recovery()
"""


class PgBackRestFailed(ChangeFailed):
    """pgBackRest ended with an error of its own."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.code = code


@dataclass(frozen=True)
class Cluster:
    """The PostgreSQL cluster that is backed up, as its server tells it."""

    data: Path
    port: int
    socket: str
    version: int
    superuser: str
    prepared: int
    archive_mode: str
    archive_command: str
    in_recovery: bool


def read_cluster(server: Target, place: Place) -> Cluster:
    """The cluster of a server. Blocking. Raises NotReached where its files are not at this place."""
    import psycopg

    try:
        with server.session() as connection:
            row = connection.execute(CLUSTER).fetchone()
    except psycopg.Error as error:
        told = error.diag.message_primary or str(error)
        raise NotReached(told, "set `admin` of the component to a role that may read all settings") from None
    assert row is not None
    data, port, sockets, version, superuser, prepared, mode, command, recovering = row
    socket = str(sockets).split(",")[0].strip().strip('"')
    if place.text(Path(data) / "PG_VERSION") is None:
        raise NotReached(
            place.lacking(Path(data)),
            "run opsbook where the server runs, as its user or as root; write `pgbackrest: {inside: …}` for containers",
        )
    return Cluster(Path(data), port, socket, version, superuser, prepared, mode, command, recovering)


@dataclass(frozen=True)
class Stanza:
    """A stanza of the book, and how pgBackRest is called for it."""

    backup: Backup
    name: str
    config: Path
    address: str
    """The repository, for people."""
    options: Mapping[str, str]
    """Of the repository, without secrets."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: Path | None = None
    """Of repository, configuration and locks, where they lie together."""
    place: Place = field(default_factory=Here)

    @property
    def settings(self) -> PgBackRest:
        return self.backup.pgbackrest or PgBackRest()

    def configured(self) -> bool:
        """Whether there is a configuration. Blocking."""
        return self.place.text(self.config) is not None

    def by_hand(self) -> bool:
        """Whether a person wrote the configuration. Blocking."""
        text = self.place.text(self.config)
        return bool(text) and not str(text).startswith(MARK)

    def archive_command(self) -> str:
        """What the server calls for each segment of its log. Blocking."""
        words = [self.place.path(), f"--config={self.config}", f"--stanza={self.name}", "archive-push"]
        return " ".join(shlex.quote(word.replace("%", "%%")) for word in words) + " %p"


def stanza_of(system: System, backup: Backup) -> Stanza:
    """The stanza of a backup. Blocking. Raises UsageError, MissingSecret, NotReached."""
    if backup.method != "pgbackrest":
        raise NotReached(f"{backup.id} is no backup by pgBackRest, but by {backup.method}", "name another backup")
    if backup.to is None:
        raise NotReached(f"backup {backup.id} has no place to be written to", f"set `to` of {backup.id} in book.yaml")
    said = backup.pgbackrest or PgBackRest()
    name, to = said.stanza or backup.of, system.resolve(backup.to)
    below = f"{safe(system.model.system)}/{safe(backup.id)}"
    folder = Path(said.inside.folder) if said.inside else None
    if to.startswith("s3://"):
        address, options, secrets = _bucket(to, system, below, said)
    else:
        if folder is None:
            root = system.folder / Path(urlsplit(to).path if to.startswith("file://") else to).expanduser()
            folder = root.absolute() / below
        repository = (said.inside.repository if said.inside else "") or str(folder / REPOSITORY)
        address, options, secrets = repository, {"repo1-path": repository}, {}
    if said.cipher:
        options |= {"repo1-cipher-type": "aes-256-cbc"}
        secrets |= {"repo1-cipher-pass": system.resolve(said.cipher)}
    config = Path(system.resolve(said.config)) if said.config else (folder / CONFIG if folder else USUAL_CONFIG)
    if said.inside:
        place = running(system, backup)
        return Stanza(backup, name, config, f"{address} in {place.workload}", options, secrets, folder, place)
    return Stanza(backup, name, (system.folder / config).absolute(), address, options, secrets, folder)


def running(system: System, backup: Backup) -> Running:
    """The containers of the component of a backup that is taken there. Raises NotReached where it has none."""
    component, kind = system.components.get(backup.of), system.environment.runtime.kind
    if kind not in ("compose", "kubernetes"):
        raise NotReached(
            f"{backup.id} is taken inside containers, and {system.name} has none: its runtime is {kind}",
            f"leave `inside` of {backup.id} out in {system.name}",
        )
    failover = component.failover if isinstance(component, PostgresComponent) else None
    servers = [(one.workload, one.inside) for one in failover.servers if one.inside] if failover else []
    return Running(system, (component.workload if component else "") or backup.of, servers)


def _bucket(place: str, system: System, below: str, said: PgBackRest) -> tuple[str, dict[str, str], dict[str, str]]:
    bucket, prefix, words = bucket_at(place, system.variables, below)
    endpoint = urlsplit(words["endpoint"]) if "://" in words["endpoint"] else urlsplit(f"https://{words['endpoint']}")
    if endpoint.scheme != "https":
        raise NotReached("pgBackRest speaks to buckets by TLS alone", "write an endpoint with https://")
    if not words["access_key"] or not words["secret_key"]:
        raise NotReached(f"no credentials for {bucket}", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    region = words["region"] or "us-east-1"
    options = {
        "repo1-type": "s3", "repo1-path": f"/{prefix}", "repo1-s3-bucket": bucket, "repo1-s3-region": region,
        "repo1-s3-endpoint": endpoint.netloc or f"s3.{region}.amazonaws.com",
    }  # fmt: skip
    if endpoint.netloc:
        options["repo1-s3-uri-style"] = "path"
    if said.ca:
        ca = Path(system.resolve(said.ca))
        options["repo1-storage-ca-file"] = str(ca if said.inside else system.folder / ca)
    names = {"access_key": "repo1-s3-key", "secret_key": "repo1-s3-key-secret", "session_token": "repo1-s3-token"}
    return f"s3://{bucket}/{prefix}", options, {names[word]: words[word] for word in names if words[word]}


def retention(backup: Backup) -> dict[str, str]:
    """How long pgBackRest keeps full backups, and what hangs on them. Raises NotReached for what it does not know."""
    keep = backup.keep
    if keep.hourly or keep.daily or keep.weekly or keep.monthly or keep.yearly:
        raise NotReached(
            "pgBackRest keeps backups by number or by age, not by generations",
            f"write `last` or `within` of {backup.id}",
        )
    if keep.within:
        days = max(1, -(-int(keep.within.total_seconds()) // 86_400))
        return {"repo1-retention-full-type": "time", "repo1-retention-full": str(days)}
    return {"repo1-retention-full": str(keep.last or 9_999_999)}


def configuration(stanza: Stanza, cluster: Cluster) -> str:
    """The text of pgbackrest.conf. Raises NotReached."""
    backup = stanza.backup
    options = {
        **stanza.options, **stanza.secrets, **retention(backup), "start-fast": "y",
        "process-max": str(max(1, backup.jobs)), "compress-type": COMPRESSION[backup.compress],
        "archive-timeout": "60", "log-level-file": "off", "log-level-console": "info", "log-level-stderr": "off",
    }  # fmt: skip
    if stanza.folder:
        options["lock-path"] = str(stanza.folder / LOCKS)
    own = {"pg1-path": str(cluster.data), "pg1-port": str(cluster.port), "pg1-user": cluster.superuser}
    if cluster.socket.startswith("/"):
        own["pg1-socket-path"] = cluster.socket
    for name, value in {**options, **own}.items():
        if "\n" in value or "\r" in value:
            raise NotReached(f"the value of {name} has several lines", "give it one")
    lines = [f"{MARK}{backup.id}` writes it again", "[global]", *(f"{name}={value}" for name, value in options.items())]
    return "\n".join([*lines, "", f"[{stanza.name}]", *(f"{name}={value}" for name, value in own.items()), ""])


def write_configuration(stanza: Stanza, cluster: Cluster) -> None:
    """Write pgbackrest.conf for the server's user alone, and make the folders that it names. Blocking. Raises
    NotReached."""
    folders = [stanza.folder / LOCKS] if stanza.folder else []
    if "repo1-type" not in stanza.options:
        folders.append(Path(stanza.options["repo1-path"]))
    stanza.place.lay(stanza.config, configuration(stanza, cluster), cluster.data, folders)


def version(place: Place) -> tuple[int, int]:
    """Blocking. Raises NotReached where it is older than what opsbook relies on."""
    said: list[str] = []
    place.run([place.program(), "version"], None, Work(hear=said.append, seconds=20.0))
    found = re.search(r"(\d+)\.(\d+)", "".join(said))
    here = (int(found[1]), int(found[2])) if found else (0, 0)
    if here < OLDEST:
        raise NotReached(f"pgBackRest {here[0]}.{here[1]} is too old", "install 2.41 or newer")
    return here


@dataclass
class Call:
    """How commands of a stanza are run."""

    stanza: Stanza
    key: str = ""
    """Marks the processes, so that they are found and ended."""
    stop: threading.Event = field(default_factory=threading.Event)
    tell: Callable[[str], None] = lambda _: None

    def run(self, command: str, *options: str, quiet: bool = False) -> str:
        """What it says. Raises PgBackRestFailed with its own words, Interrupted."""
        stanza, lines = self.stanza, list[str]()

        def hear(line: str) -> None:
            lines.append(line)
            if quiet:
                return
            del lines[:-LAST_LINES]
            level, text = _level(line.rstrip("\n"))
            # The first line repeats all options; what a person wants to know comes after.
            if text and " command begin " not in text:
                self.tell(f"{level}: {text}\n" if level in SHOWN else f"{text}\n")

        argv = [stanza.place.program(), f"--config={stanza.config}", f"--stanza={stanza.name}", command, *options]
        work = Work(self.key, self.stop, hear, stanza.backup.timeout.total_seconds() + SPARE_SECONDS)
        if code := stanza.place.run(argv, stanza.config, work):
            raise _failed(command, code, lines)
        return "".join(lines)

    def info(self) -> Repository:
        """What the repository holds."""
        return read_info(self.run("info", "--output=json", "--log-level-console=off", quiet=True), self.stanza.name)


def _level(line: str) -> tuple[str, str]:
    found = LINE.match(line)
    return (found[1], found[2]) if found else ("", line.strip())


def _failed(command: str, code: int, lines: Iterable[str]) -> PgBackRestFailed:
    told = [line.strip() for line in lines if line.strip()]
    first = next((n for n, line in enumerate(told) if re.search(r"\bERROR: ", line)), max(0, len(told) - 1))
    words = told[first : first + 6]
    error = re.sub(r"^.*?ERROR: *(\[\d+\]: *)?", "", words[0]) if words else "it says nothing"
    hints = [line.partition("HINT: ")[2] for line in words if "HINT: " in line]
    return PgBackRestFailed(f"pgbackrest {command}: {error}", hints[0] if hints else "its words say more", code)


def damage(said: str) -> list[str]:
    """What `pgbackrest verify` found wrong: it ends well in either case."""
    found = []
    for line in said.splitlines():
        text = _level(line)[1]
        if re.match(r"(invalid|missing|size invalid|unable to|checksum|no usable|file missing)", text) or (
            re.search(r"status: (error|invalid)|(missing|checksum invalid|size invalid|other): [1-9]", text)
            and "status: invalid" not in text
        ):
            found.append(text)
    return list(dict.fromkeys(one for one in found if one != "status: error")) or (
        ["pgbackrest verify says that there is an error"] if "status: error" in said else []
    )
