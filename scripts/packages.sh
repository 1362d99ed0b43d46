#!/bin/sh
# The system packages that the demo and the tests run as real servers. Installs what is missing by apt, as root or with
# sudo; says what to install elsewhere.
set -eu

missing=""
need() { # command-or-file package
    if ! command -v "$1" >/dev/null 2>&1 && [ ! -e "$1" ] && [ ! -x "/usr/sbin/$1" ]; then
        case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
    fi
}

server=""
for candidate in /usr/lib/postgresql/*/bin/postgres; do
    if [ -x "$candidate" ]; then server=$candidate; fi
done
[ -n "$server" ] || missing="$missing postgresql"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
need redis-server redis-server
need nginx nginx-light
need pgbouncer pgbouncer
need prometheus prometheus
need prometheus-alertmanager prometheus-alertmanager
need pgbackrest pgbackrest
need pebble pebble
need curl curl
need hey hey
need etcd etcd-server
need etcdctl etcd-client

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Install these with your system's package manager, then run make again:$missing" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null 2>&1; then
        as_root="sudo"
    else
        echo "Run this as root, then make again: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi
echo "Installing by apt:$missing"
# The servers are only wanted as programs: keep Debian from starting its own, and from making its own database cluster.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $as_root mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
started_policy=""
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
    $as_root chmod +x /usr/sbin/policy-rc.d
    started_policy=1
fi
finish() { [ -z "$started_policy" ] || $as_root rm -f /usr/sbin/policy-rc.d; }
trap finish EXIT
log=$(mktemp)
install_missing() {
    $as_root apt-get update
    # Our createcluster.conf is there before the package that owns it: without the option dpkg would ask about it.
    # shellcheck disable=SC2086  # one word a package
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold $missing
}
if ! { install_missing </dev/null; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "apt could not install:$missing (whole log: $log)" >&2
    exit 1
fi
rm -f "$log"
