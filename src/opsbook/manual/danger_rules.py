"""What the commands of common tools do to data and services, as a table.

Each row is a regular expression over the program's name, one over its words, and the reason that people are shown.
"""

from __future__ import annotations

_KUBE = "kubectl|oc|k|kubecolor"

RULES: tuple[tuple[str, str, str], ...] = (
    (_KUBE, r"\bdelete\s(?!.*--dry-run)", "deletes Kubernetes objects"),
    (_KUBE, r"\bscale\s.*--replicas[= ]0\b", "scales a workload to nothing"),
    (_KUBE, r"\brollout\s+undo\b", "rolls a workload back"),
    (_KUBE, r"\bset\s+image\b", "replaces the running image"),
    (_KUBE, r"\breplace\s(?!.*--dry-run)", "replaces Kubernetes objects"),
    (_KUBE, r"\bdrain\s(?!.*--dry-run)", "drains a node"),
    (
        _KUBE,
        r"\bpatch\s+(?:services?|svc|ingress(?:es)?|ing|secrets?|configmaps?|cm|virtualservices?|routes?|"
        r"pvc?)\b(?!.*--dry-run)",
        "redirects traffic or overwrites configuration",
    ),
    (_KUBE, r"\bpatch\s.*\"(?:replicas\"\s*:\s*0\b|image\"|minReplicas\"\s*:\s*0)", "changes a running workload"),
    ("helm", r"\b(?:upgrade|rollback|uninstall|delete)\b(?!.*--dry-run)", "replaces or removes a release"),
    ("argocd|flux", r"\b(?:rollback|delete)\b", "rolls an application back"),
    (
        "docker|podman|nerdctl",
        r"^\S+\s+(?:container\s+|volume\s+|network\s+|image\s+)?(?:stop|kill|rm|rmi|prune)\b",
        "stops or removes containers",
    ),
    (
        "docker|podman",
        r"\b(?:system|volume|container|image|builder|network)\s+prune\b",
        "removes containers, images or volumes",
    ),
    (
        "docker|podman",
        r"\b(?:swarm leave|service\s+(?:rm|rollback|update)|stack\s+(?:rm|deploy))\b",
        "replaces or removes services",
    ),
    (
        "docker-compose|podman-compose|docker|podman",
        r"(?:compose\s(?:.*\s)?)(?:down|stop|kill|rm)\b",
        "stops the containers",
    ),
    (
        "docker-compose|docker|podman-compose",
        r"compose\s(?:.*\s)?up\b.*(?:--force-recreate|--no-deps|--build)",
        "replaces containers",
    ),
    ("systemctl", r"\b(?:stop|kill|poweroff|reboot|halt|isolate|mask)\b", "stops a service"),
    ("service", r"\sstop\b", "stops a service"),
    (
        "supervisorctl|pm2|rc-service|initctl|launchctl",
        r"\b(?:stop|delete|kill|shutdown|unload)\b",
        "stops a service",
    ),
    ("reboot|shutdown|halt|poweroff|init", "", "takes the host down"),
    ("kill|pkill|killall|fuser", r"^(?!kill\s+-(?:0|l)\b)(?!fuser(?!.*-k))", "kills processes"),
    (r"rm|rmdir|unlink|shred|wipefs|mkfs(?:\.\w+)?|lvremove|vgremove|srm", "", "deletes files"),
    ("find", r"\s-delete\b", "deletes files"),
    ("truncate", r"-s\s*0", "empties files"),
    ("dd", r"\bof=/dev/(?!null)", "overwrites a device"),
    ("rsync", r"--delete\b", "deletes files at the destination"),
    ("zfs|zpool", r"\b(?:destroy|rollback)\b", "destroys a file system"),
    ("dropdb|dropuser|pg_resetwal", "", "drops a database"),
    ("pg_restore", r"^(?!.*(?:\s-l\b|--list|\s-f\b|--file|--version|--help))", "loads a dump into a database"),
    ("mongorestore|mysqlimport", "", "loads a dump into a database"),
    ("pg_ctl|pg_ctlcluster", r"\b(?:stop|promote)\b", "stops or promotes a database server"),
    ("patronictl|repmgr", r"\b(?:failover|switchover|reinit|remove|promote)\b", "moves the primary"),
    (
        "pgbackrest|barman|wal-g|restic|velero|borg|etcdctl|duplicity|kopia|rclone|influx",
        r"\b(?:restore|recover|backup-fetch|extract|stanza-delete|purge|forget)\b",
        "restores over live data or removes backups",
    ),
    (
        "redis-cli|valkey-cli|keydb-cli",
        r"(?i)\b(?:flushall|flushdb|del|unlink|shutdown|failover|replicaof|debug)\b",
        "deletes keys or stops the server",
    ),
    ("alembic", r"\b(?:upgrade|downgrade|stamp)\b", "migrates the schema"),
    ("flyway|liquibase", r"\b(?:migrate|clean|update|undo|rollback|drop-all)\b", "migrates the schema"),
    (
        "prisma|npx|yarn|pnpm|npm|bun",
        r"\bmigrate(?:\s+(?:deploy|reset)\b|:(?:latest|up|run|rollback|down|prod\w*|deploy)|\s*$)|"
        r"\bmigration:(?:run|revert)|\bdb:(?:migrate|push|reset|seed|rollback)|\bdb\s+push|\bmigrate:up",
        "migrates the schema",
    ),
    (
        "knex|sequelize|sequelize-cli|typeorm|drizzle-kit|dbmate|goose|migrate|sqlx|diesel|atlas",
        r"migrat\w*[: ](?:latest|up|run|rollback|undo|down|revert|apply|all)|db:migrate|^(?:dbmate|goose|"
        r"migrate)\s.*\b(?:up|down|rollback|drop|force)\b",
        "migrates the schema",
    ),
    (
        "rails|rake|bin/rails|mix|artisan|php|flask|python3?|manage.py|django-admin|dotnet",
        r"\bdb:(?:migrate|rollback|drop|reset|seed)|ecto\.(?:migrate|rollback|drop)|"
        r"artisan\s+migrate(?!:status)|\bdb\s+(?:upgrade|downgrade)\b|(?:manage\.py|"
        r"django-admin)\s+(?:migrate(?!.*--(?:plan|check))|flush|reset_db)\b|ef\s+database\s+(?:update|drop)",
        "migrates the schema",
    ),
    (
        "terraform|tofu|terragrunt|pulumi|cdk|cdktf",
        r"\b(?:apply|destroy|up|deploy|taint|state\s+rm)\b",
        "changes or destroys infrastructure",
    ),
    (
        "git",
        r"\breset\s+--hard|\bclean\s+-\w*f|\bpush\s.*(?:--force\b|-f\b)|"
        r"\bcheckout\s+(?!-b\b)\S+\s+(?:--\s+)?\S+",
        "overwrites files",
    ),
    (
        "aws",
        r"\b(?:delete-[\w-]+|terminate-[\w-]+|stop-[\w-]+|s3\s+(?:rm|rb)|failover-[\w-]+|reboot-[\w-]+)\b|"
        r"\bs3\s+sync\b.*--delete|--desired-count\s+0\b|\bupdate-service\b.*--task-definition",
        "deletes or stops cloud resources",
    ),
    (
        "gcloud|az|doctl|gsutil|mc|s3cmd|b2|hcloud|linode-cli|heroku|flyctl|fly",
        r"\b(?:delete|rm|rb|stop|destroy|del|rollback|releases:rollback|pg:reset)\b",
        "deletes or stops cloud resources",
    ),
    (
        "rabbitmqctl|rabbitmqadmin",
        r"\b(?:purge_queue|delete_\w+|delete|purge|reset|force_reset|stop_app|stop|close_\w+)\b",
        "purges queues or stops the broker",
    ),
    ("celery", r"\b(?:purge|revoke|terminate|shutdown)\b", "drops tasks"),
    (
        r"kafka-[\w-]+(?:\.sh)?|nats|kcat",
        r"(?:--delete\b|--reset-offsets.*--execute|\bpurge\b|\bstream\s+(?:rm|delete)\b|consumer\s+(?:rm|"
        "delete))",
        "deletes messages",
    ),
    (
        "vault|bao",
        r"\bkv\s+(?:put|delete|destroy|undelete|rollback)\b|\bmetadata\s+delete\b|\bsnapshot\s+restore\b|"
        r"\b(?:seal|lease\s+revoke|token\s+revoke|secrets\s+disable|auth\s+disable)\b",
        "overwrites or revokes secrets",
    ),
    ("iptables|nft", r"\s-F\b|flush", "drops firewall rules"),
    ("crontab", r"\s-r\b", "removes the crontab"),
    ("userdel|deluser|groupdel", "", "removes a user"),
    ("ip|ifdown|ifconfig", r"\blink\s+set\s.*\bdown\b|^ifdown|\bdown$", "takes an interface down"),
    ("nomad|consul", r"\b(?:job\s+stop|stop|node\s+drain|leave|system\s+gc|snapshot\s+restore)\b", "stops jobs"),
    ("mysqladmin", r"\b(?:shutdown|drop|kill)\b", "stops the server or drops a database"),
    ("swarm|talosctl", r"\b(?:reset|reboot|shutdown|upgrade|rollback)\b", "takes a node down"),
)
