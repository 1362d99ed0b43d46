"""Dumps, their copies and what loads them: as backups of the book, and restores of those."""

from __future__ import annotations

import re
from collections.abc import Sequence

from opsbook.manual.lift.backups import same_file, store_of
from opsbook.manual.lift.context import Lifted, Stay, Use
from opsbook.manual.lift.inventory import Part
from opsbook.manual.lift.model import Form, Step, Why
from opsbook.manual.lift.registry import lifts

_WITH_A_WORD = """
-d --dbname -f --file -F --format -h --host -j --jobs -n --schema -N --exclude-schema -p --port -t --table -T
--exclude-table -U --username -Z --compress -L --use-list -S --superuser --role -E --encoding --lock-wait-timeout
--section --snapshot -I --index -P --function --trigger
"""
VALUED = frozenset(_WITH_A_WORD.split())
"""Options of pg_dump and pg_restore (PostgreSQL 15) that take the next word."""
PARTS = ("-a", "--data-only", "-n", "--schema", "-N", "--exclude-schema", "--section", "-T", "--exclude-table")
"""Options that leave out what no form of a backup of the book leaves out."""
PACKERS = frozenset({"gzip", "pigz", "zstd", "xz", "bzip2", "lz4"})
LOCKERS = frozenset({"age", "gpg", "gpg2", "openssl"})
SURE = "read back, checksummed and visible only when whole; a dump that fails leaves none"
REPAIRED = "restored and verified beside the database that is used, which is kept when they are switched"


def value_of(words: Sequence[str], *names: str) -> str | None:
    """What an option says: `-f FILE`, `-fFILE`, `--file FILE`, `--file=FILE`."""
    for at, word in enumerate(words):
        for name in names:
            if word == name:
                return words[at + 1] if at + 1 < len(words) else None
            if name.startswith("--") and word.startswith(f"{name}="):
                return word.partition("=")[2]
            if not name.startswith("--") and word.startswith(name) and not word.startswith("--"):
                return word[len(name) :]
    return None


def has(words: Sequence[str], *names: str) -> bool:
    """Whether one of these options is there, also among short ones written together, as in `-sx`."""
    letters = {name[1] for name in names if len(name) == 2}
    return any(
        word.partition("=")[0] in names or (re.fullmatch(r"-[a-zA-Z]+", word) and letters & set(word[1:]) and
        f"-{word[1]}" not in VALUED)
        for word in words
    )  # fmt: skip


@lifts("pg_dump")
def dump(use: Use) -> Lifted:
    part = use.of_kind("postgres")
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no PostgreSQL")
    words = use.command.words[1:]
    if has(words, *PARTS):
        return Stay(Why.OPEN, "it leaves out what a backup of the book keeps", "", part.name)
    tables = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-t", "--table")]
    tables += [word.partition("=")[2] for word in words if word.startswith("--table=")]
    if any(re.search(r"[*?$\[{]", table) for table in tables):
        return Stay(Why.OPEN, "which tables are meant is a pattern", "", part.name)
    named = tuple(table if "." in table else f"public.{table}" for table in tables)
    method = "tables" if tables else "schema" if has(words, "-s", "--schema-only") else "dump"
    return taken(use, part, method, named, value_of(words, "-f", "--file"))


@lifts("pg_dumpall")
def dump_all(use: Use) -> Lifted:
    part = use.of_kind("postgres")
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no PostgreSQL")
    words = use.command.words[1:]
    file = value_of(words, "-f", "--file")
    if has(words, "-g", "--globals-only", "-r", "--roles-only"):
        return taken(use, part, "globals", (), file)
    if has(words, "-s", "--schema-only", "-a", "--data-only", "-t", "--tablespaces-only", "--exclude-database"):
        return Stay(Why.OPEN, "it leaves out what a backup of the book keeps", "", part.name)
    roles, data = taken(use, part, "globals", (), file), taken(use, part, "dump", (), file)
    if not isinstance(roles, list) or not isinstance(data, list):
        return data
    note = f"roles and {part.name} apart; another database of the server needs a backup of its own"
    return [roles[0], data[0].having(mended=(note, SURE))]


@lifts("pg_basebackup")
def cluster(use: Use) -> Lifted:
    part = use.of_kind("postgres")
    note = "a copy of the cluster is pgBackRest's: write a backup with `method: pgbackrest`"
    return Stay(Why.MISSING, note, "backup.take", part.name if part else "")


def taken(use: Use, part: Part, method: str, tables: tuple[str, ...] = (), file: str | None = None) -> Lifted:
    """`backup.take` of a backup that the book gets, written where the command writes."""
    programs = [one.program for one in use.behind]
    sent = [one for one in use.behind if one.program == "aws"]
    if any(program not in PACKERS | LOCKERS and program != "aws" for program in programs):
        return Stay(Why.OUTPUT, "the dump goes on to another program", "", part.name)
    files = [file or "", *(use.expanded(one) for one in use.written)]
    target = next((one for one in files if one), "")
    bucket = next((word for one in sent for word in one.words if word.startswith("s3://")), "")
    if not target and not bucket and method != "rdb":
        return Stay(Why.OPEN, "where the dump is written is not said", "", part.name)
    to = store_of(use.expanded(bucket or target))
    backups = use.context.backups
    name = backups.want(part, method, use.context.place(use.line), tables, to)
    if LOCKERS & set(programs):
        backups.entry(name).setdefault("encrypt", "${BACKUP_RECIPIENT}")
    made = use.op("backup.take", part, SURE, backup=name)
    if isinstance(made, list) and target:
        use.context.dumped[same_file(use.expanded(target))] = name
    return made


def joined(use: Use, file: str, to: str | None = None) -> Lifted:
    """A command that only goes on with a dump of this procedure: part of the step that takes the backup."""
    name = use.context.dumped.get(same_file(use.expanded(file)))
    if name is None:
        return None
    if to is not None:
        use.context.backups.copied(name, to)
        use.context.dumped[same_file(f"{to}/{file.rpartition('/')[2]}")] = name
    entry = use.context.backups.entry(name)
    return [Step(Form.OP, {"backup.take": {"of": entry["of"], "backup": name}}, use.line, use.source, str(entry["of"]),
                 joins=True)]  # fmt: skip


@lifts("aws")
def bucket(use: Use) -> Lifted:
    words = [word for word in use.command.words[1:] if not word.startswith("-")]
    if words[:2] == ["s3", "ls"]:
        return looked_at(use)
    if words[:1] != ["s3"] or words[1:2] not in (["cp"], ["mv"], ["sync"]) or len(words) < 4:
        return None
    source, target = words[2], words[3]
    if target.startswith("s3://") and (to := store_of(use.expanded(target))) and (found := joined(use, source, to)):
        return found
    note = "`bucket.copy` would mean it"
    if source.startswith("s3://") and re.search(r"\.(?:dump|sql|rdb|bak)\b|backup", source):
        note += "; a restore of the book reads the store itself"
    return Stay(Why.MISSING, note, "bucket.copy")


@lifts("gzip", "pigz", "zstd")
def packed(use: Use) -> Lifted:
    from opsbook.manual.lift.tools.files import elsewhere

    files = [word for word in use.command.words[1:] if not word.startswith("-")]
    unpacks = has(use.command.words[1:], "-d", "--decompress", "-t", "--test", "-l", "--list")
    found = joined(use, files[0]) if len(files) == 1 and not unpacks else None
    return found or elsewhere(use)


@lifts("pg_restore")
def restore(use: Use) -> Lifted:
    part = use.of_kind("postgres")
    if part is None:
        return Stay(Why.ELSEWHERE, "the book has no PostgreSQL")
    words = use.command.words[1:]
    if has(words, "-l", "--list") or value_of(words, "-d", "--dbname") is None:
        return Stay(Why.LOOKS, "it only reads the file", "", part.name)
    if has(words, "-a", "--data-only", "-s", "--schema-only", "-t", "--table", "-n", "--schema", "-L", "--use-list"):
        return Stay(
            Why.OPEN, "it loads a part of a dump: `opsbook restore --tables` brings rows of tables", "", part.name
        )
    host = value_of(words, "-h", "--host")
    if host and not host.startswith(("localhost", "127.", "$", "/")) and host.lower() not in part.hosts:
        return Stay(Why.ELSEWHERE, f"{host} is no server of the book: make it a component first", "", part.name)
    operands = [
        word for at, word in enumerate(words)
        if not word.startswith("-") and not (at and words[at - 1] in VALUED)
    ]  # fmt: skip
    return restored(use, part, operands[-1] if operands else _fed(use))


def _fed(use: Use) -> str:
    names = [redirect.target.text for redirect in use.command.redirects if redirect.operator == "<"]
    names += [word for one in use.before for word in one.words[1:] if not word.startswith("-")]
    return names[-1] if names else ""


def fed_file(use: Use) -> str:
    """The file that is fed into a client."""
    return _fed(use)


def restored(use: Use, part: Part, file: str) -> Lifted:
    """A dump loaded over a database: the backup restored beside it and verified, then switched, the old one kept."""
    name = use.context.backups.want(part, "dump", use.context.place(use.line))
    doc = f"which backup: its stamp (`opsbook backups {name}`); the manual loads {file or 'a dump'}"
    stamp = use.context.parameters.take(f"backup of {part.name}", "stamp", "text", doc, "20260301T030000Z")
    if "latest" in file and not use.context.dumped:
        use.context.parameters.found[stamp].default = ""
    beside = use.context.parameters.take(f"beside {part.name}", "to", "text", "the new database, until it is switched")
    use.context.parameters.found[beside].default = "restored"
    new = "{{ " + beside + " }}"
    made = use.op("postgres.restore", part, REPAIRED, backup=name, stamp="{{ " + stamp + " }}", to=new)
    switched = use.op("postgres.switch_database", part, to=new)
    if not isinstance(made, list) or not isinstance(switched, list):
        return made
    put = f"Put it in the place of the {part.name} that is used, which is kept"
    return [made[0], switched[0].having(title=put)]


@lifts("ls", "stat", "du", "sha256sum", "md5sum", "file")
def looked_at(use: Use) -> Lifted:
    """A look at a dump of this procedure: the backup is read where it lies, which says more than its size."""
    for word in use.command.words[1:]:
        name = use.context.dumped.get(same_file(use.expanded(word)))
        if name is not None:
            entry = use.context.backups.entry(name)
            part = use.inventory.parts[str(entry["of"])]
            return use.op("backup.verify", part, "every stored byte is held against the signed manifest", backup=name)
    return None
