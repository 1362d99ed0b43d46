"""Hosts and their services: settings that are not applied, tests that do not hold a step back, rights and doors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from opsbook.manual.lint.context import Context
from opsbook.manual.lint.example import block, promql, sh
from opsbook.manual.lint.facts.expressions import nodes
from opsbook.manual.lint.finding import FaultClass, Fix, Severity
from opsbook.manual.lint.rule import Fault, Place, rule


@rule(
    "OB358",
    "kernel-setting-not-applied",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A line is added to sysctl.conf and nothing reads it",
    reason="The kernel reads /etc/sysctl.conf at boot, or when sysctl -p or --system is run; a restart of a service "
    "changes nothing.",
    source="https://man7.org/linux/man-pages/man8/sysctl.8.html",
    bad=sh('echo "net.core.somaxconn = 1024" | sudo tee -a /etc/sysctl.conf\nsystemctl restart redis'),
    good=sh('echo "net.core.somaxconn = 1024" | sudo tee -a /etc/sysctl.conf\nsysctl -p'),
)
def kernel_setting_not_applied(context: Context) -> Iterator[Fault]:
    """Writes to sysctl.conf or sysctl.d in a block and section without sysctl -p, --system, -w or a reboot."""
    for shell in context.scripts:
        if re.search(
            r"sysctl\s+(?:-p|--system|--load|-w)|\breboot\b", shell.text + context.section_text(shell.section_path)
        ):
            continue
        lines = [
            (number, line)
            for number, line in enumerate(shell.text.split("\n"), shell.line)
            if re.search(r"(?:>>?|tee\b.*|cp \S+|-i\b.*)\s*/etc/sysctl\.(?:conf|d/)", line)
        ]
        if lines:
            yield Fault(context.place(lines[-1][0]), "takes effect at the next boot only", Fix("sysctl -p"))


@rule(
    "OB665",
    "reloaded-though-refused",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="The test of a configuration does not hold back the reload",
    reason="Behind ; the reload follows a failed test too: a restart with a broken file takes the site down.",
    source="https://nginx.org/en/docs/switches.html",
    bad=sh("sudo nginx -t; sudo systemctl restart nginx"),
    good=sh("sudo nginx -t && sudo systemctl reload nginx"),
)
def reloaded_though_refused(context: Context) -> Iterator[Fault]:
    """`TEST; reload` in one line; an edited haproxy, nginx or apache file and a restart with no test at all."""
    tests = r"nginx -t|haproxy -c[^;&|]*|apachectl configtest|apache2ctl -t|httpd -t|promtool check[^;&|]*|visudo -c"
    for shell in context.scripts:
        for number, line in enumerate(shell.text.split("\n"), shell.line):
            if re.search(rf"(?:{tests})\s*;\s*(?:sudo )?(?:systemctl|service|nginx|haproxy|apachectl|kill)\b", line):
                yield Fault(context.place(number), "goes on after a failed test", Fix("&& for ;"))
        for step in shell.top:
            call = step.call
            name = call.words[0] if call and call.tool == "systemctl" and call.verb == "restart" and call.words else ""
            name = name.removesuffix(".service")
            if name not in ("haproxy", "nginx", "apache2", "httpd") or re.search(tests, shell.text):
                continue
            ahead = [s for s in shell.before(step) if re.search(rf"/etc/{name}\b", s.command.text)]
            if any(s.program in ("vim", "vi", "nano", "sed", "cp", "mv", "tee", "ln") for s in ahead):
                yield Fault(
                    step.place,
                    f"{name} is stopped before anybody knows whether the new file is good",
                    Fix("test first, then reload"),
                )


@rule(
    "OB685",
    "service-as-root",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="An application server that runs as root",
    reason="A fault of the application is then a fault of the whole host.",
    source="https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#User=",
    bad=block("ini", "[Service]\nUser=root\nExecStart=/srv/shop/venv/bin/gunicorn shop.wsgi"),
    good=block("ini", "[Service]\nUser=shop\nExecStart=/srv/shop/venv/bin/gunicorn shop.wsgi"),
)
def service_as_root(context: Context) -> Iterator[Fault]:
    """User=root in a unit whose ExecStart is an application server."""
    for fence in context.document.fences():
        if not re.search(
            r"(?m)^ExecStart=.*(?:gunicorn|uvicorn|celery|node\b|npm|java\b|python|puma|php|/opt/|/srv/)", fence.text
        ):
            continue
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            if re.match(r"\s*User=root\s*$", line):
                yield Fault(Place(number), "the application runs as root", Fix("a user of its own"))


_STORES = {
    "3306": "MySQL",
    "5432": "PostgreSQL",
    "6379": "Redis",
    "27017": "MongoDB",
    "9200": "Elasticsearch",
    "11211": "memcached",
    "5672": "RabbitMQ",
    "2379": "etcd",
}


@rule(
    "OB686",
    "store-open-to-the-world",
    FaultClass.INSECURE,
    Severity.WARNING,
    summary="A firewall opened for a database to everybody",
    reason="Data stores are found by scanners within hours; only the hosts that use them need the port.",
    source="https://cheatsheetseries.owasp.org/cheatsheets/Database_Security_Cheat_Sheet.html",
    bad=sh("sudo ufw allow 3306"),
    good=sh("sudo ufw allow from 10.0.1.0/24 to any port 3306"),
)
def store_open(context: Context) -> Iterator[Fault]:
    """ufw allow PORT, firewall-cmd --add-port, a security group or iptables rule with no or any source."""
    for step in context.steps:
        text = step.command.text
        port = (
            re.match(r"ufw allow (?:in )?(\d+)(?:/tcp)?(?:\s+comment .*)?$", text)
            or re.match(r"firewall-cmd\b.*--add-port[= ](\d+)/tcp", text)
            or re.match(r"aws ec2 authorize-security-group-ingress\b(?=.*0\.0\.0\.0/0).*--port (\d+)", text)
            or (
                not re.search(r"\s-s\s|--source|-i lo\b", text)
                and re.match(r"iptables -[AI] INPUT\b.*--dport (\d+).*-j ACCEPT", text)
            )
        )
        if port and port[1] in _STORES:
            yield Fault(step.place, f"{_STORES[port[1]]} is open to every address", Fix("name the hosts that need it"))


@rule(
    "OB608",
    "queue-that-forgets",
    FaultClass.CONTRADICTION,
    Severity.ERROR,
    summary="A Redis that holds a queue, with a policy that evicts keys",
    reason="When the memory is full, allkeys-lru and the like throw away what was used least: waiting tasks and their "
    "results. A broker needs noeviction.",
    source="https://redis.io/docs/latest/develop/reference/eviction/",
    bad="Redis is the Celery broker.\n\n"
    + sh("redis-cli CONFIG SET maxmemory-policy allkeys-lru\nredis-cli CONFIG REWRITE"),
    good="Redis is the Celery broker.\n\n"
    + sh("redis-cli CONFIG SET maxmemory-policy noeviction\nredis-cli CONFIG REWRITE"),
)
def queue_that_forgets(context: Context) -> Iterator[Fault]:
    """allkeys-… in a manual that calls its one Redis broker or queue and has no second Redis for the cache."""
    role = re.compile(
        r"redis[^.\n]{0,60}\b(?:broker|queues?|bullmq|sidekiq|celery)\b|\b(?:broker|queue|bullmq)\b[^.\n]{0,40}redis",
        re.I,
    )
    two = re.search(r"redis-?(?:cache|broker|queue)\b|cache-redis|redis_cache", context.text)
    if two or not any(role.search(text) for _, text in context.prose):
        return
    for fence in context.document.fences():
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            if found := re.search(r"maxmemory-policy\W{1,4}(allkeys-\w+)", line):
                yield Fault(
                    context.place(number, found[1]),
                    f"{found[1]} evicts waiting tasks",
                    Fix("noeviction"),
                    subject="evicts",
                )


@rule(
    "OB414",
    "seconds-called-milliseconds",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A metric in seconds compared with a number of milliseconds",
    reason="_seconds metrics count seconds: > 500 fires after eight minutes, that is, never.",
    source="https://prometheus.io/docs/practices/naming/#base-units",
    bad=promql("histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket[5m])) by (le)) > 500"),
    good=promql("histogram_quantile(0.95, sum(rate(http_request_duration_seconds_bucket[5m])) by (le)) > 0.5"),
)
def seconds_called_milliseconds(context: Context) -> Iterator[Fault]:
    """Request, query and response durations in seconds against 100 and more, with no factor between."""
    for expression in context.expressions:
        text = expression.text
        found = re.search(
            r"(?:request|response|query|http|latency|handler)\w*_seconds(?:_bucket|_sum)?\b[^>*]*>=?\s*(\d{3,})\b", text
        )
        if found and not re.search(r"\*\s*1000|_total\b|timestamp|time\(\)", text):
            yield Fault(
                expression.find(found[1]), f"seconds compared with {found[1]}", Fix(f"{int(found[1]) / 1000:g}")
            )


@rule(
    "OB415",
    "count-asked-as-rate",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="Restarts per second compared with a number of restarts",
    reason="rate() is per second: more than one restart a second never happens. increase() counts them.",
    source="https://prometheus.io/docs/prometheus/latest/querying/functions/#increase",
    bad=promql("rate(kube_pod_container_status_restarts_total[15m]) > 3"),
    good=promql("increase(kube_pod_container_status_restarts_total[15m]) > 3"),
)
def count_asked_as_rate(context: Context) -> Iterator[Fault]:
    """rate of …restarts… compared with 1 or more, with no factor."""
    for expression in context.expressions:
        for node in nodes(expression.tree):
            if type(node).__name__ != "BinaryExpr":
                continue
            found = re.search(r"\brate\(\s*\w*restarts?\w*.*?\)\s*>=?\s*(\d+)", expression.text, re.S)
            if found and int(found[1]) >= 1 and "*" not in expression.text:
                yield Fault(
                    expression.find("rate("), "restarts per second: never that many", Fix("increase() for rate()")
                )
                break


@rule(
    "OB518",
    "template-variable-left",
    FaultClass.DANGLING,
    Severity.WARNING,
    summary="A variable of a template that nobody filled in",
    reason="The page was made from a template and not finished: a date, owner or address is missing.",
    source="the manual itself",
    bad="Text.\n\nLast updated: {{DATE}}",
    good="Text.\n\nAlerts use `{{ $labels.instance }}`. Last updated: 2026-02-11",
)
def template_variable_left(context: Context) -> Iterator[Fault]:
    """{{NAME}} and ${NAME} of capitals in running text outside of code."""
    for line, text in context.prose:
        source = re.sub(r"`[^`]*`", "", context.document.lines[line - 1] if line <= len(context.document.lines) else "")
        found = re.search(r"\{\{\s*[A-Za-z_]+\s*\}\}|<%=?\s*\w+\s*%>|(?<!\\)\{%\s*\w+", source)
        if found and found[0] in text:
            yield Fault(context.place(line, found[0]), f"{found[0]} was never filled in")


@rule(
    "OB668",
    "every-operation-killed",
    FaultClass.DESTROYS,
    Severity.ERROR,
    summary="Every running operation of a MongoDB server is killed",
    reason="currentOp lists the server's own work too: replication, index builds and writes are cut off.",
    source="https://www.mongodb.com/docs/manual/reference/method/db.killOp/",
    bad=sh("mongosh shop --eval 'db.currentOp().inprog.forEach(o => db.killOp(o.opid))'"),
    good=sh("mongosh shop --eval 'db.killOp(12345)'"),
)
def every_operation_killed(context: Context) -> Iterator[Fault]:
    """killOp over currentOp() with no filter and no condition."""
    for number, line in enumerate(context.document.lines, 1):
        if (
            re.search(r"currentOp\(\s*(?:true)?\s*\)\.inprog\.(?:forEach|map)", line)
            and "killOp" in line
            and not re.search(r"\bif\b|filter|&&|\?", line)
        ):
            yield Fault(
                context.place(number, "killOp"),
                "kills replication and writes too",
                Fix("filter by ns, client and secs_running"),
            )


_MONGO_GONE = (
    (re.compile(r"\bbackground\s*:\s*true"), "background is ignored since MongoDB 4.2"),
    (re.compile(r"\.ensureIndex\("), "ensureIndex is gone: createIndex"),
    (re.compile(r"\brs\.slaveOk\(|\.setSlaveOk\("), "slaveOk is gone: readPref"),
    (re.compile(r"\bdb\.eval\("), "db.eval is gone since MongoDB 4.2"),
    (
        re.compile(r"\brs\.printSlaveReplicationInfo|\bdb\.printSlaveReplicationInfo"),
        "printSlaveReplicationInfo is gone: printSecondaryReplicationInfo",
    ),
    (
        re.compile(
            r"^\s*(?:sudo )?(?:docker (?:compose )?exec (?:-\S+ )*\S+ )?mongo (?:--eval|--host|-u|admin|\w+ --eval|mongodb://)"
        ),
        "the mongo shell is gone since MongoDB 6.0: mongosh",
    ),
)


@rule(
    "OB359",
    "mongo-word-gone",
    FaultClass.DEPRECATED,
    Severity.WARNING,
    summary="A word of MongoDB that newer servers or shells no longer know",
    reason="The shell answers that it is no function or no command, or the option is silently ignored.",
    source="https://www.mongodb.com/docs/mongodb-shell/reference/compatibility/",
    bad=sh("mongosh shop --eval 'db.orders.ensureIndex({customer: 1})'"),
    good=sh("mongosh shop --eval 'db.orders.createIndex({customer: 1})'"),
)
def mongo_word_gone(context: Context) -> Iterator[Fault]:
    """The table above, in blocks that speak to MongoDB."""
    for fence in context.document.fences():
        for number, line in enumerate(fence.text.split("\n"), fence.line):
            for pattern, what in _MONGO_GONE:
                if pattern.search(line) and re.search(r"mongo|\bdb\.|\brs\.", line):
                    yield Fault(context.place(number), what)


@rule(
    "OB669",
    "release-forced",
    FaultClass.UNSAFE,
    Severity.WARNING,
    summary="helm upgrade --force",
    reason="What cannot be patched is deleted and made anew: its pods go down together.",
    source="https://helm.sh/docs/helm/helm_upgrade/",
    bad=sh("helm upgrade shop ./chart -n shop --force"),
    good=sh("helm upgrade shop ./chart -n shop --atomic"),
)
def release_forced(context: Context) -> Iterator[Fault]:
    """--force of helm upgrade, install and rollback."""
    for step in context.steps:
        if re.match(r"helm (?:upgrade|rollback)\b.*\s--force(?:\s|$)", step.command.text):
            yield Fault(step.place, "--force deletes and makes anew what it cannot patch", Fix("--atomic"))


@rule(
    "OB360",
    "dry-run-called-deployment",
    FaultClass.WILL_NOT_RUN,
    Severity.WARNING,
    summary="A deployment that is run with the option for a trial",
    reason="With --check ansible changes nothing, with --dry-run helm and kubectl neither: the steps behind it verify "
    "the old version.",
    source="https://docs.ansible.com/ansible/latest/playbook_guide/playbooks_checkmode.html",
    bad="## Deployment\n\n" + sh("ansible-playbook -i inventory/production site.yml --limit web --check"),
    good="## Deployment\n\n" + sh("ansible-playbook -i inventory/production site.yml --limit web"),
)
def dry_run_called_deployment(context: Context) -> Iterator[Fault]:
    """ansible-playbook --check below a heading of deployment, the only run of that playbook in its section."""
    for step in context.steps:
        text = step.command.text
        title = " ".join(step.block.section_path[-1:])
        if not re.match(r"ansible-playbook\b.*\s(?:--check|-C)(?:\s|$)", text) or not re.search(
            r"deploy|release|roll ?out", title, re.I
        ):
            continue
        section = context.section_text(step.block.section_path)
        said = re.search(
            r"dry|check mode|preview|test run|trial|verify", f"{step.comment} {step.outermost.comment}", re.I
        )
        if section.count("ansible-playbook") == 1 and not said:
            yield Fault(step.place, "--check changes nothing: nothing is deployed", Fix("without --check"))


@rule(
    "OB519",
    "variable-from-nowhere",
    FaultClass.DANGLING,
    Severity.HINT,
    summary="A command takes a variable that the manual sets nowhere and does not speak of",
    reason="The shell puts nothing in its place: the command fails, or acts on something else than was meant.",
    source="https://www.gnu.org/software/bash/manual/bash.html#Shell-Parameters",
    bad=sh('aws sqs get-queue-attributes --queue-url "$QUEUE_URL" --attribute-names All'),
    good="Set `QUEUE_URL` to the queue's address.\n\n"
    + sh('aws sqs get-queue-attributes --queue-url "$QUEUE_URL" --attribute-names All'),
)
def variable_from_nowhere(context: Context) -> Iterator[Fault]:
    """Names of capitals that stand behind $ alone, in no manifest, table or assignment; not those of every system."""
    whole = "\n".join(context.document.lines)
    usual = re.compile(
        r"^(?:HOME|USER|PATH|PWD|HOSTNAME|SHELL|EDITOR|LANG|RANDOM|SECONDS|EUID|UID|IFS|PIPESTATUS|BASH\w*|PG\w+|AWS_\w+|KUBECONFIG|DATABASE_URL|CI\w*|GITHUB_\w+)$"
    )
    for step in context.steps:
        if step.outer is not None:
            continue
        for found in re.finditer(
            r"\$\{?([A-Z][A-Z0-9_]*_(?:URL|ID|HOST|TOKEN|ARN|NAME|KEY|PASSWORD|PW))\}?(?![:\w#%-])",
            re.sub(r"'[^']*'", "", step.command.text),
        ):
            name = found[1]
            others = re.search(rf"(?<![$\w{{]){name}\b", whole)
            if not usual.match(name) and not others:
                yield Fault(
                    context.place(step.command.line, found[0]), f"${name} is set nowhere in the manual", subject=name
                )
