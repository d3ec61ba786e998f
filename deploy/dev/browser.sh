#!/bin/sh
# Print the path of a Chromium for the browser tests; install Debian's where that is possible.
# ROWHOUSE_BROWSER=/path decides for one.
set -eu

names="chromium chromium-browser google-chrome google-chrome-stable"

works() { "$1" --version >/dev/null 2>&1; } # run, because Ubuntu's chromium-browser may be an empty signpost to a snap

found() { # Print the first browser that works, or fail.
    for name in ${ROWHOUSE_BROWSER:+"$ROWHOUSE_BROWSER"} $names; do
        if works "$name"; then command -v "$name"; return; fi
    done
    return 1
}

if found; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    printf 'browser: installing Chromium with apt-get\n' >&2
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core; } >&2 || true
    if found; then exit 0; fi
fi
printf 'browser: no Chromium was found and none could be installed; install one (Debian: apt-get install chromium) or leave its tests out with make test BROWSER=no.\n' >&2
exit 1
