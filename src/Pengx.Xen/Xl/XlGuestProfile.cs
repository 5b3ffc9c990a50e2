namespace Pengx.Xen;

/// <summary>How Xen virtualizes a guest.</summary>
public enum XlGuestKind
{
    /// <summary>With the processor's help and an emulated PC: any system runs.</summary>
    Hvm,

    /// <summary>Paravirtual: the guest's kernel speaks to Xen; no emulated hardware.</summary>
    Pv,

    /// <summary>With the processor's help and without an emulated PC: the guest's kernel speaks to Xen.</summary>
    Pvh,
}

/// <summary>How the VNC console of HVM and PV guests is kept. It listens on 127.0.0.1 of the host in any case.</summary>
public enum XlVncConsole
{
    /// <summary>Behind the guest's password. Where the host's QEMU cannot do that, there is no console.</summary>
    WithPassword,

    /// <summary>Open to every user of the host.</summary>
    WithoutPassword,

    /// <summary>There is none.</summary>
    None,
}

/// <summary>What Xen must know of a guest beyond its <see cref="DomainDefinition"/>.</summary>
public sealed record XlGuestProfile
{
    /// <summary>An HVM guest that boots from its disks.</summary>
    public static XlGuestProfile Default { get; } = new();

    /// <summary>How the guest is virtualized.</summary>
    public XlGuestKind Kind { get; init; } = XlGuestKind.Hvm;

    /// <summary>The guest's kernel as a file of the host: absolute path. PV and PVH need it or a <see cref="Bootloader"/>; HVM has none.</summary>
    public string? Kernel { get; init; }

    /// <summary>The kernel's initial RAM disk: absolute path.</summary>
    public string? Ramdisk { get; init; }

    /// <summary>The kernel's command line.</summary>
    public string? CommandLine { get; init; }

    /// <summary>The program of the host that finds the kernel in the guest's first disk, such as <c>pygrub</c>.</summary>
    public string? Bootloader { get; init; }

    /// <summary>The boot loader's arguments.</summary>
    public IReadOnlyList<string> BootloaderArguments { get; init; } = [];

    /// <summary>Whether an HVM or PVH guest may start with less memory than it can grow to. It then needs a balloon driver from the first moment:
    /// without one it crashes when it touches what it was not given. HVM Windows and guests with PCI devices never start so.</summary>
    public bool PopulateOnDemand { get; init; }

    /// <summary>Whether raw block devices are served by the kernel (blkback) instead of by QEMU: faster, and without live snapshots, copies and
    /// merges of such disks.</summary>
    public bool KernelBlockBackend { get; init; } = true;

    /// <summary>How the VNC console is kept, of guests that have a password for it.</summary>
    public XlVncConsole Vnc { get; init; }

    /// <summary>The hotplug script of network interfaces, such as <c>vif-openvswitch</c>; xl's own default without one.</summary>
    public string? VifScript { get; init; }

    /// <summary>Settings of <c>xl.cfg</c> added as they are, such as <c>hdtype</c> or <c>tsc_mode</c>. None that Pengx writes itself.</summary>
    public IReadOnlyDictionary<string, XlConfigValue> ExtraSettings { get; init; } = new Dictionary<string, XlConfigValue>();
}
