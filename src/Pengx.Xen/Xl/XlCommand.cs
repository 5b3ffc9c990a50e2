using System.Globalization;

namespace Pengx.Xen;

/// <summary>One command of xl: its arguments and how long it may take. Domains are named by their number, never by a name.</summary>
/// <remarks>No argument holds a secret: passwords are in the configuration file only.</remarks>
internal sealed record XlCommand
{
    /// <summary>What a verb takes that asks Xen one question.</summary>
    public static readonly TimeSpan QuickTimeout = TimeSpan.FromSeconds(30);

    /// <summary>What a verb takes that plugs, or waits for a guest's answer: libxl itself waits 10 s for QEMU, 40 s for a hotplug script, 60 s for a guest.</summary>
    public static readonly TimeSpan DeviceTimeout = TimeSpan.FromSeconds(120);

    /// <summary>What a start takes at most: libxl waits for scripts, for QEMU, and for its lock.</summary>
    public static readonly TimeSpan StartTimeout = TimeSpan.FromMinutes(5);

    /// <summary>What moving a guest's memory takes at most.</summary>
    public static readonly TimeSpan MemoryTimeout = TimeSpan.FromHours(2);

    private XlCommand(TimeSpan timeout, params IReadOnlyList<string> arguments)
    {
        Timeout = timeout;
        Arguments = arguments;
    }

    /// <summary>The verb.</summary>
    public string Verb => Arguments[0];

    /// <summary>The arguments, the verb first.</summary>
    public IReadOnlyList<string> Arguments { get; }

    /// <summary>How long it may take.</summary>
    public TimeSpan Timeout { get; init; }

    /// <summary>Creates a domain and runs it; <c>xl</c> stays as its monitor in the background.</summary>
    /// <param name="configuration">The <c>xl.cfg</c>: absolute path.</param>
    /// <param name="paused">Whether its processors stand still until <see cref="Unpause"/>.</param>
    public static XlCommand Create(string configuration, bool paused = false) => paused
        ? new(StartTimeout, "create", "-q", "-p", "-f", CheckFile("configuration", configuration))
        : new(StartTimeout, "create", "-q", "-f", CheckFile("configuration", configuration));

    /// <summary>Stores what the domain is rebuilt from when it reboots next; xl uses it once.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="configuration">The <c>xl.cfg</c>: absolute path.</param>
    public static XlCommand UpdateConfiguration(int domain, string configuration) =>
        new(QuickTimeout, "config-update", Domain(domain), "-f", CheckFile("configuration", configuration));

    /// <summary>Ends a domain at once.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand Destroy(int domain) => new(DeviceTimeout, "destroy", Guest(domain));

    /// <summary>Asks the guest to shut down, by the power button where it has no Xen driver. Exit code 0 says only that it was asked.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand Shutdown(int domain) => new(DeviceTimeout, "shutdown", "-F", Guest(domain));

    /// <summary>Asks the guest to reboot. Exit code 0 says only that it was asked; the reset fallback is a reset.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand Reboot(int domain) => new(DeviceTimeout, "reboot", "-F", Guest(domain));

    /// <summary>Stops a domain's processors. Exit code 0 always: look at the list afterwards.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand Pause(int domain) => new(QuickTimeout, "pause", Guest(domain));

    /// <summary>Presses a button of an HVM guest's machine. Exit code 0 although it failed: look at what it said.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="button"><c>power</c> or <c>reset</c>.</param>
    public static XlCommand Trigger(int domain, string button) => button is "power" or "reset"
        ? new(QuickTimeout, "trigger", Guest(domain), button)
        : throw new ArgumentOutOfRangeException(nameof(button), button, "No such button.");

    /// <summary>Lets a domain's processors run. Exit code 0 always: look at the list afterwards.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand Unpause(int domain) => new(QuickTimeout, "unpause", Guest(domain));

    /// <summary>Gives a domain another name.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="name">The name.</param>
    public static XlCommand Rename(int domain, XlName name) => new(QuickTimeout, "rename", Guest(domain), name.Value);

    /// <summary>Lists all domains with their UUIDs: <see cref="XlListEntry"/>.</summary>
    public static XlCommand List() => new(QuickTimeout, "list", "-v");

    /// <summary>Lists one domain: <see cref="XlListEntry"/>.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand List(int domain) => new(QuickTimeout, "list", "-v", Domain(domain));

    /// <summary>Lists all domains but dom0 with their UUIDs: <see cref="XlVmListEntry"/>.</summary>
    public static XlCommand ListVms() => new(QuickTimeout, "vm-list");

    /// <summary>Describes a domain's configuration: <see cref="XlDomainDetails"/>. Slow, and asks QEMU: not for polling.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand ListDetails(int domain) => new(DeviceTimeout, "list", "-l", Domain(domain));

    /// <summary>Describes the host: <see cref="XlInfo"/>.</summary>
    public static XlCommand Info() => new(QuickTimeout, "info");

    /// <summary>Says how long domains have run: <see cref="XlUptimeEntry"/>.</summary>
    public static XlCommand Uptime() => new(QuickTimeout, "uptime");

    /// <summary>Sets how many virtual processors the guest may use. What the guest makes of it is its own affair.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="cpus">How many.</param>
    public static XlCommand SetCpus(int domain, int cpus)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(cpus, 1);
        return new(DeviceTimeout, "vcpu-set", "-i", Guest(domain), Text(cpus));
    }

    /// <summary>Sets the memory that the guest shall have; its balloon driver does the rest.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="memory">How much, in whole MiB.</param>
    public static XlCommand SetMemory(int domain, DataSize memory) => new(QuickTimeout, "mem-set", Guest(domain), Memory(memory));

    /// <summary>Sets the memory that Xen lets the domain have at most. It does not grow what the domain was started with.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="memory">How much, in whole MiB.</param>
    public static XlCommand SetMaxMemory(int domain, DataSize memory) => new(QuickTimeout, "mem-max", Guest(domain), Memory(memory));

    /// <summary>Plugs a disk in.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="disk">The disk.</param>
    public static XlCommand AttachDisk(int domain, XlDisk disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        return new(DeviceTimeout, "block-attach", Guest(domain), disk.ToSpecification());
    }

    /// <summary>Asks the guest to let a disk go and waits for it, or takes it away by force.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="vdev">The guest's device.</param>
    /// <param name="force">Whether to take it without asking.</param>
    public static XlCommand DetachDisk(int domain, string vdev, bool force = false) => force
        ? new(DeviceTimeout, "block-detach", "--force", Guest(domain), CheckVdev(vdev))
        : new(DeviceTimeout, "block-detach", Guest(domain), CheckVdev(vdev));

    /// <summary>Lists a domain's disks: <see cref="XlBlockEntry"/>. Exit code 0 for an unknown domain, too.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand ListDisks(int domain) => new(QuickTimeout, "block-list", Guest(domain));

    /// <summary>Plugs a network interface in. Exit code 0 although the bridge is missing: look at the interface's hotplug state afterwards.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="vif">The interface.</param>
    public static XlCommand AttachNic(int domain, XlVif vif)
    {
        ArgumentNullException.ThrowIfNull(vif);
        return new(DeviceTimeout, ["network-attach", Guest(domain), .. vif.ToArguments()]);
    }

    /// <summary>Unplugs a network interface.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="mac">Its address.</param>
    public static XlCommand DetachNic(int domain, MacAddress mac)
    {
        XlRules.CheckMac(mac);
        return new(DeviceTimeout, "network-detach", Guest(domain), mac.ToString());
    }

    /// <summary>Lists a domain's network interfaces: <see cref="XlNicEntry"/>.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand ListNics(int domain) => new(QuickTimeout, "network-list", Guest(domain));

    /// <summary>Puts an image into the CD-ROM drive of an HVM guest.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="iso">The image: absolute path.</param>
    public static XlCommand InsertCdrom(int domain, string iso)
    {
        XlRules.CheckPath("iso", iso, optionOfQemu: true);
        return new(DeviceTimeout, "cd-insert", Guest(domain), XlDomainConfigWriter.CdromVdev, iso);
    }

    /// <summary>Empties the CD-ROM drive of an HVM guest.</summary>
    /// <param name="domain">The domain's number.</param>
    public static XlCommand EjectCdrom(int domain) => new(DeviceTimeout, "cd-eject", Guest(domain), XlDomainConfigWriter.CdromVdev);

    /// <summary>Moves a running guest to another host over ssh. There no xl stays as its monitor: that one could not be found by
    /// <paramref name="configuration"/>, as the one of <see cref="Create"/> can.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="host">The other host's name or address. xl gives it to a shell, so it must be of harmless characters.</param>
    /// <param name="configuration">The <c>xl.cfg</c> that holds there: absolute path. Without it xl sends the one the domain was created with.</param>
    /// <param name="sshOptions">Options of ssh, each harmless to a shell.</param>
    public static XlCommand Migrate(int domain, string host, string configuration, params IReadOnlyList<string> sshOptions)
    {
        CheckHost(host);
        foreach (var option in sshOptions)
        {
            CheckSshOption(option);
        }

        return new(
            MemoryTimeout,
            "migrate", "-e", "-C", CheckFile("configuration", configuration),
            "-s", string.Join(' ', ["ssh", "-o", "BatchMode=yes", .. sshOptions]),
            Guest(domain), host);
    }

    /// <summary>Writes a guest's memory into a file. xl makes it readable to everybody, and the configuration in it has the console's password:
    /// the folder must be closed to others.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="file">The file: absolute path.</param>
    /// <param name="configuration">The <c>xl.cfg</c> that a restore starts from: absolute path.</param>
    /// <param name="then">What becomes of the domain.</param>
    public static XlCommand Save(int domain, string file, string configuration, XlAfterSave then = XlAfterSave.Destroy)
    {
        string[] option = then switch
        {
            XlAfterSave.Destroy => [],
            XlAfterSave.Run => ["-c"],
            XlAfterSave.StayPaused => ["-p"],
            _ => throw new ArgumentOutOfRangeException(nameof(then), then, "No such choice."),
        };
        return new(MemoryTimeout, ["save", .. option, Guest(domain), CheckFile("file", file), CheckFile("configuration", configuration)]);
    }

    /// <summary>Makes a domain from a saved guest's memory.</summary>
    /// <param name="configuration">The <c>xl.cfg</c>: absolute path.</param>
    /// <param name="file">The file: absolute path.</param>
    /// <param name="paused">Whether its processors stand still until <see cref="Unpause"/>.</param>
    public static XlCommand Restore(string configuration, string file, bool paused = false) => paused
        ? new(MemoryTimeout, "restore", "-p", CheckFile("configuration", configuration), CheckFile("file", file))
        : new(MemoryTimeout, "restore", CheckFile("configuration", configuration), CheckFile("file", file));

    /// <summary>Presses a magic system request key in a Linux guest.</summary>
    /// <param name="domain">The domain's number.</param>
    /// <param name="key">The key, a letter or digit.</param>
    public static XlCommand SysRq(int domain, char key)
    {
        if (!char.IsAsciiLetterOrDigit(key))
        {
            throw new InvalidFieldException("sysrq", key.ToString(), "it must be one letter or digit.");
        }

        return new(QuickTimeout, "sysrq", Guest(domain), key.ToString());
    }

    /// <summary>The command as a process to run.</summary>
    /// <param name="xl">The program: a name or an absolute path.</param>
    public ProcessCommand ToProcess(string xl = "xl") => new() { FileName = xl, Arguments = Arguments, Timeout = Timeout };

    // Everything that changes something is for guests: the control domain is none.
    private static string Guest(int domain)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(domain, 1);
        return Text(domain);
    }

    private static string Domain(int domain)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(domain);
        return Text(domain);
    }

    private static string Memory(DataSize memory)
    {
        if (memory.MiB < 1 || memory != DataSize.FromMiB(memory.MiB))
        {
            throw new InvalidFieldException("memory", memory.ToString(), "it must be at least 1 MiB, in whole MiB.");
        }

        // A number without a unit is MiB to xl and KiB to its manual page.
        return string.Create(CultureInfo.InvariantCulture, $"{memory.MiB}m");
    }

    private static string CheckFile(string field, string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return path is ['/', ..] && !path.Contains('\0', StringComparison.Ordinal) ? path : throw new InvalidFieldException(field, path, "it must be an absolute path.");
    }

    private static string CheckVdev(string vdev) => vdev is { Length: >= 3 and <= 8 } && vdev.All(character => char.IsAsciiLetterLower(character) || char.IsAsciiDigit(character))
        ? vdev
        : throw new InvalidFieldException("vdev", vdev, "it must be a device such as xvda.");

    private static void CheckHost(string host)
    {
        if (host is not { Length: > 0 and <= 253 } || !char.IsAsciiLetterOrDigit(host[0])
            || !host.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '-' or '_' or ':'))
        {
            throw new InvalidFieldException("host", host, "a host must be a name or address of letters, digits and . - _ :, a letter or digit first.");
        }
    }

    private static void CheckSshOption(string option)
    {
        if (option.Length == 0 || !option.All(character => char.IsAsciiLetterOrDigit(character) || character is '.' or '-' or '_' or ':' or '=' or '/' or ',' or '@' or '+'))
        {
            throw new InvalidFieldException("ssh_option", option, "an option of ssh must be of letters, digits and . - _ : = / , @ +, since xl gives it to a shell.");
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What becomes of a domain whose memory was saved.</summary>
internal enum XlAfterSave
{
    /// <summary>It is destroyed.</summary>
    Destroy,

    /// <summary>It runs on.</summary>
    Run,

    /// <summary>It stays with its processors stopped.</summary>
    StayPaused,
}
