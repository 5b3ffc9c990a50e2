using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

/// <summary>Snapshots while the process dies at every journal write. Guests go on writing while nobody watches, and some end before the
/// service is back: every state that was kept must be as it was, and the machine must have all that was written.</summary>
public sealed class SnapshotCrashTests
{
    private static readonly Dictionary<string, Scenario> s_scenarios = new()
    {
        ["vm.snapshot.create, stopped"] = new(ChainAsync, world => world.CreateAsync("new")),
        ["vm.snapshot.create, the first"] = new(MachineAsync, world => world.CreateAsync("new")),
        ["vm.snapshot.create, running"] = new(ChainAsync, world => world.CreateAsync("new")) { Runs = true, Moment = true },
        ["vm.snapshot.create, paused"] = new(ChainAsync, world => world.CreateAsync("new")) { Runs = true, Paused = true, Moment = true },
        ["vm.snapshot.create, the guest ends"] = new(ChainAsync, world => world.CreateAsync("new")) { Runs = true, Ends = true, Moment = true },
        ["vm.snapshot.create, with memory"] = new(ChainAsync, world => world.CreateAsync("new", memory: true)) { Runs = true, Moment = true },
        ["vm.snapshot.delete, root"] = new(ChainAsync, world => world.DeleteAsync("s1")),
        ["vm.snapshot.delete, middle, pulled up"] = new(ChainAsync, world => world.DeleteAsync("s2")),
        ["vm.snapshot.delete, middle, merged down"] = new(ChainAsync, world => world.DeleteAsync("s3")),
        ["vm.snapshot.delete, what it runs on"] = new(ChainAsync, world => world.DeleteAsync("s4")),
        ["vm.snapshot.delete, the last"] = new(OneAsync, world => world.DeleteAsync("s1")),
        ["vm.snapshot.delete, leaf"] = new(BranchesAsync, world => world.DeleteAsync("s4")),
        ["vm.snapshot.delete, several children"] = new(BranchesAsync, world => world.DeleteAsync("s1")),
        ["vm.snapshot.delete, one child is left"] = new(HiddenAsync, world => world.DeleteAsync("side")),
        ["vm.snapshot.delete, beneath a branch"] = new(BranchesAsync, world => world.DeleteAsync("s3")),
        ["vm.snapshot.delete, root, running"] = new(ChainAsync, world => world.DeleteAsync("s1")) { Runs = true },
        ["vm.snapshot.delete, middle, running, pulled up"] = new(ChainAsync, world => world.DeleteAsync("s2")) { Runs = true },
        ["vm.snapshot.delete, middle, running, merged down"] = new(ChainAsync, world => world.DeleteAsync("s3")) { Runs = true },
        ["vm.snapshot.delete, running, the top"] = new(ChainAsync, world => world.DeleteAsync("s4")) { Runs = true },
        ["vm.snapshot.delete, the last, running"] = new(OneAsync, world => world.DeleteAsync("s1")) { Runs = true },
        ["vm.snapshot.delete, side branch, running"] = new(BranchesAsync, world => world.DeleteAsync("s3")) { Runs = true },
        ["vm.snapshot.delete, a branch is linked anew, running"] = new(ForkAsync, world => world.DeleteAsync("s2")) { Runs = true },
        ["vm.snapshot.delete, one child is left, running"] = new(HiddenAsync, world => world.DeleteAsync("side")) { Runs = true },
        ["vm.snapshot.delete, root, the guest ends"] = new(ChainAsync, world => world.DeleteAsync("s1")) { Runs = true, Ends = true },
        ["vm.snapshot.delete, middle, the guest ends"] = new(ChainAsync, world => world.DeleteAsync("s2")) { Runs = true, Ends = true },
        ["vm.snapshot.delete, the last, the guest ends"] = new(OneAsync, world => world.DeleteAsync("s1")) { Runs = true, Ends = true },
        ["vm.snapshot.restore, ancestor"] = new(ChainAsync, world => world.RestoreAsync("s1")),
        ["vm.snapshot.restore, its own"] = new(ChainAsync, world => world.RestoreAsync("s4")),
        ["vm.snapshot.restore, one child is left"] = new(HiddenRunAsync, world => world.RestoreAsync("side")),
        ["vm.snapshot.start, what it ran on is kept"] = new(ChainAsync, world => world.StartWithAsync("s2")) { Keeps = true },
        ["vm.snapshot.start, its own, kept"] = new(ChainAsync, world => world.StartWithAsync("s4")) { Keeps = true },
        ["vm.snapshot.start, nothing was written"] = new(UnwrittenAsync, world => world.StartWithAsync("s2")),
        ["vm.snapshot.start, it stands there"] = new(UnwrittenAsync, world => world.StartWithAsync("s4")),
        ["vm.snapshot.start, with memory"] = new(MemoryAsync, world => world.StartWithAsync("s2")) { Keeps = true, Remembers = "then" },
        ["vm.snapshot.start, with memory, the guest ends"] = new(MemoryAsync, world => world.StartWithAsync("s2")) { Keeps = true, Remembers = "then", Late = true },
        ["vm.snapshot.delete, with memory"] = new(MemoryAsync, world => world.DeleteAsync("s2")),
        ["vm.delete, with snapshots"] = new(BranchesAsync, world => world.Inner.Machines.DeleteAsync(world.Vm, null, Token)) { Removes = true },
        ["vm.disk.create, with snapshots"] = new(ChainAsync, world => world.Inner.Disks.CreateAsync(world.Vm, new CreateDisk { SizeMiB = 10, Storlink = world.Storlink }, null, Token)) { Runs = true },
    };

    public static TheoryData<string> Names => [.. s_scenarios.Keys];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Crash_at_any_write_loses_nothing(string name)
    {
        var crashes = await CrashSuite.RunAsync(
            async () =>
            {
                var world = new SnapshotWorld(s_scenarios[name]);
                await world.PrepareAsync();
                return world;
            },
            cancellationToken: Token);
        Assert.InRange(crashes, 8, int.MaxValue);
    }

    [Theory]
    [InlineData("vm.snapshot.create, running")]
    [InlineData("vm.snapshot.delete, the last, the guest ends")]
    [InlineData("vm.snapshot.start, what it ran on is kept")]
    public async Task A_recovery_that_crashes_too_loses_nothing(string name)
    {
        var crashes = await CrashSuite.RunAsync(
            async () =>
            {
                var world = new SnapshotWorld(s_scenarios[name]);
                await world.PrepareAsync();
                return world;
            },
            crashTwice: true,
            cancellationToken: Token);
        Assert.InRange(crashes, 50, int.MaxValue);
    }

    private static Task MachineAsync(SnapshotWorld world) => world.WriteAsync(1, "a");

    private static async Task OneAsync(SnapshotWorld world)
    {
        await MachineAsync(world);
        await world.TakeAsync("s1");
        await world.WriteAsync(2, "b");
    }

    // s1 <- s2 (little) <- s3 (much) <- s4 (little) <- now
    private static async Task ChainAsync(SnapshotWorld world)
    {
        await UnwrittenAsync(world);
        await world.WriteAsync(2, "now");
        await world.WriteAsync(7, "now");
    }

    private static async Task UnwrittenAsync(SnapshotWorld world)
    {
        await MachineAsync(world);
        await world.TakeAsync("s1");
        await world.WriteAsync(1, "b");
        await world.TakeAsync("s2");
        await world.WriteAsync(2, "c");
        await world.WriteAsync(3, "c");
        await world.WriteAsync(4, "c");
        await world.TakeAsync("s3");
        await world.WriteAsync(3, "d");
        await world.TakeAsync("s4");
    }

    // s1 <- s2 (with memory) <- now
    private static async Task MemoryAsync(SnapshotWorld world)
    {
        await OneAsync(world);
        await world.Inner.DoneAsync(world.Inner.Machines.StartAsync(world.Vm, null, Token));
        world.Inner.Host.Guest(world.Vm).Remembered = "then";
        await world.TakeAsync("s2", memory: true);
        await world.WriteAsync(3, "c");
        await world.Inner.DoneAsync(world.Inner.Machines.PowerOffAsync(world.Vm, null, Token));
    }

    // s1 <- s2 <- s3 <- s4 and s1 <- side <- now
    private static async Task BranchesAsync(SnapshotWorld world)
    {
        await ChainAsync(world);
        await world.BackAsync("s1");
        await world.WriteAsync(5, "e");
        await world.TakeAsync("side");
        await world.WriteAsync(6, "f");
    }

    // s1 <- s2 (much) <- s3 (little), and s3 <- s4, s3 <- now
    private static async Task ForkAsync(SnapshotWorld world)
    {
        await MachineAsync(world);
        await world.TakeAsync("s1");
        await world.WriteAsync(1, "b");
        await world.WriteAsync(2, "b");
        await world.WriteAsync(3, "b");
        await world.TakeAsync("s2");
        await world.WriteAsync(2, "c");
        await world.TakeAsync("s3");
        await world.WriteAsync(4, "d");
        await world.TakeAsync("s4");
        await world.WriteAsync(5, "lost");
        await world.BackAsync("s3");
        await world.WriteAsync(6, "now");
    }

    // s1 (hidden) <- s2 <- now, and s1 <- side
    private static async Task HiddenAsync(SnapshotWorld world)
    {
        await OneAsync(world);
        await world.TakeAsync("side");
        await world.BackAsync("s1");
        await world.WriteAsync(3, "c");
        await world.TakeAsync("s2");
        await world.WriteAsync(4, "d");
        await world.DropAsync("s1");
    }

    // s1 (hidden) <- side, and s1 <- now
    private static async Task HiddenRunAsync(SnapshotWorld world)
    {
        await OneAsync(world);
        await world.TakeAsync("side");
        await world.BackAsync("s1");
        await world.WriteAsync(3, "c");
        await world.DropAsync("s1");
    }

    private sealed record Scenario(Func<SnapshotWorld, Task> Prepare, Func<SnapshotWorld, Task<Operation>> Act)
    {
        public bool Runs { get; init; }

        public bool Paused { get; init; }

        /// <summary>Whether the guest ends while the service is away.</summary>
        public bool Ends { get; init; }

        /// <summary>Whether what is taken may have been taken at any moment, as of a guest that writes.</summary>
        public bool Moment { get; init; }

        public bool Keeps { get; init; }

        public bool Removes { get; init; }

        /// <summary>Whether a guest that the operation started writes and ends while the service is away.</summary>
        public bool Late { get; init; }

        /// <summary>What the guest remembers afterwards.</summary>
        public string? Remembers { get; init; }
    }

    private sealed class SnapshotWorld(Scenario scenario) : CrashWorld
    {
        private const int LatePlace = 100;

        private readonly Dictionary<string, string[]> _kept = [];
        private readonly SortedDictionary<int, string> _now = [];
        private string _origin = string.Empty;
        private int _operationsBefore;
        private int _starts;
        private string? _late;
        private string? _deleted;
        private string? _target;
        private string[] _before = [];

        public World Inner { get; } = new();

        public VmId Vm { get; private set; }

        public StorlinkId Storlink { get; private set; }

        public override IOperationJournal Journal => Inner.Journal;

        public async Task PrepareAsync()
        {
            Inner.Storage.IsOpen = Inner.Host.IsOpen;
            await Inner.StartAsync();
            Storlink = await Inner.AddStorlinkAsync();
            Vm = await Inner.AddMachineAsync(Storlink, change: request => request with { ExtraDiskSizeMiB = 20 });
            _origin = Inner.Storage.ContentOf((await Inner.Disks.ListAsync(Vm, Token))[0].Id)!;
            await scenario.Prepare(this);
            if (scenario.Runs)
            {
                await Inner.DoneAsync(Inner.Machines.StartAsync(Vm, null, Token));
            }

            if (scenario.Paused)
            {
                await Inner.DoneAsync(Inner.Machines.SuspendAsync(Vm, null, Token));
            }

            _before = await ContentsAsync();
            await Inner.AssertWholeAsync();
            await Inner.StopAsync();
            await foreach (var _ in Inner.Journal.ListAsync(OperationQuery.All, Token))
            {
                _operationsBefore++;
            }
        }

        public async Task WriteAsync(int place, string text)
        {
            foreach (var disk in await Inner.Disks.ListAsync(Vm, Token))
            {
                Inner.Storage.Write(disk.Id, place, text);
            }

            _now[place] = text;
        }

        public async Task TakeAsync(string name, bool memory = false)
        {
            await Inner.DoneAsync(CreateAsync(name, memory));
            _kept[name] = await ContentsAsync();
        }

        public async Task BackAsync(string name)
        {
            await Inner.DoneAsync(RestoreAsync(name));
            _target = null;
            Assert.Equal(_kept[name], await ContentsAsync());
            _now.Clear();
            foreach (var part in _kept[name][0].Split(", ").Skip(1))
            {
                _now[int.Parse(part.Split(':')[0], System.Globalization.CultureInfo.InvariantCulture)] = part.Split(": ")[1];
            }
        }

        public async Task DropAsync(string name)
        {
            await Inner.DoneAsync(DeleteAsync(name));
            _kept.Remove(name);
            _deleted = null;
        }

        public Task<Operation> CreateAsync(string name, bool memory = false) =>
            Inner.Snapshots.CreateAsync(Vm, new CreateSnapshot { Name = name, Storlink = Storlink, Description = "d", Memory = memory }, null, Token);

        public async Task<Operation> DeleteAsync(string name)
        {
            _deleted = name;
            return await Inner.Snapshots.DeleteAsync(Vm, await FindAsync(name), null, Token);
        }

        public async Task<Operation> RestoreAsync(string name)
        {
            _target = name;
            return await Inner.Snapshots.RestoreAsync(Vm, await FindAsync(name), null, Token);
        }

        public async Task<Operation> StartWithAsync(string name)
        {
            _target = name;
            return await Inner.Snapshots.StartAsync(Vm, await FindAsync(name), null, Token);
        }

        public override async Task<OperationEngine> StartAsync(IOperationJournal journal, CancellationToken cancellationToken)
        {
            // Between two lives of the service the guest goes on, or ends with its last words written.
            var guest = Inner.Host.Guest(Vm);
            if (scenario.Runs && !scenario.Paused)
            {
                foreach (var disk in guest.Disks)
                {
                    // Always to one place: whoever writes an older layer over it once more is found out.
                    Inner.Storage.Write(disk.Id, LatePlace, $"late{_starts}");
                }

                if (guest.Disks.Count > 0)
                {
                    _now[LatePlace] = guest.Remembered = $"late{_starts}";
                }
            }

            if (scenario.Late && guest.Disks.Count > 0)
            {
                foreach (var disk in guest.Disks)
                {
                    Inner.Storage.Write(disk.Id, LatePlace, $"late{_starts}");
                }

                _late = $"late{_starts}";
                guest.ShutDown();
            }

            if (scenario.Ends && _starts > 0)
            {
                guest.ShutDown();
            }

            _starts++;
            return await Inner.StartAsync(journal);
        }

        public override async Task ActAsync(OperationEngine engine, CancellationToken cancellationToken) =>
            (await engine.WaitAsync((await scenario.Act(this)).Id, cancellationToken)).EnsureSucceeded();

        public override async Task VerifyAsync(IReadOnlyList<Operation> operations, CancellationToken cancellationToken)
        {
            Assert.All(operations, operation => Assert.True(operation.State == OperationState.Succeeded, $"{operation.Description}: {operation.Message}"));
            await Inner.AssertWholeAsync();
            var acted = operations.Count > _operationsBefore;
            if (acted && scenario.Removes)
            {
                Assert.Empty(Inner.Storage.Volumes(Storlink));
                return;
            }

            var snapshots = await Inner.Snapshots.ListAsync(Vm, cancellationToken);
            List<string> expected = [.. _kept.Keys];
            if (acted && _deleted is not null)
            {
                expected.Remove(_deleted);
            }

            var fresh = snapshots.Where(snapshot => !_kept.ContainsKey(snapshot.Name)).ToList();
            Assert.Equal(expected.Order(), snapshots.Except(fresh).Select(snapshot => snapshot.Name).Order());
            foreach (var snapshot in snapshots.Except(fresh))
            {
                Assert.Equal(_kept[snapshot.Name], await ContentsAsync(await Inner.Snapshots.ListDisksAsync(Vm, snapshot.Id, cancellationToken)));
            }

            var isCreate = acted && _deleted is null && _target is null && operations[0].Kind == "vm.snapshot.create";
            Assert.Equal(isCreate || (acted && scenario.Keeps) ? 1 : 0, fresh.Count);
            foreach (var snapshot in fresh)
            {
                var contents = await ContentsAsync(await Inner.Snapshots.ListDisksAsync(Vm, snapshot.Id, cancellationToken));
                if (scenario.Moment)
                {
                    // Any moment while it was taken, the same for all disks.
                    Assert.Single(contents.Select(content => content.Split(", ", 2)[1]).Distinct());
                    Assert.All(_before.Zip(contents), pair => Assert.StartsWith(pair.First, pair.Second, StringComparison.Ordinal));
                }
                else
                {
                    Assert.Equal(_before, contents);
                }
            }

            var now = (await ContentsAsync())[0];
            var back = _target is null ? "" : _kept[_target][0] + (_late is null ? "" : $", {LatePlace}: {_late}");
            Assert.Equal(acted && _target is not null ? back : string.Join(", ", _now.Select(one => $"{one.Key}: {one.Value}").Prepend(_origin)), now);
            if (acted && scenario.Keeps)
            {
                // One that was let run before the operation ended may have ended since; where it did before, it was started once more.
                var state = (await Inner.Machines.GetAsync(Vm, cancellationToken)).State;
                Assert.True(state == VmState.Running || (_late is not null && state == VmState.Shutdown), state.ToString());
                Assert.Equal(_late is null ? scenario.Remembers : null, Inner.Host.Guest(Vm).Remembered);
            }

            if (fresh.FirstOrDefault(snapshot => snapshot.HasMemory) is { } remembering)
            {
                // Memory and disks are of one moment.
                var written = (await ContentsAsync(await Inner.Snapshots.ListDisksAsync(Vm, remembering.Id, cancellationToken)))[0];
                await Inner.DoneAsync(Inner.Machines.PowerOffAsync(Vm, null, cancellationToken));
                await Inner.DoneAsync(Inner.Snapshots.StartAsync(Vm, remembering.Id, null, cancellationToken));
                Assert.EndsWith($"{LatePlace}: {Inner.Host.Guest(Vm).Remembered}", written, StringComparison.Ordinal);
                await Inner.AssertWholeAsync();
            }
        }

        public override async ValueTask DisposeAsync()
        {
            await Inner.DisposeAsync();
            await base.DisposeAsync();
        }

        private async Task<SnapshotId> FindAsync(string name) => (await Inner.Snapshots.ListAsync(Vm, Token)).Single(snapshot => snapshot.Name == name).Id;

        private async Task<string[]> ContentsAsync(IReadOnlyList<Disk>? disks = null) =>
            [.. (disks ?? await Inner.Disks.ListAsync(Vm, Token)).Where(disk => disk.Order < 2).Select(disk => Inner.Storage.ContentOf(disk.Id)!)];
    }
}
