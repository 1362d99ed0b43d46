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


# Correct everyday commands, each of which one of these rules once took for a fault.
IN_ORDER = r"""
openssl dgst -sha256 shop.tgz
openssl req -x509 -newkey rsa:4096 -sha256 -days 365 -nodes -keyout k.pem -out c.pem -subj /CN=shop
openssl x509 -noout -fingerprint -sha256 -in c.pem
openssl genrsa -aes256 -out k.pem 4096
openssl rsa -aes256 -in k.pem -out e.pem
openssl cms -encrypt -aes256 -in a -out b c.pem
openssl smime -encrypt -aes256 -in a -out b c.pem
openssl ec -des3 -in a -out b
openssl s_client -host shop.org -port 443 </dev/null
openssl x509 -req -in a -out b -not_before 20260101000000Z -CA c -CAkey k
etcdctl del /shop/lock
etcdctl del --prefix /shop/
etcdctl del "/registry/x"
docker ps -q | xargs docker stop
docker ps -aq -f status=exited | xargs -r docker rm
kubectl get pods -n shop -o name | xargs kubectl delete pods
cat units | xargs sudo systemctl restart
git log --format=%h -n 3 | xargs git revert
helm ls -q | xargs helm rollback
find /var/log/shop -name '*.log' -print0 | xargs -0 tar czf logs.tgz
find . -type f -exec sh -c '⏎ gzip "$1"⏎' _ {} \;
ls *.dump | xargs pg_restore -j 4 -d shop
kubectl get events -n shop --sort-by=lastTimestamp
kubectl autoscale deploy api --min=2 --max=10 --cpu=80% -n shop
kubectl set image deploy/api $CONTAINER=$IMAGE
kubectl set image deploy/api "$PAIR"
kubectl taint nodes n1 dedicated=$TAINT
kubectl delete pod api-7d9f-x --grace-period=0 --force -n shop
kubectl logs -f job/migrate -n shop | tail -n 100
docker logs -f migrate | tail -5
tail -f --pid=$PID build.log | wc -l
helm upgrade --install shop . -n shop -f values.yaml
helm upgrade --install --wait shop bitnami/redis
aws s3 sync "$SRC" "$DST"
aws s3 cp s3://shop/a.gz /dev/stdout | gunzip | psql -v ON_ERROR_STOP=1 shop
aws ec2 authorize-security-group-ingress --group-id g --protocol tcp --port 443 --cidr 10.0.0.0/8
find / -xdev -name core -delete
docker volume rm $(docker volume ls -q -f dangling=true)
docker volume rm $(docker volume ls -q --filter label=stage=test)
zfs destroy -r tank/backup@old
zfs destroy -rn tank/old
lvremove -f vg/snap
rsync -a --delete --exclude /tmp /srv/ b:/srv/
mongosh shop_test --eval 'db.dropDatabase()'
RAILS_ENV=test bundle exec rails db:reset
helm uninstall -n preview $(helm list -n preview -q | grep pr-)
redis-cli shutdown nosave⏎cp /var/backups/dump.rdb /var/lib/redis/dump.rdb
systemctl stop postgresql⏎mv /var/lib/postgresql/16/main /srv/old⏎tar -xf base.tar -C /var/lib/postgresql/16/main
systemctl stop postgresql⏎cp -a /var/lib/postgresql/16/main /root/main.bak
cp -a /var/lib/postgresql/16/main/postgresql.conf /root/
rsync -a /var/lib/postgresql/wal_archive/ b:/wal/
docker run --rm -v /:/host:ro node-exporter --path.rootfs=/host
docker run --rm --privileged multiarch/qemu-user-static --reset -p yes
mysqldump -u root -p shop orders > x.sql
mysql -u root -p Shop
pg_dump -U shop -W shop -f x.sql
gzip -cd a.gz | psql -v ON_ERROR_STOP=1 shop
gpg --decrypt password.gpg
redis-cli config get 'maxmemory*'
redis-cli -h localhost --scan | xargs redis-cli unlink
sed -i 's/a/b/' s/app.conf
lsof -i 6
restic repair index
restic --retry-lock 5m backup --skip-if-unchanged --read-concurrency 4 /srv
certbot renew --quiet --no-self-upgrade
rabbitmqctl check_if_any_deprecated_features_are_used
curl --max-redirs -1 -fsSL https://shop.org
journalctl --vacuum-time=1M
awk "/$1/ {print}" f
HOST_NAME=$(hostname -f)⏎echo "$HOST_NAME $HOSTNAME"
PG_USER=shop⏎psql -U "$PGUSER" -X -c 'select 1'
AWS_REGIONS="a b"⏎aws s3 ls --region "$AWS_REGION"
USERS=$(getent passwd)⏎echo "$USERS $USER"
HOMES=/home⏎cd "$HOME"
PATHS=a⏎echo "$PATH"
TODAYS=x⏎printf -v TODAY '%(%F)T' -1⏎echo "$TODAY"
NODE_A=a⏎echo "$NODE_B"
DB_HOSTS=a⏎echo "${DB_HOST:-localhost}"
"""
TOOLS = {f"OB{n}" for n in (145, 146, 147, 301, 302, 361, 362, 363, 364, 365, 670, 671, 672)}


@pytest.mark.parametrize("command", IN_ORDER.strip().splitlines())
def test_it_is_silent_about_correct_everyday_commands(command: str) -> None:
    assert not loud(sh(command.replace("⏎", "\n"))) & TOOLS


@pytest.mark.parametrize(
    ("rule", "faulty"),
    [
        ("OB301", "openssl dgst -sha266 f"),
        ("OB670", 'etcdctl del "" --prefix'),
        ("OB670", "etcdctl del / --prefix"),
        ("OB670", "find / -name core -delete"),
        ("OB670", "docker volume rm $(docker volume ls -q)"),
        ("OB670", "zfs destroy -r tank/backup"),
        ("OB670", "tar xzf b.tgz -C /var/lib/postgresql/16/main"),
        ("OB671", "cp -a /var/lib/postgresql/16/main /root/"),
        ("OB671", 'redis-cli config set requirepass ""'),
        ("OB362", "docker stop"),
        ("OB362", "helm upgrade shop --set a=b -n shop"),
        ("OB362", "helm rollback -n shop"),
        ("OB362", "kubectl delete pods -n shop"),
        ("OB362", "openssl s_client -connect shop.org -servername shop.org"),
        ("OB362", "sed -i -e 's/a/b' f"),
        ("OB363", "mysqldump -u root -p S3cret! shop > x.sql"),
        ("OB363", 'mysql -u root -p "$MYSQL_PASSWORD" shop'),
        ("OB363", "kubectl logs -f deploy/api -n shop | tail -n 100"),
        ("OB363", "gzip -d a.gz | psql -v ON_ERROR_STOP=1 shop"),
        ("OB147", "BACKUP_DIR=/b\nls $BACKUP_DIR\nrm -r $BACKUP_DRI/x"),
    ],
)
def test_it_still_finds_the_fault_beside_them(rule: str, faulty: str) -> None:
    assert rule in loud(sh(faulty))


def test_it_tells_of_a_forced_deletion_once() -> None:
    assert len({"OB660", "OB671"} & loud(sh("kubectl delete pod api-0 --grace-period=0 --force"))) == 1


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
        ("OB584", f"- Events: kept for 180 days\n\n{DELETED}".replace("WHERE", "WHERE status = 'draft' AND"), False),
        ("OB230", "```sql\nSELECT nextval(orders_id_seq);\n```", True),
        ("OB230", "```sql\nUPDATE orders SET id = nextval(seq);\n```", False),
        ("OB368", "Argo CD syncs the cluster from Git.\n\n" + sh("helm upgrade argo-cd argo/argo-cd -n argocd"), False),
        ("OB671", "## Local development\n\n" + sh("python manage.py runserver\nuvicorn shop:app --reload"), False),
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
