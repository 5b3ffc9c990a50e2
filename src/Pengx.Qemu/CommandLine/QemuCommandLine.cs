using System.Globalization;
using System.Text.Json.Nodes;

namespace Pengx.Qemu;

/// <summary>Everything that a QEMU process is started with.</summary>
internal sealed record QemuLaunch
{
    public required DomainDefinition Definition { get; init; }

    public required DomainFiles Files { get; init; }

    public required IReadOnlyList<RunNic> Nics { get; init; }

    public required bool UseKvm { get; init; }

    public required QemuVncListen VncListen { get; init; }
}

/// <summary>Writes QEMU's arguments. What a user wrote is either not in them (names, passwords) or inside JSON (paths).</summary>
internal static class QemuCommandLine
{
    /// <summary>The descriptor at which QEMU finds its monitor's listening socket.</summary>
    public const int MonitorDescriptor = 3;

    /// <summary>The descriptor at which QEMU finds the serial log.</summary>
    public const int SerialLogDescriptor = 4;

    public const string BalloonId = "balloon0";

    public const string TabletId = "tablet0";

    public const string CdromId = "cdrom0";

    /// <summary>The host's end of the channel to an agent in the guest.</summary>
    public const string AgentChannel = "agent0";

    /// <summary>The size of DIMMs that can be added; Linux guests take memory in such blocks.</summary>
    public const long DimmBytes = 128L * 1024 * 1024;

    /// <summary>How often memory can be added between two starts.</summary>
    public const int DimmSlots = 16;

    private const int VncPorts = 999;
    private const int SerialLogSet = 1;

    /// <summary>The arguments, without the program.</summary>
    /// <param name="launch">What to start.</param>
    public static IReadOnlyList<string> Build(QemuLaunch launch)
    {
        var definition = launch.Definition;
        var arguments = BuildMachine(new()
        {
            Id = definition.Id,
            Files = launch.Files,
            Machine = "pc",
            UseKvm = launch.UseKvm,
            Cpus = definition.Cpus,
            MaxCpus = definition.MaxCpus,
            Memory = definition.Memory,
            MaxMemory = definition.MaxMemory,
            IsWindows = definition.IsWindows,
        });
        AddDisks(arguments, definition.Id, definition.Disks);
        AddIso(arguments, definition);
        AddNics(arguments, launch.Nics);
        AddHostDevices(arguments, definition);
        AddConsole(arguments, launch.Files, launch.VncListen, hasPassword: definition.VncPassword is not null);
        if (definition.VncPassword is not null && launch.VncListen != QemuVncListen.None)
        {
            AddTablet(arguments);
        }

        return arguments;
    }

    /// <summary>The arguments of a QEMU that waits for a guest from another host: the same machine, to the last device.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="disks">Its disks.</param>
    /// <param name="nics">Its network interfaces.</param>
    /// <param name="files">The domain's files here.</param>
    /// <param name="vncListen">Where consoles listen here.</param>
    public static IReadOnlyList<string> BuildIncoming(MovingGuest guest, IReadOnlyList<DomainDisk> disks, IReadOnlyList<RunNic> nics, DomainFiles files, QemuVncListen vncListen)
    {
        var arguments = BuildMachine(new()
        {
            Id = new(guest.Id),
            Files = files,
            Machine = guest.Machine,
            UseKvm = guest.HostProcessor is not null,
            Cpus = guest.Cpus,
            MaxCpus = guest.MaxCpus,
            Memory = new(guest.MemoryBytes),
            MaxMemory = new(guest.MaxMemoryBytes),
            IsWindows = guest.IsWindows,
        });
        foreach (var processor in guest.Processors)
        {
            var device = new JsonObject { ["driver"] = processor.Type, ["id"] = processor.Device };
            foreach (var (name, value) in processor.Place)
            {
                device[name] = value;
            }

            arguments.AddRange(["-device", device.ToJsonString()]);
        }

        foreach (var dimm in guest.Dimms)
        {
            arguments.AddRange([
                "-object", new JsonObject { ["qom-type"] = "memory-backend-ram", ["id"] = dimm.Backend, ["size"] = dimm.Bytes }.ToJsonString(),
                "-device", new JsonObject { ["driver"] = "pc-dimm", ["id"] = dimm.Device, ["memdev"] = dimm.Backend, ["slot"] = dimm.Slot, ["addr"] = dimm.Address }.ToJsonString(),
            ]);
        }

        AddDisks(arguments, new(guest.Id), disks);
        AddNics(arguments, nics);
        AddConsole(arguments, files, vncListen, guest.VncPassword is not null);
        if (guest.HasTablet)
        {
            AddTablet(arguments);
        }

        arguments.AddRange(["-incoming", "defer"]);
        return arguments;
    }

    private static List<string> BuildMachine(MachineArguments machine)
    {
        var arguments = new List<string>
        {
            "-nodefaults", "-no-user-config", "-no-fd-bootchk",
            "-name", $"guest={machine.Id}",
            "-uuid", machine.Id.ToString(),
            "-pidfile", machine.Files.PidFile,
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-machine", $"{machine.Machine},dump-guest-core=off",
            "-accel", machine.UseKvm ? "kvm" : "tcg,thread=multi",
            "-cpu", machine.UseKvm ? "host" : "max",
            "-smp", Text($"cpus={machine.Cpus},maxcpus={machine.MaxCpus}"),
            "-m", Memory(machine.Memory, machine.MaxMemory),
            "-rtc", machine.IsWindows ? "base=localtime,driftfix=slew" : "base=utc",
            "-S",

            // A guest that shut down stays until we have seen it, even if we were not there: a process that is gone without
            // our doing has crashed.
            "-action", "shutdown=pause,reboot=reset,panic=pause",
            "-chardev", Text($"socket,id=qmp,fd={MonitorDescriptor},server=on,wait=off"),
            "-mon", "chardev=qmp,mode=control",
            "-add-fd", Text($"fd={SerialLogDescriptor},set={SerialLogSet}"),
        };

        // A comma in an option is written twice; the run directory is the operator's, not the user's.
        arguments.AddRange([
            "-chardev", Text($"socket,id=serial0,path={Escape(machine.Files.SerialSocket)},server=on,wait=off,logfile=/dev/fdset/{SerialLogSet},logappend=on"),
            "-serial", "chardev:serial0",
            "-device", "pvpanic",
            "-device", $"VGA,id=vga0,addr={PciSlots.Address(PciSlots.Graphics)}",
            "-device", $"virtio-balloon-pci,id={BalloonId},addr={PciSlots.Address(PciSlots.Balloon)}",
            "-device", $"pci-bridge,id={PciSlots.NicBus},chassis_nr=1,addr={PciSlots.Address(PciSlots.NicBridge)}",
            "-chardev", Text($"socket,id={AgentChannel},path={Escape(machine.Files.AgentSocket)},server=on,wait=off"),
            "-device", $"virtio-serial-pci,id=agents,addr={PciSlots.Address(PciSlots.AgentChannel)}",
            "-device", $"virtserialport,bus=agents.0,chardev={AgentChannel},name=org.qemu.guest_agent.0",
        ]);
        return arguments;
    }

    private static string Escape(string path) => path.Replace(",", ",,", StringComparison.Ordinal);

    private static string Memory(DataSize memory, DataSize max) => max > memory
        ? Text($"size={memory.Bytes / 1024}k,slots={DimmSlots},maxmem={max.Bytes / 1024}k")
        : Text($"size={memory.Bytes / 1024}k");

    private static void AddDisks(List<string> arguments, DomainId domain, IReadOnlyList<DomainDisk> disks)
    {
        var bootIndex = 0;
        foreach (var disk in disks)
        {
            foreach (var node in BlockNodes.Describe(disk))
            {
                arguments.AddRange(["-blockdev", node.ToJsonString()]);
            }

            arguments.AddRange(["-device", Devices.Disk(domain, disk, bootIndex++).ToJsonString()]);
        }
    }

    private static void AddIso(List<string> arguments, DomainDefinition definition)
    {
        if (definition.IsoPath is { } iso)
        {
            var medium = new JsonObject
            {
                ["driver"] = "raw",
                ["node-name"] = "cd0",
                ["read-only"] = true,
                ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = iso, ["read-only"] = true },
            };
            arguments.AddRange([
                "-blockdev", medium.ToJsonString(),
                "-device", Text($"ide-cd,id={CdromId},bus=ide.1,unit=0,drive=cd0,bootindex={definition.Disks.Count}"),
            ]);
        }
    }

    private static void AddNics(List<string> arguments, IReadOnlyList<RunNic> nics)
    {
        foreach (var nic in nics)
        {
            var mac = MacAddress.Parse(nic.Mac);
            arguments.AddRange([
                "-netdev", nic.Tap is null ? $"user,id={Devices.NetdevId(mac)}" : $"tap,id={Devices.NetdevId(mac)},ifname={nic.Tap},script=no,downscript=no",
                "-device", Devices.Nic(mac, nic.Slot).ToJsonString(),
            ]);
        }
    }

    private static void AddHostDevices(List<string> arguments, DomainDefinition definition)
    {
        var slot = PciSlots.LastOnBridge;
        foreach (var address in definition.PciDevices)
        {
            arguments.AddRange(["-device", $"vfio-pci,host={address},bus={PciSlots.NicBus},addr={PciSlots.Address(slot--)}"]);
        }
    }

    private static void AddConsole(List<string> arguments, DomainFiles files, QemuVncListen listen, bool hasPassword)
    {
        arguments.AddRange(["-display", "none"]);
        if (hasPassword && listen != QemuVncListen.None)
        {
            // The password itself goes over the monitor; until then nobody can log in.
            arguments.AddRange(["-vnc", listen == QemuVncListen.UnixSocket
                ? $"unix:{Escape(files.VncSocket)},password=on"
                : Text($"127.0.0.1:0,to={VncPorts},password=on")]);
        }
    }

    // A pointer that is where the viewer's is.
    private static void AddTablet(List<string> arguments) =>
        arguments.AddRange(["-device", "piix3-usb-uhci,id=usb,addr=0x1.0x2", "-device", $"usb-tablet,id={TabletId},bus=usb.0"]);

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record MachineArguments
    {
        public required DomainId Id { get; init; }

        public required DomainFiles Files { get; init; }

        public required string Machine { get; init; }

        public required bool UseKvm { get; init; }

        public required int Cpus { get; init; }

        public required int MaxCpus { get; init; }

        public required DataSize Memory { get; init; }

        public required DataSize MaxMemory { get; init; }

        public required bool IsWindows { get; init; }
    }
}
