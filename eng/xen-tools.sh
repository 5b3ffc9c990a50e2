#!/usr/bin/env bash
# xen-tools.sh - unpacks Debian's own xl, xenstored and xenstore tools beside the repository (nothing is installed) and compiles the
# stand-ins that let them run without a hypervisor; prints the folder: tree/ holds the packages, NAME.so is eng/xen-tools/NAME.c.
set -euo pipefail
export LC_ALL=C.UTF-8

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$here")
output=$root/artifacts/xen-tools
mkdir -p -- "$output"

say() { printf 'xen-tools: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[[ $(uname -m) == x86_64 ]] || fail 'Xen runs its tools on x86-64 here only'
for tool in apt-get apt-cache dpkg-deb gcc sha256sum flock; do
    command -v "$tool" > /dev/null || fail "$tool is missing: run eng/install.sh first"
done

# xl and xenstored, and the libraries that no ordinary Debian has.
packages=(
    xen-utils-4.17 xen-utils-common xenstore-utils libxenmisc4.17 libxenstore4 libxentoolcore1 libxencall1 libxenevtchn1
    libxenforeignmemory1 libxengnttab1 libxentoollog1 libxendevicemodel1 libxenhypfs1 libyajl2 libfdt1 libnl-3-200 libnl-route-3-200
)

# One builder at a time: several test runs may ask for the tools at once.
exec 9> "$output/lock"
flock 9

as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }

versions() {
    apt-cache show --no-all-versions "${packages[@]}" 2> /dev/null | awk '/^Package:/ { name = $2 } /^Version:/ { print name "=" $2 }' | sort -u
}

wanted=$(versions)
if [[ $(wc -l <<< "$wanted") != "${#packages[@]}" ]]; then
    say 'reading the package index (apt-get update)'
    as_root apt-get update -qq >&2
    wanted=$(versions)
    [[ $(wc -l <<< "$wanted") == "${#packages[@]}" ]] || fail "the package index lacks some of ${packages[*]}: is this Debian 12?"
fi

work=$(mktemp -d -- "$output/.build.XXXXXX")
trap 'rm -rf -- "$work"' EXIT

if [[ ! -d $output/tree || $(cat -- "$output/tree.key" 2> /dev/null) != "$wanted" ]]; then
    say "fetching ${wanted//$'\n'/ }"
    options=(-q=2)
    [[ $(id -u) != 0 ]] || options+=(-o APT::Sandbox::User=root)
    mkdir -- "$work/debs" "$work/tree"
    fetch() { mapfile -t list <<< "$wanted" && (cd -- "$work/debs" && apt-get "${options[@]}" download "${list[@]}" >&2); }
    fetch || {
        say 'the package index is out of date: apt-get update, then once more'
        as_root apt-get update -qq >&2
        wanted=$(versions)
        rm -f -- "$work/debs"/*
        fetch
    }
    for package in "$work/debs"/*.deb; do
        dpkg-deb -x "$package" "$work/tree"
    done
    rm -rf -- "$output/tree" "$output/tree.key"
    mv -- "$work/tree" "$output/tree"
    printf '%s\n' "$wanted" > "$output/tree.key"
fi

for source in "$here"/xen-tools/*.c; do
    [[ -f $source ]] || continue
    library=$output/$(basename -- "$source" .c).so
    [[ -f $library && $library -nt $source ]] && continue
    gcc -shared -fPIC -O2 -std=gnu11 -Wall -Wextra -Werror -o "$work/library.so" "$source" -ldl
    mv -f -- "$work/library.so" "$library"
done
printf '%s\n' "$output"
