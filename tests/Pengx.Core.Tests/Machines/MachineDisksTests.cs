namespace Pengx.Core.Tests;

public sealed class MachineDisksTests
{
    private static readonly Dictionary<StorlinkId, Storlink> Links = new() { [new(1)] = Make.Storlink(1, "/srv") };

    private readonly VmId _vm = VmId.New();

    [Fact]
    public void The_origin_runs_while_there_is_no_run_snapshot()
    {
        var machine = Machine([Of(1), Of(0)], []);

        Assert.Equal(new(_vm, null), machine.Current);
        Assert.Equal([0, 1], machine.DisksOf(machine.Current).Select(disk => disk.Order));
    }

    [Fact]
    public void A_saved_snapshot_alone_does_not_take_the_origin_s_place()
    {
        var saved = Make.Snapshot(_vm, SnapshotKind.Saved);
        Assert.Null(Machine([Of(0)], [saved]).Current.RunSnapshot);
    }

    [Fact]
    public void The_run_snapshot_takes_the_origin_s_place()
    {
        var saved = Make.Snapshot(_vm, SnapshotKind.Saved);
        var run = Make.Snapshot(_vm, SnapshotKind.Run, saved.Id);
        Disk[] disks = [Of(0), Of(1, saved.Id), Of(0, saved.Id), Of(1, run.Id), Of(0, run.Id)];
        var machine = Machine(disks, [saved, run]);

        Assert.Equal(new(_vm, run.Id), machine.Current);
        Assert.Equal([disks[4], disks[3]], machine.DisksOf(machine.Current));

        // The machine's own come first, then the frozen ones.
        Assert.Equal([disks[4], disks[3], disks[2], disks[1]], machine.DisksOf(machine.Current, showAll: true));
        Assert.Equal([disks[0]], machine.DisksOf(new(_vm, null)));
    }

    [Fact]
    public void Disks_of_others_are_never_shown()
    {
        var mine = Of(0);
        var machine = Machine([mine, Make.Disk(DiskId.New(), DiskOwner.Of(new SnapshotId(_vm.Value)), 1), Make.Disk(DiskId.New(), DiskOwner.Of(VmId.New()), 2)], []);

        Assert.Equal([mine], machine.DisksOf(machine.Current, showAll: true));
    }

    [Fact]
    public void Xl_gets_the_current_disks_in_boot_order_with_devices_without_a_gap()
    {
        Disk[] disks = [Of(7), Of(0), Of(3, format: DiskFormat.Raw)];
        var xen = Machine(disks, []).XenDisks();

        Assert.Equal(
            [
                new("qcow2", "xvda", "w", $"/srv/{disks[1].Id}.qcow2", 0),
                new("raw", "xvdb", "w", $"/srv/{disks[2].Id}.raw", 3),
                new("qcow2", "xvdd", "w", $"/srv/{disks[0].Id}.qcow2", 7),
            ],
            xen);
    }

    [Fact]
    public void Xl_gets_a_snapshot_s_disks_when_asked()
    {
        var saved = Make.Snapshot(_vm, SnapshotKind.Saved);
        var run = Make.Snapshot(_vm, SnapshotKind.Run, saved.Id);
        Disk[] disks = [Of(0, saved.Id), Of(0, run.Id)];
        var machine = Machine(disks, [saved, run]);

        Assert.Equal($"/srv/{disks[1].Id}.qcow2", Assert.Single(machine.XenDisks()).Target);
        Assert.Equal($"/srv/{disks[0].Id}.qcow2", Assert.Single(machine.XenDisks(saved.Id)).Target);
        Assert.True(saved.IsParent([saved, run]));
        Assert.False(run.IsParent([saved, run]));
    }

    [Fact]
    public void A_disk_on_an_unknown_storage_link_is_an_error() =>
        Assert.Throws<KeyNotFoundException>(() => Machine([Of(0) with { Storlink = new(9) }], []).XenDisks());

    [Fact]
    public void A_template_s_disks_come_with_its_ISO_as_CD_ROM()
    {
        var template = Template(GuestOs.Windows);
        var owner = DiskOwner.Of(template.Id);
        Disk[] disks = [Make.Disk(DiskId.New(), owner, 1), Make.Disk(DiskId.New(), owner, 0), Of(0)];

        Assert.Equal([disks[1].Id, disks[0].Id], template.XenDisks(disks, Links).Select(disk => DiskId.TryParse(Path.GetFileNameWithoutExtension(disk.Target), out var id) ? id : default));
        var withIso = template.XenDisks(disks, Links, "/iso/x.iso");
        Assert.Equal(3, withIso.Count);
        Assert.Equal(new("raw", "hdc", "r", "/iso/x.iso", 2, IsCdrom: true), withIso[^1]);
        Assert.True(template.IsWindows);
        Assert.False(Template(GuestOs.Debian).IsWindows);
    }

    [Fact]
    public void A_machine_is_Windows_by_its_system()
    {
        VirtualMachine machine = new() { Id = _vm, Pm = PmId.New(), Name = "x", Cpus = 1, Memory = DataSize.FromMiB(1), MaxMemory = DataSize.FromMiB(1), CreatedAt = Make.Then };

        Assert.False(machine.IsWindows);
        Assert.True((machine with { Os = GuestOs.Windows }).IsWindows);
    }

    [Fact]
    public void A_host_is_up_while_its_heartbeat_is_fresh()
    {
        PhysicalMachine host = new() { Id = PmId.New(), Name = "pm", Cpus = 1, Memory = DataSize.FromGiB(1), CreatedAt = Make.Then, UpdatedAt = Make.Then };

        Assert.True(host.IsUp(Make.Then + PhysicalMachine.HeartbeatTimeout));
        Assert.False(host.IsUp(Make.Then + PhysicalMachine.HeartbeatTimeout + TimeSpan.FromTicks(1)));
    }

    private Disk Of(int order, SnapshotId? snapshot = null, DiskFormat format = DiskFormat.Qcow2) =>
        Make.Disk(DiskId.New(), snapshot is { } id ? DiskOwner.Of(id) : DiskOwner.Of(_vm), order, format);

    private MachineDisks Machine(IReadOnlyList<Disk> disks, IReadOnlyList<Snapshot> snapshots) =>
        new() { Vm = _vm, Disks = disks, Snapshots = snapshots, Storlinks = Links };

    private static Template Template(GuestOs os) => new() { Id = TemplateId.New(), Pm = PmId.New(), Name = "t", Os = os, CreatedAt = Make.Then };
}
