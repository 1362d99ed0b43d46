"""Rotations by psql, jq and awk, for logins of PostgreSQL in files. Secrets go by input and environment, never an argv.

What is under way stands in the same file that opsbook uses: either can go on where the other stopped.
"""

from __future__ import annotations

from collections.abc import Iterator

from opsbook.book.planned import Rotation
from opsbook.book.references import Reference
from opsbook.connectors.by_hand.psql import address_of, session
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, fed, word
from opsbook.connectors.change import Json
from opsbook.connectors.credentials.pending import rotation_of
from opsbook.connectors.held.places import Written, parts_of
from opsbook.connectors.postgres import PostgresComponent

WRITTEN = (
    "jq -n '{old: {login: $ENV.login, secret: $ENV.secret}, new: {login: $ENV.next, secret: $ENV.fresh}, since: 0}'"
)
ALLOW = """\\set secret `jq -j .new.secret "$pending"`
\\set login `jq -j .new.login "$pending"`
\\set role {role}
SELECT format('CREATE ROLE %I', :'login') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \\gexec
BEGIN;
SELECT set_config('log_statement', 'none', true) WHERE current_setting('is_superuser') = 'on' \\g /dev/null
ALTER ROLE :"login" LOGIN INHERIT PASSWORD :'secret';
GRANT :"role" TO :"login";
ALTER ROLE :"login" SET role = :'role';
COMMIT;
"""
USERS = """\\set login `jq -j .old.login "$pending"`
SELECT count(*) FROM pg_stat_activity WHERE usename = :'login';
"""
FORBID = """\\set login `jq -j .old.login "$pending"`
ALTER ROLE :"login" NOLOGIN PASSWORD NULL;
"""


@as_commands("credential")
def credential(change: Json, script: Script) -> Iterator[str]:
    """One act of a rotation."""
    effect = change["effect"]
    rotation = rotation_of(script.system, effect["rotation"])
    places = [parts_of(script.system, one) for one in (rotation.to, *rotation.also) if one is not None]
    known = [one for one in places if one is not None and one.scheme != "secret"]
    component = script.component(effect["component"])
    if len(known) != len(places) or not isinstance(component, PostgresComponent) or rotation.kind != "password":
        yield from comment(
            f"by hand: {effect['act']} the credential {rotation.id}; only logins of PostgreSQL in files have commands",
            "    ",
        )
        return
    first = _path(script, known[0])
    yield f"place={first}"
    yield f'pending="$(dirname "$place")/.$(basename "$place"){"." + rotation.id}.pending"'
    match effect["act"]:
        case "prepare":
            yield from _prepare(script, rotation, known)
        case "distribute" | "withdraw" as act:
            yield from _write(script, known, "new" if act == "distribute" else "old")
        case "retire":
            yield from _retire(script, rotation)


def _prepare(script: Script, rotation: Rotation, places: list[Written]) -> Iterator[str]:
    script.calls("apart", "held_in")
    role = word(rotation.role)
    yield "login='' secret=''"
    for one in places:
        yield f"held_in {_path(script, one)} {word(one.variable)}"
    yield f'[ -n "$login" ] || login={role}'
    yield f'next={role}_a; [ "$login" != "$next" ] || next={role}_b'
    yield f"fresh=$(openssl rand -hex {max(8, rotation.length // 2)})"
    yield f'[ -e "$pending" ] || ( umask 077; export login secret next fresh; {WRITTEN} > "$pending" )'
    # A name of a role may hold anything: psql reads it from the shell, and quotes it.
    text = ALLOW.format(role=f"`printf %s {role}`")
    yield "export pending"
    yield from fed(session(script, rotation.of, write=True), text, "SQL")
    yield from _tried(script, rotation, "new", wanted=True)


def _write(script: Script, places: list[Written], which: str) -> Iterator[str]:
    script.calls("put_into")
    yield f'login=$(jq -j .{which}.login "$pending") secret=$(jq -j .{which}.secret "$pending")'
    for one in places:
        yield f"put_into {_path(script, one)} {word(one.variable)}"


def _retire(script: Script, rotation: Rotation) -> Iterator[str]:
    yield "export pending"
    first, *rest = fed(f"{session(script, rotation.of, write=True)} -Atq", USERS, "SQL")
    yield f"using=$({first}"
    yield from rest
    yield ")"
    yield '[ "$using" -eq 0 ]  # sessions still live by the old one: stop here'
    yield from fed(session(script, rotation.of, write=True), FORBID, "SQL")
    yield from _tried(script, rotation, "old", wanted=False)
    yield 'rm -- "$pending"'


def _tried(script: Script, rotation: Rotation, which: str, *, wanted: bool) -> Iterator[str]:
    script.calls("logs_in")
    address = address_of(script, rotation.of, write=False)
    line = f'logs_in {address} "$(jq -j .{which}.login "$pending")" "$(jq -j .{which}.secret "$pending")"'
    yield line if wanted else f"if {line}; then echo 'the old one still gets in' >&2; exit 1; fi"


def _path(script: Script, place: Written) -> str:
    where = place.where if place.where.startswith(("/", "$", "~")) else f"./{place.where}"
    return script.value(Reference(where), "a place of the credential")
