#!/usr/bin/env bash
# image.sh OUTPUT_DIR - builds the laboratory's Xen host from Debian 12's packages into OUTPUT_DIR, which appears only when it is
# complete: root.img (ext4), xen (the hypervisor's ELF), vmlinux (dom0's kernel), initrd.img, id_ed25519 (the key to root),
# known_hosts. Needs root; neither a loop device nor a mount nor a virtual machine.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
umask 022

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
output=${1:?usage: image.sh OUTPUT_DIR}
suite=bookworm # Xen 4.17; PVH guests need this suite's QEMU outside as well
xen=xen-4.17-amd64

say() { printf 'lab image: [%3d s] %s\n' "$SECONDS" "$*" >&2; }
fail() { say "$*"; exit 1; }
[[ $(uname -m) == x86_64 ]] || fail 'the laboratory is an x86-64 machine'
[[ $(id -u) == 0 ]] || fail 'building the image needs root'
for tool in mmdebstrap mke2fs cpio ssh-keygen xz gzip; do
    command -v "$tool" > /dev/null || fail "$tool is missing: run eng/install.sh --lab first"
done

mkdir -p -- "$(dirname -- "$output")"
work=$(mktemp -d -- "$output.XXXXXX")
trap 'rm -rf -- "$work"' EXIT
trap 'exit 143' INT TERM
root=$work/root
image=$work/image
mkdir -- "$root" "$image"
chmod 755 -- "$work" "$root" # apt's download user passes through

# The machine's own package sources, those of this suite only.
mapfile -t sources < <(grep -lE "(^|[[:space:]])$suite([[:space:]]|$)" /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2> /dev/null)
(( ${#sources[@]} > 0 )) || fail "no package source of this machine names $suite (Debian 12)"
packages=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$here/packages" | paste -s -d ,)

say 'unpacking and configuring packages'
# dom0's own kernel needs no initramfs of Debian's kind, and no daemon may start in a folder.
export INITRD=No
if ! mmdebstrap --variant=minbase --mode=root --format=directory --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt=force-unsafe-io --dpkgopt=force-confold \
    --setup-hook='mkdir -p "$1/etc/kernel" && printf "do_symlinks=no\ndo_initrd=no\n" > "$1/etc/kernel-img.conf"' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools" && echo update_initramfs=no > "$1/etc/initramfs-tools/update-initramfs.conf"' \
    --essential-hook='printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d" && chmod 755 "$1/usr/sbin/policy-rc.d"' \
    "$suite" "$root" "${sources[@]}" > "$work/mmdebstrap.log" 2>&1; then
    tail -n 30 -- "$work/mmdebstrap.log" >&2
    fail 'the packages could not be installed'
fi
rm -f -- "$root/usr/sbin/policy-rc.d"

say 'setting it up'
ssh-keygen -q -t ed25519 -N '' -C pengx-laboratory -f "$image/id_ed25519"
rm -f -- "$root"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C pengx-laboratory -f "$root/etc/ssh/ssh_host_ed25519_key"
printf 'pengx-lab-* %s\n' "$(cut -d ' ' -f 1,2 "$root/etc/ssh/ssh_host_ed25519_key.pub")" > "$image/known_hosts"
"$here/configure.sh" "$root" "$image"

say 'taking the kernels out'
release=$(basename -- "$root"/lib/modules/*-amd64)
gzip -dc -- "$root/boot/$xen.gz" > "$image/xen"
"$here/vmlinux.sh" "$root/boot/vmlinuz-$release" "$image/vmlinux"

say 'making the initial file system'
initrd=$work/initrd
mkdir -p -- "$initrd"/{bin,dev,proc,sys,root,modules}
install -m 755 -- "$root/bin/busybox" "$initrd/bin/busybox"
install -m 755 -- "$here/initrd-init" "$initrd/init"
for module in virtio_pci virtio_blk virtio_net ext4 crc32c_generic crc32c-intel; do
    # Each module after everything it depends on; one that is built in has no file.
    chroot "$root" modprobe --set-version "$release" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
    cp -- "$root$file" "$initrd/modules/"
    basename -- "$file" >> "$initrd/modules/order"
done
(cd -- "$initrd" && find . -print0 | sort -z | cpio --quiet --null --create --format=newc --owner=0:0) > "$image/initrd.img"

say 'making the file system'
truncate -s 8G "$image/root.img"
mke2fs -q -t ext4 -O ^metadata_csum,^has_journal -E lazy_itable_init=1,root_owner=0:0 -L pengx-dom0 -d "$root" "$image/root.img"

# Whoever called for it (through sudo) is to boot it.
[[ -z ${SUDO_UID:-} ]] || chown -R -- "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$image"
rm -rf -- "$output"
mv -- "$image" "$output"
say "built $output ($(du -sm -- "$output" | cut -f 1) MiB)"
