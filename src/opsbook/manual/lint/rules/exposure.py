"""Servers, rights and guards: what a step opens to everybody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.document import Fence
from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import sh, sql, yml
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, rule

_DATA_PORTS = {
    "5432": "PostgreSQL",
    "6432": "PgBouncer",
    "3306": "MySQL",
    "6379": "Redis",
    "27017": "MongoDB",
    "9200": "Elasticsearch",
    "11211": "memcached",
    "2375": "the Docker daemon",
    "2379": "etcd",
}
_PUBLISHED = re.compile(r"^(?:0\.0\.0\.0:)?\d+:(\d+)(?:/tcp)?$")
_DEV = re.compile(r"\bdev\b|develop|local(?:ly|host)?\b|\btest|staging|sandbox|playground|quick ?start", re.I)


@rule(
    "OB680",
    "database-port-published",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="The port of a database or cache published on every address of the host",
    reason=(
        "Docker writes its own firewall rules ahead of the host's: a port published without an address is reachable "
        "from outside, ufw or not. Containers of one network need no published port."
    ),
    source="https://docs.docker.com/engine/network/port-publishing/#published-ports",
    bad=yml('services:\n  db:\n    image: postgres:16.2\n    ports:\n      - "5432:5432"'),
    good=yml('services:\n  db:\n    image: postgres:16.2\n    ports:\n      - "127.0.0.1:5432:5432"'),
)
def database_port_published(context: Context) -> Iterator[Fault]:
    """`ports` of compose services and -p of docker run with the port of a data store and no address."""
    for step in context.calls("docker", "run", "create"):
        for published in step.call.values("-p", "--publish") if step.call else ():
            found = _PUBLISHED.match(published)
            said = f"{step.comment} {' '.join(step.block.section_path[-2:])}"
            if found and found[1] in _DATA_PORTS and not _DEV.search(said):
                yield Fault(step.place, _open(found[1]), Fix(f"127.0.0.1:{published}"), subject=f"port-{found[1]}")
    for number, line in _compose_lines(context):
        value = re.match(r"""\s*-\s*["']?([\d.:]+(?:/tcp)?)["']?\s*(?:#.*)?$""", line)
        found = _PUBLISHED.match(value[1]) if value else None
        if value and found and found[1] in _DATA_PORTS:
            fix = Fix(f"127.0.0.1:{value[1]}, or no published port at all")
            yield Fault(context.place(number, value[1]), _open(found[1]), fix, subject=f"port-{found[1]}")


def _open(port: str) -> str:
    return f"{_DATA_PORTS[port]} is published on every address of this host, past its firewall"


def _compose_lines(context: Context) -> Iterator[tuple[int, str]]:
    """The lines of compose files, in blocks of their own or written by a here-document."""
    for fence in context.document.fences():
        if _DEV.search(" ".join(fence.section_path[-2:])):
            continue
        if re.search(r"(?m)^\s+image:|^\s*services:", fence.text) and "apiVersion:" not in fence.text:
            yield from enumerate(fence.text.split("\n"), fence.line)


_NO_LOGIN = (
    (r"^\s*(?:host|hostssl|hostnossl)\s+\S+\s+\S+\s+(?!127\.|::1|localhost|samehost)\S+(?:\s+255\S+)?\s+trust\b",
     "lets everybody of this network in as any user, without a password"),
    (r"^\s*(?:-\s*)?POSTGRES_HOST_AUTH_METHOD\s*[:=]\s*[\"']?trust",
     "lets everybody in as any user, without a password"),
    (r"^\s*(?:-\s*)?(?:ALLOW_EMPTY_PASSWORD|MYSQL_ALLOW_EMPTY_PASSWORD|MARIADB_ALLOW_EMPTY_ROOT_PASSWORD)\s*[:=]\s*[\"']?"
     r"(?:yes|true|1)\b", "starts the server without a password"),
    (r"^\s*(?:-\s*)?xpack\.security\.enabled\s*[:=]\s*[\"']?false", "switches logins and TLS of Elasticsearch off"),
    (r"^\s*protected-mode\s+no\b|CONFIG SET protected-mode no\b", "takes Redis' guard against the open network away"),
    (r"--skip-grant-tables\b(?!.*--skip-networking)|^\s*skip-grant-tables\s*$",
     "lets everybody in as root, over the network"),
    (r"^\s*host\s+all\s+all\s+0\.0\.0\.0/0\s+password\b", "sends passwords in the open from any address"),
)  # fmt: skip


@rule(
    "OB681",
    "login-switched-off",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A server that lets everybody in",
    reason=(
        "trust, an empty password or a guard switched off make every host that reaches the port an administrator; "
        "such servers are found by scanners within hours."
    ),
    source="https://www.postgresql.org/docs/current/auth-trust.html",
    bad=sh('echo "host all all 0.0.0.0/0 trust" >> /etc/postgresql/16/main/pg_hba.conf'),
    good=sh('echo "host shop shop 10.0.0.0/8 scram-sha-256" >> /etc/postgresql/16/main/pg_hba.conf'),
)
def login_switched_off(context: Context) -> Iterator[Fault]:
    """pg_hba trust beyond this host, empty passwords, protected-mode no, --skip-grant-tables; in blocks of any kind."""
    for fence in context.document.fences():
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            text = re.sub(r"^\s*(?:echo|printf)\s+[\"']", "", line)
            if text.lstrip().startswith("#"):
                continue
            for pattern, harm in _NO_LOGIN:
                found = re.search(pattern, text, re.I)
                if found:
                    yield Fault(context.place(number), harm)
                    break


_GUARDS = (
    (r"^ufw\s+(?:--force\s+)?disable\b", "takes the host's firewall down"),
    (r"^(?:ip6?tables)\s+(?:-F|--flush)\s*$", "flushes every rule of the host's firewall"),
    (r"^setenforce\s+0\b", "switches SELinux off for every service of the host"),
    (r"^systemctl\s+(?:--now\s+)?(?:stop|disable)\s+(?:--now\s+)?(?:firewalld|ufw|nftables|fail2ban|apparmor|auditd)\b",
     "stops a guard of the host"),
    (r"^git config .*http\.sslVerify\s+[\"']?false", "git takes any certificate from now on"),
    (r"^npm config set strict-ssl\s+false", "npm takes any certificate from now on"),
    (r"--insecure-skip-tls-verify(?:=true)?\b", "sends the credentials to whoever answers"),
    (r"^(?:docker|podman)\s+run\b.*\s--privileged\b", "gives the container all rights of root on the host"),
    (r"^aws s3(?:api)?\b.*(?:--acl[= ]public-read|public-read-write)\b",
     "everybody on the internet can read the object"),
    (r"(?=.*--port[= ](?:22|3306|5432|6379|27017)\b).*--cidr[= ]0\.0\.0\.0/0\b",
     "opens the port to the whole internet"),
    (r"^kubectl create clusterrolebinding\b.*--clusterrole[= ]cluster-admin\b",
     "makes the account an administrator of the whole cluster"),
)  # fmt: skip
_SETTINGS = (
    (r"^\s*(?:-\s*)?(?:export\s+)?NODE_TLS_REJECT_UNAUTHORIZED\s*[:=]\s*[\"']?0", "Node takes any certificate"),
    (r"^\s*(?:-\s*)?(?:export\s+)?PYTHONHTTPSVERIFY\s*[:=]\s*[\"']?0", "Python takes any certificate"),
    (r"^\s*privileged:\s*true\b", "gives the container all rights of root on the host"),
    (r"\bverify\s*=\s*False\b", "takes any certificate"),
)


@rule(
    "OB682",
    "guard-switched-off",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A firewall, a certificate check or another guard is switched off",
    reason=(
        "What was switched off to find a fault stays off: nothing in the procedure switches it on again, and from then "
        "on nobody notices."
    ),
    source="https://cheatsheetseries.owasp.org/cheatsheets/Docker_Security_Cheat_Sheet.html",
    bad=sh("sudo ufw disable"),
    good=sh("sudo ufw allow from 10.0.0.0/8 to any port 5432 proto tcp"),
)
def guard_switched_off(context: Context) -> Iterator[Fault]:
    """Commands and settings of the two tables; not where the same block or section switches the guard on again."""
    for step in context.steps:
        text = " ".join(step.words)
        for pattern, harm in _GUARDS:
            if re.search(pattern, text) and not re.search(
                r"ufw (?:--force )?enable|iptables-restore|setenforce 1|(?:sslVerify|strict-ssl) true|systemctl start",
                step.block.text,
            ):
                yield Fault(step.place, harm)
                break
    for fence in context.document.fences():
        yield from _loose_settings(context, fence)


def _loose_settings(context: Context, fence: Fence) -> Iterator[Fault]:
    for number, line in enumerate(fence.text.split("\n"), fence.line):
        for pattern, harm in _SETTINGS:
            if re.search(pattern, line) and not line.lstrip().startswith("#"):
                yield Fault(context.place(number), harm, subject=harm)


@rule(
    "OB683",
    "rights-too-wide",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="An application's account gets every right of the server",
    reason=(
        "Whoever gets hold of the application's password then has every database, and on PostgreSQL, as superuser, "
        "the host's shell too."
    ),
    source="https://www.postgresql.org/docs/current/role-attributes.html",
    bad=sql("ALTER USER app WITH SUPERUSER;"),
    good=sql("GRANT CONNECT ON DATABASE shop TO app;"),
)
def rights_too_wide(context: Context) -> Iterator[Fault]:
    """SUPERUSER for a role that is no administrator's by its name; GRANT ALL ON *.*."""
    lines = [(s.line, s.bare) for s in context.statements]
    lines += [
        (number, line)
        for fence in context.document.fences()
        if fence.language == "sql"
        for number, line in enumerate(fence.text.split("\n"), fence.line)
        if "*.*" in line
    ]
    for number, text in lines:
        role = re.match(r"(?:ALTER|CREATE) (?:USER|ROLE)\s+\"?([\w-]+)\"?\b.*?(?<!NO)\bSUPERUSER\b", text, re.I | re.S)
        if role and not re.search(r"admin|postgres|dba|root|emergency|break", role[1], re.I):
            yield Fault(context.place(number), f"makes {role[1]} a superuser of the whole server")
        wide = re.search(r"GRANT ALL (?:PRIVILEGES )?ON \*\.\* TO\s+(\S+)", text, re.I)
        if wide and not re.search(r"admin|root|dba", wide[1], re.I):
            yield Fault(context.place(number), f"gives {wide[1].rstrip(';')} every right on every database")


@rule(
    "OB684",
    "login-over-plain-http",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A password or token sent over plain HTTP to another host",
    reason="Everybody on the way reads it. A name that answers on https is no dearer.",
    source="https://cheatsheetseries.owasp.org/cheatsheets/Transport_Layer_Security_Cheat_Sheet.html",
    bad=sh('curl -fsS -X POST http://api.shop.io/login -d "user=ops&password=$PW"'),
    good=sh("curl -fsS -X POST https://api.shop.io/login -d @login.form"),
)
def login_over_http(context: Context) -> Iterator[Fault]:
    """curl with -u, an Authorization header or a password in its data, to http:// and a name with dots."""
    public = re.compile(
        r"^http://(?!localhost|127\.|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|\[)"
        r"(?![\w.-]+\.(?:local|internal|svc|lan|test|cluster)\b)[\w-]+(?:\.[\w-]+)+"
    )
    for step in context.calls("curl"):
        call = step.call
        url = next((w for w in call.words if public.match(w)), "") if call else ""
        if url and re.search(r"\s-u\s|--user\b|Authorization:|password[\"']?\s*[=:]|token=", step.command.text, re.I):
            yield Fault(step.place, "sends the password or token unencrypted", Fix("https://"))
