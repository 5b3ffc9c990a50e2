#!/usr/bin/env bash
# install.sh [--lab] - installs what building, testing and running Pengx needs on a Debian with the .NET SDK, and with --lab what
# the laboratory needs besides. Says what it installs; says and does nothing when all of it is there.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

# The service and its tests run QEMU, its image tool and its guest agent, ssh, LVM and the tools of file systems; the tests start a Ceph
# cluster, an iSCSI target, an NFS server and an sshd of their own, let disks fail with nbdkit, and run the tools of DRBD and OCFS2; the
# rest builds the test guest and serves the scripts beside this.
packages=(
    qemu-system-x86 qemu-utils qemu-block-extra qemu-guest-agent
    ceph-mon ceph-osd ceph-mgr ceph-common
    cpio gcc libc6-dev xz-utils zstd
    curl ca-certificates iproute2 procps util-linux util-linux-extra e2fsprogs diffutils openssh-client openssh-server
    lvm2 thin-provisioning-tools xfsprogs mount nbdkit
    open-iscsi tgt libiscsi-bin nfs-common rpcbind nfs-ganesha nfs-ganesha-vfs libnfs-utils drbd-utils ocfs2-tools
)
commands=(qemu-system-x86_64 qemu-img nbdkit lvm wipefs losetup blkdiscard fincore mkfs.xfs cpio gcc xz curl ip ps flock timeout ssh sshd ssh-keygen)

if [[ ${1:-} == --lab ]]; then
    packages+=(mmdebstrap lz4)
    commands+=(mmdebstrap mke2fs ssh ssh-keygen lz4 setpriv)
fi

say() { printf 'install: %s\n' "$*" >&2; }

if ! command -v dotnet > /dev/null; then
    say 'the .NET SDK is missing: install the version that global.json names (https://dotnet.microsoft.com/download)'
    exit 1
fi

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    absent=()
    for command in "${commands[@]}"; do
        command -v "$command" > /dev/null || absent+=("$command")
    done
    if (( ${#absent[@]} > 0 )); then
        say "this is not a Debian, so nothing is installed; missing here: ${absent[*]}"
        exit 1
    fi
    exit 0
fi

present=$(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "${packages[@]}" 2> /dev/null \
    | sed -n 's/ installed$//p') || true # it also fails for packages it has never heard of
missing=()
for package in "${packages[@]}"; do
    grep -qxF -- "$package" <<< "$present" || missing+=("$package")
done
(( ${#missing[@]} > 0 )) || exit 0

say "installing ${missing[*]}"
as_root=()
if [[ $(id -u) != 0 ]]; then
    command -v sudo > /dev/null || { say 'this needs root: run it as root or install sudo'; exit 1; }
    as_root=(sudo env "DEBIAN_FRONTEND=$DEBIAN_FRONTEND" "LC_ALL=$LC_ALL")
fi
"${as_root[@]}" apt-get update -q=2 < /dev/null >&2
# Packages start their daemons when they are installed. The tests start what they need themselves, so nothing else is to run.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" > /dev/null
    "${as_root[@]}" chmod 755 "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get install -q=2 --yes --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "${missing[@]}" < /dev/null >&2
say 'done'
