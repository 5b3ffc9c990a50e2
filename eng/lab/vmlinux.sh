#!/usr/bin/env bash
# vmlinux.sh VMLINUZ OUTPUT - takes the uncompressed kernel (an ELF file) out of a bzImage: Xen starts PVH guests from nothing
# else, and decompressing under emulation costs seconds at every start.
set -euo pipefail

source=${1:?usage: vmlinux.sh VMLINUZ OUTPUT}
output=${2:?usage: vmlinux.sh VMLINUZ OUTPUT}
number() { od -An -v -t "u$2" -j "$1" -N "$2" -- "$source" | tr -d ' '; } # OFFSET BYTES, little-endian as this machine is

# Linux's Documentation/x86/boot.rst: "HdrS" at 0x202, setup_sects at 0x1f1, payload_offset and payload_length at 0x248 and 0x24c.
[[ $(dd if="$source" bs=1 skip=514 count=4 status=none) == HdrS ]] || { echo "vmlinux: $source is not a bzImage" >&2; exit 1; }
start=$(( ($(number 497 1) + 1) * 512 + $(number 584 4) ))
length=$(number 588 4)
payload() { tail -c "+$(( start + 1 ))" -- "$source" | head -c "$length" || true; }

# The last four bytes of the payload are its unpacked size, which the tools take for garbage after the end.
case $(payload | head -c 4 | od -An -t x1 | tr -d ' ') in
    fd377a58) payload | head -c "$(( length - 4 ))" | xz -dc > "$output.partial" ;;
    02214c18) payload | head -c "$(( length - 4 ))" | lz4 -dcq > "$output.partial" ;;
    28b52ffd) payload | head -c "$(( length - 4 ))" | zstd -dcq > "$output.partial" ;;
    1f8b*) payload | gzip -dcq > "$output.partial" ;;
    *) echo "vmlinux: $source is compressed in a way that is not known here" >&2; exit 1 ;;
esac
size=$(od -An -v -t u4 -j "$(( start + length - 4 ))" -N 4 -- "$source" | tr -d ' ')
[[ $(stat -c %s -- "$output.partial") == "$size" ]] || { echo "vmlinux: $source holds $size bytes, but not so many came out" >&2; exit 1; }
mv -f -- "$output.partial" "$output"
