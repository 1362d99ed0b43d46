#!/bin/sh
# `postgres.sh OTHER [first]`: makes the data folder where there is none, then becomes the server. Both servers begin
# alike, since each may have to follow the other one day.
set -eu
other=$1 first=${2:-}
data=/data/pg new=/data/pg.new pass=/data/replicator.pgpass
given=/run/renec/secrets
as_postgres="setpriv --reuid=postgres --regid=postgres --init-groups --reset-env"
export PATH="/usr/lib/postgresql/15/bin:$PATH"

# An instance of before had its volume at $old, with its data in data/: a container that is still of that time is given
# what is looked for here.
old=/var/lib/postgresql/renec
[ -e /data ] || [ ! -d $old ] || ln -s $old /data

install -d -o postgres -g postgres -m 0755 /var/run/postgresql
install -d -o postgres -g postgres -m 0700 /data
install -o postgres -m 0600 /dev/null $pass
{ printf '*:*:*:replicator:'; cat "$given/replicator"; } > $pass
from="host=$other port=5432 user=replicator passfile=$pass application_name=replica"

other_is_primary() {
  [ "$(psql -XtAw -d "$from dbname=postgres connect_timeout=2" -c 'SELECT pg_is_in_recovery()' 2>&1)" = f ]
}

make() {
  # The password's file is the server's for this moment alone.
  install -o postgres -m 0600 "$given/postgres" /tmp/first
  $as_postgres /usr/lib/postgresql/15/bin/initdb -D $new -U postgres --pwfile=/tmp/first --data-checksums \
    --auth-host=scram-sha-256 --auth-local=peer -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
  rm -f /tmp/first
  install -o postgres -m 0600 /opt/renec/compose/postgresql.conf $new/renec.conf
  install -o postgres -m 0600 /opt/renec/compose/pg_hba.conf $new/pg_hba.conf
  echo "include = 'renec.conf'" >> $new/postgresql.conf
}

copy() {
  set -- $as_postgres /usr/lib/postgresql/15/bin/pg_basebackup -w -D $new -R -X stream -S replica_1 -c fast --no-sync -d "$from"
  # the slot is there already where this server is made anew
  "$@" -C || { rm -rf $new; "$@"; }
}

# What a rebuild works on has other names: whoever began it ends it, and nothing may be made in its place.
being_rebuilt() {
  for one in rebuilding configuration copying discarded; do
    if [ -e $data.$one ]; then
      echo "$data.$one: a rebuild of this server was cut off; waits until it is run again"
      return
    fi
  done
  false
}

if [ -s /data/data/PG_VERSION ] && [ ! -e $data ] && ! being_rebuilt; then
  $as_postgres sed -i "s#$old/pgpass#$pass#" /data/data/postgresql.auto.conf
  mv -T /data/data $data
fi
until [ -s $data/PG_VERSION ]; do
  rm -rf $new # made aside: what was cut off begins anew
  if being_rebuilt; then sleep 5; continue; fi
  if other_is_primary; then copy; elif [ "$first" = first ]; then make; else sleep 1; continue; fi
  mv -T $new $data
done
exec $as_postgres /usr/lib/postgresql/15/bin/postgres -D $data -p 5432
