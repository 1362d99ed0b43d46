"""pgBackRest as the book says it: where its repository and its configuration are, and its commands, run as the server's
user. opsbook drives it and reads what it says; everything that is stored is pgBackRest's own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from opsbook.book.recovery import Backup, PgBackRest
from opsbook.book.system import System
from opsbook.connectors.backups.pgbackrest_info import Repository, read_info
from opsbook.connectors.backups.postgres_restore import Interrupted, Target
from opsbook.connectors.change import ChangeFailed
from opsbook.connectors.executors.secrets import NotReached
from opsbook.connectors.objectstore.addresses import bucket_at
from opsbook.connectors.objectstore.keys import safe
from opsbook.connectors.process_tree import KEY

USUAL_CONFIG = Path("/etc/pgbackrest/pgbackrest.conf")
CONFIG, REPOSITORY, LOCKS = "pgbackrest.conf", "repository", "lock"
MARK = "# written by opsbook; `opsbook run configure-"
"""Begins a configuration that opsbook may write again. One without it is a person's, and is used as it is."""
OLDEST = (2, 41)
"""Annotations, by which a change finds its backup, are as old."""
BUSY = 50
"""Exit code: another pgBackRest has the lock."""
COMPRESSION = {"zstd": "zst", "gzip": "gz", "none": "none"}
END_SECONDS = 20.0
LOOK_SECONDS = 0.2
LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ P\d+ +([A-Z]+): (.*)$")
SHOWN = ("WARN", "ERROR", "HINT")
LAST_LINES = 400

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


def read_cluster(server: Target) -> Cluster:
    """The cluster of a server of this host. Blocking. Raises NotReached where its files are not here."""
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
    if not (Path(data) / "PG_VERSION").exists():
        raise NotReached(
            f"the files of the cluster ({data}) cannot be read on this host",
            "run opsbook where the server runs, as its user or as root",
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

    @property
    def settings(self) -> PgBackRest:
        return self.backup.pgbackrest or PgBackRest()

    @property
    def configured(self) -> bool:
        """Whether there is a configuration."""
        return self.config.is_file()

    @property
    def by_hand(self) -> bool:
        """Whether a person wrote the configuration."""
        try:
            return not self.config.read_text(errors="replace").startswith(MARK)
        except OSError:
            return False

    @property
    def archive_command(self) -> str:
        """What the server calls for each segment of its log."""
        words = [program(), f"--config={self.config}", f"--stanza={self.name}", "archive-push"]
        return " ".join(shlex.quote(word.replace("%", "%%")) for word in words) + " %p"

    def identity(self, owner: Path | None = None) -> dict[str, Any]:
        """Keywords of subprocess that make root the server's user: the owner of the configuration, or of this."""
        if os.geteuid() != 0:
            return {}
        about = (owner or self.config).stat()
        return {"user": about.st_uid, "group": about.st_gid, "extra_groups": []}


def stanza_of(system: System, backup: Backup) -> Stanza:
    """The stanza of a backup. Blocking. Raises UsageError, MissingSecret, NotReached."""
    if backup.method != "pgbackrest":
        raise NotReached(f"{backup.id} is no backup by pgBackRest, but by {backup.method}", "name another backup")
    if backup.to is None:
        raise NotReached(f"backup {backup.id} has no place to be written to", f"set `to` of {backup.id} in book.yaml")
    said = backup.pgbackrest or PgBackRest()
    name, place = said.stanza or backup.of, system.resolve(backup.to)
    below = f"{safe(system.model.system)}/{safe(backup.id)}"
    folder = None
    if place.startswith("s3://"):
        address, options, secrets = _bucket(place, system, below, said)
    else:
        root = system.folder / Path(urlsplit(place).path if place.startswith("file://") else place).expanduser()
        folder = root.absolute() / below
        address, options, secrets = str(folder / REPOSITORY), {"repo1-path": str(folder / REPOSITORY)}, {}
    if said.cipher:
        options |= {"repo1-cipher-type": "aes-256-cbc"}
        secrets |= {"repo1-cipher-pass": system.resolve(said.cipher)}
    config = system.folder / system.resolve(said.config) if said.config else None
    usual = folder / CONFIG if folder else USUAL_CONFIG
    return Stanza(backup, name, (config or usual).absolute(), address, options, secrets, folder)


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
        options["repo1-storage-ca-file"] = str(system.folder / system.resolve(said.ca))
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
    """Write pgbackrest.conf for the server's user alone, and make the folders that it names. Raises NotReached."""
    text, owner = configuration(stanza, cluster), cluster.data.stat()
    try:
        for folder in [stanza.config.parent, *((stanza.folder / name for name in (REPOSITORY, LOCKS)) if stanza.folder
                                               else ())]:  # fmt: skip
            if not folder.exists():
                folder.mkdir(parents=True, mode=0o755 if folder == stanza.config.parent else 0o750)
                if os.geteuid() == 0 and folder != stanza.config.parent:
                    os.chown(folder, owner.st_uid, owner.st_gid)
        _reachable(stanza.config.parent, owner.st_uid)
        descriptor, name = tempfile.mkstemp(dir=stanza.config.parent, prefix=".pgbackrest-")
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), 0o600)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(stanza.config)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)  # noqa: PTH108
            raise
    except OSError as error:
        raise NotReached(f"{error.filename or stanza.config}: {error.strerror}", "run it as root") from error


def _reachable(folder: Path, uid: int) -> None:
    if os.geteuid() != 0:
        return
    for one in (folder, *folder.parents):
        about = one.stat()
        if not (about.st_mode & stat.S_IXOTH or (about.st_uid == uid and about.st_mode & stat.S_IXUSR)):
            raise NotReached(
                f"the server's user does not reach {folder}: {one} is closed to it",
                f"chmod o+x {shlex.quote(str(one))}",
            )


def program() -> str:
    """pgBackRest of this host. Raises NotReached."""
    found = shutil.which("pgbackrest") or shutil.which("pgbackrest", path="/usr/bin:/usr/local/bin")
    if not found:
        raise NotReached("this host has no pgbackrest", "install the package pgbackrest")
    return found


def version() -> tuple[int, int]:
    """Raises NotReached where it is older than what opsbook relies on."""
    said = subprocess.run([program(), "version"], capture_output=True, text=True, timeout=20, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
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
    identity: dict[str, Any] | None = None

    def run(self, command: str, *options: str, quiet: bool = False) -> str:
        """What it says. Raises PgBackRestFailed with its own words, Interrupted."""
        argv = [program(), f"--config={self.stanza.config}", f"--stanza={self.stanza.name}", command, *options]
        identity = self.stanza.identity() if self.identity is None else self.identity
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": "/", KEY: self.key}
        lines: list[str] = []
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", env=environment,
            start_new_session=True, **identity,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            reading = threading.Thread(target=self._read, args=(child.stdout, lines, quiet), daemon=True)
            reading.start()
            try:
                while child.poll() is None:
                    if self.stop.is_set():
                        raise Interrupted("it was stopped")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(LOOK_SECONDS)
            except BaseException:
                _end(child)
                raise
            finally:
                reading.join(END_SECONDS)
        if child.returncode:
            raise _failed(command, child.returncode, lines)
        return "".join(lines)

    def _read(self, stdout: IO[bytes], lines: list[str], quiet: bool) -> None:
        for raw in stdout:
            line = raw.decode(errors="replace")
            lines.append(line)
            if quiet:
                continue
            del lines[:-LAST_LINES]
            level, text = _level(line.rstrip("\n"))
            # The first line repeats all options; what a person wants to know comes after.
            if text and " command begin " not in text:
                self.tell(f"{level}: {text}\n" if level in SHOWN else f"{text}\n")

    def info(self) -> Repository:
        """What the repository holds."""
        return read_info(self.run("info", "--output=json", "--log-level-console=off", quiet=True), self.stanza.name)


def _end(child: subprocess.Popen[bytes]) -> None:
    """It ends in order when it is asked to: what it has copied is used by the next one."""
    child.terminate()
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


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
