#!/usr/bin/env bash
# run.sh [OPTION...] - builds the service and runs it in the foreground on its embedded database. Options and environment go
# to the service: --urls http://127.0.0.1:9000, --Pengx:DataDirectory=/srv/pengx, Pengx__Hypervisor=simulator, ...
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname -- "$here")
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1

"$here/install.sh"

echo 'Building the service ...'
log=$root/artifacts/run-build.log
mkdir -p -- "$root/artifacts"
# The output goes to a file: a build server that stays behind must not hold this script's terminal or pipe.
if ! (cd -- "$root" && dotnet build samples/Pengx.Host --configuration Release --nologo --verbosity quiet -p:UseSharedCompilation=true) > "$log" 2>&1 < /dev/null; then
    cat -- "$log"
    echo "The build failed; its log is $log." >&2
    exit 1
fi

urls=${ASPNETCORE_URLS:-http://127.0.0.1:8080}
if [[ $(id -u) == 0 ]]; then
    data=/var/lib/pengx
else
    data=$HOME/.local/share/pengx
fi
data=${Pengx__DataDirectory:-$data}
previous=
for argument in "$@"; do
    case $previous in
        --urls) urls=$argument ;;
        --Pengx:DataDirectory) data=$argument ;;
    esac
    case $argument in
        --urls=*) urls=${argument#*=} ;;
        --Pengx:DataDirectory=*) data=${argument#*=} ;;
    esac
    previous=$argument
done
url=${urls%%;*}

cat << TEXT

Pengx listens on ${urls//;/ and }; its database and sockets are in $data.
It speaks the XML of the pengx3 reference. Try in another terminal:

  curl $url/pms/all/
  curl -H 'Content-Type: application/xml' $url/storlinks/create/ \\
       -d '<storlink><name>store1</name><link>/tmp</link><type>LO</type><level>FL</level></storlink>'
  curl $url/storlinks/

README.md goes on from here to a running guest. Control-C stops the service; its guests go on running.

TEXT

exec dotnet "$root/artifacts/bin/Pengx.Host/release/Pengx.Host.dll" "$@"
