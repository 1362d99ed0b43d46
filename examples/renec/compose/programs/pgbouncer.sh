#!/bin/sh
# PgBouncer refuses root: it gets its own copy of what only root may read.
set -eu
install -d -o postgres -m 0700 /tmp/pgbouncer
install -o postgres -m 0600 /opt/renec/pgbouncer/userlist.txt /tmp/pgbouncer/userlist.txt
exec setpriv --reuid=postgres --regid=postgres --init-groups pgbouncer /opt/renec/pgbouncer/pgbouncer.ini
