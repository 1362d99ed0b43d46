"""Passwords and tokens on command lines, on the terminal and in files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh
from opsbook.manual.lint.facts.placeholders import PLACEHOLDER
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:password|passwd|pass|pwd|secret|token|api[-_]?key|access[-_]?key|secret[-_]?key|private[-_]?key|credential)s?(?:$|[-_.\d])|password$",
    re.I,
)
_GREP_OF_SECRETS = re.compile(
    r"grep\s+(?:-\w+\s+)*[\"']?\^?((?:\w*_)?(?:DATABASE|DB|POSTGRES|PASSWORD|SECRET|TOKEN|REDIS|KEY|CREDENTIAL|AWS)\w*)",
    re.I,
)


_URL_IN_ARGUMENTS = frozenset(
    [
        "psql",
        "pg_dump",
        "pg_restore",
        "pg_dumpall",
        "pg_basebackup",
        "pg_isready",
        "mongodump",
        "mongorestore",
        "mongosh",
        "mongo",
        "mysql",
        "mysqldump",
        "redis-cli",
        "pgbench",
        "vacuumdb",
        "reindexdb",
        "migrate",
        "goose",
        "dbmate",
        "atlas",
        "mongoexport",
        "mongoimport",
        "mongostat",
        "pgcli",
        "flyway",
    ]
)


_PASSWORD_URL = re.compile(r"\w+://[^\s:/@]*:([^\s@/]+)@")


_URL_VARIABLE = re.compile(
    r"\$\{?((?:\w*_)?(?:DATABASE|DB|POSTGRES|POSTGRESQL|PG|REDIS|MONGO|MONGODB|MYSQL|BROKER)_?(?:URL|URI|DSN))\b"
)


_SHARED_FOLDERS = ("/tmp/", "/var/tmp/")  # noqa: S108 - looked for, not used


@rule(
    "OB630",
    "password-in-arguments",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A password, or a URL that holds one, among the arguments of a command",
    reason=(
        "Arguments are seen by every user of the host in ps, are kept in shell history, and "
        "with kubectl exec also stand in the API server's audit log."
    ),
    source="https://www.postgresql.org/docs/current/libpq-pgpass.html",
    bad=sh('pg_dump "$DATABASE_URL" -Fc -f shop.dump'),
    good=sh("export PGSERVICE=shop\npg_dump -Fc -f shop.dump"),
)
def password_in_arguments(context: Context) -> Iterator[Fault]:
    """Connection URLs, -p PASSWORD, --from-literal=password=…, -a PASSWORD, user:password."""
    for step in context.steps:
        told = _argument_secret(step)
        if told:
            message, subject = told
            yield Fault(
                step.place,
                message,
                Fix("keep it in a file or the environment: PGPASSFILE, PGSERVICE, REDISCLI_AUTH, --from-file, -K FILE"),
                subject=subject,
            )


def _argument_secret(step: Step) -> tuple[str, str] | None:
    program, call, text = step.program, step.call, step.command.text
    words = step.words
    if program in _URL_IN_ARGUMENTS:
        for word in step.command.argv[1:]:
            found = _URL_VARIABLE.search(word.text)
            if found and not re.search(r"\$\{[^}]*[#%]", word.text):
                return (
                    f"${found[1]} holds the password and is expanded into the arguments of {program}",
                    f"url-{found[1]}",
                )
            literal = _PASSWORD_URL.search(word.text)
            if literal and not PLACEHOLDER.match(literal[1]):
                return f"the password stands in the arguments of {program}", f"url-{program}"
    if program in ("redis-cli", "valkey-cli") and call is not None and call.has("-a", "--pass"):
        return "redis-cli -a shows the password to every user of the host", "redis-cli -a"
    mysql = program in ("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump")
    if mysql and any(re.match(r"-p.+|--password=.+", word) for word in words[1:]):
        return f"{program} -p shows the password to every user of the host", "mysql -p"
    if (
        program == "kubectl"
        and call is not None
        and call.verb == "create secret docker-registry"
        and call.has("--docker-password")
    ):
        return "the registry's password stands in the arguments of kubectl", "docker-password"
    if program == "docker" and call is not None and call.verb == "login" and call.has("-p", "--password"):
        return "the registry's password stands in the arguments of docker login", "docker-login"
    if program == "kubectl" and call is not None and call.verb == "create secret generic":
        for flag in call.flags:
            name, equals, value = (flag.value or "").partition("=")
            if (flag.name == "--from-literal" and equals and value and not PLACEHOLDER.match(value)) or (
                flag.name == "--from-literal"
                and value.startswith("$")
                and not value.startswith("$(")
                and _SECRET_NAME.search(name)
            ):
                return f"the value of {name} stands in the arguments of kubectl", "from-literal"
    if program in ("vault", "bao"):
        return _vault_secret(program, words)
    if program in ("curl", "wget") and re.search(r"\s(?:-u|--user)[ =]['\"]?[\w.$-]+:[^\s'\"]+", text):
        return f"the password stands in the arguments of {program}", f"{program} -u"
    return None


def _vault_secret(program: str, words: tuple[str, ...]) -> tuple[str, str] | None:
    """`vault kv put PATH password=…`; a value from a file (`@`) or from stdin (`-`) is in order."""
    if words[1:3] not in (("kv", "put"), ("kv", "patch")):
        return None
    for text in words[3:]:
        name, equals, value = text.partition("=")
        if equals and value[:1] not in ("@", "-", "") and (_SECRET_NAME.search(name) or _PASSWORD_URL.search(value)):
            return f"the value of {name} stands in the arguments of {program}", f"vault-{name}"
    return None


@rule(
    "OB631",
    "password-in-statement",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A new password travels in an SQL statement on the command line",
    reason=(
        "The statement is seen in ps and shell history, and the server writes it to its log "
        "with log_statement = ddl. psql's \\password sends only a hash."
    ),
    source="https://www.postgresql.org/docs/current/sql-alterrole.html#NOTES",
    bad=sh("psql -c \"ALTER USER app WITH PASSWORD '$NEW_PASSWORD';\""),
    good=sh("psql -c '\\password app'"),
)
def password_in_statement(context: Context) -> Iterator[Fault]:
    """ALTER or CREATE USER … PASSWORD in a statement that a command carries."""
    for statement in context.statements:
        if statement.step and re.search(r"\b(?:ALTER|CREATE) (?:USER|ROLE)\b.*\bPASSWORD '", statement.bare, re.I):
            yield Fault(
                statement.find(r"(?:ALTER|CREATE)\s+(?:USER|ROLE)"),
                "the new password is seen in ps, in shell history and in the server's log",
                Fix("use \\password, which sends a hash"),
            )


@rule(
    "OB633",
    "secret-printed",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A step that prints secrets on the terminal",
    reason=("What is printed stays in scrollback, in recorded sessions and in the chat that it is pasted into."),
    source="https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
    bad=sh("kubectl exec deployment/api -n shop -- env | grep DATABASE"),
    good=sh("kubectl exec deployment/api -n shop -- printenv | cut -d= -f1 | grep DATABASE"),
)
def secret_printed(context: Context) -> Iterator[Fault]:
    """env with a grep for connection settings, echo of a secret, a Secret as YAML that goes nowhere."""
    for step in context.steps:
        message = _prints(step)
        if message:
            yield Fault(step.place, message, Fix("print only the names: … | cut -d= -f1"))


def _prints(step: Step) -> str:
    """What it shows of secrets; empty where it shows none."""
    ways = (_secret_as_yaml, _file_shown, _environment_searched, _variable_shown, _file_searched, _decoded, _echoed)
    return next((said for way in ways if (said := way(step))), "")


def _alone(step: Step) -> bool:
    """It writes to the terminal: neither into a file nor to another program."""
    return step.command.length == 1 and not step.command.redirects


def _secret_as_yaml(step: Step) -> str:
    call = step.call
    if call is None or call.tool != "kubectl" or call.verb != "get" or not call.words or not _alone(step):
        return ""
    named = re.fullmatch(r"secrets?(?:/[\w.-]+)?", call.words[0]) and ("/" in call.words[0] or len(call.words) > 1)
    whole = (call.value("-o", "--output") or "") in ("yaml", "json")
    return "prints the secret; base64 hides nothing" if named and whole else ""


def _file_shown(step: Step) -> str:
    if step.program not in ("cat", "less", "more") or not _alone(step):
        return ""
    shown = next((w for w in step.words[1:] if re.search(r"(?:^|/)\.env(?:\.(?:prod\w*|local))?$", w)), "")
    return f"prints {shown} with every password in it" if shown else ""


def _environment_searched(step: Step) -> str:
    if step.program not in ("env", "printenv", "set"):
        return ""
    text = _line(step)
    found = _GREP_OF_SECRETS.search(text)
    hidden = re.search(r"cut -d|sed |awk |wc -l|grep -[a-z]*[cq]", text)
    if not found or hidden or re.search(r"HOST|PORT|NAME|POOL|LEVEL|MODE$", found[1], re.I):
        return ""
    return f"prints the values of {found[1]}…, the password in the connection URL among them"


def _variable_shown(step: Step) -> str:
    if step.program != "printenv" or len(step.words) != 2:
        return ""
    name = step.words[1]
    address = re.search(r"(?:DATABASE|REDIS|MONGO\w*|BROKER)_UR[LI]", name)
    return f"prints {name}" if _SECRET_NAME.search(name) or address else ""


def _file_searched(step: Step) -> str:
    if step.program != "grep" or len(step.block.pipeline(step)) != 1 or step.command.redirects:
        return ""
    named = re.search(r"\s['\"]?\^?(\w*(?:SECRET|PASSWORD|TOKEN|API_KEY)\w*)", step.command.text)
    flags = " ".join(w for w in step.words[1:] if w.startswith("-"))
    in_secrets = re.search(r"\.env\b|secrets?\.\w+$|credentials", step.words[-1])
    return f"prints {named[1]}" if named and in_secrets and not re.search(r"-\w*[cqlL]", flags) else ""


def _decoded(step: Step) -> str:
    if step.program != "base64" or not any(w in ("-d", "-D", "--decode") for w in step.words[1:]):
        return ""
    line = step.block.pipeline(step)
    source = line[0].call if line else None
    if step.command.position != step.command.length - 1 or step.command.redirects or source is None:
        return ""
    secret = (
        source.tool == "kubectl"
        and source.verb == "get"
        and re.match(r"secrets?(?:/|$)", source.words[0] if source.words else "")
        and not any(e.kind in ("substitution", "command_substitution") for e in step.command.within)
    )
    certificate = re.search(r"ca\.crt|tls\.crt|\.crt", _line(step))
    return "prints the decoded secret" if secret and not certificate else ""


def _echoed(step: Step) -> str:
    if step.program != "echo" or len(step.block.pipeline(step)) != 1:
        return ""
    if step.command.redirects or step.command.within:
        return ""
    for word in step.command.argv[1:]:
        for name in word.variables:
            secret = _SECRET_NAME.search(name) or re.search(r"(?:DATABASE|REDIS|MONGO\w*)_UR[LI]$", name)
            if secret and not re.search(rf"\$\{{(?:#{name}|{name}(?:[:+%#-]))", word.text):
                return f"prints ${name}"
    return ""


def _line(step: Step) -> str:
    """The whole pipeline that a step is in, as it is written."""
    return " | ".join(part.command.text for part in step.block.pipeline(step))


@rule(
    "OB640",
    "secret-in-plain-file",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="Secrets written into a plain file",
    reason=(
        "Secrets of a cluster are only base64: whoever reads the file, the disk or the "
        "bucket has them. /tmp is readable for every user of the host."
    ),
    source="https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
    bad=sh("kubectl get all,configmap,secret -n shop -o yaml > backup.yaml"),
    good=sh("kubectl get all,configmap -n shop -o yaml > backup.yaml"),
)
def secret_in_plain_file(context: Context) -> Iterator[Fault]:
    """get secrets -o yaml into a file that nothing encrypts; openssl rand into /tmp."""
    for step in context.steps:
        call = step.call
        into = [r.target.text for r in step.command.redirects if r.operator in (">", ">>")]
        if (
            call
            and call.tool == "kubectl"
            and call.verb == "get"
            and call.words
            and into
            and call.has("-o", "--output")
        ):
            kinds = call.words[0].lower().split(",")
            named = len(call.words) > 1
            if (
                {"secret", "secrets"} & {kind.split("/")[0] for kind in kinds}
                and not re.search(r"\b(?:gpg|age|sops|kubeseal|openssl enc)\b", step.block.text)
                and not (named and re.search(r"before|old|delete", into[0] + step.block.text))
            ):
                yield Fault(
                    step.place,
                    f"writes the cluster's secrets in plain into {into[0]}",
                    Fix("leave secrets out, or encrypt the file"),
                )
        if (
            step.program == "openssl"
            and "rand" in step.words
            and any(name.startswith(_SHARED_FOLDERS) for name in into)
        ):
            yield Fault(
                step.place,
                "writes a new secret into /tmp, where every user can read it",
                Fix("umask 077 and a folder of one's own"),
            )
        outer = [r.target.text for r in step.outermost.command.redirects if r.operator in (">", ">>")]
        dumps = step.program in ("pg_dump", "pg_dumpall", "mysqldump", "mariadb-dump", "mongodump")
        to_tmp = any(name.strip("\"'").startswith(_SHARED_FOLDERS) for name in (*outer, *into)) and not step.command.via
        to_tmp = to_tmp or any(name.strip("\"'").startswith(_SHARED_FOLDERS) for name in outer)
        schema = step.call is not None and step.call.has("-s", "--schema-only")
        if dumps and to_tmp and not schema and not re.search(r"umask\s+0?77|mktemp", step.block.text):
            yield Fault(
                step.place,
                "writes the whole database into /tmp, where every user of the host can read it",
                Fix("umask 077 and a folder of one's own"),
                subject=f"dump-tmp-{step.block.number}",
            )
