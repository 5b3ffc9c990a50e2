using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;

namespace Pengx.Qemu.Tests;

/// <summary>What QEMU is told, without a QEMU.</summary>
public sealed class ArgumentTests
{
    private static readonly DomainDefinition Definition = new()
    {
        Id = DomainId.New(),
        Name = "name",
        Cpus = 1,
        MaxCpus = 2,
        Memory = DataSize.FromMiB(64),
        MaxMemory = DataSize.FromMiB(64),
        Disks = [],
    };

    [Fact]
    public void Every_layer_is_named_with_its_format_and_the_chain_is_closed()
    {
        var disk = new DomainDisk
        {
            Id = DiskId.New(),
            Vdev = "xvda",
            Layers = [new(new FileLocation("/a"), DiskFormat.Qcow2), new(new BlockLocation("/dev/vg/b"), DiskFormat.Qcow2), new(new RbdLocation("pool", "c"), DiskFormat.Raw)],
        };
        var nodes = BlockNodes.Describe(disk).Select(node => JsonDocument.Parse(node.ToJsonString()).RootElement).ToList();
        Assert.Equal(["rbd", "raw", "host_device", "qcow2", "file", "qcow2"], nodes.Select(node => node.GetProperty("driver").GetString()));
        Assert.All(nodes, node => Assert.InRange(node.GetProperty("node-name").GetString()!.Length, 1, 31));
        Assert.Equal(6, nodes.Select(node => node.GetProperty("node-name").GetString()).Distinct().Count());
        Assert.Equal([true, true, false], nodes.Where((_, index) => index % 2 == 1).Select(node => node.GetProperty("read-only").GetBoolean()));

        // The bytes of a lower layer: for reading, until a merge needs to write.
        Assert.All([nodes[0], nodes[2]], node => Assert.True(node.GetProperty("auto-read-only").GetBoolean() && !node.TryGetProperty("read-only", out _)));
        Assert.False(nodes[4].GetProperty("read-only").GetBoolean());
        Assert.All(BlockNodes.Describe(disk with { ReadOnly = true }), node => Assert.True((bool)node["read-only"]!));
        Assert.Equal(nodes[1].GetProperty("node-name").GetString(), nodes[3].GetProperty("backing").GetString());
        Assert.Equal(nodes[3].GetProperty("node-name").GetString(), nodes[5].GetProperty("backing").GetString());

        var flat = BlockNodes.Describe(disk with { Layers = [disk.Layers[0]] })[1];
        Assert.True(flat.ContainsKey("backing") && flat["backing"] is null);
    }

    [Fact]
    public void An_rbd_image_is_opened_by_the_configuration_and_user_that_it_came_with_also_after_a_restart()
    {
        var location = new RbdLocation("pool", "image") { ConfigurationFile = "/var/lib/pengx/ceph/vms.guest.conf", User = "vms" };
        var stored = StoredLayer.From(new(location, DiskFormat.Raw)).ToLayer();
        Assert.Equal(location, stored.Location);
        var node = BlockNodes.Describe(new() { Id = DiskId.New(), Vdev = "xvda", Layers = [stored] })[0];
        Assert.Equal(
            ("rbd", "pool", "image", "/var/lib/pengx/ceph/vms.guest.conf", "vms"),
            ((string?)node["driver"], (string?)node["pool"], (string?)node["image"], (string?)node["conf"], (string?)node["user"]));
        Assert.False((bool)node["cache"]!["no-flush"]!);

        var plain = BlockNodes.Describe(new() { Id = DiskId.New(), Vdev = "xvda", Layers = [new(new RbdLocation("pool", "image"), DiskFormat.Raw)] })[0];
        Assert.False(plain.ContainsKey("conf") || plain.ContainsKey("user"));
        Assert.Equal(
            """json:{"file":{"driver":"rbd","pool":"pool","image":"image","conf":"/var/lib/pengx/ceph/vms.guest.conf","user":"vms"}}""",
            BlockNodes.BackingName(stored));
    }

    [Fact]
    public void A_definition_that_cannot_run_is_refused_by_field()
    {
        Refused("cpus", Definition with { Cpus = 0 });
        Refused("max_cpus", Definition with { Cpus = 3 });
        Refused("memory", Definition with { Memory = new(1000) });
        Refused("max_memory", Definition with { MaxMemory = DataSize.FromMiB(32) });
        Refused("iso", Definition with { IsoPath = "relative.iso" });
        Refused("disk", Definition with { Disks = [Disk("xvda", "relative")] });
        Refused("disk", Definition with { Disks = [Disk("xvda", "/dev/fdset/1")] });
        Refused("disk", Definition with { Disks = [new() { Id = DiskId.New(), Vdev = "xvda", Layers = [new(new RbdLocation("p", "i") { ConfigurationFile = "ceph.conf" }, DiskFormat.Raw)] }] });
        Refused("disk", Definition with { Disks = [new() { Id = DiskId.New(), Vdev = "xvda", Layers = [new(new RbdLocation("", "i"), DiskFormat.Raw)] }] });
        Refused("vdev", Definition with { Disks = [Disk("hda", "/x")] });
        Refused("vdev", Definition with { Disks = [Disk("xvda", "/x"), Disk("xvda", "/y")] });
        var mac = MacAddress.NewXen();
        Refused("mac", Definition with { Nics = [new() { Mac = mac, Switch = "a" }, new() { Mac = mac, Switch = "b" }] });
        DomainRules.Check(Definition);

        static void Refused(string field, DomainDefinition definition) =>
            Assert.Equal(field, Assert.Throws<InvalidFieldException>(() => DomainRules.Check(definition)).Field);
        static DomainDisk Disk(string vdev, string path) => QemuTestHost.DiskOf(DiskId.New(), path, vdev);
    }

    [Fact]
    public async Task A_run_directory_that_is_too_long_for_a_socket_is_refused_with_the_way_out()
    {
        await using var host = new QemuTestHost();
        host.Options.RunDirectory = host.PathOf(new string('r', 80));
        await using var driver = await host.StartDriverAsync(TestContext.Current.CancellationToken);
        await driver.Domains.DefineAsync(Definition, TestContext.Current.CancellationToken);
        var refused = await Assert.ThrowsAnyAsync<PengxException>(() => driver.Domains.StartAsync(Definition.Id, TestContext.Current.CancellationToken));
        Assert.True(refused is InvalidFieldException { Field: "RunDirectory" } or UnavailableException, refused.Message);
    }

    [Fact]
    public async Task A_damaged_definition_is_an_error_and_never_another_definition()
    {
        await using var host = new QemuTestHost();
        await using var driver = await host.StartDriverAsync(TestContext.Current.CancellationToken);
        await driver.Domains.DefineAsync(Definition, TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(Path.Combine(host.Options.StateDirectory, Definition.Id.ToString(), "definition.json"), "{\"version\": 1", TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<HypervisorException>(() => driver.Domains.FindDefinitionAsync(Definition.Id, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void Console_lines_are_cut_at_their_ends_and_at_the_limit()
    {
        var lines = new ConsoleLines(4);
        Assert.Equal(["ab"], lines.Take("ab\r\nc"u8));
        Assert.Equal(["cdef", "gh"], lines.Take("defgh\n"u8));
        Assert.Equal([""], lines.Take("\nx"u8));
        Assert.Equal("x", lines.TakeRest());
        Assert.Null(lines.TakeRest());
    }

    [Fact]
    public void Options_are_checked_when_a_driver_is_made()
    {
        Assert.Throws<InvalidFieldException>(() => new QemuHypervisorDriver(new()));
        Assert.Throws<InvalidFieldException>(() => new QemuHypervisorDriver(new() { StateDirectory = "relative" }));
        Assert.Throws<InvalidFieldException>(() => new QemuHypervisorDriver(new() { StateDirectory = "/s", StopTimeout = TimeSpan.Zero }));
    }

    [Fact]
    public async Task An_application_gets_one_driver()
    {
        var services = new ServiceCollection();
        services.AddPengx().AddQemu(options => options.StateDirectory = "/nonexistent/state").AddQemu();
        await using var provider = services.BuildServiceProvider();
        var driver = Assert.Single(provider.GetServices<IHypervisorDriver>());
        Assert.Same(provider.GetRequiredService<QemuHypervisorDriver>(), driver);
        Assert.Equal("qemu", driver.Name);
        Assert.True(driver.TryGetFeature<ISerialConsole>(out _));
        Assert.False(driver.TryGetFeature<IDisposable>(out _));
    }
}
