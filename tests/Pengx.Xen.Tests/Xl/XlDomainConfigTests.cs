using System.Globalization;
using System.Text.Json;
using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>The <c>xl.cfg</c> of a domain: what is written, what is refused, and what the real xl makes of it.</summary>
public sealed class XlDomainConfigTests
{
    private const string Uuid = "b459634c-1768-4082-b67b-4d578a9b6eeb";

    private static readonly DomainId s_id = new(Guid.Parse(Uuid));
    private static readonly XlGuestProfile s_pv = new() { Kind = XlGuestKind.Pv, Kernel = "/srv/guest/vmlinux", Ramdisk = "/srv/guest/initramfs.cpio", CommandLine = "console=hvc0 quiet" };
    private static readonly XlGuestProfile s_pvh = s_pv with { Kind = XlGuestKind.Pvh };

    private static DomainDefinition Definition => new()
    {
        Id = s_id,
        Name = "web-1",
        Cpus = 2,
        MaxCpus = 4,
        Memory = DataSize.FromMiB(512),
        MaxMemory = DataSize.FromMiB(1024),
        Disks = [Disk("/srv/vm/a.qcow2", "xvda"), Disk("/srv/vm/b.raw", "xvdb", DiskFormat.Raw)],
        Nics = [new() { Mac = MacAddress.Parse("00:16:3e:00:00:01"), Switch = "xenbr0" }],
    };

    [Fact]
    public void An_HVM_guest() => Assert.Equal(
        $"""
        name = "web-1"
        uuid = "{Uuid}"
        type = "hvm"
        memory = 512
        maxmem = 512
        vcpus = 2
        maxvcpus = 4
        on_poweroff = "destroy"
        on_reboot = "restart"
        on_crash = "preserve"
        disk = [ "format=qcow2,vdev=xvda,access=rw,backendtype=qdisk,target=/srv/vm/a.qcow2", "format=raw,vdev=xvdb,access=rw,backendtype=qdisk,target=/srv/vm/b.raw", "format=raw,vdev=hdc,access=ro,devtype=cdrom,target=/srv/iso/install.iso" ]
        vif = [ "mac=00:16:3e:00:00:01,bridge=xenbr0" ]
        pci = [ "0000:03:10.0" ]
        boot = "cd"
        serial = "pty"
        vnc = 1
        vnclisten = "127.0.0.1"
        vncunused = 1
        vncpasswd = "secret,1"
        usb = 1
        usbdevice = [ "tablet" ]
        device_model_args = [ "-qmp", "unix:/run/pengx/{Uuid}.sock,server=on,wait=off" ]
        hdtype = "ahci"

        """,
        XlDomainConfig.Write(
            Definition with { VncPassword = "secret,1", IsoPath = "/srv/iso/install.iso", PciDevices = [new(0, 3, 0x10, 0)] },
            XlGuestProfile.Default with { ExtraSettings = new Dictionary<string, XlConfigValue> { ["hdtype"] = "ahci" } },
            $"/run/pengx/{Uuid}.sock").ToString());

    [Fact]
    public void A_Windows_guest()
    {
        var document = XlDomainConfig.Write(Definition with { IsWindows = true }, XlGuestProfile.Default with { PopulateOnDemand = true });

        Assert.Equal(1, document.FindNumber("viridian"));
        Assert.Equal(1, document.FindNumber("localtime"));
        Assert.Equal(512, document.FindNumber("maxmem"));
        Assert.Equal(0, document.FindNumber("vnc"));
        Assert.Equal("c", document.FindText("boot"));
        Assert.Equal(["mac=00:16:3e:00:00:01,bridge=xenbr0,model=e1000"], document.FindTexts("vif"));
        Assert.Equal("format=,vdev=hdc,access=ro,devtype=cdrom,target=", document.FindTexts("disk")[^1]);
    }

    [Fact]
    public void A_PV_guest() => Assert.Equal(
        $"""
        name = "web-1"
        uuid = "{Uuid}"
        type = "pv"
        memory = 512
        maxmem = 1024
        vcpus = 2
        maxvcpus = 4
        on_poweroff = "destroy"
        on_reboot = "restart"
        on_crash = "preserve"
        kernel = "/srv/guest/vmlinux"
        ramdisk = "/srv/guest/initramfs.cpio"
        cmdline = "console=hvc0 quiet"
        disk = [ "format=qcow2,vdev=xvda,access=rw,backendtype=qdisk,target=/srv/vm/a.qcow2", "format=raw,vdev=xvdb,access=rw,backendtype=qdisk,target=/srv/vm/b.raw" ]
        vif = [ "mac=00:16:3e:00:00:01,bridge=xenbr0,script=vif-openvswitch" ]
        vnc = 1
        vnclisten = "127.0.0.1"
        vncunused = 1
        vncpasswd = "secret,1"

        """,
        XlDomainConfig.Write(Definition with { VncPassword = "secret,1" }, s_pv with { VifScript = "vif-openvswitch" }).ToString());

    [Theory]
    [InlineData(XlGuestKind.Pv, false, false, 1024)]
    [InlineData(XlGuestKind.Pvh, false, false, 512)]
    [InlineData(XlGuestKind.Pvh, true, false, 1024)]
    [InlineData(XlGuestKind.Hvm, false, false, 512)]
    [InlineData(XlGuestKind.Hvm, true, false, 1024)]
    [InlineData(XlGuestKind.Hvm, true, true, 512)]
    public void Only_a_guest_that_can_balloon_starts_below_its_maximum(XlGuestKind kind, bool populateOnDemand, bool windows, long maximum)
    {
        var profile = (kind == XlGuestKind.Hvm ? XlGuestProfile.Default : s_pv with { Kind = kind }) with { PopulateOnDemand = populateOnDemand };

        Assert.Equal(maximum, XlDomainConfig.Write(Definition with { IsWindows = windows }, profile).FindNumber("maxmem"));
    }

    [Fact]
    public void A_guest_with_a_PCI_device_has_all_its_memory_from_the_start() => Assert.Equal(
        512,
        XlDomainConfig.Write(Definition with { PciDevices = [new(0, 3, 0x10, 0)] }, XlGuestProfile.Default with { PopulateOnDemand = true }).FindNumber("maxmem"));

    [Theory]
    [InlineData(DiskFormat.Raw, true, "phy")]
    [InlineData(DiskFormat.Raw, false, "qdisk")]
    [InlineData(DiskFormat.Qcow2, true, "qdisk")]
    public void Who_serves_a_block_device(DiskFormat format, bool kernel, string backend)
    {
        var disk = new DomainDisk { Id = DiskId.New(), Vdev = "xvda", Layers = [new(new BlockLocation("/dev/vg/lv-1"), format)] };

        Assert.Equal(backend, XlDisk.From(disk, s_pv with { KernelBlockBackend = kernel }, hotplug: false).BackendType);
    }

    [Fact]
    public void Only_the_top_layer_is_named()
    {
        var disk = new DomainDisk
        {
            Id = DiskId.New(),
            Vdev = "xvda",
            Layers = [new(new FileLocation("/srv/vm/top.qcow2"), DiskFormat.Qcow2), new(new RbdLocation("pool", "base"), DiskFormat.Raw)],
        };

        Assert.Equal("format=qcow2,vdev=xvda,access=rw,backendtype=qdisk,target=/srv/vm/top.qcow2", XlDisk.From(disk, s_pv, hotplug: false).ToSpecification());
    }

    public static TheoryData<string, string, DomainDefinition, XlGuestProfile> Refused => new()
    {
        { "vdev", "'hda'", Definition with { Disks = [Disk("/a", "hda")] }, s_pv },
        { "vdev", "'xvda1'", Definition with { Disks = [Disk("/a", "xvda1")] }, s_pv },
        { "vdev", "'xvda,target=/etc/shadow'", Definition with { Disks = [Disk("/a", "xvda,target=/etc/shadow")] }, s_pv },
        { "vdev", "CD-ROM drive hdc", Definition with { Disks = [Disk("/a", "xvdc")] }, XlGuestProfile.Default },
        { "vdev", "two disks of the domain have it", Definition with { Disks = [Disk("/a", "xvda"), Disk("/b", "xvda")] }, s_pv },
        { "vdev", "first 4 disks", Definition with { Disks = [Disk("/a", "xvdd") with { ReadOnly = true }] }, XlGuestProfile.Default },
        { "vdev", "first 6 disks", Definition with { Disks = [Disk("/a", "xvdf") with { ReadOnly = true }] }, XlGuestProfile.Default with { ExtraSettings = new Dictionary<string, XlConfigValue> { ["hdtype"] = "ahci" } } },
        { "disk", "rbd map", Definition with { Disks = [new() { Id = DiskId.New(), Vdev = "xvda", Layers = [new(new RbdLocation("p", "i"), DiskFormat.Raw)] }] }, s_pv },
        { "disk", "has no image", Definition with { Disks = [new() { Id = DiskId.New(), Vdev = "xvda", Layers = [] }] }, s_pv },
        { "disk", "nothing beneath", Definition with { Disks = [new() { Id = DiskId.New(), Vdev = "xvda", Layers = [new(new FileLocation("/a"), DiskFormat.Raw), new(new FileLocation("/b"), DiskFormat.Raw)] }] }, s_pv },
        { "disk", "absolute path", Definition with { Disks = [Disk("a.qcow2", "xvda")] }, s_pv },
        { "disk", "absolute path", Definition with { Disks = [Disk("nbd:host:1", "xvda")] }, s_pv },
        { "disk", "control characters", Definition with { Disks = [Disk("/a\nb", "xvda")] }, s_pv },
        { "disk", "cannot hold a comma", Definition with { Disks = [Disk("/a,file.driver=nbd", "xvda")] }, XlGuestProfile.Default },
        { "disk", "block device", Definition with { Disks = [new() { Id = DiskId.New(), Vdev = "xvda", Layers = [new(new BlockLocation("/dev/vg/$(id)"), DiskFormat.Raw)] }] }, s_pv },
        { "interface_name", "'br0,script=/bin/sh'", Definition with { Nics = [new() { Mac = MacAddress.NewXen(), Switch = "br0,script=/bin/sh" }] }, s_pv },
        { "interface_name", "''", Definition with { Nics = [new() { Mac = MacAddress.NewXen(), Switch = "" }] }, s_pv },
        { "interface_name", "'-br'", Definition with { Nics = [new() { Mac = MacAddress.NewXen(), Switch = "-br" }] }, s_pv },
        { "mac", "one interface", Definition with { Nics = [new() { Mac = default, Switch = "xenbr0" }] }, s_pv },
        { "mac", "two interfaces", Definition with { Nics = [Definition.Nics[0], Definition.Nics[0]] }, s_pv },
        { "vif_script", "'vif;id'", Definition, s_pv with { VifScript = "vif;id" } },
        { "iso", "only an HVM guest", Definition with { IsoPath = "/a.iso" }, s_pvh },
        { "iso", "comma", Definition with { IsoPath = "/a,b.iso" }, XlGuestProfile.Default },
        { "pcivf", "PVH", Definition with { PciDevices = [new(0, 3, 0, 0)] }, s_pvh },
        { "vnc_password", "'***'", Definition with { VncPassword = "hunter2\n" }, s_pv },
        { "cpus", "at least 1", Definition with { Cpus = 0 }, s_pv },
        { "max_cpus", "at least the number", Definition with { MaxCpus = 1 }, s_pv },
        { "memory", "whole MiB", Definition with { Memory = new(1024 * 1024 + 1) }, s_pv },
        { "max_memory", "at least the memory", Definition with { MaxMemory = DataSize.FromMiB(1) }, s_pv },
        { "kernel", "boots from its disks", Definition, XlGuestProfile.Default with { Kernel = "/k" } },
        { "kernel", "needs a kernel or a boot loader", Definition, s_pv with { Kernel = null } },
        { "kernel", "and not both", Definition, s_pv with { Bootloader = "pygrub" } },
        { "command_line", "control characters", Definition, s_pv with { CommandLine = "a\nb" } },
        { "extra_settings", "'vncpasswd'", Definition, s_pv with { ExtraSettings = new Dictionary<string, XlConfigValue> { ["vncpasswd"] = "x" } } },
        { "extra_settings", "'builder'", Definition, s_pv with { ExtraSettings = new Dictionary<string, XlConfigValue> { ["builder"] = "hvm" } } },
        { "extra_settings", "'serial'", Definition, XlGuestProfile.Default with { ExtraSettings = new Dictionary<string, XlConfigValue> { ["serial"] = "none" } } },
        { "extra_settings", "small letters", Definition, s_pv with { ExtraSettings = new Dictionary<string, XlConfigValue> { ["a = 1\nb"] = 1 } } },
    };

    [Theory]
    [MemberData(nameof(Refused), DisableDiscoveryEnumeration = true)]
    public void What_Xen_cannot_run_is_refused_by_field_and_rule(string field, string part, DomainDefinition definition, XlGuestProfile profile)
    {
        var error = Assert.Throws<InvalidFieldException>(() => XlDomainConfig.Write(definition, profile));

        Assert.Equal(field, error.Field);
        Assert.Contains(part, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("run/a.sock")]
    [InlineData("/run/a,b.sock")]
    [InlineData("/run/a b.sock")]
    [InlineData("/run/é.sock")]
    public void The_path_of_the_private_monitor_is_plain(string path) =>
        Assert.Equal("qmp_socket", Assert.Throws<InvalidFieldException>(() => XlDomainConfig.Write(Definition, s_pv, path)).Field);

    [Fact]
    public void The_path_of_the_private_monitor_fits_a_socket()
    {
        Assert.Throws<InvalidFieldException>(() => XlDomainConfig.Write(Definition, s_pv, "/" + new string('a', 107)));
        Assert.NotNull(XlDomainConfig.Write(Definition, s_pv, "/" + new string('a', 106)));
    }

    [Theory]
    [InlineData("web-1", "web-1")]
    [InlineData("A", "A")]
    [InlineData("vm-1", "vm-1")]
    [InlineData("12", null)]
    [InlineData("1web", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    [InlineData("web 1", null)]
    [InlineData("web,1", null)]
    [InlineData("Domain-0", null)]
    [InlineData("web--incoming", null)]
    [InlineData("vm-b459634c-1768-4082-b67b-4d578a9b6eec", null)]
    [InlineData("naïve", null)]
    public void A_domain_runs_under_its_name_where_that_is_harmless(string? name, string? used) =>
        Assert.Equal(used ?? $"vm-{Uuid}", XlName.For(s_id, name).Value);

    [Fact]
    public void A_name_has_at_most_63_characters()
    {
        Assert.True(XlName.IsUsable(new string('a', 63)));
        Assert.False(XlName.IsUsable(new string('a', 64)));
    }

    [Fact]
    public void What_was_written_is_read_back()
    {
        var read = XlDomainConfig.Read(XlConfigDocument.Parse(
            XlDomainConfig.Write(Definition with { PciDevices = [new(0, 3, 0x10, 0)] }, s_pv).ToString()));

        Assert.Equal("web-1", read.Name);
        Assert.Equal(s_id, read.Id);
        Assert.Equal(XlGuestKind.Pv, read.Kind);
        Assert.Equal(DataSize.FromMiB(512), read.Memory);
        Assert.Equal(DataSize.FromMiB(1024), read.MaxMemory);
        Assert.Equal((2, 4), (read.Cpus, read.MaxCpus));
        Assert.Equal(["/srv/vm/a.qcow2", "/srv/vm/b.raw"], read.Disks.Select(disk => disk.Target));
        Assert.Equal([new XlVif { Mac = MacAddress.Parse("00:16:3e:00:00:01"), Bridge = "xenbr0" }], read.Vifs);
        Assert.Equal(["0000:03:10.0"], read.PciDevices);
    }

    [Fact]
    public void A_configuration_of_somebody_else_is_read()
    {
        var read = XlDomainConfig.Read(XlConfigDocument.Parse(
            """
            builder='hvm'; name = "old one"
            memory = "256"
            disk = [ 'phy:/dev/vg/web,hda,w', '/srv/a.iso,,hdc,cdrom' ]
            vif = [ 'mac=00-16-3E-aa-bb-cc, bridge=br1 , rate=10Mb/s,type=ioemu', '' ]

            """));

        Assert.Equal(
            new XlDomainConfig
            {
                Name = "old one",
                Kind = XlGuestKind.Hvm,
                Memory = DataSize.FromMiB(256),
                MaxMemory = DataSize.FromMiB(256),
                Disks =
                [
                    new() { Vdev = "hda", Target = "/dev/vg/web" },
                    new() { Vdev = "hdc", Target = "/srv/a.iso", IsCdrom = true, ReadOnly = true },
                ],
                Vifs = [new() { Mac = MacAddress.Parse("00:16:3e:aa:bb:cc"), Bridge = "br1 ", Others = ["rate=10Mb/s", "type=ioemu"] }, new()],
            },
            read);
    }

    [Theory]
    [InlineData("a = 1\nuuid = \"x\"\n", 2, "uuid: it must be a UUID")]
    [InlineData("type = \"xen\"\n", 1, "type: it must be hvm, pv or pvh")]
    [InlineData("memory = \"lots\"\n", 1, "memory: it must be a number")]
    [InlineData("vcpus = 0\n", 1, "vcpus: it must be a number from 1")]
    public void A_setting_that_xl_would_not_take_is_told_with_its_line(string text, int line, string rule)
    {
        var error = Assert.Throws<XlConfigException>(() => XlDomainConfig.Read(XlConfigDocument.Parse(text)));

        Assert.Equal(line, error.Line);
        Assert.Contains(rule, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Xl_gives_back_every_hostile_domain_or_it_was_refused_first()
    {
        XenTools.Require();
        int taken = 0, refused = 0;
        await s_hostile.SampleAsync(
            async guest =>
            {
                var (definition, profile) = guest;
                string text;
                try
                {
                    text = XlDomainConfig.Write(definition, profile, "/run/pengx/a.sock").ToString();
                }
                catch (InvalidFieldException error)
                {
                    Assert.False(definition.VncPassword is { Length: > 3 } password && error.Field == "vnc_password" && error.ToString().Contains(password, StringComparison.Ordinal));
                    Interlocked.Increment(ref refused);
                    return;
                }

                var (config, said) = await RealXl.ReadConfigAsync(text);
                Assert.True(config is not null, $"{text}\n{said}");
                Compare(definition, profile, config.Value);
                Interlocked.Increment(ref taken);
            },
            iter: 200);
        Assert.True(taken >= 30 && refused >= 30, $"{taken} taken, {refused} refused");
    }

    private static DomainDisk Disk(string path, string vdev, DiskFormat format = DiskFormat.Qcow2) =>
        new() { Id = DiskId.New(), Vdev = vdev, Layers = [new(new FileLocation(path), format)] };

    private static readonly Gen<DomainDisk> s_disk =
        Gen.Select(Gen.Frequency((4, Hostile.Printable.Select(text => "/srv/" + text)), (1, Hostile.Text)), Hostile.Pick(DiskFormat.Raw, DiskFormat.Qcow2), Gen.Bool, Gen.Int[0, 9],
            (path, format, readOnly, kind) => new DomainDisk
            {
                Id = DiskId.New(),
                Vdev = "xvda",
                ReadOnly = readOnly && kind > 6,
                Layers = [new(kind == 0 ? new BlockLocation("/dev/vg/lv.1") : new FileLocation(path), format)],
            });

    private static readonly Gen<(DomainDefinition, XlGuestProfile)> s_hostile =
        Gen.Select(
            Gen.Select(Hostile.Text, s_disk.Array[0, 3], Gen.Select(Gen.Int, Hostile.Or("xenbr0", "ovsbr0.100", "ovsbr0:10:20")).Array[0, 2], Gen.Frequency((2, Hostile.Printable), (1, Hostile.Text), (1, Gen.Const((string)null!)))),
            Gen.Select(Gen.Frequency((3, Gen.Const((string)null!)), (1, Hostile.Printable.Select(text => "/iso/" + text))), Hostile.Printable, Hostile.Printable.Array[0, 3], Gen.Int[0, 3], Gen.Bool))
        .Select((domain, profile) =>
        {
            var (name, disks, nics, password) = domain;
            var (iso, commandLine, arguments, kind, windows) = profile;
            var definition = Definition with
            {
                Name = name,
                Disks = [.. disks.Select((disk, index) => disk with { Vdev = Vdev.At(index) })],
                Nics = [.. nics.Select((nic, index) => new DomainNic { Mac = MacAddress.Parse($"00:16:3e:{nic.Item1 & 0xff:x2}:00:{index + 1:x2}"), Switch = nic.Item2 })],
                VncPassword = password,
                IsWindows = windows,
                IsoPath = kind < 2 ? iso : null,
            };
            var guest = kind switch
            {
                0 or 1 => XlGuestProfile.Default,
                2 => s_pv with { CommandLine = commandLine, Kernel = "/boot/" + commandLine },
                _ => new() { Kind = XlGuestKind.Pvh, Bootloader = "pygrub", BootloaderArguments = arguments },
            };
            return (definition, guest);
        });

    // Everything that a user wrote must be in xl's own reading, exactly, and nothing else.
    private static void Compare(DomainDefinition definition, XlGuestProfile profile, JsonElement config)
    {
        var read = XlDomainDetails.Read(config, 1);
        var build = config.GetProperty("b_info");
        var hvm = profile.Kind == XlGuestKind.Hvm;
        Assert.Equal(XlName.For(definition.Id, definition.Name).Value, read.Name);
        Assert.Equal(definition.Id, read.Id);
        Assert.Equal(profile.Kind, read.Kind);
        Assert.Equal(definition.MaxCpus, read.MaxCpus);
        Assert.Equal(definition.Cpus, build.GetProperty("avail_vcpus").GetArrayLength());
        Assert.Equal(definition.Memory, read.TargetMemory);
        Assert.Equal(profile.Kind == XlGuestKind.Pv ? definition.MaxMemory : definition.Memory, read.MaxMemory);
        Assert.Equal("preserve", config.GetProperty("on_crash").GetString());

        var disks = definition.Disks.Select(disk => (disk.Vdev, disk.Layers[0].Format.Name, disk.Layers[0].Location.ToString()!, disk.ReadOnly)).ToList();
        if (hvm)
        {
            disks.Add(("hdc", definition.IsoPath is null ? "empty" : "raw", definition.IsoPath ?? "", true));
        }

        Assert.Equal(disks, read.Disks.Select(disk => (disk.Vdev, disk.Format, disk.Target, disk.ReadOnly)));
        Assert.Equal(
            definition.Nics.Select(nic => new XlVif { Mac = nic.Mac, Bridge = nic.Switch, Model = hvm && definition.IsWindows ? "e1000" : null }),
            read.Vifs);
        Assert.Equal(["-qmp", "unix:/run/pengx/a.sock,server=on,wait=off"], build.GetProperty("extra").EnumerateArray().Select(item => item.GetString()));

        var type = build.GetProperty($"type.{profile.Kind.ToString().ToLower(CultureInfo.InvariantCulture)}");
        var vnc = hvm ? type.GetProperty("vnc") : config.TryGetProperty("vfbs", out var screens) ? screens[0].GetProperty("vnc") : default;
        var password = profile.Kind == XlGuestKind.Pvh ? null : definition.VncPassword;
        Assert.Equal(password, vnc.ValueKind == JsonValueKind.Object && vnc.TryGetProperty("passwd", out var secret) ? secret.GetString() : null);
        Assert.Equal(password is null ? null : "127.0.0.1", vnc.ValueKind == JsonValueKind.Object && vnc.TryGetProperty("listen", out var listen) ? listen.GetString() : null);
        Assert.Equal(hvm && definition.IsWindows ? "True" : null, type.TryGetProperty("viridian", out var viridian) ? viridian.GetString() : null);
        Assert.Equal(profile.Kernel, build.TryGetProperty("kernel", out var kernel) ? kernel.GetString() : null);
        Assert.Equal(profile.CommandLine, build.TryGetProperty("cmdline", out var commandLine) ? commandLine.GetString() : null);
        Assert.Equal(
            profile.BootloaderArguments,
            build.TryGetProperty("bootloader_args", out var arguments) ? arguments.EnumerateArray().Select(item => item.GetString()) : []);
    }
}
