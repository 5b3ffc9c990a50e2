using System.Globalization;

namespace Pengx.Xen;

/// <summary>Writes the <c>xl.cfg</c> of a domain.</summary>
internal static class XlDomainConfigWriter
{
    /// <summary>The drive that an ISO image is in, and that one can be put into while the guest runs.</summary>
    public const string CdromVdev = "hdc";

    // Never an operator's, even where we do not write them: another spelling of what we write, or something that would undo it.
    private static readonly HashSet<string> s_reserved =
    [
        "name", "uuid", "type", "builder", "memory", "maxmem", "vcpus", "maxvcpus", "on_poweroff", "on_reboot", "on_crash", "disk", "vif", "vif2",
        "pci", "boot", "kernel", "ramdisk", "cmdline", "root", "extra", "bootloader", "bootloader_args", "device_model_args",
        "vfb", "vnc", "vnclisten", "vncdisplay", "vncunused", "vncpasswd",
    ];

    public static XlConfigDocument Write(DomainDefinition definition, XlGuestProfile profile, string? qmpSocket)
    {
        ArgumentNullException.ThrowIfNull(definition);
        ArgumentNullException.ThrowIfNull(profile);
        Check(definition, profile, qmpSocket);

        var document = new XlConfigDocument();
        document.Set("name", XlName.For(definition.Id, definition.Name).Value);
        document.Set("uuid", definition.Id.ToString());
        document.Set("type", profile.Kind switch { XlGuestKind.Hvm => "hvm", XlGuestKind.Pv => "pv", _ => "pvh" });
        document.Set("memory", definition.Memory.MiB);
        document.Set("maxmem", MaxMemory(definition, profile).MiB);
        document.Set("vcpus", definition.Cpus);
        document.Set("maxvcpus", definition.MaxCpus);
        document.Set("on_poweroff", "destroy");
        document.Set("on_reboot", "restart");

        // A crashed guest stays to be seen until it is destroyed.
        document.Set("on_crash", "preserve");
        WriteKernel(document, profile);
        WriteDevices(document, definition, profile);
        if (qmpSocket is not null)
        {
            document.Set("device_model_args", XlConfigValue.FromItems("-qmp", $"unix:{qmpSocket},server=on,wait=off"));
        }

        foreach (var (key, value) in profile.ExtraSettings)
        {
            if (s_reserved.Contains(key) || document.Find(key) is not null)
            {
                throw new InvalidFieldException("extra_settings", key, "it is written from the domain's own definition.");
            }

            document.Set(key, value);
        }

        return document;
    }

    private static void WriteKernel(XlConfigDocument document, XlGuestProfile profile)
    {
        Set("kernel", profile.Kernel);
        Set("ramdisk", profile.Ramdisk);
        Set("cmdline", profile.CommandLine);
        Set("bootloader", profile.Bootloader);
        if (profile.BootloaderArguments.Count > 0)
        {
            document.Set("bootloader_args", XlConfigValue.FromItems(profile.BootloaderArguments.Select(XlConfigValue.FromText)));
        }

        void Set(string key, string? text)
        {
            if (text is not null)
            {
                document.Set(key, text);
            }
        }
    }

    private static void WriteDevices(XlConfigDocument document, DomainDefinition definition, XlGuestProfile profile)
    {
        var hvm = profile.Kind == XlGuestKind.Hvm;
        var disks = definition.Disks.Select(disk => XlDisk.From(disk, profile, hotplug: false).ToSpecification()).ToList();
        if (hvm)
        {
            // An empty drive, too, since xl can put a disc only into a drive that was there from the start.
            disks.Add(Cdrom(definition.IsoPath).ToSpecification());
        }

        document.Set("disk", XlConfigValue.FromItems(disks.Select(XlConfigValue.FromText)));
        document.Set("vif", XlConfigValue.FromItems(definition.Nics.Select(nic => XlConfigValue.FromText(XlVif.From(nic, definition.IsWindows, profile).ToSpecification()))));
        if (definition.PciDevices.Count > 0)
        {
            document.Set("pci", XlConfigValue.FromItems(definition.PciDevices.Select(address => XlConfigValue.FromText(address.ToString()))));
        }

        if (hvm)
        {
            // The firmware goes on to the CD-ROM while the disk does not boot.
            document.Set("boot", definition.IsoPath is null ? "c" : "cd");
            document.Set("serial", "pty");
        }

        if (hvm && definition.IsWindows)
        {
            document.Set("viridian", 1);
            document.Set("localtime", 1);
        }

        // For PV, too: xl makes the same vfb of these keys, and here a comma in the password is no separator.
        if (profile.Kind != XlGuestKind.Pvh)
        {
            WriteConsole(document, definition, profile);
        }
    }

    private static void WriteConsole(XlConfigDocument document, DomainDefinition definition, XlGuestProfile profile)
    {
        if (definition.VncPassword is not { } password || profile.Vnc == XlVncConsole.None)
        {
            document.Set("vnc", 0);
            return;
        }

        document.Set("vnc", 1);
        document.Set("vnclisten", "127.0.0.1");
        document.Set("vncunused", 1);
        if (profile.Vnc == XlVncConsole.WithPassword)
        {
            document.Set("vncpasswd", password);
        }

        if (profile.Kind == XlGuestKind.Hvm)
        {
            // A pointer that is where the viewer's is.
            document.Set("usb", 1);
            document.Set("usbdevice", XlConfigValue.FromItems("tablet"));
        }
    }

    /// <summary>The CD-ROM drive of an HVM guest.</summary>
    /// <param name="iso">The image in it; <see langword="null"/> for none.</param>
    public static XlDisk Cdrom(string? iso) => new() { Vdev = CdromVdev, Format = iso is null ? "empty" : "raw", ReadOnly = true, IsCdrom = true, Target = iso ?? "" };

    // An HVM or PVH guest that is given less than its maximum starts with holes, which only a balloon driver keeps it from touching.
    private static DataSize MaxMemory(DomainDefinition definition, XlGuestProfile profile) => profile.Kind switch
    {
        XlGuestKind.Pv => definition.MaxMemory,
        _ when !profile.PopulateOnDemand || definition.PciDevices.Count > 0 => definition.Memory,
        XlGuestKind.Hvm when definition.IsWindows => definition.Memory,
        _ => definition.MaxMemory,
    };

    private static void Check(DomainDefinition definition, XlGuestProfile profile, string? qmpSocket)
    {
        CheckSizes(definition);
        HashSet<string> vdevs = [];
        HashSet<DiskId> disks = [];
        foreach (var disk in definition.Disks)
        {
            if (!vdevs.Add(disk.Vdev))
            {
                throw new InvalidFieldException("vdev", disk.Vdev, "two disks of the domain have it.");
            }

            if (!disks.Add(disk.Id))
            {
                throw new InvalidFieldException("disk", disk.Id.ToString(), "the domain has it twice.");
            }
        }

        HashSet<MacAddress> macs = [];
        foreach (var nic in definition.Nics)
        {
            if (!macs.Add(nic.Mac))
            {
                throw new InvalidFieldException("mac", nic.Mac.ToString(), "two interfaces of the domain have it.");
            }
        }

        if (definition.IsoPath is { } iso)
        {
            if (profile.Kind != XlGuestKind.Hvm)
            {
                throw new InvalidFieldException("iso", iso, "only an HVM guest has a CD-ROM drive.");
            }

            XlRules.CheckPath("iso", iso, optionOfQemu: true);
        }

        if (definition.PciDevices.Count > 0 && profile.Kind == XlGuestKind.Pvh)
        {
            throw new InvalidFieldException("pcivf", definition.PciDevices[0].ToString(), "Xen hands no PCI device to a PVH guest.");
        }

        if (definition.VncPassword is { } password)
        {
            XlRules.CheckText("vnc_password", password, secret: true);
        }

        if (qmpSocket is not null)
        {
            XlRules.CheckSocketPath(qmpSocket);
        }

        CheckKernel(profile);
        foreach (var (key, value) in profile.ExtraSettings)
        {
            if (!XlConfigDocument.IsKey(key) || value is null)
            {
                throw new InvalidFieldException("extra_settings", key, "a key of xl.cfg has small letters, digits, '.' and '_', and begins with a letter.");
            }
        }
    }

    private static void CheckSizes(DomainDefinition definition)
    {
        if (definition.Cpus < 1)
        {
            throw new InvalidFieldException("cpus", Text(definition.Cpus), "it must be at least 1.");
        }

        if (definition.MaxCpus < definition.Cpus)
        {
            throw new InvalidFieldException("max_cpus", Text(definition.MaxCpus), "it must be at least the number of processors.");
        }

        if (definition.Memory.MiB < 1 || definition.Memory != DataSize.FromMiB(definition.Memory.MiB))
        {
            throw new InvalidFieldException("memory", definition.Memory.ToString(), "it must be at least 1 MiB, in whole MiB.");
        }

        if (definition.MaxMemory < definition.Memory || definition.MaxMemory != DataSize.FromMiB(definition.MaxMemory.MiB))
        {
            throw new InvalidFieldException("max_memory", definition.MaxMemory.ToString(), "it must be at least the memory, in whole MiB.");
        }
    }

    private static void CheckKernel(XlGuestProfile profile)
    {
        if (profile.Kind == XlGuestKind.Hvm)
        {
            if ((profile.Kernel ?? profile.Ramdisk ?? profile.CommandLine ?? profile.Bootloader) is { } text)
            {
                throw new InvalidFieldException("kernel", text, "an HVM guest boots from its disks.");
            }

            return;
        }

        if (profile.Kernel is null == (profile.Bootloader is null))
        {
            throw new InvalidFieldException("kernel", profile.Kernel, "a PV or PVH guest needs a kernel or a boot loader, and not both.");
        }

        if (profile.Kernel is { } kernel)
        {
            XlRules.CheckPath("kernel", kernel, optionOfQemu: false);
        }

        if (profile.Ramdisk is { } ramdisk)
        {
            XlRules.CheckPath("ramdisk", ramdisk, optionOfQemu: false);
        }

        if (profile.Bootloader is { } bootloader)
        {
            XlRules.CheckText("bootloader", bootloader);
        }

        if (profile.CommandLine is { } commandLine)
        {
            XlRules.CheckText("command_line", commandLine);
        }

        foreach (var argument in profile.BootloaderArguments)
        {
            XlRules.CheckText("bootloader_args", argument);
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
