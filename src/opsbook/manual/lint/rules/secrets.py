"""Passwords, keys and personal data in places where others see them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql, yml
from opsbook.manual.lint.facts.steps import Step
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_SECRET_NAME = re.compile(r"(?:^|[-_.])(?:password|passwd|pass|pwd|secret|token|api[-_]?key|access[-_]?key|secret[-_]?key|private[-_]?key|credential)s?(?:$|[-_.\d])|password$", re.I)  # fmt: skip
_PLACEHOLDER = re.compile(r"^(?:<.*>|\$.*|\{\{.*|\[.*\]|x{2,}|\*{2,}|\.{3}|…|your[-_ ].*|change[-_]?me.*|replace.*|example.*|placeholder|redacted|password|secret|new[-_ ]?(?:secure[-_])?(?:password|secret).*|.*_?here|)$", re.I)  # fmt: skip
_URL_IN_ARGUMENTS = frozenset("psql pg_dump pg_restore pg_dumpall pg_basebackup pg_isready mongodump mongorestore mongosh mongo mysql mysqldump redis-cli pgbench vacuumdb reindexdb".split())  # noqa: SIM905
_PASSWORD_URL = re.compile(r"\w+://[^\s:/@]*:([^\s@/]+)@")
_URL_VARIABLE = re.compile(r"\$\{?((?:\w*_)?(?:DATABASE|DB|POSTGRES|POSTGRESQL|PG|REDIS|MONGO|MONGODB|MYSQL|BROKER)_?(?:URL|URI|DSN))\b")


@rule(
    "OB630", "password-in-arguments", FaultClass.INSECURE, Severity.WARNING,
    summary="A password, or a URL that holds one, among the arguments of a command",
    reason="Arguments are seen by every user of the host in ps, are kept in shell history, and with kubectl exec also stand in the "
           "API server's audit log.",
    source="https://www.postgresql.org/docs/current/libpq-pgpass.html",
    bad=sh('pg_dump "$DATABASE_URL" -Fc -f shop.dump'),
    good=sh("export PGSERVICE=shop\npg_dump -Fc -f shop.dump"),
)  # fmt: skip
def password_in_arguments(context: Context) -> Iterator[Fault]:
    """Connection URLs, -p PASSWORD, --from-literal=password=…, -a PASSWORD, user:password."""
    for step in context.steps:
        told = _argument_secret(step)
        if told:
            message, subject = told
            yield Fault(step.place, message, Fix("keep it in a file or the environment: PGPASSFILE, PGSERVICE, REDISCLI_AUTH, --from-file, -K FILE"),
                        subject=subject)  # fmt: skip


def _argument_secret(step: Step) -> tuple[str, str] | None:
    program, call, text = step.program, step.call, step.command.text
    words = step.words
    if program in _URL_IN_ARGUMENTS:
        for word in step.command.argv[1:]:
            found = _URL_VARIABLE.search(word.text)
            if found and not re.search(r"\$\{[^}]*[#%]", word.text):
                return f"${found[1]} holds the password and is expanded into the arguments of {program}", f"url-{found[1]}"
            literal = _PASSWORD_URL.search(word.text)
            if literal and not _PLACEHOLDER.match(literal[1]):
                return f"the password stands in the arguments of {program}", f"url-{program}"
    if program in ("redis-cli", "valkey-cli") and call is not None and call.has("-a", "--pass"):
        return "redis-cli -a shows the password to every user of the host", "redis-cli -a"
    if program in ("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump"):
        if any(re.match(r"-p.+|--password=.+", word) for word in words[1:]):
            return f"{program} -p shows the password to every user of the host", "mysql -p"
    if program == "kubectl" and call is not None and call.verb == "create secret docker-registry" and call.has("--docker-password"):
        return "the registry's password stands in the arguments of kubectl", "docker-password"
    if program == "docker" and call is not None and call.verb == "login" and call.has("-p", "--password"):
        return "the registry's password stands in the arguments of docker login", "docker-login"
    if program == "kubectl" and call is not None and call.verb == "create secret generic":
        for flag in call.flags:
            name, equals, value = (flag.value or "").partition("=")
            if flag.name == "--from-literal" and equals and value and not _PLACEHOLDER.match(value) or (
                flag.name == "--from-literal" and value.startswith("$") and not value.startswith("$(") and _SECRET_NAME.search(name)
            ):  # fmt: skip
                return f"the value of {name} stands in the arguments of kubectl", "from-literal"
    if program in ("curl", "wget") and re.search(r"\s(?:-u|--user)[ =]['\"]?[\w.$-]+:[^\s'\"]+", text):
        return f"the password stands in the arguments of {program}", f"{program} -u"
    return None


@rule(
    "OB631", "password-in-statement", FaultClass.INSECURE, Severity.WARNING,
    summary="A new password travels in an SQL statement on the command line",
    reason="The statement is seen in ps and shell history, and the server writes it to its log with log_statement = ddl. psql's \\password sends "
           "only a hash.",
    source="https://www.postgresql.org/docs/current/sql-alterrole.html#NOTES",
    bad=sh("psql -c \"ALTER USER app WITH PASSWORD '$NEW_PASSWORD';\""),
    good=sh("psql -c '\\password app'"),
)  # fmt: skip
def password_in_statement(context: Context) -> Iterator[Fault]:
    """ALTER or CREATE USER … PASSWORD in a statement that a command carries."""
    for statement in context.statements:
        if statement.step and re.search(r"\b(?:ALTER|CREATE) (?:USER|ROLE)\b.*\bPASSWORD '", statement.bare, re.I):
            yield Fault(statement.find(r"(?:ALTER|CREATE)\s+(?:USER|ROLE)"), "the new password is seen in ps, in shell history and in the server's log",
                        Fix("use \\password, which sends a hash"))  # fmt: skip


@rule(
    "OB632", "literal-password", FaultClass.INSECURE, Severity.WARNING,
    summary="A password written into the manual",
    reason="Who reads the manual, or its history, has the password; and what is printed here is what gets used. A placeholder that looks like a value "
           "is copied as it is.",
    source="https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html",
    bad=sql("CREATE USER reader WITH PASSWORD 'winter_2024';"),
    good=sql("CREATE USER reader WITH PASSWORD :'reader_password';"),
)  # fmt: skip
def literal_password(context: Context) -> Iterator[Fault]:
    """PASSWORD '…' in SQL blocks or text that is SQL, same value in several places told once."""
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(r"\b(?:PASSWORD|IDENTIFIED BY)\s+'([^'$:{<\[]+)'", line, re.I)
        if found and not _PLACEHOLDER.match(found[1]):
            yield Fault(context.place(number, found[0]), f"the password {_masked(found[1])} is written into the manual",
                        Fix("take it from a variable or \\password"), subject=found[1])  # fmt: skip


def _masked(value: str) -> str:
    return f"“{value[:2]}…”"


@rule(
    "OB633", "secret-printed", FaultClass.INSECURE, Severity.WARNING,
    summary="A step that prints secrets on the terminal",
    reason="What is printed stays in scrollback, in recorded sessions and in the chat that it is pasted into.",
    source="https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
    bad=sh("kubectl exec deployment/api -n shop -- env | grep DATABASE"),
    good=sh("kubectl exec deployment/api -n shop -- printenv | cut -d= -f1 | grep DATABASE"),
)  # fmt: skip
def secret_printed(context: Context) -> Iterator[Fault]:
    """env with a grep for connection settings, echo of a secret, a decoded Secret that goes nowhere."""
    for step in context.steps:
        message = _prints(step)
        if message:
            yield Fault(step.place, message, Fix("print only the names: … | cut -d= -f1"))


def _prints(step: Step) -> str:
    line = step.block.pipeline(step)
    text = " | ".join(part.command.text for part in line)
    if step.program in ("env", "printenv", "set"):
        found = re.search(r"grep\s+(?:-\w+\s+)*[\"']?\^?((?:\w*_)?(?:DATABASE|DB|POSTGRES|PASSWORD|SECRET|TOKEN|REDIS|KEY|CREDENTIAL|AWS)\w*)", text, re.I)
        hidden = re.search(r"cut -d|sed |awk |wc -l|grep -[a-z]*[cq]", text)
        if found and not hidden and not re.search(r"HOST|PORT|NAME|POOL|LEVEL|MODE$", found[1], re.I):
            return f"prints the values of {found[1]}…, the password in the connection URL among them"
    if step.program == "printenv" and len(step.words) == 2 and (_SECRET_NAME.search(step.words[1]) or re.search(r"(?:DATABASE|REDIS|MONGO\w*|BROKER)_UR[LI]", step.words[1])):
        return f"prints {step.words[1]}"
    if step.program == "echo" and len(line) == 1 and not step.command.redirects and not step.command.within:
        for word in step.command.argv[1:]:
            for name in word.variables:
                if (_SECRET_NAME.search(name) or re.search(r"(?:DATABASE|REDIS|MONGO\w*)_UR[LI]$", name)) and not re.search(rf"\$\{{(?:#{name}|{name}(?:[:+%#-]))", word.text):
                    return f"prints ${name}"
    return ""


@rule(
    "OB634", "mutable-tag", FaultClass.INSECURE, Severity.WARNING,
    summary="An image is deployed by a tag that moves",
    reason="latest or stable is another image tomorrow: what ran cannot be told, a rollback has nothing to go back to, and setting the same tag again "
           "starts no rollout.",
    source="https://kubernetes.io/docs/concepts/containers/images/#image-names",
    bad=sh("kubectl set image deployment/api api=registry.shop.internal/api:latest"),
    good=sh("kubectl set image deployment/api api=registry.shop.internal/api:1.8.2"),
)  # fmt: skip
def mutable_tag(context: Context) -> Iterator[Fault]:
    """set image, docker pull/run/scan and helm --set of own images with latest, stable, main …; manifests too."""
    for step in context.steps:
        call = step.call
        if call is None or call.tool not in ("kubectl", "docker", "helm"):
            continue
        if call.verb not in ("set image", "pull", "push", "run", "scan", "service update", "upgrade", "create deployment", "build", "image pull"):
            continue
        for word in step.command.argv[1:]:
            found = re.search(r"(?:^|=)((?:[\w.-]+(?::\d+)?/)+[\w.-]+):(latest|stable|main|master|prod|production|current)$", word.text)
            if found and call.verb != "build" and not re.search(r"trivy|grype|snyk|hadolint|curlimages|busybox|aquasec|alpine/", found[1]):
                yield Fault(step.at(word), f":{found[2]} moves: it cannot be rolled back to or told afterwards", Fix("name a version or a digest"),
                            subject=f"tag-{found[2]}")  # fmt: skip
    for manifest in context.manifests:
        for path, line in manifest.marks.items():
            if path and path[-1] == "image":
                value = manifest.get(*path)
                if isinstance(value, str) and manifest.kind and re.search(r"/[\w.-]+:(?:latest|stable)$", value):
                    yield Fault(context.place(line, value), f"{value} moves: it cannot be rolled back to", Fix("name a version or a digest"), subject=value)


@rule(
    "OB635", "plain-dump-of-personal-data", FaultClass.INSECURE, Severity.WARNING,
    summary="An unencrypted dump of personal data on the operator's disk",
    reason="Health, payment and identity data leave the guarded database for a file that is neither encrypted nor watched. Privacy laws count that "
           "as a copy that must be protected like the original.",
    source="https://cheatsheetseries.owasp.org/cheatsheets/Cryptographic_Storage_Cheat_Sheet.html",
    bad="The database holds patient records (HIPAA).\n\n" + sh("pg_dump -U app -Fc clinic > /backups/clinic.dump"),
    good="The database holds patient records (HIPAA).\n\n" + sh("set -o pipefail\npg_dump -U app -Fc clinic | age -r $RECIPIENT > /backups/clinic.dump.age"),
)  # fmt: skip
def plain_dump(context: Context) -> Iterator[Fault]:
    """Dumps into local files where the manual speaks of patients, health or card data."""
    held = re.search(r"\b(patients?|hipaa|medical records?|health records?|phi|pci[- ]dss|cardholder|social security)\b", context.text)
    if not held:
        return
    for step in context.steps:
        if step.program not in ("pg_dump", "pg_dumpall", "mysqldump", "mongodump"):
            continue
        outer = step.outermost
        line = " ".join(part.command.text for part in step.block.pipeline(step))
        to_file = any(r.operator in (">", ">>") for r in (*outer.command.redirects, *step.command.redirects)) or ">" in line
        if to_file and not re.search(r"\b(?:gpg|age|openssl enc|openssl smime|sops|kms|--sse)\b", line) and "--schema-only" not in line and " -s " not in line:
            yield Fault(step.place, f"writes {held[1]} data unencrypted to a file", Fix("pipe it through age or gpg before it is written"),
                        subject="plain-dump")  # fmt: skip


@rule(
    "OB640", "secret-in-plain-file", FaultClass.INSECURE, Severity.WARNING,
    summary="Secrets written into a plain file",
    reason="Secrets of a cluster are only base64: whoever reads the file, the disk or the bucket has them. /tmp is readable for every user of the host.",
    source="https://kubernetes.io/docs/concepts/security/secrets-good-practices/",
    bad=sh("kubectl get all,configmap,secret -n shop -o yaml > backup.yaml"),
    good=sh("kubectl get all,configmap -n shop -o yaml > backup.yaml"),
)  # fmt: skip
def secret_in_plain_file(context: Context) -> Iterator[Fault]:
    """get secrets -o yaml into a file that nothing encrypts; openssl rand into /tmp."""
    for step in context.steps:
        call = step.call
        into = [r.target.text for r in step.command.redirects if r.operator in (">", ">>")]
        if call and call.tool == "kubectl" and call.verb == "get" and call.words and into and call.has("-o", "--output"):
            kinds = call.words[0].lower().split(",")
            named = len(call.words) > 1
            if {"secret", "secrets"} & {kind.split("/")[0] for kind in kinds} and not re.search(r"\b(?:gpg|age|sops|kubeseal|openssl enc)\b", step.block.text):
                if not (named and re.search(r"before|old|delete", into[0] + step.block.text)):
                    yield Fault(step.place, f"writes the cluster's secrets in plain into {into[0]}", Fix("leave secrets out, or encrypt the file"))
        if step.program == "openssl" and "rand" in step.words and any(name.startswith("/tmp/") for name in into):
            yield Fault(step.place, "writes a new secret into /tmp, where every user can read it", Fix("umask 077 and a folder of one's own"))


@rule(
    "OB636", "remote-script-piped-to-shell", FaultClass.INSECURE, Severity.HINT,
    summary="A script from the network is run unseen",
    reason="What the server sends today runs with your rights; a cut connection runs half of it.",
    source="https://www.shellcheck.net/",
    bad=sh("curl -fsSL https://get.tool.dev/install.sh | sudo bash"),
    good=sh("curl -fsSLo install.sh https://get.tool.dev/install.sh\nsha256sum -c install.sh.sha256\nsudo bash install.sh"),
)  # fmt: skip
def piped_to_shell(context: Context) -> Iterator[Fault]:
    """curl or wget piped into a shell."""
    for step in context.steps:
        if step.program in ("curl", "wget") and any(other.program in ("bash", "sh", "zsh", "sudo") and other.command.position > 0 and re.match(r"(?:sudo\s+(?:-\w+\s+)*)?(?:ba|z)?sh\b", other.command.text) for other in step.block.pipeline(step)):
            yield Fault(step.place, "runs a script from the network unseen")


@rule(
    "OB637", "world-writable", FaultClass.INSECURE, Severity.WARNING,
    summary="chmod 777",
    reason="Every user and every process of the host may then change the file, also one that broke in through another service.",
    source="https://man7.org/linux/man-pages/man1/chmod.1.html",
    bad=sh("chmod -R 777 /var/lib/app"),
    good=sh("chown -R app:app /var/lib/app\nchmod -R u=rwX,g=rX,o= /var/lib/app"),
)  # fmt: skip
def world_writable(context: Context) -> Iterator[Fault]:
    """chmod with 777, 666 or a+w."""
    for step in context.steps:
        if step.program == "chmod" and any(re.fullmatch(r"0?(?:777|666)|a?\+rwx|[ao]\+\w*w\w*", word) for word in step.words[1:]):
            if not (len(step.words) > 2 and step.words[1] in ("+rwx",)):
                yield Fault(step.place, "makes it writable for everybody", Fix("give it to the user that runs the service"))


@rule(
    "OB638", "tls-not-verified", FaultClass.INSECURE, Severity.HINT,
    summary="curl -k against a host that has a real certificate",
    reason="-k accepts any certificate, so the check passes when it is expired or another's.",
    source="https://curl.se/docs/manpage.html#-k",
    bad=sh("curl -k https://api.shop.com/health"),
    good=sh("curl -fsS https://api.shop.com/health"),
)  # fmt: skip
def not_verified(context: Context) -> Iterator[Fault]:
    """-k with a public name."""
    for step in context.calls("curl"):
        call = step.call
        assert call is not None
        url = next((w for w in call.words if w.startswith("https://")), "")
        if call.has("-k", "--insecure") and url and not re.match(r"https://(?:localhost|127\.|10\.|192\.168|\[|[\w-]+[:/]|[\w.-]+\.(?:local|internal|svc|lan|test)\b|\$)", url):
            yield Fault(step.place, "-k accepts an expired or foreign certificate")


@rule(
    "OB639", "key-in-manual", FaultClass.INSECURE, Severity.ERROR,
    summary="A private key or a live token in the manual",
    reason="Who reads the manual has the key, and so has everybody who reads its history later. It must be revoked, not only removed.",
    source="https://docs.github.com/en/code-security/secret-scanning",
    bad=yml("password: x\nkey: AKIAQ7R5T2WPLZ3K8MNV"),
    good=yml("password: ${DB_PASSWORD}\nkey: AKIAIOSFODNN7EXAMPLE"),
)  # fmt: skip
def key_in_manual(context: Context) -> Iterator[Fault]:
    """Formats that are unmistakable: AWS keys, GitHub, Slack, Stripe live tokens, private keys."""
    for number, line in enumerate(context.document.lines, 1):
        found = re.search(r"\b(AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|xox[baprs]-\d+-\d+-\w{20,}|sk_live_\w{20,}|glpat-[\w-]{20})\b|-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE KEY-----\s*\S", line)
        if found and not re.search(r"EXAMPLE|x{6,}|X{6,}|1234|abcd", found[0], re.I):
            yield Fault(context.place(number, found[0]), "a key that works stands in the manual", Fix("revoke it, then take it out"))
