"""Commands that a tool refuses or takes otherwise, and their neighbours that are in order."""

from __future__ import annotations

import pytest

from opsbook.manual.document import read_document
from opsbook.manual.extract.escalation import escalation
from opsbook.manual.extract.severities import severities
from opsbook.manual.lint import Severity, lint_document

DELETED = "```sql\nDELETE FROM events WHERE at < now() - interval '90 days';\n```"


def sh(text: str) -> str:
    return f"```bash\n{text}\n```\n"


def loud(text: str) -> set[str]:
    findings = lint_document(read_document(text, "m.md"))
    return {finding.rule for finding in findings if finding.severity != Severity.HINT}


@pytest.mark.parametrize(
    ("rule", "faulty", "in_order"),
    [
        ("OB301", "helm rollback shop --revision 3 -n shop", "helm rollback shop 3 -n shop --wait"),
        ("OB301", "argocd app sync shop --wait", "argocd app sync shop --prune --timeout 300"),
        ("OB301", "certbot renew --dryrun", "certbot renew --dry-run --dns-cloudflare-credentials /etc/cf.ini"),
        ("OB301", "gpg --encrypt --symetric a.tgz", "gpg --batch --symm a.tgz"),
        ("OB301", "openssl x509 -noout -enddates -in a.pem", "openssl x509 -noout -enddate -in a.pem"),
        (
            "OB301",
            "aws eks update-kubeconfig --cluster shop",
            "aws eks update-kubeconfig --name shop --region eu-west-1",
        ),
        ("OB301", "python manage.py collectstatic --no-prompt", "python manage.py collectstatic --noinput"),
        ("OB301", "ansible-playbook site.yml --limits app1", "ansible-playbook site.yml --limit app1 --check"),
        ("OB302", "velero backup status nightly", "velero backup describe nightly --details"),
        ("OB302", "rabbitmqctl list_queue", "rabbitmqctl -p shop list_queues name messages"),
        (
            "OB361",
            "kubectl wait pod/api-0 --for=condition=Ready --timeout=60 -n shop",
            "kubectl wait pod/api-0 --for=condition=Ready --timeout=60s -n shop",
        ),
        ("OB361", "velero backup create b --ttl 30d", "velero backup create b --ttl 720h"),
        ("OB361", "docker logs --since 2d web", "docker logs --since 48h web"),
        ("OB362", "aws s3 cp /srv/backup/ s3://shop/daily/", "aws s3 cp /srv/backup/ s3://shop/daily/ --recursive"),
        ("OB362", "sed -i 's/pg1/pg2' /etc/shop/env", "sed -i 's/pg1/pg2/' /etc/shop/env"),
        ("OB362", "nginx -s restart", "nginx -t && nginx -s reload"),
        ("OB362", "kubectl apply deployment.yaml -n shop", "kubectl apply -n shop -f -"),
        ("OB363", "redis-cli DEL 'session:*'", "redis-cli DEL session:1"),
        ("OB363", "tail -f /var/log/a.log | sort | uniq -c", "tail -n 500 /var/log/a.log | sort | uniq -c"),
        (
            "OB363",
            "redis-cli -h c1 --scan | xargs redis-cli unlink",
            "redis-cli -h c1 --scan | xargs redis-cli -h c1 unlink",
        ),
        ("OB145", "sort a.log > a.log", "sort a.log > b.log"),
        ("OB146", 'docker ps | awk "{print $1}"', "docker ps | awk '{print $1}'"),
        ("OB147", "STAMP=$(date +%F)\ntouch a-$STAMP\nrm a-$STMP", "STAMP=$(date +%F)\ntouch a-$STAMP\nrm a-$STAMP"),
        (
            "OB364",
            "kubectl get secret t -n shop -o jsonpath='{.data.tls.crt}'",
            "kubectl get secret t -n shop -o jsonpath='{.data.tls\\.crt}'",
        ),
        ("OB670", "find /var/log/shop -delete -name '*.gz'", "find /var/log/shop -name '*.gz' -mtime +9 -delete"),
        ("OB670", "npx knex migrate:rollback --all", "npx knex migrate:latest"),
        ("OB671", "python manage.py migrate orders 0041 --fake", "python manage.py migrate orders 0041"),
        ("OB117", "curl -s https://shop.org/health && echo OK", "curl -fsS https://shop.org/health && echo OK"),
    ],
)
def test_it_tells_the_refused_form_from_its_neighbour(rule: str, faulty: str, in_order: str) -> None:
    assert rule in loud(sh(faulty))
    assert rule not in loud(sh(in_order))


@pytest.mark.parametrize(
    ("rule", "text", "told"),
    [
        ("OB368", "Argo CD syncs the cluster from Git.\n\n" + sh("helm rollback shop 3 -n shop"), True),
        ("OB368", "Argo CD syncs the cluster from Git.\n\nSuspend it.\n\n" + sh("helm rollback shop 3 -n shop"), False),
        (
            "OB314",
            "The HPA shop-api sets the replicas.\n\n" + sh("kubectl scale deploy shop-api --replicas 9 -n s"),
            True,
        ),
        ("OB526", "- RTO: 30 minutes\n\nRestore the newest snapshot. Expect 90 minutes for it.", True),
        ("OB584", f"- Events: kept for 180 days\n\n{DELETED}", True),
        ("OB584", f"- Events: kept for 90 days\n\n{DELETED}", False),
        ("OB361", "```cron\n0 3 * * * root velero backup create n --ttl 7d\n```", True),
    ],
)
def test_it_holds_commands_against_what_the_text_says(rule: str, text: str, told: bool) -> None:
    assert (rule in loud(text)) is told


def test_it_reads_severities_beside_another_list_of_the_section() -> None:
    text = (
        "## Incident severities\n\n- **SEV-1** (down): acknowledge within 5 minutes, resolve within 1 hour.\n"
        "- **SEV-2** (slow): acknowledge within 30 minutes.\n\nThen call one of:\n\n- Ana\n- Bo\n- Cy\n- Di\n- Ed\n"
    )
    assert [(s.response, s.resolution) for s in severities(read_document(text, "m.md"))] == [
        ("5min", "1h"),
        ("30min", ""),
    ]


def test_it_reads_a_sentence_that_passes_a_page_on() -> None:
    text = (
        "## Escalation\n\nIf nobody acknowledges within 15 minutes the page goes to the second line, and after 1 hour "
        "to the head of engineering.\n"
    )
    assert [(e.who, e.within) for e in escalation(read_document(text, "m.md"))] == [
        ("second line", "15 minutes"),
        ("head of engineering", "1 hour"),
    ]
