#!/bin/sh
# Print the path of a PgBouncer for the tests of pooled connections; install Debian's where that is possible.
# ROWHOUSE_PGBOUNCER=/path decides for one.
set -eu

found() { # Print the first one there is, or fail; Debian puts it where a plain user's PATH does not go.
    PATH="$PATH:/usr/sbin" command -v "${ROWHOUSE_PGBOUNCER:-pgbouncer}"
}

if found; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    printf 'pgbouncer: installing it with apt-get\n' >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -q -y --no-install-recommends pgbouncer; } >&2 || true
    if found; then exit 0; fi
fi
printf 'pgbouncer: none was found and none could be installed (Debian: apt-get install pgbouncer); its tests are left out.\n' >&2
exit 1
