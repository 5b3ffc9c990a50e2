#!/usr/bin/env bash
# configure.sh ROOT IMAGE - turns a freshly unpacked Debian into dom0: its own files from dom0/, keys, and nothing at start
# that a test does not start itself.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=${1:?usage: configure.sh ROOT IMAGE}
image=${2:?usage: configure.sh ROOT IMAGE}
units=$root/etc/systemd/system

cp -R --no-preserve=ownership -- "$here/dom0/." "$root/"
echo xenhost1 > "$root/etc/hostname" # the kernel's command line names each host; this is for whoever looks at the image
printf '127.0.0.1 localhost\n10.99.0.1 xenhost1\n10.99.0.2 xenhost2\n' > "$root/etc/hosts"
: > "$root/etc/resolv.conf"
: > "$root/etc/machine-id" # the kernel's command line gives each host its own

# One key opens root from outside and from one host to the other, as migration needs it.
mkdir -p -- "$root/root/.ssh"
cp -- "$image/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
cp -- "$image/id_ed25519" "$image/id_ed25519.pub" "$root/root/.ssh/"
sed 's/^pengx-lab-\*/xenhost1,xenhost2,10.99.0.1,10.99.0.2/' "$image/known_hosts" > "$root/root/.ssh/known_hosts"
chmod 700 -- "$root/root/.ssh"
chmod 600 -- "$root"/root/.ssh/*

# What guests say on their PV consoles is kept: tests read it.
printf 'XENCONSOLED_ARGS="--log=guest --log-dir=/var/log/xen/console"\n' >> "$root/etc/default/xen"
mkdir -p -- "$root/var/log/xen/console"

mkdir -p -- "$units/sysinit.target.wants"
ln -sf -- ../pengx-lab-network.service "$units/sysinit.target.wants/"
ln -sf -- /lib/systemd/system/multi-user.target "$units/default.target"

# Never: no test wants them, and each costs seconds of the start.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service \
    systemd-timesyncd.service getty@tty1.service serial-getty@hvc0.service systemd-journal-flush.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-random-seed.service systemd-pstore.service systemd-machine-id-commit.service \
    systemd-binfmt.service proc-sys-fs-binfmt_misc.automount sys-kernel-tracing.mount modprobe@drm.service \
    modprobe@efi_pstore.service dev-hugepages.mount dev-mqueue.mount systemd-repart.service systemd-firstboot.service \
    systemd-logind.service user.slice xendomains.service; do
    ln -sf -- /dev/null "$units/$unit"
done
# Not at start: a test that wants one starts it.
for unit in lvm2-monitor.service lvm2-lvmpolld.socket blk-availability.service nfs-server.service nfs-blkmap.service nfs-client.target \
    rpcbind.service rpcbind.socket rpc-statd.service rpc-statd-notify.service tgt.service open-iscsi.service iscsid.socket iscsid.service \
    drbd.service o2cb.service ocfs2.service multipathd.service multipathd.socket rtslib-fb-targetctl.service dbus.service dbus.socket \
    proc-fs-nfsd.mount sys-kernel-config.mount sys-fs-fuse-connections.mount sys-kernel-debug.mount modprobe@configfs.service modprobe@fuse.service; do
    find "$units" "$root/lib/systemd/system" -path '*.wants/*' -name "$unit" -delete
done
for script in drbd o2cb ocfs2 open-iscsi iscsid tgt nfs-kernel-server nfs-common rpcbind multipath-tools lvm2 xendomains; do
    rm -f -- "$root"/etc/rc?.d/[SK]??"$script"
done
