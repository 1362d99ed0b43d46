"""Secrets and personal data that the manual itself spreads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql, yml
from opsbook.manual.lint.facts.placeholders import PLACEHOLDER
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule


@rule(
    "OB632",
    "literal-password",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A password written into the manual",
    reason=(
        "Who reads the manual, or its history, has the password; and what is printed here is "
        "what gets used. A placeholder that looks like a value is copied as it is."
    ),
    source="https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html",
    bad=sql("CREATE USER reader WITH PASSWORD 'winter_2024';"),
    good=sql("CREATE USER reader WITH PASSWORD :'reader_password';"),
)
def literal_password(context: Context) -> Iterator[Fault]:
    """PASSWORD '…' in SQL blocks or text that is SQL, same value in several places told once."""
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(r"\b(?:PASSWORD|IDENTIFIED BY)\s+'([^'$:{<\[]+)'", line, re.I)
        if found and not PLACEHOLDER.match(found[1]):
            yield Fault(
                context.place(number, found[0]),
                f"the password {_masked(found[1])} is written into the manual",
                Fix("take it from a variable or \\password"),
                subject=found[1],
            )

    yield from _in_code(context)
    yield from _in_manifests(context)
    for step in context.steps:
        for assignment in step.command.assignments:
            value = assignment.value.value or ""
            known = assignment.name in ("PGPASSWORD", "MYSQL_PWD", "REDISCLI_AUTH", "SSHPASS", "VAULT_TOKEN")
            if known and len(value) > 3 and not PLACEHOLDER.match(value):
                yield Fault(
                    Place(assignment.line, assignment.column),
                    f"{assignment.name}={_masked(value)} is written into the manual",
                    Fix("PGPASSFILE, or read it from the vault"),
                    subject=value,
                )


_NAMED = (
    r"(?:[A-Za-z_]*(?:PASSWORD|PASSWD|SECRET_KEY|SECRET_ACCESS_KEY|API_KEY|_SECRET|AUTH_TOKEN|"
    r"password|passwd|secret_key))"
)
_LITERALS = (
    re.compile(rf"""\b{_NAMED}\s*=\s*(["'])(?P<value>[^"'\s]+)\1"""),  # password='…' of Python, Ruby, TOML
    re.compile(rf"""(?:getenv|environ\.get|ENV\.fetch|env)\(\s*["']{_NAMED}["']\s*,\s*(["'])(?P<value>[^"'\s]+)\1"""),
    re.compile(rf"""^\s*(?:-\s+)?["']?{_NAMED}["']?\s*:\s*["']?(?P<value>[^\s"'#,{{}}\[\]]+)["']?\s*,?\s*(?:#.*)?$"""),
    re.compile(rf"""^\s*(?:-\s+|export\s+)?{_NAMED}=["']?(?P<value>(?:[^\s"'#$`]|(?<=\w)\$\d)+)["']?\s*(?:#.*)?$"""),
    re.compile(rf"""(?:-e|--env|--build-arg)[ =]["']?{_NAMED}=["']?(?P<value>[^\s"'$]+)"""),
    re.compile(rf"""\\?["']{_NAMED}\\?["']\s*:\s*\\?["'](?P<value>[^"'\s\\]+)\\?["']"""),
    re.compile(r"""^[\s\w-]*[:=]?\s*["']?\w+(?:\+\w+)?://[\w.-]+:(?P<value>[^\s:/@$<{\[]+)@[\w.-]+[:/]"""),
    re.compile(r"\bsshpass\s+-p\s*['\"]?(?P<value>[^\s'\"$]+)"),
    re.compile(r"\bmongo(?:sh|dump|restore)?\b.*\s(?:-p|--password)[ =]['\"]?(?P<value>[^\s'\"$-]+)"),
)
_NO_SECRET = re.compile(
    r"^(?:true|false|yes|no|null|none|string|str|secret\w*|passw\w*|pass|pw|xxx+.*|\*+|\.{3}.*|test\w*|dummy|"
    r"your.*|my[-_]?(?:secure[-_]?)?(?:password|secret).*|change.*|replace.*|example.*|redacted.*|.*(?:password|secret|token)[-_]?here.*|"
    r"[<$\[{%(].*|[\w.]*(?:env|config|settings|secrets?|vault)[\w]*[.(\[].*|(?-i:[A-Z][A-Z0-9_]+)|strong.*|secure[-_]?pass.*|generated.*|"
    r"new[-_]?(?:secure[-_])?(?:password|secret).*|[\w-]+[-_](?:secret|password|credentials|key)s?|admin|root|user\w*|.*\.\w+\(.*)$",
    re.I,
)
_SHAPED = re.compile(r"(?=.*[A-Za-z])(?=.*[\d!@#%&*_-]).{8,}|(?=.*[A-Za-z])(?=.*\d).{6,}")


def _in_code(context: Context) -> Iterator[Fault]:
    """Settings, arguments, default values and URLs whose value has the shape of a password and is no blank."""
    for fence in context.document.fences():
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            if line.lstrip().startswith(("#", "//", "--")):
                continue
            for pattern in _LITERALS:
                found = pattern.search(line)
                if found is None:
                    continue
                value = found["value"]
                if _SHAPED.fullmatch(value) and not PLACEHOLDER.match(value) and not _blank(value):
                    yield Fault(
                        context.place(number, value),
                        f"the password {_masked(value)} is written into the manual",
                        Fix("take it from the environment or a vault"),
                        subject=value,
                    )
                break


def _in_manifests(context: Context) -> Iterator[Fault]:
    """`name: DB_PASSWORD` with a `value:` of its own in the next line."""
    for fence in context.document.fences():
        lines = fence.text.split("\n")
        for number, (line, behind) in enumerate(pairwise(lines), fence.line):
            value = re.match(r"""\s*value:\s*["']?([^\s"'#]+)["']?\s*(?:#.*)?$""", behind)
            if not value or not re.match(rf"""\s*-\s*name:\s*["']?{_NAMED}["']?\s*$""", line):
                continue
            if _SHAPED.fullmatch(value[1]) and not PLACEHOLDER.match(value[1]) and not _blank(value[1]):
                yield Fault(
                    context.place(number + 1, value[1]),
                    f"the password {_masked(value[1])} is written into the manual",
                    Fix("valueFrom: secretKeyRef"),
                    subject=value[1],
                )


def _blank(value: str) -> bool:
    return bool(_NO_SECRET.match(value)) or value.startswith(("/", "./", "file:"))


def _masked(value: str) -> str:
    return f"“{value[:2]}…”"


@rule(
    "OB642",
    "default-credentials",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A login with the credentials that everybody tries first",
    reason=(
        "If the check works, the system answers to admin/admin, and the manual tells so to all who read it. Use an "
        "account of its own with its password from the environment."
    ),
    source="https://cwe.mitre.org/data/definitions/1392.html",
    bad=sh('curl -X POST https://shop.internal/login --json \'{"username": "admin", "password": "admin"}\''),
    good=sh("curl -X POST https://shop.internal/login --json @login.json"),
)
def default_credentials(context: Context) -> Iterator[Fault]:
    """JSON or forms of curl and wget with a password from the top of every list."""
    common = r"admin\d*|root|123456\d*|changeme|letmein|test\d*|guest|passw0rd"
    sent = re.compile(rf"\"password\\?\"\s*:\s*\\?\"(?:{common})\\?\"|\bpassword=(?:{common})(?=['\"&\s]|$)", re.I)
    for step in context.steps:
        if step.program in ("curl", "wget", "http") and sent.search(step.command.text):
            yield Fault(step.place, "logs in with a default password", Fix("a password from the environment"))
    told = re.compile(
        r"[(`:|\s](admin\s?/\s?(?:admin\d*|password|changeme|123456)|root\s?/\s?(?:root|password)|guest\s?/\s?guest|"
        r"postgres\s?/\s?postgres|minioadmin\s?/\s?minioadmin)(?=[)`|\s.,;]|$)",
        re.I,
    )
    for number, text in context.prose:
        found = told.search(f" {text}")
        if found and not re.search(
            r"chang|replac|never|don.?t|not use|remove|disable|rotate|default (?:is|was)|änder|ersetz", text, re.I
        ):
            yield Fault(
                context.place(number),
                f"{found[1]} is the first login that everybody tries",
                Fix("change it when the service is set up, and name the vault entry here"),
                subject="default-login",
            )


@rule(
    "OB635",
    "plain-dump-of-personal-data",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="An unencrypted dump of personal data on the operator's disk",
    reason=(
        "Health, payment and identity data leave the guarded database for a file that is "
        "neither encrypted nor watched. Privacy laws count that as a copy that must be "
        "protected like the original."
    ),
    source="https://cheatsheetseries.owasp.org/cheatsheets/Cryptographic_Storage_Cheat_Sheet.html",
    bad=("The database holds patient records (HIPAA).\n\n") + sh("pg_dump -U app -Fc clinic > /backups/clinic.dump"),
    good=("The database holds patient records (HIPAA).\n\n")
    + sh("set -o pipefail\npg_dump -U app -Fc clinic | age -r $RECIPIENT > /backups/clinic.dump.age"),
)
def plain_dump(context: Context) -> Iterator[Fault]:
    """Dumps into local files where the manual speaks of patients, health or card data."""
    held = re.search(
        r"\b(patients?|hipaa|medical records?|health records?|phi|pci[- ]dss|cardholder|social security)\b",
        context.text,
    )
    if not held:
        return
    for step in context.steps:
        if step.program not in ("pg_dump", "pg_dumpall", "mysqldump", "mongodump"):
            continue
        outer = step.outermost
        line = " ".join(part.command.text for part in step.block.pipeline(step))
        to_file = (
            any(r.operator in (">", ">>") for r in (*outer.command.redirects, *step.command.redirects)) or ">" in line
        )
        if (
            to_file
            and not re.search(r"\b(?:gpg|age|openssl enc|openssl smime|sops|kms|--sse)\b", line)
            and "--schema-only" not in line
            and " -s " not in line
        ):
            yield Fault(
                step.place,
                f"writes {held[1]} data unencrypted to a file",
                Fix("pipe it through age or gpg before it is written"),
                subject="plain-dump",
            )


@rule(
    "OB639",
    "key-in-manual",
    FaultClass.INSECURE,
    Severity.ERROR,
    summary="A private key or a live token in the manual",
    reason=(
        "Who reads the manual has the key, and so has everybody who reads its history later. "
        "It must be revoked, not only removed."
    ),
    source="https://docs.github.com/en/code-security/secret-scanning",
    bad=yml("password: x\nkey: AKIAQ7R5T2WPLZ3K8MNV"),
    good=yml("password: ${DB_PASSWORD}\nkey: AKIAIOSFODNN7EXAMPLE"),
)
def key_in_manual(context: Context) -> Iterator[Fault]:
    """Formats that are unmistakable: AWS keys, GitHub, Slack, Stripe live tokens, private keys."""
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(
            (
                r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|xox[baprs]-\d+-\d+-\w{20,}|sk_live_\w{20,}|"
                r"glpat-[\w-]{20})\b|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\s*\S"
            ),
            line,
        )
        if found and not re.search(r"EXAMPLE|x{6,}|X{6,}|1234|abcd", found[0], re.I):
            yield Fault(
                context.place(number, found[0]),
                "a key that works stands in the manual",
                Fix("revoke it, then take it out"),
            )
