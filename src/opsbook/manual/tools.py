"""Names of command-line programs that operations manuals call; to tell a shell block from any other text."""

from __future__ import annotations

COMMANDS = frozenset(
    """
    alembic alertmanager alias amtool ansible ansible-playbook ansible-vault apk apt apt-cache apt-get argo argocd
    asadmin aws awk az b2 base64 bash bat bc black borg brew btrfs buildah bun bundle bunzip2 bzip2 cargo cat cd
    celery certbot certutil chkconfig chmod chown chpasswd chronyc chroot cilium circleci clear clickhouse-client
    cmctl cmp code-server composer conda consul containerd cp cqlsh createdb createuser crictl crontab ctr curl
    cut dart date dd deno df diff dig direnv django-admin dmesg dnf docker docker-compose docker-machine doctl
    dotnet dpkg drill dropdb dropuser du echo eksctl elixir env envsubst etcdctl eval exec exit export expr
    fail2ban-client fallocate fdisk ffmpeg file find firewall-cmd flake8 flask fluxctl flux flyctl fly flyway free
    fsck fstrim ftp fuser gcloud gem getent gh ghcr git gitlab-runner go gofmt gpg gradle ./gradlew grafana-cli
    grep groupadd gsutil gunicorn gunzip gzip halt head helm helmfile heroku hey host hostname hostnamectl htop
    http https httpie iconv id ifconfig influx initctl iostat iotop ip iperf iperf3 ipset iptables iptables-save
    istioctl java jar javac jmap jstack jstat journalctl jq k k3s k6 k9s kafka-topics kafka-topics.sh
    kafka-consumer-groups kafka-consumer-groups.sh keytool kill killall kind kinit knex kops kubeadm kubectl
    kubectx kubens kubeseal kustomize last ldapsearch less linkerd liquibase ln locust log logger loginctl
    logrotate ls lsblk lscpu lsmod lsof ltrace lvcreate lvextend lvs lynis lz4 make mc md5sum memcached mdadm
    minikube mix mkdir mkfifo mkfs mkfs.ext4 modprobe mongo mongod mongodump mongoexport mongoimport mongorestore
    mongosh more mount mpstat mtr multipass mv mvn ./mvnw mypy mysql mysqladmin mysqlbinlog mysqlcheck mysqld
    mysqldump nano nats nc ncat ncdu netplan netstat newrelic next nft nginx ngrok nice nmap node nodetool nohup
    nomad notify-send npm npx nslookup ntpdate ntpq numactl nvidia-smi nvm oc op openssl openvpn pack packer
    pacman parallel parted passwd patch patronictl pg_basebackup pg_config pg_controldata pg_ctl pg_ctlcluster
    pg_dump pg_dumpall pg_isready pg_lsclusters pg_repack pg_restore pg_resetwal pg_rewind pg_upgrade
    pg_verifybackup pgbackrest barman wal-g pgbench pgbouncer pgcli pgrep php pidof pidstat pigz ping ping6 pip
    pip-audit pip3 pipenv pipx pkill pm2 pnpm podman podman-compose poetry popd poweroff pre-commit prisma
    printenv printf prlimit prometheus promtool proxysql ps psql pstree pulumi puma pushd py-spy pytest python
    python2 python3 qemu-img rabbitmq-diagnostics rabbitmq-plugins rabbitmqadmin rabbitmqctl rails rake rclone
    read reboot redis-benchmark redis-check-aof redis-check-rdb redis-cli redis-server renice resolvectl restic
    resize2fs rm rmdir route rpm rq rsync ruby ruff rustup rvm s3cmd sar sbt scp scrapy screen scrub sed
    sentry-cli sequelize serverless service set sftp sh sha256sum sha512sum showmount shred shutdown skaffold
    skopeo sleep snap snyk socat sops sort source split sqlcmd sqlite3 sqlplus ss ssh ssh-add ssh-copy-id
    ssh-keygen stat stern strace stress stress-ng stern strings stunnel su sudo supabase supervisorctl supervisord
    svn swapoff swapon sync sysbench sysctl systemctl systemd-analyze systemd-resolve tail tailscale talosctl tar
    task tcpdump tee telepresence telnet terraform terragrunt test tftp time timedatectl timeout tmux top touch
    tox tr traceroute trap tree trivy truncate tshark ts-node tsc typeorm ufw ulimit umount unalias uname uniq
    unset unzip unzstd update-ca-certificates uptime useradd userdel usermod uv uvicorn uwsgi vacuumdb vagrant
    valgrind valkey-cli vault velero vercel vgs vi vim virsh visudo vmstat w wait watch wc wg wget wg-quick
    whereis which while who whoami whois wkhtmltopdf wrk wsl wrangler xargs xz yarn yq yum zabbix_get zcat zfs
    zgrep zip zipinfo zpool zsh zstd zypper until for if function local declare [ [[ ( { . : true false
    """.split()  # noqa: SIM905 - a table of words reads best as words
)

# Directives of redis.conf: they look like commands with arguments.
REDIS_DIRECTIVES = frozenset(
    """
    acllog-max-len activedefrag activerehashing aof-load-truncated aof-use-rdb-preamble appendfilename appendfsync
    appendonly auto-aof-rewrite-min-size auto-aof-rewrite-percentage bind client-output-buffer-limit
    cluster-config-file cluster-enabled cluster-node-timeout daemonize databases dbfilename hz
    lazyfree-lazy-eviction lazyfree-lazy-expire list-max-ziplist-size logfile loglevel masterauth maxclients
    maxmemory maxmemory-policy maxmemory-samples min-replicas-to-write no-appendfsync-on-rewrite
    notify-keyspace-events port protected-mode rdbchecksum rdbcompression rename-command repl-backlog-size
    replica-read-only replicaof requirepass save slaveof slowlog-log-slower-than slowlog-max-len
    stop-writes-on-bgsave-error supervised tcp-backlog tcp-keepalive timeout tls-port
    """.split()  # noqa: SIM905
)
