using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

/// <summary>For every workflow: the process dies at every journal write, is started again, and the world is all old or all new.</summary>
public sealed class UseCaseCrashTests
{
    private static readonly Dictionary<string, Scenario> s_scenarios = new()
    {
        ["storlink.create"] = new(
            (_, _) => Task.CompletedTask,
            (world, token) => world.Storlinks.CreateAsync(new CreateStorlink { Name = "new", Link = "/new", Type = StorlinkType.Local, Level = StorlinkLevel.File }, null, token)),
        ["storlink.update"] = new(
            (_, _) => Task.CompletedTask,
            (world, token) => world.Storlinks.UpdateAsync(world.Storlink(), new UpdateStorlink { Name = "renamed", Description = "new" }, null, token)),
        ["storlink.delete"] = new(
            (_, _) => Task.CompletedTask,
            (world, token) => world.Storlinks.DeleteAsync(world.Storlink(), null, token)),
        ["pm.update-authorized-keys"] = new(
            async (world, _) => await world.Inner.AddPeerAsync("pm2", SshKeys.Ed25519),
            (world, token) => world.Inner.Hosts.UpdateAuthorizedKeysAsync(null, token)),
        ["network.create"] = new(
            (_, _) => Task.CompletedTask,
            (world, token) => world.Inner.Get<Networks>().CreateAsync(Bridge, null, token)),
        ["network.update"] = new(
            (world, token) => world.Inner.DoneAsync(world.Inner.Get<Networks>().CreateAsync(Bridge, null, token)),
            (world, token) => world.Inner.Get<Networks>().UpdateAsync(1, new NetworkRequest { Mtu = 9000, BridgePorts = "eth1" }, null, token)),
        ["network.delete"] = new(
            (world, token) => world.Inner.DoneAsync(world.Inner.Get<Networks>().CreateAsync(Bridge, null, token)),
            (world, token) => world.Inner.Get<Networks>().DeleteAsync(1, null, token)),
        ["dns.create"] = new(
            (_, _) => Task.CompletedTask,
            (world, token) => world.Inner.Get<NameServers>().CreateAsync("192.0.2.53", null, null, token)),
        ["dns.update"] = new(
            (world, token) => world.Inner.DoneAsync(world.Inner.Get<NameServers>().CreateAsync("192.0.2.53", null, null, token)),
            (world, token) => world.Inner.Get<NameServers>().UpdateAsync(1, "2001:db8::53", "192.0.2.53", null, token)),
        ["dns.delete"] = new(
            (world, token) => world.Inner.DoneAsync(world.Inner.Get<NameServers>().CreateAsync("192.0.2.53", null, null, token)),
            (world, token) => world.Inner.Get<NameServers>().DeleteAsync(1, null, token)),
        ["sriov.create"] = new(
            (world, _) => world.Inner.LayCardAsync("eth0", 4),
            (world, token) => world.Inner.Get<SriovCards>().CreateAsync("eth0", 3, null, token)),
        ["sriov.update"] = new(
            async (world, token) =>
            {
                await world.Inner.LayCardAsync("eth0", 4);
                await world.Inner.DoneAsync(world.Inner.Get<SriovCards>().CreateAsync("eth0", null, null, token));
            },
            (world, token) => world.Inner.Get<SriovCards>().UpdateAsync(1, 4, null, token)),
        ["sriov.delete"] = new(
            async (world, token) =>
            {
                await world.Inner.LayCardAsync("eth0", 4);
                await world.Inner.DoneAsync(world.Inner.Get<SriovCards>().CreateAsync("eth0", 2, null, token));
            },
            (world, token) => world.Inner.Get<SriovCards>().DeleteAsync(1, null, token)),
        ["storage.create"] = new(
            (_, _) => Task.CompletedTask,
            (world, token) => world.Inner.Get<StorageLayers>().CreateAsync(world.Inner.LocalDirectory, null, token)),
        ["storage.attach"] = new(
            async (world, token) =>
            {
                await world.Inner.DoneAsync(world.Inner.Get<StorageLayers>().CreateAsync(world.Inner.LocalDirectory, null, token));
                Directory.Delete(world.Inner.LocalDirectory.MountPoint!);
            },
            (world, token) => world.Inner.Get<StorageLayers>().AttachAsync(1, null, token)),
        ["storage.detach"] = new(
            (world, token) => world.Inner.DoneAsync(world.Inner.Get<StorageLayers>().CreateAsync(world.Inner.LocalDirectory, null, token)),
            (world, token) => world.Inner.Get<StorageLayers>().DetachAsync(1, null, token))
        {
            // A directory is where it is.
            LooksTheSame = true,
        },
        ["storage.resize"] = new(
            (world, token) => world.Inner.DoneAsync(world.Inner.Get<StorageLayers>().CreateAsync(world.Inner.LocalDirectory, null, token)),
            (world, token) => world.Inner.Get<StorageLayers>().ResizeAsync(1, null, null, token))
        {
            LooksTheSame = true,
        },
        ["storage.delete"] = new(
            (world, token) => world.Inner.DoneAsync(world.Inner.Get<StorageLayers>().CreateAsync(world.Inner.LocalDirectory, null, token)),
            (world, token) => world.Inner.Get<StorageLayers>().DeleteAsync(1, null, token)),
        ["orphan.delete"] = new(
            async (world, token) =>
            {
                world.Image = DiskId.New();
                world.Inner.Storage.Lay((await world.Storlinks.GetAsync(world.Storlink(), token)).Storlink, world.Image, DiskFormat.Raw, DataSize.FromMiB(1));
            },
            (world, token) => world.Inner.Operations.StartAsync(world.Inner.Get<WorkflowCatalog>().RemoveOrphan, new OrphanState { Storlink = world.Storlink(), Disk = world.Image }, null, token))
        {
            WholeBefore = false,
        },
        ["vm.repair"] = new(
            async (world, token) =>
            {
                await MachineAsync(world, token);
                await world.Inner.Get<IHypervisorDriver>().Domains.UndefineAsync(world.Vm, token);
            },
            async (world, token) => await world.Inner.Operations.StartAsync(
                world.Inner.Get<WorkflowCatalog>().RepairMachine, new GuestState { Guest = GuestRef.Of((await world.Machines.GetAsync(world.Vm, token)).Machine) }, null, token)),
        ["template.add"] = new(
            async (world, token) =>
            {
                world.Image = DiskId.New();
                world.Inner.Storage.Lay((await world.Storlinks.GetAsync(world.Storlink(), token)).Storlink, world.Image, DiskFormat.Qcow2, DataSize.FromMiB(100));
            },
            (world, token) => world.Templates.AddAsync(new AddTemplate { Name = "laid", Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(world.Storlink(), world.Image, DiskFormat.Qcow2)] }, null, token))
        {
            // An image laid by hand belongs to nobody until it is a template's.
            WholeBefore = false,
        },
        ["template.add-new"] = new(
            (_, _) => Task.CompletedTask,
            (world, token) => world.Templates.AddNewAsync(new AddNewTemplate { Name = "new", Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(world.Storlink(), 64, DiskFormat.Raw), new(world.Storlink(), 64, DiskFormat.Qcow2)] }, null, token)),
        ["template.create, stopped"] = new(
            MachineAsync,
            (world, token) => world.Templates.CreateAsync(world.Vm, new CreateTemplate { Name = "from vm", Storlink = world.Storlink() }, null, token)),
        ["template.create, running"] = new(
            WritingMachineAsync,
            (world, token) => world.Templates.CreateAsync(world.Vm, new CreateTemplate { Name = "from vm", Storlink = world.Target }, null, token))
        {
            Check = StillThereAsync,
        },
        ["template.update"] = new(
            TemplateAsync,
            (world, token) => world.Templates.UpdateAsync(world.Template, new UpdateTemplate { Name = "renamed", Os = GuestOs.Windows }, null, token)),
        ["template.delete"] = new(
            TemplateAsync,
            (world, token) => world.Templates.DeleteAsync(world.Template, null, token)),
        ["template.start"] = new(
            TemplateAsync,
            (world, token) => world.Templates.StartAsync(world.Template, null, null, token)),
        ["template.shutdown"] = new(
            RunningTemplateAsync,
            (world, token) => world.Templates.ShutdownAsync(world.Template, null, token)),
        ["template.poweroff"] = new(
            RunningTemplateAsync,
            (world, token) => world.Templates.PowerOffAsync(world.Template, null, token)),
        ["vm.create"] = new(
            TemplateAsync,
            (world, token) => world.Machines.CreateAsync(World.Request(world.Storlink()) with { Template = world.Template, ExtraDiskSizeMiB = 50, Networks = ["0", "xenbr7"] }, null, token)),
        ["vm.delete"] = new(
            MachineAsync,
            (world, token) => world.Machines.DeleteAsync(world.Vm, null, token)),
        ["vm.edit"] = new(
            RunningMachineAsync,
            (world, token) => world.Machines.EditAsync(world.Vm, new EditVirtualMachine { Name = "renamed", Description = "new" }, null, token)),
        ["vm.resize"] = new(
            RunningMachineAsync,
            (world, token) => world.Machines.ResizeAsync(world.Vm, new ResizeVirtualMachine { Cpus = 2, MemoryMiB = 768 }, null, token)),
        ["vm.start"] = new(
            MachineAsync,
            (world, token) => world.Machines.StartAsync(world.Vm, null, token)),
        ["vm.shutdown"] = new(
            RunningMachineAsync,
            (world, token) => world.Machines.ShutdownAsync(world.Vm, null, token)),
        ["vm.poweroff"] = new(
            RunningMachineAsync,
            (world, token) => world.Machines.PowerOffAsync(world.Vm, null, token)),
        ["vm.reset"] = new(
            RunningMachineAsync,
            (world, token) => world.Machines.ResetAsync(world.Vm, null, token)),
        ["vm.reboot"] = new(
            RunningMachineAsync,
            (world, token) => world.Machines.RebootAsync(world.Vm, null, token))
        {
            LooksTheSame = true,
        },
        ["vm.suspend"] = new(
            RunningMachineAsync,
            (world, token) => world.Machines.SuspendAsync(world.Vm, null, token)),
        ["vm.resume"] = new(
            async (world, token) =>
            {
                await RunningMachineAsync(world, token);
                await world.Inner.DoneAsync(world.Machines.SuspendAsync(world.Vm, null, token));
            },
            (world, token) => world.Machines.ResumeAsync(world.Vm, null, token)),
        ["vm.disk.create, running"] = new(
            RunningMachineAsync,
            (world, token) => world.Disks.CreateAsync(world.Vm, new CreateDisk { SizeMiB = 10, Storlink = world.Storlink() }, null, token)),
        ["vm.disk.create, stopped"] = new(
            MachineAsync,
            (world, token) => world.Disks.CreateAsync(world.Vm, new CreateDisk { SizeMiB = 10, Storlink = world.Storlink() }, null, token)),
        ["vm.disk.delete"] = new(
            RunningMachineAsync,
            async (world, token) => await world.Disks.DeleteAsync(world.Vm, (await world.Disks.ListAsync(world.Vm, token))[1].Id, null, token)),
        ["vm.interface.create"] = new(
            RunningMachineAsync,
            (world, token) => world.Interfaces.CreateAsync(world.Vm, new CreateInterface { Switch = "1", IpAddress = "192.168.0.1" }, null, token)),
        ["vm.interface.update"] = new(
            MachineAsync,
            async (world, token) => await world.Interfaces.UpdateAsync(world.Vm, (await world.Interfaces.ListAsync(world.Vm, token))[0].Id, new UpdateInterface { IpAddress = "10.0.0.7" }, null, token)),
        ["vm.interface.delete, running"] = new(
            RunningMachineAsync,
            async (world, token) => await world.Interfaces.DeleteAsync(world.Vm, (await world.Interfaces.ListAsync(world.Vm, token))[0].Id, null, token)),
        ["vm.interface.delete, stopped"] = new(
            MachineAsync,
            async (world, token) => await world.Interfaces.DeleteAsync(world.Vm, (await world.Interfaces.ListAsync(world.Vm, token))[0].Id, null, token)),
        ["vm.copy, stopped"] = new(
            MachineAsync,
            (world, token) => world.Machines.CopyAsync(world.Vm, new CopyVirtualMachine { Name = "copied", Storlink = world.Storlink() }, null, token)),
        ["vm.copy, running"] = new(
            WritingMachineAsync,
            (world, token) => world.Machines.CopyAsync(world.Vm, new CopyVirtualMachine { Name = "copied", Storlink = world.Target }, null, token))
        {
            Check = StillThereAsync,
        },
        ["vm.backup.create, stopped"] = new(
            MachineAsync,
            (world, token) => world.Backups.CreateAsync(world.Vm, new CreateVirtualMachineBackup { Name = "nightly", Storlink = world.Storlink() }, null, token)),
        ["vm.backup.create, running"] = new(
            WritingMachineAsync,
            (world, token) => world.Backups.CreateAsync(world.Vm, new CreateVirtualMachineBackup { Name = "nightly", Storlink = world.Target }, null, token))
        {
            Check = StillThereAsync,
        },
        ["vm.backup.create, incremental"] = new(
            ChainedMachineAsync,
            IncrementAsync)
        {
            Check = async (world, acted) =>
            {
                await IsIncrementalAsync(world, acted);
                await StillThereAsync(world, acted);
            },
        },
        ["vm.backup.create, incremental, guest ends with the crash"] = new(
            ChainedMachineAsync,
            IncrementAsync)
        {
            GuestEnds = true,
            Check = NothingLostAsync,
        },
        ["vm.backup.restore, incremental"] = new(
            IncrementedMachineAsync,
            (world, token) => world.Backups.RestoreAsync(world.Vm, world.Backup, null, token))
        {
            Check = async (world, acted) => Assert.Equal(acted ? "flushed a" : "written since", (await world.Inner.ContentsAsync(world.Vm))[0]),
        },
        ["vm.backup.delete, incremental"] = new(
            IncrementedMachineAsync,
            (world, token) => world.Backups.DeleteAsync(world.Vm, world.Backup, null, token)),
        ["vm.backup.restore"] = new(
            BackedUpMachineAsync,
            (world, token) => world.Backups.RestoreAsync(world.Vm, world.Backup, null, token)),
        ["vm.backup.delete"] = new(
            BackedUpMachineAsync,
            (world, token) => world.Backups.DeleteAsync(world.Vm, world.Backup, null, token)),
        ["vm.smigrate, stopped"] = new(
            async (world, token) =>
            {
                await MachineAsync(world, token);
                world.Target = await world.Inner.AddStorlinkAsync("store2");
            },
            (world, token) => world.Machines.MoveDisksAsync(world.Vm, world.Target, null, token)),
        ["vm.smigrate, running"] = new(
            WritingMachineAsync,
            (world, token) => world.Machines.MoveDisksAsync(world.Vm, world.Target, null, token))
        {
            Check = StillThereAsync,
        },
        ["vm.copy, guest ends with the crash"] = new(
            WritingMachineAsync,
            (world, token) => world.Machines.CopyAsync(world.Vm, new CopyVirtualMachine { Name = "copied", Storlink = world.Target }, null, token))
        {
            GuestEnds = true,
            Check = NothingLostAsync,
        },
        ["vm.backup.create, guest ends with the crash"] = new(
            WritingMachineAsync,
            (world, token) => world.Backups.CreateAsync(world.Vm, new CreateVirtualMachineBackup { Name = "nightly", Storlink = world.Target }, null, token))
        {
            GuestEnds = true,
            Check = NothingLostAsync,
        },
        ["vm.smigrate, guest ends with the crash"] = new(
            WritingMachineAsync,
            (world, token) => world.Machines.MoveDisksAsync(world.Vm, world.Target, null, token))
        {
            GuestEnds = true,
            Check = NothingLostAsync,
        },
        ["vm.migrate, stopped"] = new(
            MovableMachineAsync,
            (world, token) => world.Machines.MigrateAsync(world.Vm, world.Peer, null, token)),
        ["vm.migrate, running"] = new(
            async (world, token) =>
            {
                await MovableMachineAsync(world, token);
                await world.Inner.DoneAsync(world.Machines.StartAsync(world.Vm, null, token));
            },
            (world, token) => world.Machines.MigrateAsync(world.Vm, world.Peer, null, token))
        {
            Check = (world, moved) => RunsAtAsync(world, moved ? world.Peer : world.Inner.Pm.Id),
        },
        ["vm.migrate, cancelled when it has begun"] = new(
            async (world, token) =>
            {
                await MovableMachineAsync(world, token);
                await world.Inner.DoneAsync(world.Machines.StartAsync(world.Vm, null, token));

                // The driver does not stop for it.
                world.Inner.Host.Before(SimulatedVerb.Migrate, async (_, _) =>
                {
                    await foreach (var moving in world.Inner.Operations.ListAsync(OperationQuery.All with { UnfinishedOnly = true }, CancellationToken.None))
                    {
                        await world.Inner.Operations.CancelAsync(moving.Id, CancellationToken.None);
                    }
                });
            },
            (world, token) => world.Machines.MigrateAsync(world.Vm, world.Peer, null, token))
        {
            IsCancelled = true,
            Check = async (world, _) => await RunsAtAsync(world, (await world.Machines.GetAsync(world.Vm, TestContext.Current.CancellationToken)).Machine.Pm),
        },
    };

    private static NetworkRequest Bridge => new() { Name = "xenbr5", Category = NetworkCategory.Bridge, BridgePorts = "eth0", Method = AddressMethod.Static, IpAddress = "192.0.2.9", PrefixLength = 24 };

    public static TheoryData<string> Names => [.. s_scenarios.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Crash_at_any_write_leaves_the_old_state_or_the_new_one(string name)
    {
        var scenario = s_scenarios[name];
        var crashes = await CrashSuite.RunAsync(
            async () =>
            {
                var world = new UseCaseWorld(scenario);
                await world.PrepareAsync();
                return world;
            },
            cancellationToken: TestContext.Current.CancellationToken);
        Assert.InRange(crashes, 4, int.MaxValue);
    }

    [Fact]
    public void Every_workflow_has_a_scenario()
    {
        var kinds = WorkflowCatalog.All.Select(select => select(new WorkflowCatalog(null!)).Name)
            .Concat(HostWorkflows.All.Select(select => select(new HostWorkflows(null!, null!, null!, null!)).Name));
        Assert.Empty(kinds.Except(s_scenarios.Keys.Concat(SnapshotCrashTests.Names.Select(row => row.Data)).Select(key => key.Split(',')[0])));
    }

    private static async Task MachineAsync(UseCaseWorld world, CancellationToken token) =>
        world.Vm = await world.Inner.AddMachineAsync(world.Storlink(), change: request => request with { ExtraDiskSizeMiB = 20 });

    private static async Task RunningMachineAsync(UseCaseWorld world, CancellationToken token)
    {
        await MachineAsync(world, token);
        await world.Inner.DoneAsync(world.Machines.StartAsync(world.Vm, null, token));
    }

    /// <summary>A running machine whose guest has written to both disks.</summary>
    private static async Task WritingMachineAsync(UseCaseWorld world, CancellationToken token)
    {
        await RunningMachineAsync(world, token);
        world.Target = await world.Inner.AddStorlinkAsync("store2");
        world.Inner.Host.Guest(world.Vm).Write("xvda", "flushed a");
        world.Inner.Host.Guest(world.Vm).Write("xvdb", "flushed b");
    }

    private static async Task BackedUpMachineAsync(UseCaseWorld world, CancellationToken token)
    {
        await WritingMachineAsync(world, token);
        world.Backup = await world.Inner.AddBackupAsync(world.Vm, world.Target);
        world.Inner.Host.Guest(world.Vm).Write("xvda", "written since");
        await world.Inner.DoneAsync(world.Machines.PowerOffAsync(world.Vm, null, token));
    }

    /// <summary>A running machine with a backup, which the guest has changed since.</summary>
    private static async Task ChainedMachineAsync(UseCaseWorld world, CancellationToken token)
    {
        await RunningMachineAsync(world, token);
        world.Target = await world.Inner.AddStorlinkAsync("store2");
        world.Backup = await world.Inner.AddBackupAsync(world.Vm, world.Target);
        world.Inner.Host.Guest(world.Vm).Write("xvda", "flushed a");
        world.Inner.Host.Guest(world.Vm).Write("xvdb", "flushed b");
    }

    private static async Task IncrementedMachineAsync(UseCaseWorld world, CancellationToken token)
    {
        await ChainedMachineAsync(world, token);
        world.Backup = World.BackupOf(await world.Inner.DoneAsync(IncrementAsync(world, token)));
        world.Inner.Host.Guest(world.Vm).Write("xvda", "written since");
        await world.Inner.DoneAsync(world.Machines.PowerOffAsync(world.Vm, null, token));
    }

    private static Task<Operation> IncrementAsync(UseCaseWorld world, CancellationToken token) =>
        world.Backups.CreateAsync(world.Vm, new CreateVirtualMachineBackup { Name = "next", Storlink = world.Target, Incremental = true }, null, token);

    /// <summary>The backup that was made lies upon the one before, whatever was begun again, and shows what the guest flushed.</summary>
    private static async Task IsIncrementalAsync(UseCaseWorld world, bool acted)
    {
        var token = TestContext.Current.CancellationToken;
        var parents = await world.Backups.ListParentsAsync(world.Vm, token);
        Assert.Equal(acted ? [world.Backup] : [], parents.Values);
        foreach (var backup in parents.Keys)
        {
            Assert.Equal(["flushed a", "flushed b"], (await world.Backups.ListDisksAsync(world.Vm, backup, token)).Select(disk => world.Inner.Storage.ContentOf(disk.Id)));
            Assert.Equal([backup], world.Inner.Host.Guest(world.Vm).NotedSince("xvda"));
        }
    }

    /// <summary>The guest runs on one PM, and its row says so.</summary>
    private static async Task RunsAtAsync(UseCaseWorld world, PmId pm)
    {
        Assert.Equal(pm, (await world.Machines.GetAsync(world.Vm, TestContext.Current.CancellationToken)).Machine.Pm);
        Assert.Equal((pm == world.Inner.Pm.Id, pm == world.Peer), (IsAlive(world.Inner.Host), IsAlive(world.Inner.Host.Peers["pm2"])));

        bool IsAlive(SimulatedHost host) => host.Guest(world.Vm).Disks.Count > 0;
    }

    private static async Task MovableMachineAsync(UseCaseWorld world, CancellationToken token)
    {
        world.Inner.Host.Peers["pm2"] = new SimulatedHost();
        world.Peer = await world.Inner.AddPeerAsync("pm2", null, TimeProvider.System.GetUtcNow());
        var shared = await world.Inner.AddStorlinkAsync("shared", shared: true);
        world.Vm = await world.Inner.AddMachineAsync(shared);
    }

    /// <summary>The guest runs on, on one image per disk, and what it flushed is there.</summary>
    private static async Task StillThereAsync(UseCaseWorld world, bool acted)
    {
        var guest = world.Inner.Host.Guest(world.Vm);
        Assert.Equal(1, guest.Starts);
        Assert.All(guest.Disks, disk => Assert.Single(disk.Layers));
        Assert.Equal(["flushed a", "flushed b"], await world.Inner.ContentsAsync(world.Vm));
        guest.Write("xvda", "and on");
        Assert.Equal("and on", (await world.Inner.ContentsAsync(world.Vm))[0]);
    }

    /// <summary>The guest wrote once more before it ended, which is there, too; and it starts on one image per disk.</summary>
    private static async Task NothingLostAsync(UseCaseWorld world, bool acted)
    {
        var ended = world.Inner.Host.Guest(world.Vm).Disks.Count == 0;
        Assert.Equal([ended ? "written last" : "flushed a", "flushed b"], await world.Inner.ContentsAsync(world.Vm));
        if (ended)
        {
            await world.Inner.DoneAsync(world.Machines.StartAsync(world.Vm, null, TestContext.Current.CancellationToken));
        }

        Assert.All(world.Inner.Host.Guest(world.Vm).Disks, disk => Assert.Single(disk.Layers));
        await world.Inner.AssertWholeAsync();
    }

    private static async Task TemplateAsync(UseCaseWorld world, CancellationToken token) => world.Template = await world.Inner.AddTemplateAsync(world.Storlink());

    private static async Task RunningTemplateAsync(UseCaseWorld world, CancellationToken token)
    {
        await TemplateAsync(world, token);
        await world.Inner.DoneAsync(world.Templates.StartAsync(world.Template, null, null, token));
    }

    internal sealed record Scenario(Func<UseCaseWorld, CancellationToken, Task> Prepare, Func<UseCaseWorld, CancellationToken, Task<Operation>> Act)
    {
        public bool WholeBefore { get; init; } = true;

        public bool LooksTheSame { get; init; }

        /// <summary>Whether it is cancelled on its way, and so may end either way.</summary>
        public bool IsCancelled { get; init; }

        /// <summary>Whether the guest writes once more and ends while the service is down.</summary>
        public bool GuestEnds { get; init; }

        public Func<UseCaseWorld, bool, Task> Check { get; init; } = (_, _) => Task.CompletedTask;
    }

    internal sealed class UseCaseWorld(Scenario scenario) : CrashWorld
    {
        private StorlinkId _storlink;
        private string _before = string.Empty;
        private int _operationsBefore;

        public World Inner { get; } = new();

        public VmId Vm { get; set; }

        public TemplateId Template { get; set; }

        public DiskId Image { get; set; }

        public StorlinkId Target { get; set; }

        public BackupId Backup { get; set; }

        public PmId Peer { get; set; }

        public VirtualMachines Machines => Inner.Machines;

        public VirtualMachineDisks Disks => Inner.Disks;

        public VirtualMachineInterfaces Interfaces => Inner.Interfaces;

        public VirtualMachineBackups Backups => Inner.Backups;

        public Templates Templates => Inner.Templates;

        public Storlinks Storlinks => Inner.Storlinks;

        public override IOperationJournal Journal => Inner.Journal;

        public StorlinkId Storlink() => _storlink;

        public async Task PrepareAsync()
        {
            var token = TestContext.Current.CancellationToken;
            Inner.Storage.IsOpen = Inner.Host.IsOpen;
            await Inner.StartAsync();
            _storlink = await Inner.AddStorlinkAsync();
            await scenario.Prepare(this, token);
            await Inner.StopAsync();
            _before = await Inner.PictureAsync();
            await foreach (var _ in Inner.Journal.ListAsync(OperationQuery.All, token))
            {
                _operationsBefore++;
            }
        }

        public override async Task<OperationEngine> StartAsync(IOperationJournal journal, CancellationToken cancellationToken)
        {
            if (scenario.GuestEnds && journal == Journal && Inner.Host.Guest(Vm) is { Disks.Count: > 0 } guest)
            {
                await Inner.StopAsync();
                guest.Write("xvda", "written last");
                guest.ShutDown();
            }

            return await Inner.StartAsync(journal);
        }

        public override async Task ActAsync(OperationEngine engine, CancellationToken cancellationToken)
        {
            var ended = await engine.WaitAsync((await scenario.Act(this, cancellationToken)).Id, cancellationToken);
            if (!scenario.IsCancelled)
            {
                ended.EnsureSucceeded();
            }
        }

        public override async Task VerifyAsync(IReadOnlyList<Operation> operations, CancellationToken cancellationToken)
        {
            // A repair, which the service begins on its own, may find that the machine has just left.
            operations = [.. operations.Where(operation => operation is not { Kind: "vm.repair", Error: PengxErrorCode.WrongState })];
            var acted = operations.Count > _operationsBefore;
            Assert.All(operations, operation => Assert.True(operation.State == OperationState.Succeeded || (scenario.IsCancelled && operation.State == OperationState.Cancelled), $"{operation.Description}: {operation.Message}"));
            if (acted || scenario.WholeBefore)
            {
                await Inner.AssertWholeAsync();
            }

            var after = await Inner.PictureAsync();
            if (scenario.GuestEnds || scenario.IsCancelled)
            {
                // What the guest did itself makes a difference, or where it got to.
            }
            else if (acted && !scenario.LooksTheSame)
            {
                Assert.NotEqual(_before, after);
            }
            else
            {
                Assert.Equal(_before, after);
            }

            await scenario.Check(this, acted);
        }

        public override async ValueTask DisposeAsync()
        {
            await Inner.DisposeAsync();
            await base.DisposeAsync();
        }
    }
}
