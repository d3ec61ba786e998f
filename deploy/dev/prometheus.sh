#!/bin/sh
# Print the paths of a Prometheus and its promtool for the tests of alerts; install Debian's where that is possible.
# ROWHOUSE_PROMETHEUS=/folder/that/holds/both decides for one.
set -eu

found() { # Print both, one a line, or fail.
    [ -z "${ROWHOUSE_PROMETHEUS:-}" ] || PATH="$ROWHOUSE_PROMETHEUS"
    command -v prometheus && command -v promtool
}

if found; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    printf 'prometheus: installing it with apt-get\n' >&2
    export DEBIAN_FRONTEND=noninteractive
    # Installed, it would start: this machine's tests start their own.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod 755 "$policy"; made=yes; }
    { apt-get update -q && apt-get install -q -y --no-install-recommends prometheus; } >&2 || true
    [ -z "${made:-}" ] || rm -f "$policy"
    if found; then exit 0; fi
fi
printf 'prometheus: none was found and none could be installed (Debian: apt-get install prometheus); its tests are left out.\n' >&2
exit 1
