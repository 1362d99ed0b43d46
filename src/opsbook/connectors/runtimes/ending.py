"""What a command in a container has started, ended by its mark. Only the container itself can see its processes.

A process carries the mark in its environment, which only who is its user may read: in a container root is not enough,
it lacks CAP_SYS_PTRACE there. So each user's processes are looked at as that user.
"""

from __future__ import annotations

END_SECONDS = 30.0
"""In which it is done, or has failed."""

BECOME = """
become() {
  user=$1 group=$2; shift 2
  home=/nonexistent name=
  while IFS=: read -r one _ number _ _ place _; do
    if [ "$number" = "$user" ]; then name=$one home=$place; break; fi
  done 2>/dev/null </etc/passwd
  export HOME="${home:-/nonexistent}"
  setpriv --reuid "$user" --regid "$group" --clear-groups true 2>/dev/null \\
    && exec setpriv --reuid "$user" --regid "$group" --clear-groups "$@"
  for one in gosu su-exec; do command -v $one >/dev/null && exec $one "$user:$group" "$@"; done
  [ -n "$name" ] && command -v runuser >/dev/null && exec runuser -u "$name" -- "$@"
  echo "the image has no setpriv, gosu, su-exec or runuser to become the user $user" >&2
  exit 126
}
"""
"""`become USER GROUP COMMAND…`, by numbers, in place of the shell.

It has the user's home: libpq looks there for certificates, and a home that it may not enter ends a connection by TLS.
"""

LOOK = """
mark=$1 signal=$2; shift 2
for pid in "$@"; do
  if ! { true <"/proc/$pid/environ"; } 2>/dev/null; then
    if [ -e "/proc/$pid" ]; then echo "closed $pid"; fi
  elif tr '\\0' '\\n' 2>/dev/null <"/proc/$pid/environ" | grep -qxF "$mark"; then
    echo "found $pid"; kill "-$signal" "$pid" 2>/dev/null
  fi
done 2>/dev/null
exit 0
"""
"""Signals those of some processes that carry a mark, and says which; `closed`: whoever asks may not see."""

_ENDING = """
mark=$1 look=$2 own=$(id -u)
command -v tr >/dev/null && command -v grep >/dev/null || exit 1
{ read -r line </proc/1/stat; } 2>/dev/null
set -- ${line##*) }
session=$4

told() {
  while [ $# -gt 1 ]; do
    case $1 in found) found="$found $2" ;; closed) closed="$closed $2" ;; esac
    shift 2
  done
}
look_as() (
  user=$1 group=$2; shift 2
  become "$user" "$group" sh -c "$look" sh "$mark" "$@" 2>/dev/null
)
owner() {
  uid= gid=
  while read -r name _ number _; do
    case $name in Uid:) uid=$number ;; Gid:) gid=$number; break ;; esac
  done 2>/dev/null <"/proc/$1/status"
}
elsewhere() {
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
  pid=$1
  set -- ${line##*) }
  [ "$pid" != 1 ] && [ "$1" != Z ] || return 0
  case $2 in 0) return 1 ;; 1) [ "$4" = "$session" ] && [ "$4" != 0 ]; return ;; esac
  case " $found " in *" $2 "*) return 1 ;; esac
  case " $unsure " in *" $2 "*) elsewhere "$2"; return ;; esac
}

for signal in TERM KILL; do
  for round in 1 2 3 4 5 6 7 8 9 10; do
    set --
    for one in /proc/[0-9]*; do [ "$one" = "/proc/$$" ] || set -- "$@" "${one#/proc/}"; done
    found= closed= unsure=
    told $(sh -c "$look" sh "$mark" $signal "$@")
    while [ -n "$closed" ]; do
      set -- $closed
      owner "$1"
      same= rest= user=$uid group=$gid
      for one in "$@"; do
        owner "$one"
        if [ "$uid:$gid" = "$user:$group" ]; then same="$same $one"; else rest="$rest $one"; fi
      done
      closed=
      if [ "$own" = 0 ] && [ "${user:-0}" != 0 ] && said=$(look_as "$user" "$group" $signal $same); then
        told $said; unsure="$unsure $closed"
      elif [ "$own" = 0 ] || [ "${user:-$own}" = "$own" ]; then unsure="$unsure $same"
      fi
      closed=$rest
    done
    left=
    for one in $unsure; do elsewhere "$one" || left=yes; done
    [ -n "$found$left" ] || exit 0
    sleep 0.3
  done
done
exit 1
"""
"""What nobody may see, as workers of nginx are, counts as ended only where it cannot come from a command of ours: that
begins a session of its own, and what it leaves behind becomes a child of the first process."""


def ending(mark: str) -> list[str]:
    """The command that ends all that carries a mark (`NAME=value`): 0 when nothing of it runs any more."""
    return ["sh", "-c", BECOME + _ENDING, "sh", mark, LOOK]
