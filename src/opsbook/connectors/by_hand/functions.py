"""Functions of bash that scripts define at their beginning, where they are used.

An argv can be read by everybody on the host: whatever takes an address with a password gets the address without it, and
the password by its environment. Functions and `printf` of bash itself have no argv.
"""

from __future__ import annotations

FUNCTIONS = {
    "decoded": """decoded() { local text=${1//\\\\/\\\\\\\\}; printf '%b' "${text//%/\\\\x}"; }""",
    "apart": """apart() {  # $address without its password, $user and $password
  address=$1 user='' password=''
  if [[ $1 =~ ^([^:/]+)://([^@/]*)@(.*)$ ]]; then
    local scheme=${BASH_REMATCH[1]} who=${BASH_REMATCH[2]} rest=${BASH_REMATCH[3]}
    user=${who%%:*} address="$scheme://$rest"
    if [[ $who == *:* ]]; then password=$(decoded "${who#*:}"); fi
  fi
}""",
    "at_postgres": """at_postgres() {  # ADDRESS PROGRAM [OPTION]...
  apart "$1"
  if [[ -n $user ]]; then address="${address/:\\/\\//://$user@}"; fi
  PGPASSWORD="${password:-${PGPASSWORD:-}}" "$2" -d "$address" "${@:3}"
}""",
    "at_redis": """at_redis() {  # ADDRESS [OPTION]...
  apart "$1"
  REDISCLI_AUTH=$password redis-cli -e --no-auth-warning ${user:+--user "$(decoded "$user")"} -u "$address" "${@:2}"
}""",
    "each_at_redis": """each_at_redis() {  # ADDRESS KEYS-A-CALL COMMAND, with keys as its input
  apart "$1"
  REDISCLI_AUTH=$password xargs -r -d '\\n' -n "$2" \\
    redis-cli -e --no-auth-warning ${user:+--user "$(decoded "$user")"} -u "$address" "$3"
}""",
    "beside": """beside() {  # ADDRESS DATABASE: the same server, another database
  local url=${1%%\\?*} query=''
  if [[ $1 == *\\?* ]]; then query="?${1#*\\?}"; fi
  if [[ $url != *://*/* ]]; then url="$url/"; fi
  printf %s "${url%/*}/$2$query"
}""",
    "held_in": """held_in() {  # FILE VARIABLE: $login and $secret of what it holds; the file is it where none is named
  local value
  if [[ -n $2 ]]; then value=$( . "$1"; printf %s "${!2}" ); else value=$(cat "$1"); fi
  if [[ $value != *://* ]]; then secret=$value; return; fi
  apart "$value"; login=${user:-$login} secret=${password:-$secret}
}""",
    "put_into": """put_into() {  # FILE VARIABLE: with $login and $secret, at once; its owner and mode stay
  local value text new who=$login
  if [[ -n $2 ]]; then value=$( . "$1"; printf %s "${!2}" ); else value=$(cat "$1"); fi
  text=$secret
  if [[ $value =~ ^([^:/]+://)([^@/]*)@(.*)$ ]]; then
    if [[ ${BASH_REMATCH[2]} == *:* ]]; then who="$login:$secret"; fi
    text="${BASH_REMATCH[1]}$who@${BASH_REMATCH[3]}"
  fi
  new=$(mktemp "$1.XXXXXX")
  if [[ -n $2 ]]; then
    NAME="$2=" TEXT=$text awk '{ line = $0; sub(/^[[:space:]]*(export[[:space:]]+)?/, "", line)
      if (index(line, ENVIRON["NAME"]) != 1) { print; next }
      print substr($0, 1, length($0) - length(line)) ENVIRON["NAME"] "\\047" ENVIRON["TEXT"] "\\047" }' "$1" > "$new"
  else
    printf '%s\\n' "$text" > "$new"
  fi
  chmod --reference="$1" "$new"; chown --reference="$1" "$new"; mv -- "$new" "$1"
}""",
    "logs_in": """logs_in() {  # ADDRESS LOGIN SECRET: whether it gets in
  apart "$1"
  local to="$address" mark='?'
  if [[ $to == *\\?* ]]; then mark='&'; fi
  PGUSER=$2 PGPASSWORD=$3 psql -X -q -d "$to${mark}connect_timeout=10" -c 'SELECT 1' -o /dev/null 2>/dev/null
}""",
    "in_secret": """in_secret() {  # NAMESPACE NAME KEY: what a key of a Secret holds; nothing where there is none
  kubectl -n "$1" get secret "$2" --ignore-not-found -o json | jq -j --arg key "$3" '.data[$key] // "" | @base64d'
}""",
    "to_secret": """to_secret() {  # NAMESPACE NAME KEY, with $value: only as it was read; made where there is none
  local found; found=$(kubectl -n "$1" get secret "$2" --ignore-not-found -o json)
  if [[ -n $found ]]; then
    printf %s "$found" | VALUE=$value jq --arg key "$3" '.data[$key] = ($ENV.VALUE | @base64)' | kubectl replace -f -
  else
    VALUE=$value jq -n --arg space "$1" --arg name "$2" --arg key "$3" '{apiVersion: "v1", kind: "Secret", metadata:
      {name: $name, namespace: $space, labels: {"app.kubernetes.io/managed-by": "opsbook"}},
      data: {($key): ($ENV.VALUE | @base64)}}' | kubectl create -f -
  fi
}""",
    "held_in_secret": """held_in_secret() {  # NAMESPACE NAME KEY: $login and $secret of what it holds
  local value; value=$(in_secret "$@")
  if [[ $value != *://* ]]; then secret=$value; return; fi
  apart "$value"; login=${user:-$login} secret=${password:-$secret}
}""",
    "put_into_secret": """put_into_secret() {  # NAMESPACE NAME KEY: with $login and $secret
  local value who=$login; value=$(in_secret "$@")
  if [[ $value =~ ^([^:/]+://)([^@/]*)@(.*)$ ]]; then
    who=${login:-${BASH_REMATCH[2]%%:*}}
    if [[ ${BASH_REMATCH[2]} == *:* ]]; then who="$who:$secret"; fi
    value="${BASH_REMATCH[1]}$who@${BASH_REMATCH[3]}"
  else value=$secret; fi
  to_secret "$@"
}""",
    "digest_of": """digest_of() { printf %s "$1" | sha256sum | cut -c1-64; }""",
    "redis_lets_in": """redis_lets_in() {  # ADDRESS LOGIN SECRET: whether it gets in, by AUTH itself
  apart "$1"
  local text=${3//\\\\/\\\\\\\\}; text=${text//\\"/\\\\\\"}
  printf 'AUTH "%s" "%s"\\n' "$2" "$text" | redis-cli -u "$address" 2>/dev/null | grep -x OK > /dev/null
}""",
    "redis_keeps": """redis_keeps() {  # ADDRESS: its users into its own file, for its next start
  if [[ -n $(at_redis "$1" CONFIG GET aclfile | sed -n 2p) ]]; then at_redis "$1" ACL SAVE
  else at_redis "$1" CONFIG REWRITE; fi
}""",
    "redis_forgets": """redis_forgets() {  # ADDRESS LOGIN DIGEST: one of the passwords of a user; the others stay
  local kept; kept=$(at_redis "$1" ACL GETUSER "$2" | grep -oE '^[0-9a-f]{64}$' | { grep -vx "$3" || true; })
  [[ -n $kept ]] || { echo "$2 has no other password" >&2; return 1; }
  if [[ $2 == default && -n $(at_redis "$1" CONFIG GET requirepass | sed -n 2p) ]]; then
    printf 'MULTI\\nCONFIG SET requirepass ""\\nACL SETUSER default resetpass %s\\nEXEC\\n' \\
      "$(sed 's/^/#/' <<< "$kept" | tr '\\n' ' ')" | at_redis "$1"
  elif at_redis "$1" ACL GETUSER "$2" | grep -x "$3" > /dev/null; then at_redis "$1" ACL SETUSER "$2" "!$3"; fi
}""",
    "beside_it": """beside_it() { printf %s "$(dirname "$1")/.$(basename "$1").$2"; }""",
    "serves": """serves() {  # ADDRESS NAME CHAIN: within 20 seconds
  local at=${1#*://} wanted shown; at=${at%%/*}; [[ $at == *:* ]] || at="$at:443"
  wanted=$(openssl x509 -in "$3" -noout -fingerprint -sha256)
  for _ in {1..40}; do
    shown=$(openssl s_client -connect "$at" -servername "${2:-${at%:*}}" </dev/null 2>/dev/null |
      openssl x509 -noout -fingerprint -sha256 2>/dev/null || true)
    if [[ $shown == "$wanted" ]]; then return; fi
    sleep 0.5
  done
  echo "$at serves another certificate" >&2; return 1
}""",
    "put_away": """put_away() {  # FILE PLACE
  case $2 in
    s3://*) rclone copyto "$1" ":s3,env_auth:${2#s3://}/${1##*/}" ;;
    *) mkdir -p "${2#file://}" && cp -- "$1" "${2#file://}/" ;;
  esac
}""",
    "fetched": """fetched() {  # PLACE: $from is a folder with what is stored there
  case $1 in
    s3://*) from=$(mktemp -d); rclone copy ":s3,env_auth:${1#s3://}" "$from" ;;
    *) from=${1#file://} ;;
  esac
}""",
    "sums_of": """sums_of() {  # holds the stored objects in $from against their manifest
  ( cd "$from" && jq -r '.parts[] | "\\(.sha256)  \\(.key)"' manifest.json | sha256sum --quiet -c )
}""",
    "unpacked": """unpacked() {  # PART of the backup in $from: decrypted by $identity, decompressed
  local how; how=$(jq -r '"\\(.encryption) \\(.compression)"' "$from/manifest.json")
  case $how in age*) age -d -i <(printf '%s\\n' "$identity") "$from/$1" ;; *) cat "$from/$1" ;; esac |
    case $how in *zstd) zstd -dc ;; *gzip) gzip -dc ;; *) cat ;; esac
}""",
    "database_of": """database_of() {  # ADDRESS DATABASE [TABLE]...: of the backup in $from; rows of these, or of all
  local new manifest="$from/manifest.json" schema part key statement
  new=$(beside "$1" "$2") schema=$(mktemp)
  PGCLIENTENCODING=$(jq -r .database.encoding "$manifest"); export PGCLIENTENCODING
  jq -r --arg name "$2" 'def q: "\\"" + gsub("\\""; "\\"\\"") + "\\"";
    def l: "\\u0027" + gsub("\\u0027"; "\\u0027\\u0027") + "\\u0027";
    .database | "CREATE DATABASE \\($name | q) OWNER \\(.owner | q) TEMPLATE template0
    ENCODING \\(.encoding | l) LC_COLLATE \\(.collation | l) LC_CTYPE \\(.ctype | l);"' "$manifest" |
    at_postgres "$(beside "$1" postgres)" psql -X -q -v ON_ERROR_STOP=1
  for part in $(jq -r '.parts[] | select(.role == "schema").key' "$manifest"); do unpacked "$part" > "$schema"; done
  at_postgres "$new" pg_restore --exit-on-error --section=pre-data "$schema"
  jq -r --args 'def q: "\\"" + gsub("\\""; "\\"\\"") + "\\""; .database.tables as $tables | .parts[] |
    select(.role == "data") | . as $part | $tables[] | select(.name == $part.table) |
    select(($ARGS.positional | length) == 0 or (.name | IN($ARGS.positional[]))) |
    "\\($part.key)\\tCOPY \\(.name)" + (if .columns == [] then "" else " (\\(.columns | map(q) | join(", ")))" end)
    + " FROM STDIN"' "${@:3}" < "$manifest" |
    while IFS=$'\\t' read -r key statement; do
      unpacked "$key" | at_postgres "$new" psql -X -q -v ON_ERROR_STOP=1 -c "$statement"
    done
  jq -r '.database.sequences[] | (.name | gsub("\\u0027"; "\\u0027\\u0027")) as $name |
    "SELECT setval(\\u0027\\($name)\\u0027, \\(.last_value), \\(.is_called));"' "$manifest" |
    at_postgres "$new" psql -X -q -v ON_ERROR_STOP=1 -o /dev/null
  for part in $(jq -r '.parts[] | select(.role == "blobs").key' "$manifest"); do
    unpacked "$part" > "$schema.blobs"; at_postgres "$new" pg_restore --exit-on-error "$schema.blobs"
  done
  if (( $# == 2 )); then
    unpacked "$(jq -r '[.parts[] | select(.role == "schema").key][0]' "$manifest")" > "$schema"
    at_postgres "$new" pg_restore --exit-on-error --section=post-data "$schema"
    jq -r '.database.materialized[] | "REFRESH MATERIALIZED VIEW \\(.);"' "$manifest" |
      at_postgres "$new" psql -X -q -v ON_ERROR_STOP=1
  fi
  at_postgres "$new" psql -X -q -c ANALYZE
  rm -f "$schema" "$schema.blobs"
}""",
}
"""Name → its text, in the order in which they are defined."""
NEEDS = {
    "apart": ("decoded",),
    "at_postgres": ("apart",),
    "at_redis": ("apart", "decoded"),
    "held_in": ("apart",),
    "held_in_secret": ("apart", "in_secret"),
    "put_into_secret": ("in_secret", "to_secret"),
    "redis_lets_in": ("apart",),
    "redis_keeps": ("at_redis",),
    "redis_forgets": ("at_redis",),
    "logs_in": ("apart",),
    "each_at_redis": ("apart", "decoded"),
    "database_of": ("at_postgres", "beside", "unpacked"),
}
"""What a function calls."""


def defined(names: set[str]) -> list[str]:
    """The texts of these functions and of those that they call."""
    wanted, open_ones = set[str](), list(names)
    while open_ones:
        one = open_ones.pop()
        if one not in wanted:
            wanted.add(one)
            open_ones += NEEDS.get(one, ())
    return [line for name, text in FUNCTIONS.items() if name in wanted for line in text.split("\n")]
