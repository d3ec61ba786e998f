#!/bin/sh
# Run a command in the files of the image that deploy/dev/image.sh has built, much as an engine would: as process 1, as
# 10001:10001 with no capability and no way to one, with nothing to write to but /tmp and the folder DATA, which it sees
# as /var/lib/rowhouse. The network is the machine's own, and so are the limits. Needs root.
#
#   sh deploy/dev/in-image.sh ROOT DATA COMMAND…
set -eu
# shellcheck disable=SC2016 # it is the inner shell's
exec unshare --mount --pid --fork --kill-child -- sh -euc '
    root=$1 data=$2
    shift 2
    mount --bind "$root" "$root"
    mount --bind "$data" "$root/var/lib/rowhouse"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount --rbind /dev "$root/dev"
    mount --bind /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    mount -o remount,bind,ro "$root"
    exec /usr/sbin/chroot "$root" /usr/bin/setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs --inh-caps=-all \
        --bounding-set=-all -- "$@"
' in-image "$@"
