using Pengx.Qmp;
using Pengx.Qmp.Qapi;
using Pengx.Storage.Tests;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>A guest's memory, kept with its disks of the same instant. The guest is the judge: it knows a word that is nowhere but in its
/// memory, and its counter goes on where memory and disk stood.</summary>
public sealed class GuestMemoryTests : IAsyncLifetime
{
    private static readonly DataSize s_room = DataSize.FromMiB(512);

    private readonly QemuTestHost _host = new();
    private readonly ImageFiles _images;
    private readonly List<IAsyncDisposable> _more = [];

    public GuestMemoryTests() => _images = new(_host);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        QemuTestHost.RequireQemu();
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _host.DisposeAsync();
        foreach (var one in _more)
        {
            await one.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_guest_goes_on_from_where_it_was_kept_with_its_memory_its_processors_and_its_disks()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var memory = Memories(driver);
        var trial = await StartAsync(driver);
        var id = trial.Definition.Id;

        // It is not as it was started: the machine must be rebuilt as it is.
        await driver.Domains.ResizeAsync(id, 2, DataSize.FromMiB(160 + 128), Token);
        await _host.TypeAsync(id, "echo remem$((40 + 2))bered > /word; cat /word", Token);
        await trial.Console.ExpectAsync("remem42bered");
        long least;
        await using (var counter = new CounterFollower(_host, driver, id, Token))
        {
            least = await counter.FlushAnotherAsync();
            await memory.CheckSaveAsync(id, Token);
            List<ByteProgress> told = [];
            await memory.SaveAsync(id, trial.Memory, trial.Disks, new Told(told), Token);
            Assert.Equal(told[^1].Total, told[^1].Done);
            Assert.True(told[^1].Total > DataSize.FromMiB(160).Bytes);

            // All is as if nothing had been: it runs, on the overlays, and nothing stands in the way of the next.
            Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
            Assert.Equal([.. trial.Disks.Select(disk => disk.After)], await Live(driver).ReadAsync(id, Token));
            Assert.Equal([.. trial.Disks.Select(disk => disk.After)], (await driver.Domains.FindDefinitionAsync(id, Token))?.Disks ?? []);
            Assert.False(_host.FilesOf(id).ReadRun()!.IsHeld);
            await memory.SaveAsync(id, trial.Memory, trial.Disks, null, Token);
            await counter.FlushAnotherAsync();
            await counter.FlushAnotherAsync();
        }

        await driver.Domains.DestroyAsync(id, Token);
        var kept = await _images.ReadNewestAsync(trial.Disks[1].Before.Layers[0], Token);
        Assert.True(kept >= least);

        // Once and once more, from the same memory on fresh overlays: what it wrote since is as if it had never been.
        for (var round = 0; round < 2; round++)
        {
            var fresh = await FreshAsync(trial);
            await driver.Domains.DefineAsync(trial.Definition with { Disks = fresh }, Token);
            await memory.StartAsync(id, trial.Memory, Token);
            Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
            Assert.Equal(2, (await driver.Domains.FindAsync(id, Token))?.Cpus);
            Assert.Equal(DataSize.FromMiB(160 + 128), (await driver.Domains.FindAsync(id, Token))?.Memory);
            await using var console = QemuTestHost.ConsoleOf(driver, id, Token);

            // The number after the one that the frozen disk shows: neither memory nor disk is older or newer than the other.
            var first = await console.ExpectAsync("PENGX-GUEST flushed ");
            Assert.InRange(long.Parse(first.Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture), kept, kept + 1);
            await _host.TypeAsync(id, "cat /word; grep -c processor /proc/cpuinfo | sed s/^/cpus-/", Token);
            await console.ExpectAsync("remem42bered");
            await console.ExpectAsync("cpus-2");
            Assert.DoesNotContain(console.Seen, line => line.Contains("PENGX-GUEST up ", StringComparison.Ordinal));
            await using (var counter = new CounterFollower(_host, driver, id, Token))
            {
                await counter.FlushAnotherAsync();
            }

            await driver.Domains.DestroyAsync(id, Token);
            Assert.True(await _images.ReadNewestAsync(fresh[1].Layers[0], Token) > kept);
            Assert.Equal(kept, await _images.ReadNewestAsync(trial.Disks[1].Before.Layers[0], Token));
        }

        // What it holds is nobody else's to read; and the console's password is the definition's, and not in it.
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(((FileLocation)trial.Memory).Path));
        Assert.DoesNotContain("secret12", System.Text.Encoding.Latin1.GetString(await HeadAsync(trial.Memory)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Memory_that_does_not_fit_the_domain_or_is_not_whole_starts_nothing()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var memory = Memories(driver);
        var trial = await StartAsync(driver);
        var (id, definition) = (trial.Definition.Id, trial.Definition with { Disks = [.. trial.Disks.Select(disk => disk.After)] });
        await driver.Domains.PauseAsync(id, Token);
        Assert.Contains("only one that runs can", (await Assert.ThrowsAsync<WrongStateException>(() => memory.CheckSaveAsync(id, Token))).Message, StringComparison.Ordinal);
        await driver.Domains.ResumeAsync(id, Token);
        Assert.Equal("disks", (await Assert.ThrowsAsync<InvalidFieldException>(() => memory.SaveAsync(id, trial.Memory, [trial.Disks[0]], null, Token))).Field);
        await memory.SaveAsync(id, trial.Memory, trial.Disks, null, Token);
        await driver.Domains.DestroyAsync(id, Token);

        async Task RefusedAsync(string why, DomainDefinition changed)
        {
            await driver.Domains.DefineAsync(changed, Token);
            var refusal = await Assert.ThrowsAsync<WrongStateException>(() => memory.StartAsync(id, trial.Memory, Token));
            Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
        }

        await RefusedAsync("other network interfaces", definition with { Nics = [] });
        await RefusedAsync("other disks", definition with { Disks = [definition.Disks[0]] });
        await driver.Domains.DefineAsync(definition, Token);
        var other = definition with { Id = DomainId.New() };
        await driver.Domains.DefineAsync(other, Token);
        Assert.Contains($"domain {id}'s", (await Assert.ThrowsAsync<WrongStateException>(() => memory.StartAsync(other.Id, trial.Memory, Token))).Message, StringComparison.Ordinal);

        // Cut off in the middle, and never finished.
        var path = ((FileLocation)trial.Memory).Path;
        await using (var file = File.OpenWrite(path))
        {
            file.SetLength(20 * 1024 * 1024);
        }

        var failure = await Assert.ThrowsAsync<HypervisorException>(() => memory.StartAsync(id, trial.Memory, Token));
        Assert.Contains("could not take the guest's state in", failure.Message, StringComparison.Ordinal);
        await File.WriteAllBytesAsync(path, new byte[4 * 1024 * 1024], Token);
        Assert.Contains("holds no memory", (await Assert.ThrowsAsync<HypervisorException>(() => memory.StartAsync(id, trial.Memory, Token))).Message, StringComparison.Ordinal);
        Assert.Null(await driver.Domains.FindAsync(id, Token));
        Assert.Empty(ProcessTable.Find(one => DomainFiles.PidFileOf(_host.Options.RunDirectory!, one)));

        // The disks are whole in any case.
        await driver.Domains.StartAsync(id, Token);
        await using var counter = new CounterFollower(_host, driver, id, Token);
        await counter.FlushAnotherAsync();
    }

    [Fact]
    public async Task Memory_that_does_not_fit_on_its_disk_or_is_given_up_leaves_the_guest_as_it_was()
    {
        var small = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(24));
        _more.Add(small);
        await using var driver = await _host.StartDriverAsync(Token);
        var memory = Memories(driver);
        var trial = await StartAsync(driver);
        var id = trial.Definition.Id;
        await using var counter = new CounterFollower(_host, driver, id, Token);
        var full = small.PathOf("memory.raw");
        await File.WriteAllBytesAsync(full, [], Token);
        var failure = await Assert.ThrowsAsync<HypervisorException>(() => memory.SaveAsync(id, new FileLocation(full), trial.Disks, null, Token));
        Assert.Contains("No space left on device", failure.Message, StringComparison.Ordinal);
        await AssertAsBeforeAsync();
        Assert.Contains("Could not find file", (await Assert.ThrowsAsync<HypervisorException>(() => memory.SaveAsync(id, new FileLocation(small.PathOf("none")), trial.Disks, null, Token))).Message, StringComparison.Ordinal);
        await AssertAsBeforeAsync();

        using (var cancelled = CancellationTokenSource.CreateLinkedTokenSource(Token))
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => memory.SaveAsync(id, trial.Memory, trial.Disks, new Once(cancelled.Cancel), cancelled.Token));
        }

        await AssertAsBeforeAsync();
        Assert.Contains("holds no memory", (await Assert.ThrowsAsync<HypervisorException>(async () =>
        {
            using var volume = await MemoryVolume.OpenAsync(trial.Memory, forWriting: false, TimeProvider.System, Token);
            await volume.ReadAsync(Token);
        })).Message, StringComparison.Ordinal);

        // And then it works.
        await memory.SaveAsync(id, trial.Memory, trial.Disks, null, Token);
        await counter.FlushAnotherAsync();

        async Task AssertAsBeforeAsync()
        {
            Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
            Assert.Equal([.. trial.Disks.Select(disk => disk.Before)], await Live(driver).ReadAsync(id, Token));
            Assert.Equal([.. trial.Disks.Select(disk => disk.Before)], (await driver.Domains.FindDefinitionAsync(id, Token))?.Disks ?? []);
            await counter.FlushAnotherAsync();
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_guest_whose_service_died_while_its_memory_was_written_goes_on_and_can_be_kept_again(bool isAtTheInstant)
    {
        Trial trial;
        DomainId id;
        await using (var first = await _host.StartDriverAsync(Token))
        {
            trial = await StartAsync(first);
            id = trial.Definition.Id;
        }

        // As it stands when a service dies in the middle, or before it lays the overlays.
        await using (var monitor = await QmpClient.ConnectAsync(_host.FilesOf(id).MonitorSocket, null, Token))
        {
            var files = _host.FilesOf(id);
            await files.WriteRunAsync(files.ReadRun()! with { IsHeld = true }, Token);
            await monitor.ExecuteAsync(QmpCommands.Stop, QmpEmpty.Instance, Token);
            await monitor.ExecuteAsync(QapiCommands.MigrateSetCapabilities, new() { Capabilities = [new() { Capability = MigrationCapability.PauseBeforeSwitchover, State = true }] }, Token);
            await monitor.ExecuteAsync(QapiCommands.MigrateSetParameters, new() { MaxBandwidth = isAtTheInstant ? 1L << 40 : 1024 * 1024 }, Token);
            using var volume = await MemoryVolume.OpenAsync(trial.Memory, forWriting: true, TimeProvider.System, Token);
            await monitor.GetFdAsync("state", volume.Handle, Token);
            await monitor.ExecuteAsync(QapiCommands.Migrate, new() { Uri = "fd:state" }, Token);
            await QemuTestHost.EventuallyAsync(
                async () => (await monitor.ExecuteAsync(QapiCommands.QueryMigrate, Token)).Status == (isAtTheInstant ? MigrationStatus.PreSwitchover : MigrationStatus.Active),
                () => "the memory is being written",
                Token);
        }

        await using var second = await _host.StartDriverAsync(Token);
        await QemuTestHost.EventuallyAsync(() => Task.FromResult(!_host.FilesOf(id).ReadRun()!.IsHeld), () => "the guest is let go", Token);
        Assert.Equal(VmState.Running, (await second.Domains.FindAsync(id, Token))?.State);
        await using var counter = new CounterFollower(_host, second, id, Token);
        await counter.FlushAnotherAsync();
        Assert.Equal([.. trial.Disks.Select(disk => disk.Before)], await Live(second).ReadAsync(id, Token));
        await Memories(second).SaveAsync(id, trial.Memory, trial.Disks, null, Token);
        await counter.FlushAnotherAsync();
        await second.Domains.DestroyAsync(id, Token);
        await second.Domains.DefineAsync(trial.Definition with { Disks = await FreshAsync(trial) }, Token);
        await Memories(second).StartAsync(id, trial.Memory, Token);
        await using var again = new CounterFollower(_host, second, id, Token);
        await again.FlushAnotherAsync();
    }

    [Fact]
    public async Task Memory_whose_service_died_when_the_overlays_were_laid_is_whole_all_the_same()
    {
        Trial trial;
        DomainId id;
        await using (var first = await _host.StartDriverAsync(Token))
        {
            trial = await StartAsync(first);
            id = trial.Definition.Id;
            TaskCompletionSource laid = new(TaskCreationOptions.RunContinuationsAsynchronously);
            first.Environment.OnMove = moment =>
            {
                if (moment != MoveMoment.Laid)
                {
                    return Task.CompletedTask;
                }

                // It never comes to the next line: as one that is gone.
                laid.SetResult();
                return new TaskCompletionSource().Task;
            };
            _ = Memories(first).SaveAsync(id, trial.Memory, trial.Disks, null, Token);
            await laid.Task.WaitAsync(QemuTestHost.Patience, Token);
        }

        await using var second = await _host.StartDriverAsync(Token);
        await QemuTestHost.EventuallyAsync(() => Task.FromResult(!_host.FilesOf(id).ReadRun()!.IsHeld), () => "the guest is let go", Token);
        await using (var counter = new CounterFollower(_host, second, id, Token))
        {
            await counter.FlushAnotherAsync();
            Assert.Equal([.. trial.Disks.Select(disk => disk.After)], await Live(second).ReadAsync(id, Token));
            await Memories(second).SaveAsync(id, trial.Memory, trial.Disks, null, Token);
            await counter.FlushAnotherAsync();
        }

        await second.Domains.DestroyAsync(id, Token);
        var kept = await _images.ReadNewestAsync(trial.Disks[1].Before.Layers[0], Token);
        await second.Domains.DefineAsync(trial.Definition with { Disks = await FreshAsync(trial) }, Token);
        await Memories(second).StartAsync(id, trial.Memory, Token);
        await using var console = QemuTestHost.ConsoleOf(second, id, Token);
        Assert.InRange(long.Parse((await console.ExpectAsync("PENGX-GUEST flushed ")).Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture), kept, kept + 1);
    }

    [Fact]
    public async Task A_guest_goes_on_where_the_disk_of_its_memory_hangs_and_is_kept_afterwards()
    {
        var slow = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(256));
        _more.Add(slow);
        _host.Options.MigrationStallTimeout = TimeSpan.FromSeconds(2);
        await using var driver = await _host.StartDriverAsync(Token);
        var memory = Memories(driver);
        var trial = await StartAsync(driver);
        var id = trial.Definition.Id;
        await using var counter = new CounterFollower(_host, driver, id, Token);
        var hangs = slow.PathOf("memory.raw");
        await File.WriteAllBytesAsync(hangs, [], Token);
        driver.Environment.OnMove = async moment =>
        {
            if (moment == MoveMoment.Keeping)
            {
                await RunAsync("fsfreeze", "--freeze", slow.Directory);
            }
        };
        try
        {
            var failure = await Assert.ThrowsAsync<HypervisorException>(() => memory.SaveAsync(id, new FileLocation(hangs), trial.Disks, null, Token));
            Assert.Contains("nothing more was written", failure.Message, StringComparison.Ordinal);

            // The disk still hangs.
            await counter.FlushAnotherAsync();
            Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
            Assert.False(_host.FilesOf(id).ReadRun()!.IsHeld);
            Assert.Equal([.. trial.Disks.Select(disk => disk.Before)], await Live(driver).ReadAsync(id, Token));
        }
        finally
        {
            await RunAsync("fsfreeze", "--unfreeze", slow.Directory);
        }

        // Over by itself, it is in nobody's way; twice in one life, with other layers.
        driver.Environment.OnMove = static _ => Task.CompletedTask;
        await QemuTestHost.EventuallyAsync(
            async () =>
            {
                try
                {
                    await memory.SaveAsync(id, trial.Memory, trial.Disks, null, Token);
                    return true;
                }
                catch (HypervisorException exception) when (exception.Message.Contains("migration", StringComparison.OrdinalIgnoreCase))
                {
                    return false;
                }
            },
            () => "the one that hung is over",
            Token);
        await counter.FlushAnotherAsync();
        List<DiskReplacement> next = [];
        foreach (var (_, disk) in trial.Disks)
        {
            var overlay = DiskId.New();
            next.Add(new(disk, disk with { Id = overlay, Layers = [await _images.CreateOverlayAsync(disk.Layers[0], overlay, Token), .. disk.Layers] }));
        }

        await memory.SaveAsync(id, trial.Memory, next, null, Token);
        await counter.FlushAnotherAsync();
    }

    [Fact]
    public async Task A_guest_that_dies_while_its_memory_is_written_starts_again_with_every_flushed_number()
    {
        await using var driver = await _host.StartDriverAsync(Token);
        var trial = await StartAsync(driver);
        var id = trial.Definition.Id;
        await using (var counter = new CounterFollower(_host, driver, id, Token))
        {
            await counter.FlushAnotherAsync();
            using var process = QemuProcess.Open(_host.PidOf(id), TimeProvider.System);
            await Assert.ThrowsAnyAsync<PengxException>(() => Memories(driver).SaveAsync(id, trial.Memory, trial.Disks, new Once(() => process!.Signal(NativeMethods.SigKill)), Token));
        }

        var least = CounterFollower.NewestOf(_host, id);
        await QemuTestHost.EventuallyAsync(async () => (await driver.Domains.FindAsync(id, Token))?.State == VmState.Crashed, () => "its end is seen", Token);
        await driver.Domains.StartAsync(id, Token);
        await using var again = new CounterFollower(_host, driver, id, Token);
        Assert.True(await again.FlushAnotherAsync() > least);
        var disks = await Live(driver).ReadAsync(id, Token);
        Assert.Equal([.. trial.Disks.Select(disk => disk.Before)], disks);
    }

    private static IGuestMemory Memories(QemuHypervisorDriver driver) => driver.TryGetFeature<IGuestMemory>(out var memory) ? memory : throw new InvalidOperationException("the driver keeps no memory");

    private static ILiveDisks Live(QemuHypervisorDriver driver) => driver.TryGetFeature<ILiveDisks>(out var live) ? live : throw new InvalidOperationException("the driver changes no disks");

    private static async Task RunAsync(string program, params string[] arguments) => (await new ProcessRunner().RunAsync(
        new() { FileName = Requires.Find(program) ?? program, Arguments = arguments, Timeout = TimeSpan.FromSeconds(60) }, CancellationToken.None)).EnsureSuccess();

    private static async Task<byte[]> HeadAsync(DiskLocation memory)
    {
        var head = new byte[1024 * 1024];
        await using var file = File.OpenRead(((FileLocation)memory).Path);
        await file.ReadExactlyAsync(head, Token);
        return head;
    }

    /// <summary>A guest that counts, what its disks become, and room for its memory.</summary>
    private async Task<Trial> StartAsync(QemuHypervisorDriver driver)
    {
        var definition = _host.CreateBootable(_host.CreateDisk("xvdb"));
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);
        var console = QemuTestHost.ConsoleOf(driver, definition.Id, Token);
        _more.Add(console);
        await console.ExpectUpAsync();
        await console.ExpectAsync("PENGX-GUEST flushed ");
        List<DiskReplacement> disks = [];
        foreach (var disk in definition.Disks)
        {
            var overlay = DiskId.New();
            disks.Add(new(disk, disk with { Id = overlay, Layers = [await _images.CreateOverlayAsync(disk.Layers[0], overlay, Token), .. disk.Layers] }));
        }

        var path = _host.PathOf($"{Guid.NewGuid():N}.memory");
        await using (var file = File.Create(path))
        {
            file.SetLength(s_room.Bytes);
        }

        return new(definition, console, new FileLocation(path), disks);
    }

    /// <summary>New overlays of the disks as they were at the instant.</summary>
    private async Task<IReadOnlyList<DomainDisk>> FreshAsync(Trial trial)
    {
        List<DomainDisk> disks = [];
        foreach (var (before, _) in trial.Disks)
        {
            var overlay = DiskId.New();
            disks.Add(before with { Id = overlay, Layers = [await _images.CreateOverlayAsync(before.Layers[0], overlay, Token), .. before.Layers] });
        }

        return disks;
    }

    private sealed record Trial(DomainDefinition Definition, GuestConsole Console, DiskLocation Memory, IReadOnlyList<DiskReplacement> Disks);

    private sealed class Told(List<ByteProgress> reports) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => reports.Add(value);
    }

    private sealed class Once(Action act) : IProgress<ByteProgress>
    {
        private int _done;

        public void Report(ByteProgress value)
        {
            if (Interlocked.Exchange(ref _done, 1) == 0)
            {
                act();
            }
        }
    }
}
