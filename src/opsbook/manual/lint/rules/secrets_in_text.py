"""Secrets and personal data that the manual itself spreads."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
