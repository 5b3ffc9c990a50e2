#!/usr/bin/env bash
# lab.sh - the laboratory: real Xen hosts, booted in QEMU without any hardware virtualization, in which tests/Pengx.Lab runs.
# docs/laboratory.md describes it; "eng/lab.sh help" lists the commands.
set -euo pipefail
export LC_ALL=C.UTF-8 DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_CLI_UI_LANGUAGE=en MSBUILDDISABLENODEREUSE=1

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$here")
lab=$root/artifacts/lab
images=${PENGX_LAB_CACHE:-$lab/images} # checkouts may share one
run=$lab/run                           # of "up"; a test run has its own
logs=$root/artifacts/test-logs/lab
limit=${PENGX_LAB_TIMEOUT:-7200}       # seconds for the tests themselves
boot_limit=${PENGX_LAB_BOOT_TIMEOUT:-600}
qemu_guard=()

usage() {
    cat << 'TEXT'
usage: eng/lab.sh [COMMAND]
  test [--pair|--alone] [FILTER]  everything: hosts started, tests run, logs collected, hosts ended (the default command)
  image [--fresh]          builds the hosts' image unless it is there
  up [--pair]              starts one host, or two that can reach each other, and leaves them running
  push                     builds the programs once more and hands them to the running hosts
  run [FILTER]             runs tests/Pengx.Lab in the running host; FILTER: tests whose full name contains it
  ssh [h1|h2] [COMMAND]    a shell, or a command, in a running host
  logs                     collects the running hosts' logs into artifacts/test-logs/lab
  down                     ends the running hosts
TEXT
}

begun=$SECONDS
say() { printf 'lab: [%4d s] %s\n' "$(( SECONDS - begun ))" "$*" >&2; }
fail() { say "$*"; exit 1; }
as_root() { if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi; }

. "$here/lab/hosts.sh"
. "$here/lab/disks.sh"

# What is built is built by one at a time.
lock() { mkdir -p -- "$lab" "$images"; exec 9> "$lab/lock"; flock 9; }
unlock() { exec 9>&-; }

find_image() { # sets $image; builds it when it is not there
    local key
    key=$(cd -- "$here/lab" && find packages image.sh configure.sh vmlinux.sh initrd-init dom0 -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-16)
    image=$images/$key
    [[ ${1:-} != --fresh ]] || rm -rf -- "$image"
    [[ ! -f $image/root.img ]] || { touch -- "$image"; return 0; }
    exec 8> "$images/lock"
    flock 8
    if [[ ! -f $image/root.img ]]; then
        # Images that no version of the scripts has asked for these days go.
        find "$images" -mindepth 1 -maxdepth 1 -type d -mtime +2 -exec rm -rf -- {} +
        as_root "$here/lab/image.sh" "$image"
    fi
    exec 8>&-
}

start() { # [--pair]
    local kind=alone
    [[ ${1:-} != --pair ]] || kind=pair
    mkdir -p -m 700 -- "$run"
    printf '%s\n' "$image" > "$run/image"
    say 'starting h1'
    start_host 1 2 6144 "$kind"
    if [[ $kind == pair ]]; then
        say 'starting h2'
        start_host 2 1 4096 "$kind"
    fi
}

hosts() { local folder; for folder in "$run"/h?; do [[ ! -d $folder ]] || basename -- "$folder"; done; }

wait_until_up() {
    local host
    for host in $(hosts); do
        wait_for_host "$host" "$boot_limit"
        attach_disk "$host" runtime "$runtime_disk" || fail "$host takes no disk"
        mount_disk "$host" runtime /opt/pengx/runtime
    done
}

hand_over() { # NUMBER: the programs disk of that number replaces the one before it
    local old=$(( $1 - 1 )) disk=$run/programs-$1.img host status
    echo "$1" > "$run/programs" # used up, whatever comes of it
    for host in $(hosts); do
        attach_disk "$host" "programs-$1" "$disk" || fail "$host takes no disk"
        status=0
        mount_disk "$host" "programs-$1" /opt/pengx/programs || status=$?
        case $status in
            0) (( old == 0 )) || detach_disk "$host" "programs-$old" || fail "$host does not give the old disk back" ;;
            3) say "$host still uses the old programs: their disk stays until the end" ;;
            *) fail "$host does not mount the programs" ;;
        esac
    done
    say "programs handed over ($(du -m -- "$disk" | cut -f 1) MiB)"
}

run_tests() { # [FILTER]: sets $passed $failed $skipped
    local filter=${1:-} name again=()
    local options=()
    [[ -z $filter ]] || options+=(--filter-method "*$filter*")
    run_once Pengx.Lab.log ${options[@]+"${options[@]}"}
    (( failed > 0 && total > 0 )) || return 0

    # The emulated processor loses a guest now and then (a triple fault in early boot): what failed is tried once more, and says so.
    local first_passed=$passed first_failed=$failed first_skipped=$skipped
    while read -r name; do
        again+=(--filter-method "$name")
    done < <(sed -n 's/^failed \([A-Za-z0-9_.]*\).*/\1/p' "$logs/Pengx.Lab.log" | sort -u)
    say "$first_failed failed and are tried once more"
    run_once Pengx.Lab.again.log "${again[@]}"
    # A method of several cases runs all of them again.
    skipped=$first_skipped
    passed=$(( first_passed + first_failed - failed ))
    (( failed > 0 )) || say "all of them passed when tried once more: $(printf '%s ' "${again[@]}" | sed 's/--filter-method Pengx\.Lab\.//g')"
}

run_once() { # LOG [OPTION...]: sets $passed $failed $skipped $total
    local log=$logs/$1 status=0 second=
    shift
    local options=(--output Detailed --no-ansi --progress off "$@")
    [[ ! -d $run/h2 ]] || second=10.99.0.2
    mkdir -p -- "$logs"
    # A process that hangs is ended inside; the outer limit is for a host that hangs.
    (cd -- "$run" && exec timeout --kill-after=10 "$(( limit + 60 ))" ssh -F ssh_config h1 \
        "$(printf '%q ' /opt/pengx/programs/run-tests.sh "$limit" "$second" "${PENGX_REQUIRE-}" "${options[@]}")") < /dev/null 2>&1 \
        | while IFS= read -r line; do
            printf '%s\n' "$line" >&3
            [[ ! $line =~ ^(passed|failed|skipped)' ' ]] || say "$line"
        done 3> "$log" || status=$?
    count() { sed -n "/^Test run summary:/,\$ s/^ *$1: *\([0-9][0-9]*\)$/\1/p" "$log" | tail -n 1; }
    total=$(count total) passed=$(count succeeded) failed=$(count failed) skipped=$(count skipped)
    if [[ -z $total ]]; then
        passed=0 failed=1 skipped=0
        echo "The tests ended with status $status and without a summary (124: after $limit s):"
        tail -n 40 -- "$log"
    elif (( total == 0 && $# == 0 )); then
        failed=1
        echo 'There are no tests.'
    elif (( status != 0 && failed == 0 && total > 0 )); then
        failed=1
        echo "The tests ended with status $status."
    fi
    awk '/^(passed|skipped|failed) |^Test run summary:/ { show = /^(failed|skipped) / } show && ++lines <= 400' "$log"
}

collect() {
    local host
    for host in $(hosts); do
        mkdir -p -- "$logs/$host"
        cp -- "$run/$host"/{serial.log,qemu.log} "$logs/$host/" 2> /dev/null || true
        alive "$host" && [[ -S $run/$host/control ]] || continue
        (cd -- "$run" && exec timeout 120 ssh -F ssh_config "$host" 'journalctl --no-pager > /var/log/journal.txt 2>&1; xl list > /var/log/xl-list.txt 2>&1; xl dmesg > /var/log/xl-dmesg.txt 2>&1
            cd /var/log && tar -czf - --ignore-failed-read journal.txt xl-list.txt xl-dmesg.txt xen pengx-lab 2> /dev/null') < /dev/null 2> /dev/null \
            | tar -C "$logs/$host" -xzf - 2> /dev/null || say "$host: its own logs could not be collected"
    done
}

whole_run() { # [--pair|--alone] [FILTER]
    local kind=--pair filter= argument
    for argument in "$@"; do
        case $argument in
            --pair | --alone) kind=$argument ;;
            -*) usage >&2; exit 2 ;;
            *) filter=$argument ;;
        esac
    done
    rm -rf -- "$logs"
    mkdir -p -- "$lab" "$logs"
    run=$(mktemp -d -- "$lab/run.XXXXXX")
    # However this ends, nothing stays and the last line says how the tests went; what fails before them is one failure.
    passed=0 failed=1 skipped=0 child=
    end() {
        local status=$?
        trap - EXIT
        trap '' INT TERM HUP
        [[ -z $child ]] || { kill -TERM -- "-$child" && wait "$child"; } 2> /dev/null || true
        collect || true
        stop_hosts
        rm -rf -- "$run"
        say 'ended'
        printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
        (( status == 0 && failed == 0 && passed + skipped > 0 )) || exit 1
        exit 0
    }
    trap end EXIT
    trap 'exit 143' INT TERM HUP
    qemu_guard=(setpriv --pdeathsig KILL)
    in_background prepare_and_tell
    . "$run/found"
    start "$kind"
    in_background test_and_tell "$filter"
    . "$run/found"
}

# A signal is acted on at once while this script waits, not after the command that runs: what takes long runs in a process group
# of its own, and tells what it found in a file.
in_background() {
    set -m
    ( "$@" ) < /dev/null &
    child=$!
    set +m
    wait "$child"
    child=
}

prepare_and_tell() {
    prepare
    printf 'image=%q runtime_disk=%q\n' "$image" "$runtime_disk" > "$run/found"
}

test_and_tell() {
    lock # the hosts start meanwhile
    make_programs_disk "$run/programs-1.img"
    unlock
    wait_until_up
    hand_over 1
    run_tests "$1"
    printf 'passed=%q failed=%q skipped=%q\n' "$passed" "$failed" "$skipped" > "$run/found"
}

prepare() {
    "$here/install.sh" --lab
    lock
    find_image
    make_runtime_disk
    unlock
}

need_running() {
    [[ -f $run/ssh_config ]] || fail 'no laboratory runs here: eng/lab.sh up starts one'
    image=$(< "$run/image")
}

command=${1:-test}
[[ $# == 0 ]] || shift
case $command in
    test) whole_run "$@" ;;
    image)
        "$here/install.sh" --lab
        lock
        find_image "$@"
        printf '%s\n' "$image"
        ;;
    up)
        [[ ! -d $run ]] || fail 'a laboratory runs already: eng/lab.sh down ends it'
        prepare
        qemu_guard=(setsid) # the hosts outlive the terminal
        trap 'stop_hosts; rm -rf -- "$run"' EXIT
        trap 'exit 143' INT TERM HUP
        start "$@"
        wait_until_up
        trap - EXIT INT TERM HUP # usable from here on, whatever becomes of the programs
        say "up: eng/lab.sh ssh $(hosts | paste -s -d '|') COMMAND; or: cd $run && ssh -F ssh_config h1"
        lock
        make_programs_disk "$run/programs-1.img"
        hand_over 1
        ;;
    push)
        need_running
        lock
        next=$(( $(cat -- "$run/programs" 2> /dev/null || echo 0) + 1 ))
        make_programs_disk "$run/programs-$next.img"
        hand_over "$next"
        ;;
    run)
        need_running
        run_tests "$@"
        printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
        (( failed == 0 && passed + skipped > 0 )) || exit 1
        ;;
    ssh)
        need_running
        host=h1
        [[ ! ${1:-} =~ ^h[12]$ ]] || { host=$1; shift; }
        lab_ssh "$host" "$@"
        ;;
    logs)
        need_running
        collect
        printf '%s\n' "$logs"
        ;;
    down)
        stop_hosts
        rm -rf -- "$run"
        ;;
    help | -h | --help) usage ;;
    *) usage >&2; exit 2 ;;
esac
