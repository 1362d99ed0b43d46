"""Names, ports, promises and schedules against each other, as other teams would write them."""

from __future__ import annotations


def block(tag: str, text: str) -> str:
    return f"```{tag}\n{text}\n```\n\n"


def sh(text: str) -> str:
    return block("bash", text)


TABLE = "| Service | Port | Health |\n|---|---|---|\n| shop-api | 3000 | `/healthz` |\n| shop-mail | 3001 | - |\n\n"
UNITS = "| Host | Services |\n|---|---|\n| web1, web2 | nginx, shop-celerybeat |\n\n"
COMPOSE = block(
    "yaml", "services:\n  api:\n    image: shop/api:1.2\n    container_name: shop-api\n    ports: ['80:3000']"
)
DEPLOYMENT = (
    "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop-api\nspec:\n  replicas: 3\n  selector:\n"
    "    matchLabels: {app: shop-api}\n  template:\n    metadata:\n      labels: {app: shop-api}\n    spec:\n"
    "      containers:\n        - name: api\n          image: shop/api:1.2\n          ports: [{containerPort: 3000}]\n"
)
PROBE = "          readinessProbe:\n            httpGet: {path: %s, port: %s}\n"

FAULTY = [
    ("OB226", block("sql", "DELETE FROM t WHERE a = 1 OR a = 2 AND b < 3")),
    ("OB229", block("sql", "STOP SLAVE;\nSET GLOBAL SQL_SLAVE_SKIP_COUNTER = 1;\nSTART SLAVE;")),
    ("OB326", "## Secret rotation\n\n" + sh("kubectl create secret generic db --from-literal=p=$P -n shop")),
    ("OB358", sh("echo 'vm.swappiness=1' >> /etc/sysctl.conf\nsystemctl restart redis")),
    ("OB359", sh("mongo --eval 'rs.status()'")),
    ("OB415", block("promql", "sum(rate(kube_pod_container_status_restarts_total[1h])) by (pod) > 5")),
    ("OB430", block("yaml", "a:\n  b: 1\n  c: 2\n  b: 3")),
    ("OB434", COMPOSE + sh("docker compose up -d --scale api=2")),
    ("OB434", COMPOSE + sh("docker compose scale api=2")),
    ("OB435", "```dockerfile\nHEALTHCHECK CMD curl http://localhost:3000/ || true\n```"),
    ("OB436", block("nginx", "server {\n    listen 80;\n    server_name shop.io\n}")),
    ("OB518", "Owner: {{OWNER}}"),
    ("OB561", UNITS + sh("sudo systemctl restart shop-celery-beat")),
    ("OB561", sh("aws rds describe-db-instances --db-instance-identifier shop-prod\n" * 2)
     + sh("aws rds reboot-db-instance --db-instance-identifier shop-production")),
    ("OB562", "| Host | Role |\n|---|---|\n| db1 | primary |\n| db2 | replica |\n\nReboot `db3`."),
    ("OB565", TABLE + sh("kubectl exec deploy/shop-api -- curl -fsS http://127.0.0.1:8080/healthz")),
    ("OB565", block("yaml", DEPLOYMENT + PROBE % ("/healthz", 3001))),
    ("OB565", block("ini", "ExecStart=/srv/venv/bin/gunicorn shop.wsgi --bind 127.0.0.1:8000")
     + block("nginx", "location / {\n    proxy_pass http://127.0.0.1:8001;\n}")),
    ("OB566", TABLE + block("yaml", DEPLOYMENT + PROBE % ("/ready", 3000))),
    ("OB567", block("yaml", "services:\n  api: {image: a, container_name: shop-api}\n  worker: {image: b}")
     + sh("docker exec shop-worker ls")),
    ("OB574", "An availability of 99.9% allows 8 hours of downtime per month."),
    ("OB575", "max_connections: 150\n\n| Alert | Condition |\n|---|---|\n| DbConn | database connections > 180 |"),
    ("OB579", "TLS certificates expire after 90 days; renew them every 3 months."),
    ("OB526", "**RTO:** 1 hour\n\nThe restore takes about 90 minutes."),
    ("OB526", "**RTO:** 1 hour\n\nRestoring takes about 45 minutes, then 30 minutes of checks."),
    ("OB608", "Redis holds the BullMQ queues.\n\n" + sh("redis-server --maxmemory-policy allkeys-lfu")),
    ("OB632", block("yaml", 'env:\n  - name: DB_PASSWORD\n    value: "w1nter-2024"')),
    ("OB654", sh("sudo find /var/log -type f -mtime +3 -exec rm {} \\;")),
    ("OB110", block("cron", "0 1 * * * mysqldump --all-databases | gzip > /b/all.sql.gz")),
    ("OB650", sh("aws sqs purge-queue --queue-url https://sqs.eu-west-1.amazonaws.com/1/orders")),
    ("OB661", sh("python manage.py migrate") + "## Rollback\n\n" + sh("git checkout v1.2\nsystemctl restart shop")),
    ("OB669", sh("helm upgrade --install shop ./chart --force")),
    ("OB686", sh("sudo ufw allow 5432/tcp")),
]  # fmt: skip

QUIET = [
    block("sql", "SELECT 1 FROM t WHERE (a = 1 OR a = 2) AND b < 3"),
    block("sql", "SELECT 1 FROM t WHERE a IS NULL OR b = 2 AND c = 3"),
    "## Setup\n\n" + sh("kubectl create secret generic db --from-file=p -n shop"),
    sh("echo 'vm.swappiness=1' > /etc/sysctl.d/90-shop.conf\nsysctl --system"),
    block("yaml", "a:\n  b: 1\nc:\n  b: 3"),
    block("yaml", "a: 1\n# or\na: 2"),
    block("yaml", "services:\n  api:\n    image: shop/api:1.2\n    expose: ['3000']")
    + sh("docker compose up -d --scale api=3"),
    block("nginx", "upstream api {\n    server api:3000;\n}"),
    TABLE + sh("kubectl exec deploy/shop-api -- curl -fsS http://127.0.0.1:3000/healthz"),
    TABLE + sh("kubectl exec deploy/shop-api -- curl -fsS http://127.0.0.1:9102/metrics"),
    block("yaml", DEPLOYMENT + PROBE % ("/healthz", 3000)),
    "The API answers at https://shop.io/health, and https://shop.io/health/ready says whether it takes traffic.",
    "An availability of 99.9% allows 43 minutes of downtime per month.",
    "max_connections: 150\n\n| Alert | Condition |\n|---|---|\n| DbConn | database connections > 80% |",
    "TLS certificates are valid for 90 days and renewed every 60 days.",
    "**RTO:** 2 hours\n\nThe restore takes about 90 minutes.",
    "Redis holds the queues.\n\n" + block("conf", "maxmemory-policy noeviction"),
    block("yaml", "env:\n  - name: DB_PASSWORD\n    valueFrom:\n      secretKeyRef: {name: db, key: password}"),
    sh("find /var/log/shop -name '*.gz' -mtime +30 -delete"),
    sh("sudo ufw allow from 10.0.0.0/24 to any port 5432"),
    sh("nginx -t && systemctl reload nginx"),
    UNITS + sh("sudo systemctl restart shop-celerybeat nginx"),
    sh("helm upgrade --install shop ./chart --atomic"),
]
