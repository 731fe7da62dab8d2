#!/usr/bin/env bash
# A systemd of its own that runs config/ha.service, in namespaces that end with it:
#
#   boot.sh HA UNIT INSIDE DIRECTORY
#
# The root file system is this machine's with a layer above it that is thrown away. INSIDE runs as a service there; what it
# writes to standard output stands in DIRECTORY/said. 77: not on this machine, for the reason on standard output.

set -euo pipefail
stage=${5:-outside}
not_here() { echo "$1"; exit 77; }

# ---- Outside: a control group of its own, then the namespaces ----

if [[ $stage == outside ]]; then
    [[ $(id -u) -eq 0 ]] || not_here "only root can start another systemd"
    [[ -x /lib/systemd/systemd ]] || not_here "systemd is not installed"
    command -v dbus-daemon >/dev/null || not_here "dbus-daemon is not installed"
    grep -q overlay /proc/filesystems || not_here "this kernel has no overlay file system"
    groups=/sys/fs/cgroup
    [[ -d $groups/systemd ]] && groups=$groups/systemd
    [[ -e $groups/cgroup.procs ]] || not_here "there are no control groups"
    group=$groups/ha-unit-$$
    mkdir "$group" 2>/dev/null || not_here "no control group can be made"
    # Everything in it has ended, but the kernel may not have looked yet.
    trap 'for _ in $(seq 50); do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.1; done' EXIT
    (
        echo "$BASHPID" >"$group/cgroup.procs" || exit 77
        exec unshare --kill-child --pid --fork --mount --uts --ipc --net --cgroup --propagation private bash "$0" "$1" "$2" "$3" "$4" within
    ) && exit 0
    exit $?
fi

# ---- Within: the file systems, then systemd ----

ha=$1 unit=$2 inside=$3 directory=$4
layer=$directory/layer
mkdir "$layer"
mount -t tmpfs tmpfs "$layer"
mkdir "$layer"/{above,work,root}
root=$layer/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/above,workdir=$layer/work" "$root" 2>/dev/null || not_here "no overlay of / can be made"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys" 2>/dev/null || not_here "no /sys can be mounted"
if [[ -d /sys/fs/cgroup/systemd ]]; then
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd" || not_here "no control groups can be mounted"
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || not_here "no control groups can be mounted"
fi
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
touch "$root/dev/console"
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir "$root/run/said"
mount --bind "$directory" "$root/run/said"

# Nothing of what this machine starts, but the bus, and what is to be shown.
rm -rf "$root"/etc/systemd/system/*.wants "$root"/etc/ha
cp "$ha" "$root/usr/bin/ha"
cp "$unit" "$root/etc/systemd/system/ha.service"
cp "$inside" "$root/usr/bin/ha-inside"
cat >"$root/etc/systemd/system/inside.target" <<'UNIT'
[Unit]
Requires=dbus.service
Wants=systemd-journald.service inside.service
UNIT
cat >"$root/etc/systemd/system/inside.service" <<'UNIT'
[Unit]
After=dbus.service
[Service]
ExecStart=/bin/bash /usr/bin/ha-inside
ExecStopPost=/bin/systemctl exit
StandardOutput=file:/run/said/said
StandardError=file:/run/said/said
UNIT
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /lib/systemd/systemd --system --unit=inside.target
