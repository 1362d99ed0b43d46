#!/bin/sh
# `postgres.sh primary|replica`: makes the data folder where there is none, then becomes the server.
set -eu
data=/var/lib/postgresql/renec/data
given=/run/renec/secrets
as_postgres="setpriv --reuid=postgres --regid=postgres --init-groups --reset-env"
export PATH="/usr/lib/postgresql/15/bin:$PATH"

install -d -o postgres -g postgres -m 0755 /var/lib/postgresql/renec /var/run/postgresql
if [ ! -s "$data/PG_VERSION" ]; then
  rm -rf "$data"
  install -d -o postgres -g postgres -m 0700 "$data"
  if [ "$1" = primary ]; then
    # The password's file is the server's for this moment alone.
    install -o postgres -m 0600 "$given/postgres" /tmp/first
    $as_postgres /usr/lib/postgresql/15/bin/initdb -D "$data" -U postgres --pwfile=/tmp/first --data-checksums \
      --auth-host=scram-sha-256 --auth-local=peer -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
    rm -f /tmp/first
    install -o postgres -m 0600 /opt/renec/compose/postgresql.conf "$data/renec.conf"
    install -o postgres -m 0600 /opt/renec/compose/pg_hba.conf "$data/pg_hba.conf"
    echo "include = 'renec.conf'" >> "$data/postgresql.conf"
  else
    { printf '*:*:*:replicator:'; cat "$given/replicator"; } > /var/lib/postgresql/renec/pgpass
    chown postgres /var/lib/postgresql/renec/pgpass
    chmod 0600 /var/lib/postgresql/renec/pgpass
    # Until the role is made there is nothing to copy.
    until $as_postgres /usr/lib/postgresql/15/bin/pg_basebackup -w -D "$data" -R -X stream -C -S replica_1 -c fast --no-sync \
      -d "host=postgres port=5432 user=replicator passfile=/var/lib/postgresql/renec/pgpass application_name=replica"
    do
      find "$data" -mindepth 1 -delete
      sleep 1
    done
  fi
fi
exec $as_postgres /usr/lib/postgresql/15/bin/postgres -D "$data" -p 5432
