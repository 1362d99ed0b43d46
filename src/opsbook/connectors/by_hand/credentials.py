"""Rotations by psql, redis-cli, kubectl, jq and awk. Secrets go by input and environment, never an argv.

What is under way stands in the same file, or Secret, that opsbook uses: either can go on where the other stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from opsbook.book.environments import KubernetesRuntime
from opsbook.book.planned import Rotation
from opsbook.book.references import Reference
from opsbook.connectors.by_hand.psql import address_of, session
from opsbook.connectors.by_hand.redis_cli import address as redis_address
from opsbook.connectors.by_hand.script import Script, as_commands
from opsbook.connectors.by_hand.shell_text import comment, fed, word, words
from opsbook.connectors.change import Json
from opsbook.connectors.credentials.pending import rotation_of
from opsbook.connectors.held.places import Written, beside, parts_of
from opsbook.connectors.postgres import PostgresComponent
from opsbook.connectors.redis import RedisComponent

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


@dataclass(frozen=True)
class _Rotating:
    """One rotation in a script."""

    script: Script
    rotation: Rotation
    places: list[Written]
    space: str
    """The namespace of its Secrets."""

    def held(self, verb: str, place: Written) -> str:
        """`held_in` or `put_into` for a place."""
        if place.scheme == "secret":
            self.script.calls(f"{verb}_secret")
            return f"{verb}_secret {words([self.space, place.where, place.key])}"
        self.script.calls(verb)
        return f"{verb} {_path(self.script, place)} {word(place.variable)}"

    @property
    def pending(self) -> str:
        """The Secret of what is to come, as words: namespace, name, key; empty where that is a file."""
        first = self.places[0]
        named = beside(first.where, f"{self.rotation.id}.pending")
        return words([self.space, named, first.key]) if first.scheme == "secret" else ""


@as_commands("credential")
def credential(change: Json, script: Script) -> Iterator[str]:
    """One act of a rotation."""
    effect = change["effect"]
    rotation = rotation_of(script.system, effect["rotation"])
    runtime = script.system.environment.runtime
    space = runtime.namespace if isinstance(runtime, KubernetesRuntime) else ""
    if why := _lacking(script, rotation, effect["act"], space):
        yield from comment(f"by hand: {effect['act']} the credential {rotation.id}; it has no commands: {why}", "    ")
        return
    written = [parts_of(script.system, one) for one in (rotation.to, *rotation.also) if one is not None]
    one = _Rotating(script, rotation, [place for place in written if place is not None], space)
    if one.pending:
        script.calls("in_secret")
        # A name of its own: a later act may have its `pending` in a place that must stay.
        yield "temporary=$(mktemp); trap 'rm -f -- \"$temporary\"' EXIT"
        yield f'pending=$temporary; in_secret {one.pending} > "$pending"'
    else:
        yield f"place={_path(script, one.places[0])}"
        yield f'pending="$(dirname "$place")/.$(basename "$place"){"." + rotation.id}.pending"'
    match effect["act"]:
        case "prepare":
            yield from _prepare(one)
        case "distribute" | "withdraw" as act:
            yield from _write(one, "new" if act == "distribute" else "old")
        case "retire":
            yield from _retire(one)
    if one.pending:
        yield 'rm -f -- "$temporary"'


def _lacking(script: Script, rotation: Rotation, act: str, space: str) -> str:
    """Why it cannot be done by commands; empty where it can."""
    written = [parts_of(script.system, one) for one in (rotation.to, *rotation.also) if one is not None]
    if not all(written):
        return "a place is neither a file nor a Secret"
    inside = [one for one in written if one is not None and one.scheme == "secret"]
    if inside and not space:
        return "its Secrets are of a Kubernetes that this environment has not"
    if any(one.variable for one in inside):
        return "lines of KEY=VALUE in a Secret are changed by opsbook alone"
    if rotation.previous is not None or act == "expire":
        return "the one from before is accepted for a while; write both into their places yourself"
    if rotation.kind != "password" or not isinstance(script.component(rotation.of), PostgresComponent | RedisComponent):
        return "only its issuer, or its application, makes and ends it; see `issuer` in the book"
    return ""


def _prepare(one: _Rotating) -> Iterator[str]:
    script, rotation, role = one.script, one.rotation, word(one.rotation.role)
    script.calls("apart")
    yield "login='' secret=''"
    for place in one.places:
        yield one.held("held_in", place)
    yield f'[ -n "$login" ] || login={role}'
    if _is_redis(one):
        yield "next=$login"
    else:
        yield f'next={role}_a; [ "$login" != "$next" ] || next={role}_b'
    yield f"fresh=$(openssl rand -hex {max(8, rotation.length // 2)})"
    if one.pending:
        script.calls("to_secret")
        yield f'[ -s "$pending" ] || ( export login secret next fresh; {WRITTEN} > "$pending" )'
        yield f'value=$(cat "$pending"); to_secret {one.pending}'
    else:
        yield f'[ -e "$pending" ] || ( umask 077; export login secret next fresh; {WRITTEN} > "$pending" )'
    if _is_redis(one):
        script.calls("at_redis", "digest_of", "redis_keeps")
        at = redis_address(script, rotation.of)
        yield f'at_redis {at} ACL SETUSER {_who(one, "new")} on "#$(digest_of "$(jq -j .new.secret "$pending")")"'
        yield f"redis_keeps {at}"
    else:
        yield "export pending"
        # A name of a role may hold anything: psql reads it from the shell, and quotes it.
        text = ALLOW.format(role=f"`printf %s {role}`")
        yield from fed(session(script, rotation.of, write=True), text, "SQL")
    yield from _tried(one, "new", wanted=True)


def _write(one: _Rotating, which: str) -> Iterator[str]:
    yield f'login=$(jq -j .{which}.login "$pending") secret=$(jq -j .{which}.secret "$pending")'
    for place in one.places:
        yield one.held("put_into", place)


def _retire(one: _Rotating) -> Iterator[str]:
    script, rotation = one.script, one.rotation
    if _is_redis(one):
        script.calls("redis_forgets", "redis_keeps", "digest_of")
        at = redis_address(script, rotation.of)
        yield from comment("its sessions do not tell by which password they came: has everybody started anew?")
        yield f'redis_forgets {at} {_who(one, "old")} "$(digest_of "$(jq -j .old.secret "$pending")")"'
        yield f"redis_keeps {at}"
    else:
        yield "export pending"
        first, *rest = fed(f"{session(script, rotation.of, write=True)} -Atq", USERS, "SQL")
        yield f"using=$({first}"
        yield from rest
        yield ")"
        yield '[ "$using" -eq 0 ]  # sessions still live by the old one: stop here'
        yield from fed(session(script, rotation.of, write=True), FORBID, "SQL")
    yield from _tried(one, "old", wanted=False)
    space, name, _ = one.pending.split() if one.pending else ("", "", "")
    yield f"kubectl -n {space} delete secret {name}" if one.pending else 'rm -- "$pending"'


def _tried(one: _Rotating, which: str, *, wanted: bool) -> Iterator[str]:
    script, component = one.script, one.rotation.of
    if _is_redis(one):
        script.calls("redis_lets_in")
        call, who = f"redis_lets_in {redis_address(script, component)}", _who(one, which)
    else:
        script.calls("logs_in")
        call, who = f"logs_in {address_of(script, component, write=False)}", f'"$(jq -j .{which}.login "$pending")"'
    line = f'{call} {who} "$(jq -j .{which}.secret "$pending")"'
    yield line if wanted else f"if {line}; then echo 'the old one still gets in' >&2; exit 1; fi"


def _is_redis(one: _Rotating) -> bool:
    return isinstance(one.script.component(one.rotation.of), RedisComponent)


def _who(one: _Rotating, which: str) -> str:
    """The user of a Redis, as a word."""
    if one.rotation.role:
        return word(one.rotation.role)
    return f'"$(jq -j \'.{which}.login | if . == "" then "default" else . end\' "$pending")"'


def _path(script: Script, place: Written) -> str:
    where = place.where if place.where.startswith(("/", "$", "~")) else f"./{place.where}"
    return script.value(Reference(where), "a place of the credential")
