#!/usr/bin/env bash
# guest.sh [OUTPUT_DIR] - builds the test guest's disk (guest.raw, guest.qcow2) from Debian's packages and prints its path; its
# kernel and initramfs lie beside it (vmlinuz, initrd.img) for machines that boot without a disk.
# The same packages and sources give the same bytes; an image that is up to date is left alone.
set -euo pipefail
export LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH=1600000000
umask 022

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$here")
output=${1:-$root/artifacts/guest}
mkdir -p -- "$output" "$root/artifacts/guest-cache"
output=$(cd -- "$output" && pwd)
cache=$root/artifacts/guest-cache
source=$here/guest

say() { printf 'guest: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[[ $(uname -m) == x86_64 ]] || fail 'the test guest is built for x86-64 only'
for tool in apt-get apt-cache dpkg-deb cpio gcc qemu-img sha256sum flock; do
    command -v "$tool" > /dev/null || fail "$tool is missing: run eng/install.sh first"
done

# One builder at a time: several test runs may ask for the image at once.
exec 9> "$cache/lock"
flock 9

as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }

# The real kernel package behind the meta package, as the package index knows it now; empty when there is no index.
kernel_package() {
    apt-cache depends linux-image-cloud-amd64 2> /dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

versions() {
    local kernel
    kernel=$(kernel_package)
    [[ -n $kernel ]] || return 0
    apt-cache show --no-all-versions busybox-static mtools syslinux syslinux-common "$kernel" 2> /dev/null \
        | awk '/^Package:/ { name = $2 } /^Version:/ { print name "=" $2 }' | sort -u
}

sources=$(cd -- "$here" && sha256sum guest.sh guest/dhcp-event guest/init.c guest/record.h guest/syslinux.cfg | sha256sum | cut -d ' ' -f 1)
packages=
if [[ -f $output/guest.raw && -f $output/guest.qcow2 && -f $output/vmlinuz && -f $output/initrd.img && -f $output/guest.key ]]; then
    key=$(< "$output/guest.key")
    # Asking for versions takes a second; there is nothing to ask as long as the package index is older than the image.
    [[ $output/guest.key -nt /var/lib/apt/lists ]] || packages=$(versions)
    if [[ $key == "$sources"$'\n'"$packages" || (-z $packages && $key == "$sources"$'\n'*) ]]; then
        touch -- "$output/guest.key"
        printf '%s\n' "$output/guest.raw"
        exit 0
    fi
fi

[[ -n $packages ]] || packages=$(versions)
if [[ -z $packages ]]; then
    say 'reading the package index (apt-get update)'
    as_root apt-get update -qq >&2
    packages=$(versions)
    [[ -n $packages ]] || fail 'the package index knows no linux-image-cloud-amd64: is this a Debian with its main archive?'
fi

work=$(mktemp -d -- "$output/.guest.XXXXXX")
trap 'rm -rf -- "$work"' EXIT

# ---- packages, unpacked beside the repository: the machine's own system stays as it is ----
tree=$cache/$(printf '%s' "$packages" | sha256sum | cut -c 1-16)
if [[ ! -d $tree ]]; then
    say "fetching ${packages//$'\n'/ }"
    options=(-q=2)
    [[ $(id -u) != 0 ]] || options+=(-o APT::Sandbox::User=root)
    mapfile -t wanted <<< "$packages"
    mkdir -- "$work/debs" "$work/tree"
    (cd -- "$work/debs" && apt-get "${options[@]}" download "${wanted[@]}" >&2) || {
        say 'the package index is out of date: apt-get update, then once more'
        as_root apt-get update -qq >&2
        packages=$(versions)
        tree=$cache/$(printf '%s' "$packages" | sha256sum | cut -c 1-16)
        mapfile -t wanted <<< "$packages"
        rm -f -- "$work/debs"/*
        (cd -- "$work/debs" && apt-get "${options[@]}" download "${wanted[@]}" >&2)
    }
    for package in "$work/debs"/*.deb; do
        dpkg-deb -x "$package" "$work/tree"
    done
    rm -rf -- "$work/debs" "$tree"
    mv -- "$work/tree" "$tree"
fi
# Trees of superseded packages have no use any more.
find "$cache" -mindepth 1 -maxdepth 1 -type d ! -path "$tree" -exec rm -rf -- {} +
modules=$(cd -- "$tree" && printf '%s\n' lib/modules/*-cloud-amd64 usr/lib/modules/*-cloud-amd64 | grep -v '\*' | head -n 1)
release=$(basename -- "$modules")
export PATH="$tree/usr/bin:$PATH"

# ---- initramfs: one static program, busybox, the modules in loading order ----
initramfs=$work/initramfs
mkdir -p -- "$initramfs"/{bin,dev,proc,sys,modules,tmp}
gcc -static -Os -s -std=gnu11 -Wall -Wextra -Werror -fno-ident -Wl,--build-id=none -o "$initramfs/init" "$source/init.c"
install -m 755 -- "$tree/bin/busybox" "$initramfs/bin/busybox" 2> /dev/null \
    || install -m 755 -- "$tree/usr/bin/busybox" "$initramfs/bin/busybox"
while read -r applet; do
    [[ $applet == busybox ]] || ln -s busybox "$initramfs/bin/$applet"
done < <("$initramfs/bin/busybox" --list)
ln -s bin "$initramfs/sbin"
install -m 755 -- "$source/dhcp-event" "$initramfs/bin/dhcp-event"

declare -A loaded=()
add_module() { # NAME: after everything it depends on; one that is built into the kernel has no file
    local name=${1//-/_} file plain needed dependency
    [[ -z ${loaded[$name]:-} ]] || return 0
    loaded[$name]=1
    file=$(find "$tree/$modules/kernel" -name "${name//_/[-_]}.ko*" | head -n 1)
    [[ -n $file ]] || return 0
    plain=$initramfs/modules/$name.ko
    case $file in
        *.xz) xz -dc -- "$file" > "$plain" ;;
        *.zst) zstd -qdc -- "$file" > "$plain" ;;
        *) cp -- "$file" "$plain" ;;
    esac
    needed=$(tr '\0' '\n' < "$plain" | sed -n 's/^depends=//p')
    for dependency in ${needed//,/ }; do
        add_module "$dependency"
    done
    printf '%s.ko\n' "$name" >> "$initramfs/modules/order"
}
for name in virtio_pci virtio_blk virtio_net virtio_scsi sd_mod virtio_balloon virtio_console xen-blkfront xen-netfront pvpanic_mmio button evdev; do
    add_module "$name"
done
(
    cd -- "$initramfs"
    find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    find . -print0 | sort -z | cpio --quiet --null --create --format=newc --reproducible --owner=0:0 > "$work/initrd.img"
)

# ---- disk: MBR, one FAT16 partition at 1 MiB, syslinux ----
cp -- "$tree/boot/vmlinuz-$release" "$work/vmlinuz"
cp -- "$source/syslinux.cfg" "$work/syslinux.cfg"
touch -d "@$SOURCE_DATE_EPOCH" "$work"/{vmlinuz,initrd.img,syslinux.cfg}
start=2048
content=$(( $(stat -c %s "$work/vmlinuz") + $(stat -c %s "$work/initrd.img") ))
mebibytes=$(( (content >> 20) + 2 ))
sectors=$(( mebibytes * 2048 ))
raw=$work/guest.raw
truncate -s $(( (start + sectors) * 512 )) "$raw"
export MTOOLSRC=/dev/null MTOOLS_SKIP_CHECK=1
partition=$raw@@$(( start * 512 ))
mformat -i "$partition" -T "$sectors" -h 16 -s 63 -H "$start" -c 4 -N 50454e47 -v PENGX ::
mcopy -m -i "$partition" "$work/vmlinuz" "$work/initrd.img" "$work/syslinux.cfg" ::
syslinux --install --offset $(( start * 512 )) "$raw"
little_endian() { # BYTES VALUE
    local i
    for (( i = 0; i < $1; i++ )); do printf '\\x%02x' $(( $2 >> (8 * i) & 255 )); done
}
{
    head -c 440 "$tree/usr/lib/syslinux/mbr/mbr.bin" > "$work/mbr"
    truncate -s 440 "$work/mbr"
    # Disk identifier, two reserved bytes, one bootable FAT16 (LBA) entry; CHS fields say "use LBA".
    printf '%b' "$(little_endian 4 0x50454e47)\\x00\\x00\\x80\\xfe\\xff\\xff\\x0e\\xfe\\xff\\xff$(little_endian 4 "$start")$(little_endian 4 "$sectors")"
} > "$work/entry"
cat -- "$work/mbr" "$work/entry" | dd of="$raw" conv=notrunc status=none
printf '\x55\xaa' | dd of="$raw" bs=1 seek=510 conv=notrunc status=none
qemu-img convert -f raw -O qcow2 "$raw" "$work/guest.qcow2"

printf '%s\n%s\n' "$sources" "$packages" > "$work/guest.key"
rm -f -- "$output/guest.key"
mv -f -- "$raw" "$output/guest.raw"
mv -f -- "$work/guest.qcow2" "$output/guest.qcow2"
mv -f -- "$work/vmlinuz" "$work/initrd.img" "$output/"
mv -f -- "$work/guest.key" "$output/guest.key"
say "built from ${packages//$'\n'/ }"
printf '%s\n' "$output/guest.raw"
