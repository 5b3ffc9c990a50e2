#!/bin/bash
# run-tests.sh SECONDS SECOND_HOST REQUIRE [OPTION...] - runs inside dom0: the laboratory's tests, with a limit.
set -euo pipefail

limit=$1
export PENGX_LAB_SECOND_HOST=$2 PENGX_REQUIRE=$3
shift 3
programs=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
. "$programs/environment"
mkdir -p /var/log/pengx-lab
exec timeout --kill-after=10 "$limit" "$programs/Pengx.Lab/Pengx.Lab" --results-directory /var/log/pengx-lab "$@"
