"""Backups by the tools that every host has. What they write is no backup in opsbook's list: it has no manifest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opsbook.book.recovery import Backup
from opsbook.connectors.by_hand.psql import address_of
from opsbook.connectors.by_hand.redis_cli import address as redis_address
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, inside_quotes, word, words
from opsbook.connectors.change import Json
from opsbook.connectors.objectstore.keys import safe

INDENT = "    "
MOMENT = "$(date -u +%Y%m%dT%H%M%SZ)"


def of_book(script: Script, name: str) -> Backup:
    """A backup of the book."""
    return next(one for one in script.system.model.backups if one.id == name)


def place(script: Script, backup: Backup, stamp: str = "", *, second: bool = False) -> str:
    """The inside of a word in double quotes: where a backup's own folder, or one of its backups, is stored."""
    reference = backup.copy_to if second else backup.to
    assert reference is not None
    below = "/".join(filter(None, [safe(script.system.model.system), backup.id, stamp]))
    what = f"{'second ' if second else ''}place of the backup {backup.id}"
    return f"{script.part(reference, what)}/{inside_quotes(below)}"


@as_commands("backup")
def backup(change: Json, script: Script) -> Iterator[str]:
    """Dumped into a file, encrypted for the book's recipient, and put where backups are."""
    effect = change["effect"]
    found = of_book(script, effect["backup"])
    if effect.get("act") == "copy":
        yield from comment("s3://BUCKET/… is :s3,env_auth:BUCKET/… for rclone", INDENT)
        yield f'rclone copy --immutable "{place(script, found)}" "{place(script, found, second=True)}"'
        return
    make = _dump(effect, found, script)
    if make is None:
        yield from comment(f"by hand: there is no plain command that backs up by {found.method}", INDENT)
        return
    command, suffix = make
    yield from comment("kept beside opsbook's own backups; it lists only those with a manifest", INDENT)
    yield f'file="{inside_quotes(found.id)}-{MOMENT}.{suffix}"'
    yield command
    if found.encrypt is not None:
        yield f'age -e -r {script.value(found.encrypt, f"recipient of {found.id}")} -o "$file.age" "$file"'
        yield 'rm -- "$file"; file="$file.age"'
    script.calls("put_away")
    yield f'put_away "$file" "{place(script, found)}/by-hand" && rm -- "$file"'


def _dump(effect: dict[str, Any], found: Backup, script: Script) -> tuple[str, str] | None:
    """The command that writes "$file", and how its name ends."""
    left_out = [one for each in found.exclude for one in ("--exclude", each)]
    if found.method in ("dump", "schema", "tables", "globals"):
        script.calls("at_postgres")
        at = f"at_postgres {address_of(script, effect['component'], write=True)}"
        if found.method == "globals":
            return f'{at} pg_dumpall --globals-only > "$file"', "sql"
        chosen = {"schema": ["--schema-only"], "tables": [f"--table={one}" for one in found.tables]}.get(
            found.method, []
        )
        options = words([*chosen, *(f"--exclude-table-data={one}" for one in found.exclude)])
        return f'{at} pg_dump --format=custom {options} > "$file"'.replace("  ", " "), "dump"
    if found.method == "rdb":
        script.calls("at_redis")
        return f'at_redis {redis_address(script, effect["component"])} --rdb "$file"', "rdb"
    if found.method == "files":
        return f'tar -czf "$file" {words([*left_out, "--", *found.paths])}', "tar.gz"
    return None


@as_commands("backup-note")
def note(change: Json, script: Script) -> Iterator[str]:
    """A verification reads every stored object; a hold needs opsbook, and nothing is pruned without it."""
    effect = change["effect"]
    found = of_book(script, effect["backup"])
    if effect["act"] != "verify":
        yield from comment(f"by hand: {effect['act']} {found.id}/{effect['stamp']} when opsbook is back;", INDENT)
        yield from comment("nothing prunes backups without it", INDENT)
        return
    script.calls("fetched", "sums_of")
    yield f'fetched "{place(script, found, effect["stamp"])}"'
    yield "sums_of"


@as_commands("backup-prune")
def prune(change: Json, script: Script) -> Iterator[str]:
    """The manifest goes first, so that half of a backup is never taken for one."""
    effect = change["effect"]
    found = of_book(script, effect["backup"])
    if effect["act"] == "sweep":
        yield from comment("by hand: nothing; what dead attempts left is removed by the next backup", INDENT)
        return
    yield from comment("for good; look first that a newer one is whole", INDENT)
    at = place(script, found, effect["stamp"], second=effect["place"] == "second")
    yield from comment("s3://BUCKET/… is :s3,env_auth:BUCKET/… for rclone", INDENT)
    yield f'rclone deletefile "{at}/manifest.json" && rclone purge "{at}"'


@as_commands("restore-files")
def files(change: Json, script: Script) -> Iterator[str]:
    """The parts of the backup, unpacked: an archive into its folder, a snapshot into its file."""
    effect = change["effect"]
    found = of_book(script, effect["backup"])
    yield from opened(script, found, effect["stamp"])
    keys = """for key in $(jq -r '.parts[].key' "$from/manifest.json"); do unpacked "$key"; done"""
    if found.method == "rdb":
        yield f"[ ! -e {word(effect['to'])} ]"
        yield f"{keys} > {word(effect['to'])}"
        return
    yield f"mkdir -p {word(effect['to'])}"
    yield f"{keys} | tar -xpf - -C {word(effect['to'])} --ignore-zeros"


def opened(script: Script, found: Backup, stamp: str) -> Iterator[str]:
    """$from is a folder with the backup, which is whole; $identity decrypts it."""
    script.calls("fetched", "sums_of", "unpacked")
    yield f'fetched "{place(script, found, stamp)}"'
    yield "sums_of"
    if found.encrypt is not None:
        identity = '"${AGE_IDENTITY:?the identity that decrypts it}"'
        if found.decrypt is not None:
            identity = script.value(found.decrypt, f"identity of {found.id}")
        yield f"identity={identity}"
