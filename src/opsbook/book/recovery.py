"""What a book says of backups, of the proof that they restore, and of how long data is kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Strict
from opsbook.book.checks import EVERYWHERE
from opsbook.book.references import Reference
from opsbook.book.values import Cron, Duration, Name, Size, TimeZone

METHODS = Literal[
    "dump", "schema", "tables", "globals", "basebackup", "wal", "pgbackrest", "rdb", "files", "volume", "etcd", "store"
]


class Generations(Strict):
    """How many backups of each age are kept. Nothing said: all are kept."""

    last: int = Field(0, ge=0, description="newest ones kept whatever their age")
    hourly: int = Field(0, ge=0, description="one of each of so many hours")
    daily: int = Field(0, ge=0, description="one of each of so many days")
    weekly: int = Field(0, ge=0, description="one of each of so many weeks")
    monthly: int = Field(0, ge=0, description="one of each of so many months")
    yearly: int = Field(0, ge=0, description="one of each of so many years")
    within: Duration | None = Field(None, description="all younger than this are kept")


class PgBackRestInside(Strict):
    """pgBackRest of the image, where the server runs in containers of Compose or Kubernetes."""

    folder: str = Field(
        pattern="^/.*[^/]$",
        description="folder of a volume, as the container has it: configuration and locks, and a recovered cluster"
        " for a while",
        examples=["/data/pgbackrest"],
    )
    repository: str = Field(
        "", pattern="^(/.*[^/])?$",
        description="folder in the container that holds the repository; below `folder` where left out, and not used"
        " where `to` is a bucket",
    )  # fmt: skip


class PgBackRest(Strict):
    """How pgBackRest is called."""

    inside: PgBackRestInside | None = Field(
        None, description="it is run in the containers of the component's workload; paths are theirs then"
    )

    stanza: Name | None = Field(None, description="the stanza of the cluster; the component's name where left out")
    config: Reference | None = Field(
        None, description="path of pgbackrest.conf; beside a repository that is a folder, else its usual place"
    )
    cipher: Reference | None = Field(None, description="passphrase that the repository is encrypted with")
    ca: Reference | None = Field(None, description="file with the certificate authority of an S3 endpoint of your own")
    type: Literal["full", "diff", "incr"] = Field("incr", description="what a scheduled backup is")
    full_every: Duration = Field(timedelta(days=7), description="a full one is due when the last is older")


class Backup(Strict):
    """A backup that is taken, kept and proven."""

    id: Name = Field(description="its own name; stored backups hang on it")
    of: Name = Field(description="the component that is backed up")
    method: METHODS = Field("dump", description="how it is taken; `store` is opsbook's own store")
    tables: tuple[str, ...] = Field((), description="for `tables`: which ones, as schema.table")
    paths: tuple[str, ...] = Field((), description="for `files` and `volume`: files, folders or patterns")
    exclude: tuple[str, ...] = Field((), description="tables or path patterns left out")
    schedule: Cron | None = Field(None, description="when it is taken; by hand only where left out")
    timezone: TimeZone | None = Field(None, description="of the schedule; the book's where left out")
    continuous: bool = Field(False, description="it never stops: WAL is archived as it is written")
    keep: Generations = Field(Generations(), description="which generations are kept")
    to: Reference | None = Field(
        None, description="folder or s3:// address it is written to", examples=["s3://bucket/backups"]
    )
    copy_to: Reference | None = Field(None, description="second store, in another region")
    encrypt: Reference | None = Field(None, description="age recipient that it is encrypted for")
    decrypt: Reference | None = Field(None, description="age identity that a drill reads it with; may be absent here")
    compress: Literal["zstd", "gzip", "none"] = Field("zstd", description="compression before encryption")
    jobs: int = Field(1, ge=1, description="how many processes dump and restore at once")
    rate: Size | None = Field(None, description="bytes a second that it may use at most")
    retry: int = Field(3, ge=0, description="how often a failed one is tried again")
    timeout: Duration = Field(timedelta(hours=6), description="after which one has failed")
    smallest: Size | None = Field(None, description="one smaller than this is not believed")
    max_age: Duration | None = Field(
        None, description="a last good one older than this is critical; from the schedule where left out"
    )
    pgbackrest: PgBackRest | None = Field(None, description="for the method `pgbackrest`")
    environments: tuple[Name, ...] = Field((), description=EVERYWHERE)

    @model_validator(mode="after")
    def _fits(self) -> Backup:
        if self.method == "tables" and not self.tables:
            raise ValueError("a backup of tables names none; list them in `tables`")
        if self.method in ("files", "volume") and not self.paths:
            raise ValueError(f"a backup of {self.method} names none; list them in `paths`")
        if self.continuous and self.schedule:
            raise ValueError("a continuous backup has no schedule; remove one of the two keys")
        if self.pgbackrest and self.method != "pgbackrest":
            raise ValueError("`pgbackrest` belongs to another method; write `method: pgbackrest`")
        return self


class Objective(Strict):
    """A promise about recovery. Stored with its measurement, or shown as unproven."""

    rto: Duration | None = Field(None, description="time until it serves again after a loss")
    rpo: Duration | None = Field(None, description="age of the data that a loss may cost")
    drill: Cron | None = Field(None, description="when it is drilled; `drills` says how, if that matters")
    prove_within: Duration = Field(timedelta(days=92), description="a measurement older than this proves nothing")

    @model_validator(mode="after")
    def _promises(self) -> Objective:
        if self.rto is None and self.rpo is None:
            raise ValueError("an objective promises nothing; write `rto`, `rpo`, or both")
        return self


class Drill(Strict):
    """A run that proves objectives by doing the thing."""

    id: Name = Field(description="its own name")
    of: tuple[Name, ...] = Field((), description="the objectives that it proves")
    kind: Literal["restore", "failover", "rebuild"] = Field(
        "restore", description="what is done; `rebuild` makes a fresh system and restores into it"
    )
    backup: Name | None = Field(None, description="the backup that is restored; the newest that fits where left out")
    procedure: Name | None = Field(None, description="a procedure of the book instead of the packaged one")
    environment: Name | None = Field(None, description="the disposable environment in which it happens")
    make: tuple[str, ...] = Field(
        (), description="of a rebuild: argv that makes that environment fresh, and ends when it serves"
    )
    remove: tuple[str, ...] = Field(
        (), description="of a rebuild: argv that removes it, whatever is left of it; also run before"
    )
    variables: dict[str, Reference] = Field({}, description="environment variables of both commands")
    schedule: Cron | None = Field(None, description="when; by hand only where left out")
    timezone: TimeZone | None = Field(None, description="of the schedule; the book's where left out")
    assertions: tuple[Name, ...] = Field((), description="what must hold afterwards; empty: all of the component")

    @model_validator(mode="after")
    def _rebuilds(self) -> Drill:
        if self.kind == "rebuild" and not self.procedure and not (self.environment and self.make and self.remove):
            raise ValueError("a rebuild needs `environment`, and `make` and `remove` that make and remove it")
        if self.kind != "rebuild" and (self.make or self.remove):
            raise ValueError("`make` and `remove` belong to a rebuild; write `kind: rebuild`")
        return self


class Assertion(Strict):
    """A query that proves that data is right, after a restore or at any time."""

    id: Name = Field(description="its own name")
    of: Name = Field(description="the component that is asked")
    sql: str = Field(min_length=1, description="a query; it runs in a read-only transaction")
    expect: str = Field("rows > 0", description="expression over `rows` and `value` that must hold")
    title: str = Field("", description="what it proves, for people")


class Retention(Strict):
    """How long rows of a table or files of a folder are kept."""

    id: Name | None = Field(None, description="its own name; table or path where left out")
    of: Name = Field("database", description="the component that holds them")
    table: str = Field("", description="table whose old rows go")
    column: str = Field("", description="the time column that tells a row's age")
    where: str = Field("", description="further SQL condition on the rows that go")
    path: str = Field("", description="files whose old ones go: a folder or a pattern")
    keep: Duration = Field(description="how long")
    archive_to: Reference | None = Field(None, description="folder or s3:// address that they are copied to before")
    schedule: Cron | None = Field(None, description="when it is done; by hand only where left out")
    batch: int = Field(5000, gt=0, description="rows deleted at a time")

    @model_validator(mode="after")
    def _what(self) -> Retention:
        if bool(self.table) == bool(self.path):
            raise ValueError("retention is of a `table` or of a `path`; write one of them")
        if self.table and not self.column:
            raise ValueError("retention of a table needs `column`; name the time column that tells a row's age")
        return self


class Export(Strict):
    """A bundle of data that is handed out."""

    id: Name = Field(description="its own name")
    of: Name = Field(description="the component that holds the data")
    queries: dict[str, str] = Field(min_length=1, description="name of the sheet or file → the query that fills it")
    formats: tuple[Literal["json", "csv", "xlsx"], ...] = Field(("csv",), description="how each is written")
    to: Reference | None = Field(None, description="folder or s3:// address the zip is written to")
    schedule: Cron | None = Field(None, description="when; by hand only where left out")
    keep: int = Field(0, ge=0, description="how many bundles are kept; 0: all")
