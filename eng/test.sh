#!/usr/bin/env bash
# test.sh [--lab] [FILTER] - installs what is missing, builds everything and runs every test, with --lab also those that need a
# real Xen host (docs/laboratory.md); FILTER runs only the tests whose full name contains it. Full logs are in
# artifacts/test-logs; the last line is "N passed, N failed, N skipped".
set -euo pipefail
export LC_ALL=C.UTF-8 DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_CLI_UI_LANGUAGE=en MSBUILDDISABLENODEREUSE=1

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$here")
limit=${PENGX_TEST_TIMEOUT:-1800} # seconds for one test project
lab=false
filter=
for argument in "$@"; do
    case $argument in
        --lab) lab=true ;;
        -h | --help)
            echo 'usage: eng/test.sh [--lab] [FILTER]'
            exit 0
            ;;
        -*)
            echo "test.sh: unknown option $argument (usage: eng/test.sh [--lab] [FILTER])" >&2
            exit 2
            ;;
        *)
            [[ -z $filter ]] || { echo 'test.sh: only one filter' >&2; exit 2; }
            filter=$argument
            ;;
    esac
done

cd -- "$root"
logs=$root/artifacts/test-logs
rm -rf -- "$logs"
mkdir -p -- "$logs"

finish() { # PASSED FAILED SKIPPED
    printf '%d passed, %d failed, %d skipped\n' "$1" "$2" "$3"
    (( $2 == 0 && $1 + $3 > 0 )) || exit 1
    exit 0
}

"$here/install.sh" || { echo 'What the tests need is not there and cannot be installed.'; finish 0 1 0; }

# Without the guest its tests are skipped with that reason, or fail where PENGX_REQUIRE demands them.
"$here/guest.sh" > /dev/null || echo 'The test guest could not be built; the tests that boot it will say so.'
"$here/xen-tools.sh" > /dev/null || echo "Xen's tools could not be unpacked; the tests that ask them will say so."

# Build output goes to a file: a compiler server that stays behind must not hold this script's output open.
echo 'Building ...'
started=$SECONDS
if ! dotnet build Pengx.Sdk.sln --configuration Release --nologo --verbosity quiet -p:UseSharedCompilation=true > "$logs/build.log" 2>&1 < /dev/null; then
    grep -E '(error|warning) [A-Z]+[0-9]+|MSB[0-9]+' "$logs/build.log" | sort -u | head -n 100 || tail -n 40 "$logs/build.log"
    echo "The build failed; its log is $logs/build.log."
    finish 0 1 0
fi
echo "Built in $(( SECONDS - started )) s."

run_project() { # NAME: leaves "passed failed skipped seconds note" in NAME.result
    local name=$1 program log status=0 begun=$SECONDS
    local passed failed skipped total note=
    program=$root/artifacts/bin/$name/release/$name
    log=$logs/$name.log
    local options=(--output Detailed --no-ansi --progress off --results-directory "$logs")
    [[ -z $filter ]] || options+=(--filter-method "*$filter*")
    timeout --kill-after=10 "$limit" "$program" "${options[@]}" > "$log" 2>&1 < /dev/null &
    child=$!
    wait "$child" || status=$?
    count() { sed -n "/^Test run summary:/,\$ s/^ *$1: *\([0-9][0-9]*\)$/\1/p" "$log" | tail -n 1; }
    total=$(count total) passed=$(count succeeded) failed=$(count failed) skipped=$(count skipped)
    if [[ -z $total ]]; then
        # Died without a summary: one failure, whatever it had got done before.
        passed=0 failed=1 skipped=0
        note="ended with status $status and without a summary"
        (( status != 124 && status != 137 )) || note="stopped after $limit s"
    elif (( total == 0 )); then
        if [[ -z $filter ]]; then
            failed=1
            note='has no tests'
        else
            note='nothing matches'
        fi
    elif (( status != 0 && failed == 0 )); then
        failed=1
        note="ended with status $status"
    fi
    printf '%d %d %d %d %s\n' "$passed" "$failed" "$skipped" "$(( SECONDS - begun ))" "$note" > "$logs/$name.result"
    printf '%-32s %5d passed, %d failed, %d skipped in %d s%s\n' \
        "$name" "$passed" "$failed" "$skipped" "$(( SECONDS - begun ))" "${note:+ ($note)}"
}

# Two lanes: whatever starts real machines, or a Ceph cluster, runs one project after the other, everything else beside it.
machines=() others=() all=()
for folder in tests/*.Tests; do
    name=$(basename -- "$folder")
    [[ -f $folder/$name.csproj ]] || continue
    all+=("$name")
    if grep -rqsE --include='*.cs' 'GuestImage|qemu-system|ceph-osd' "$folder"; then
        machines+=("$name")
    else
        others+=("$name")
    fi
done
lane() {
    local name child=
    trap 'kill "$child" 2> /dev/null; exit 143' TERM
    for name in "$@"; do
        run_project "$name"
    done
}
# Everything that the tests start inherits one of these marks, so what they leave behind can be found: a guest's process gets
# little of its environment, but the temporary directory. It is short because socket paths are.
export PENGX_TEST_RUN=$$-$RANDOM
TMPDIR=$(mktemp -d /tmp/px.XXXXXX)
chmod 0711 -- "$TMPDIR" # guests that run as another user pass through it, as through /tmp
export TMPDIR
lane ${machines[@]+"${machines[@]}"} &
first=$!
lane ${others[@]+"${others[@]}"} &
second=$!
trap 'kill "$first" "$second" 2> /dev/null; wait; echo Interrupted.; finish 0 1 0' INT TERM
wait "$first" || true
wait "$second" || true
trap - INT TERM

passed=0 failed=0 skipped=0
for name in ${all[@]+"${all[@]}"}; do
    read -r one two three _ note < "$logs/$name.result" 2> /dev/null || { one=0 two=1 three=0 note='never ran'; }
    passed=$(( passed + one )) failed=$(( failed + two )) skipped=$(( skipped + three ))
    if (( two > 0 )); then
        printf '\n==== %s: %d failed%s, log: %s\n' "$name" "$two" "${note:+ ($note)}" "$logs/$name.log"
        awk '/^(passed|skipped|failed) |^Test run summary:/ { show = /^failed / } show && ++lines <= 400' "$logs/$name.log" || true
        [[ -z $note ]] || tail -n 40 -- "$logs/$name.log" || true
    fi
    if (( three > 0 )); then
        printf '\n==== %s: %d skipped\n' "$name" "$three"
        awk '/^(passed|skipped|failed) |^Test run summary:/ { show = /^skipped / } show' "$logs/$name.log" || true
    fi
done
leftovers=()
for process in /proc/[0-9]*; do
    if grep -qsz -e "^PENGX_TEST_RUN=$PENGX_TEST_RUN\$" -e "^TMPDIR=$TMPDIR" "$process/environ" && [[ ${process#/proc/} != "$$" ]]; then
        command=$(tr '\0' ' ' < "$process/cmdline" 2> /dev/null) || continue
        # A compiler server that a test's own build started goes by itself.
        [[ -z $command || $command == *VBCSCompiler* || $command == *MSBuild.dll* ]] && continue
        leftovers+=("${process#/proc/} ${command:0:200}")
        kill -KILL "${process#/proc/}" 2> /dev/null || true
    fi
done
if (( ${#leftovers[@]} > 0 )); then
    printf '\n==== The tests left processes behind (counted as one failure, now killed):\n'
    printf '%s\n' "${leftovers[@]}"
    failed=$(( failed + 1 ))
fi
rm -rf -- "$TMPDIR"
unset TMPDIR PENGX_TEST_RUN

# The laboratory comes last and alone: emulated hosts keep every processor busy.
if $lab; then
    echo
    echo 'The laboratory ...'
    laboratory=$logs/lab.result
    trap 'kill "$child" 2> /dev/null; wait "$child"; echo Interrupted.; finish "$passed" "$(( failed + 1 ))" "$skipped"' INT TERM
    "$here/lab.sh" test ${filter:+"$filter"} > "$laboratory" < /dev/null &
    child=$!
    wait "$child" || true
    trap - INT TERM
    sed '$d' -- "$laboratory"
    read -r one _ two _ three _ < <(tail -n 1 -- "$laboratory") || true
    if [[ ${one:-} =~ ^[0-9]+$ && ${two:-} =~ ^[0-9]+$ && ${three:-} =~ ^[0-9]+$ ]]; then
        printf 'Pengx.Lab: %d passed, %d failed, %d skipped\n' "$one" "$two" "$three"
        passed=$(( passed + one )) failed=$(( failed + two )) skipped=$(( skipped + three ))
    else
        echo 'The laboratory ended without a word.'
        failed=$(( failed + 1 ))
    fi
fi
echo
(( passed + failed + skipped > 0 )) || echo 'No test ran.'
finish "$passed" "$failed" "$skipped"
