# disks.sh - sourced by eng/lab.sh: the two disks handed to the hosts. "runtime" is what seldom changes (.NET's shared frameworks,
# the guests), "programs" is what this checkout builds. A copy over ssh would take minutes under emulation.

make_disk() { # FOLDER FILE
    local size
    size=$(du -sm -- "$1" | cut -f 1)
    rm -f -- "$2.partial"
    truncate -s "$(( size + size / 8 + 16 ))M" "$2.partial"
    mke2fs -q -t ext4 -O ^metadata_csum,^has_journal -m 0 -E lazy_itable_init=1,root_owner=0:0 -d "$1" "$2.partial"
    mv -f -- "$2.partial" "$2"
}

make_runtime_disk() { # sets $runtime_disk
    local dotnet frameworks=() name version key folder
    # Where the frameworks are, as dotnet itself says: the command found in PATH may be a script in front of it.
    dotnet=$(dotnet --list-runtimes | sed -n 's|^Microsoft\.NETCore\.App .*\[\(.*\)/shared/Microsoft\.NETCore\.App\]$|\1|p' | tail -n 1)
    for name in Microsoft.NETCore.App Microsoft.AspNetCore.App; do
        version=$(dotnet --list-runtimes | awk -v name="$name" '$1 == name && $2 ~ /^10\.0\.[0-9]+$/ { print $2 }' | sort -V | tail -n 1)
        [[ -n $version ]] || fail "this machine's dotnet has no $name 10.0"
        frameworks+=("shared/$name/$version")
    done
    frameworks+=("host/fxr/$version")
    "$here/guest.sh" > /dev/null || fail 'the test guest could not be built'
    key=$( (printf '%s\n' "${frameworks[@]}"; cat -- "$root/artifacts/guest/guest.key" "$here"/lab/{disks,vmlinux}.sh) | sha256sum | cut -c 1-16)
    runtime_disk=$lab/runtime-$key.img
    [[ ! -f $runtime_disk ]] || return 0
    say 'making the runtime disk'
    rm -f -- "$lab"/runtime-*.img
    folder=$(mktemp -d -- "$lab/.runtime.XXXXXX")
    mkdir -- "$folder/dotnet" "$folder/guest"
    cp -- "$dotnet/dotnet" "$folder/dotnet/"
    (cd -- "$dotnet" && cp -R --parents -- "${frameworks[@]}" "$folder/dotnet/")
    cp -- "$root/artifacts/guest"/{guest.raw,initrd.img} "$folder/guest/"
    "$here/lab/vmlinux.sh" "$root/artifacts/guest/vmlinuz" "$folder/guest/vmlinux"
    make_disk "$folder" "$runtime_disk"
    rm -rf -- "$folder"
}

publish() { # PROJECT FOLDER [OPTION...]
    local project=$1 folder=$2
    shift 2
    # Built apart from everything else and without analyzers, which the ordinary build runs: an edit is in the laboratory sooner.
    # Output goes to a file: a compiler server that stays behind must not hold this script's output or lock open.
    (cd -- "$root" && exec 9>&- && dotnet publish "$project" --configuration Release --nologo --verbosity quiet \
        --runtime linux-x64 --self-contained false --output "$folder/$(basename -- "$project")" \
        -p:ArtifactsPath="$lab/build" -p:RunAnalyzers=false -p:UseSharedCompilation=true "$@") > "$lab/publish.log" 2>&1 < /dev/null
}

make_programs_disk() { # FILE
    local folder=$lab/programs project
    rm -rf -- "$folder"
    mkdir -p -- "$folder"
    say 'publishing the programs'
    for project in tests/Pengx.Lab samples/Pengx.Host; do
        # Compiling ahead of time saves most of a start under emulation; its compiler is a package that may not be there.
        publish "$project" "$folder" -p:PublishReadyToRun=true && continue
        if grep -qE 'error (NU1|NETSDK1094)' "$lab/publish.log" && publish "$project" "$folder"; then
            say "$project is not compiled ahead of time: $(grep -oE 'error (NU1|NETSDK1094).*' "$lab/publish.log" | head -n 1)"
            continue
        fi
        cat -- "$lab/publish.log" >&2
        fail "$project could not be published"
    done
    cp -- "$here/lab/run-tests.sh" "$here/lab/environment" "$folder/"
    make_disk "$folder" "$1"
}
