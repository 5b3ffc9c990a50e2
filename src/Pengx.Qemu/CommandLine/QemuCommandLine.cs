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
        var arguments = new List<string>
        {
            "-nodefaults", "-no-user-config", "-no-fd-bootchk",
            "-name", $"guest={definition.Id}",
            "-uuid", definition.Id.ToString(),
            "-pidfile", launch.Files.PidFile,
            "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-machine", "pc,dump-guest-core=off",
            "-accel", launch.UseKvm ? "kvm" : "tcg,thread=multi",
            "-cpu", launch.UseKvm ? "host" : "max",
            "-smp", Text($"cpus={definition.Cpus},maxcpus={definition.MaxCpus}"),
            "-m", Memory(definition),
            "-rtc", definition.IsWindows ? "base=localtime,driftfix=slew" : "base=utc",
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
            "-chardev", Text($"socket,id=serial0,path={launch.Files.SerialSocket.Replace(",", ",,", StringComparison.Ordinal)},server=on,wait=off,logfile=/dev/fdset/{SerialLogSet},logappend=on"),
            "-serial", "chardev:serial0",
            "-device", "pvpanic",
            "-device", $"VGA,id=vga0,addr={PciSlots.Address(PciSlots.Graphics)}",
            "-device", $"virtio-balloon-pci,id={BalloonId},addr={PciSlots.Address(PciSlots.Balloon)}",
            "-device", $"pci-bridge,id={PciSlots.NicBus},chassis_nr=1,addr={PciSlots.Address(PciSlots.NicBridge)}",
            "-chardev", Text($"socket,id=agent0,path={launch.Files.AgentSocket.Replace(",", ",,", StringComparison.Ordinal)},server=on,wait=off"),
            "-device", $"virtio-serial-pci,id=agents,addr={PciSlots.Address(PciSlots.AgentChannel)}",
            "-device", "virtserialport,bus=agents.0,chardev=agent0,name=org.qemu.guest_agent.0",
        ]);
        AddDisks(arguments, definition);
        AddNics(arguments, launch);
        AddHostDevices(arguments, definition);
        AddConsole(arguments, launch);
        return arguments;
    }

    private static string Memory(DomainDefinition definition) => definition.MaxMemory > definition.Memory
        ? Text($"size={definition.Memory.Bytes / 1024}k,slots={DimmSlots},maxmem={definition.MaxMemory.Bytes / 1024}k")
        : Text($"size={definition.Memory.Bytes / 1024}k");

    private static void AddDisks(List<string> arguments, DomainDefinition definition)
    {
        var bootIndex = 0;
        foreach (var disk in definition.Disks)
        {
            foreach (var node in BlockNodes.Describe(disk))
            {
                arguments.AddRange(["-blockdev", node.ToJsonString()]);
            }

            arguments.AddRange(["-device", Devices.Disk(disk, bootIndex++).ToJsonString()]);
        }

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
                "-device", Text($"ide-cd,id=cdrom0,bus=ide.1,unit=0,drive=cd0,bootindex={bootIndex}"),
            ]);
        }
    }

    private static void AddNics(List<string> arguments, QemuLaunch launch)
    {
        foreach (var nic in launch.Nics)
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

    private static void AddConsole(List<string> arguments, QemuLaunch launch)
    {
        arguments.AddRange(["-display", "none"]);
        if (launch.Definition.VncPassword is null || launch.VncListen == QemuVncListen.None)
        {
            return;
        }

        // The password itself goes over the monitor; until then nobody can log in.
        arguments.AddRange(["-vnc", launch.VncListen == QemuVncListen.UnixSocket
            ? $"unix:{launch.Files.VncSocket.Replace(",", ",,", StringComparison.Ordinal)},password=on"
            : Text($"127.0.0.1:0,to={VncPorts},password=on")]);

        // A pointer that is where the viewer's is.
        arguments.AddRange(["-device", "piix3-usb-uhci,id=usb,addr=0x1.0x2", "-device", "usb-tablet,id=tablet0,bus=usb.0"]);
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
