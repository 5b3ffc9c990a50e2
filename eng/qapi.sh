#!/usr/bin/env bash
# qapi.sh [--refresh [QEMU]] - generates the typed QMP surface (src/Pengx.Qmp/Schema/Generated) from the stored schema of QEMU and
# the facts beside it. --refresh first stores the schema of the QEMU that is installed (default: qemu-system-x86_64); names of new
# types are then derived from their use until eng/qapi-names.py or a hand adds QEMU's own to qapi-facts.json.
set -euo pipefail
export LC_ALL=C.UTF-8 DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$here")
options=()
case ${1-} in
    '') ;;
    --refresh) options=(--refresh "${2:-qemu-system-x86_64}") ;;
    *)
        echo 'usage: eng/qapi.sh [--refresh [QEMU]]' >&2
        exit 2
        ;;
esac
exec dotnet run --project "$here/Pengx.Qapi" -- "$root" ${options[@]+"${options[@]}"}
