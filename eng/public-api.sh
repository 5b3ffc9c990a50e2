#!/usr/bin/env bash
# public-api.sh [PROJECT...] - writes the public surface of the libraries (default: all of src/) into their PublicAPI text
# files, so that a review sees every change of it. What is in PublicAPI.Shipped.txt stays there; Unshipped gets the rest.
# Works offline once the packages are restored.
set -euo pipefail
export LC_ALL=C.UTF-8 DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cd -- "$(dirname -- "$here")"

projects=("$@")
if (( ${#projects[@]} == 0 )); then
    for file in src/*/*.csproj; do
        projects+=("$(basename -- "$file" .csproj)")
    done
fi

failed=0
for project in "${projects[@]}"; do
    folder=src/$project
    [[ -f $folder/$project.csproj ]] || { echo "public-api: there is no $folder/$project.csproj" >&2; exit 2; }
    shipped=$folder/PublicAPI.Shipped.txt
    unshipped=$folder/PublicAPI.Unshipped.txt
    [[ -f $shipped ]] || printf '#nullable enable\n' > "$shipped"
    before=$(cat -- "$unshipped" 2> /dev/null || true)

    # The code fix only adds, so it starts from the empty text; removals of shipped members are written by hand and kept.
    {
        printf '#nullable enable\n'
        grep -F -- '*REMOVED*' <<< "$before" || true
    } > "$unshipped"
    # The rule is a warning by itself (the build makes it an error), and the severity here is the lowest to be fixed.
    if ! dotnet restore "$folder" --verbosity quiet < /dev/null \
        || ! dotnet format analyzers "$folder" --no-restore --diagnostics RS0016 --severity warn --verbosity quiet < /dev/null \
        || (( $(cat -- "$shipped" "$unshipped" | grep -cv '^#') == 0 )); then
        printf '%s\n' "${before:-#nullable enable}" > "$unshipped"
        echo "public-api: $project: nothing could be written; does it reference Microsoft.CodeAnalysis.PublicApiAnalyzers, and does it build?" >&2
        failed=1
        continue
    fi
    echo "public-api: $project: $(grep -cv '^#' "$unshipped") unshipped members"
done
exit "$failed"
