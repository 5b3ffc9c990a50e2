# hosts.sh - sourced by eng/lab.sh: starting, reaching and stopping the laboratory's hosts. $run is the folder of the running
# laboratory; everything in it is named relatively, because paths of sockets must be short.

# Arguments of QEMU that do not depend on the host. Every CPU flag that is taken away is one that killed or corrupted something:
# smap: dom0 dies at once; rdtscp: PVH guests die; avx, avx2, f16c, fma, xsave, xsaveopt: programs in dom0 compute nonsense.
qemu_machine=(
    -machine q35,usb=off -accel tcg,thread=multi,tb-size=1024
    -cpu max,-smap,-rdtscp,-avx,-avx2,-f16c,-fma,-xsave,-xsaveopt
    -nodefaults -no-user-config -display none -vga none -no-reboot
)

# Xen: a fixed dom0, so that libxl needs no ballooning; no mitigation of what emulation does not suffer from; no watchdog, as
# time stands still when the machine outside is busy. Pages are not scrubbed: QEMU hands them out empty, and touches them then only.
xen_arguments='dom0_mem=2048M,max:2048M com1=115200,8n1 console=com1 loglvl=info guest_loglvl=info'
xen_arguments+=' spec-ctrl=no xpti=no pv-l1tf=no watchdog=0 bootscrub=0'
linux_arguments='root=/dev/vda rw console=hvc0 mitigations=off nokaslr random.trust_cpu=on net.ifnames=0 selinux=0 apparmor=0 audit=0 quiet loglevel=4'

start_host() { # NUMBER CPUS MEBIBYTES pair|alone
    local number=$1 cpus=$2 memory=$3 kind=$4 name=h$1 arguments link=()
    mkdir -p -- "$run/$name"
    qemu-img create -q -f qcow2 -F raw -b "$image/root.img" "$run/$name/root.qcow2"
    mkfifo -m 600 -- "$run/$name/monitor.in" "$run/$name/monitor.out"
    if [[ $kind == pair ]]; then
        # The wire between the hosts is a socket between the two QEMUs: nothing of it leaves this machine.
        link=(
            -netdev "stream,id=link,server=$([[ $number == 1 ]] && echo on || echo off),addr.type=unix,addr.path=link.sock"
            -device "virtio-net-pci,netdev=link,mac=52:54:00:00:01:0$number,romfile="
        )
    fi
    arguments="$linux_arguments pengx.address=10.99.0.$number systemd.hostname=xenhost$number"
    arguments+=" systemd.machine_id=0000000000000000000000000000000$number"
    (
        cd -- "$run"
        exec 9>&- # the lock of whoever builds is not this process's to keep
        # In a test run the machine dies with the script, however that one dies.
        exec ${qemu_guard[@]+"${qemu_guard[@]}"} qemu-system-x86_64 -name "pengx-lab-$name" "${qemu_machine[@]}" -smp "$cpus" -m "$memory" \
            -serial "file:$name/serial.log" \
            -chardev "pipe,id=monitor,path=$name/monitor" -mon chardev=monitor,mode=control \
            -drive "if=none,id=root,file=$name/root.qcow2,format=qcow2,cache=unsafe,discard=unmap" -device virtio-blk-pci,drive=root \
            -device virtio-scsi-pci,id=scsi \
            -netdev user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22 \
            -device "virtio-net-pci,netdev=net,mac=52:54:00:00:00:0$number,romfile=" "${link[@]}" \
            -kernel "$image/xen" -append "$xen_arguments dom0_max_vcpus=$cpus" -initrd "$image/vmlinux $arguments,$image/initrd.img"
    ) > "$run/$name/qemu.log" 2>&1 < /dev/null &
    echo $! > "$run/$name/pid"
    date +%s > "$run/$name/started"
    qmp "$name" '"qmp_capabilities"' > /dev/null || { cat -- "$run/$name/qemu.log" >&2; fail "$name: QEMU did not start"; }
    local forward port
    forward=$(qmp "$name" '"human-monitor-command","arguments":{"command-line":"info usernet"}')
    port=$(sed -n 's/.*HOST_FORWARD\] *[0-9]* *127\.0\.0\.1 *\([0-9]*\) .*/\1/p' <<< "$forward")
    [[ -n $port ]] || fail "$name: QEMU forwards no port: $forward"
    cat >> "$run/ssh_config" << TEXT
Host $name
  HostName 127.0.0.1
  HostKeyAlias pengx-lab-$name
  Port $port
  User root
  IdentityFile $image/id_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile $image/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ControlPath $name/control
  ConnectTimeout 20
  ServerAliveInterval 30
  ServerAliveCountMax 10
  LogLevel ERROR
TEXT
}

qmp() { # HOST '"command"[,"arguments":{...}]': prints the answer, fails on an error or when none comes
    local name=$1 id=$RANDOM$RANDOM input output line
    exec {output}<> "$run/$name/monitor.out" {input}<> "$run/$name/monitor.in"
    printf '{"execute":%s,"id":"%s"}\n' "$2" "$id" >&"$input"
    while IFS= read -r -t 60 -u "$output" line; do
        [[ $line == *"\"id\": \"$id\""* ]] || continue # the greeting, or an event
        exec {output}>&- {input}>&-
        printf '%s\n' "$line"
        [[ $line != *'"error": {'* ]]
        return
    done
    exec {output}>&- {input}>&-
    return 1
}

alive() { [[ -f $run/$1/pid ]] && kill -0 "$(< "$run/$1/pid")" 2> /dev/null; }

lab_ssh() { # HOST [COMMAND...]
    (cd -- "$run" && exec ssh -F ssh_config "$@")
}

wait_for_host() { # HOST SECONDS: until ssh answers; then one connection is kept that all others go through
    local name=$1 limit=$2 started
    started=$(< "$run/$name/started")
    until timeout 60 ssh -F "$run/ssh_config" -o ControlPath=none "$name" true > /dev/null 2>&1 < /dev/null; do
        alive "$name" || { tail -n 20 -- "$run/$name/qemu.log" "$run/$name/serial.log" >&2; fail "$name: QEMU has ended"; }
        (( $(date +%s) - started < limit )) || { tail -n 40 -- "$run/$name/serial.log" >&2; fail "$name: no ssh after $limit s"; }
        sleep 0.5
    done
    lab_ssh -o ControlMaster=yes -fN "$name" > /dev/null 2>&1 < /dev/null
    say "$name answers, $(( $(date +%s) - started )) s after its start"
}

attach_disk() { # HOST NAME FILE: a read-only disk that dom0 sees as /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_NAME
    qmp "$1" "\"blockdev-add\",\"arguments\":{\"node-name\":\"$2\",\"driver\":\"raw\",\"read-only\":true,\"file\":{\"driver\":\"file\",\"filename\":\"$3\"}}" > /dev/null \
        && qmp "$1" "\"device_add\",\"arguments\":{\"driver\":\"scsi-hd\",\"bus\":\"scsi.0\",\"id\":\"$2\",\"drive\":\"$2\",\"serial\":\"$2\"}" > /dev/null
}

detach_disk() { # HOST NAME
    local try
    qmp "$1" "\"device_del\",\"arguments\":{\"id\":\"$2\"}" > /dev/null || return
    # QEMU lets go of the image a moment after the device has gone.
    for (( try = 0; try < 100; try++ )); do
        ! qmp "$1" "\"blockdev-del\",\"arguments\":{\"node-name\":\"$2\"}" > /dev/null || return 0
        sleep 0.1
    done
    return 1
}

mount_disk() { # HOST NAME FOLDER: takes the place of what is mounted there; fails when that one is still in use, which it leaves attached
    lab_ssh "$1" bash -s -- "$2" "$3" << 'TEXT'
disk=/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_$1
for try in $(seq 300); do [ ! -b "$disk" ] || break; sleep 0.1; done
mkdir -p "$2"
status=0
if mountpoint -q "$2"; then umount "$2" 2> /dev/null || { umount --lazy "$2"; status=3; }; fi
mount -o ro,noatime "$disk" "$2" || exit 1
exit $status
TEXT
}

stop_hosts() { # by process id, whatever state they are in
    local file pid tries
    for file in "$run"/h?/control; do
        [[ ! -S $file ]] || lab_ssh -O exit "$(basename -- "$(dirname -- "$file")")" > /dev/null 2>&1 || true
    done
    for file in "$run"/h?/pid; do
        [[ -f $file ]] || continue
        pid=$(< "$file")
        # The number may belong to somebody else by now.
        grep -qsz '^pengx-lab-h' "/proc/$pid/cmdline" || continue
        kill "$pid" 2> /dev/null || true
        for (( tries = 0; tries < 100; tries++ )); do
            kill -0 "$pid" 2> /dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2> /dev/null || true
    done
}
