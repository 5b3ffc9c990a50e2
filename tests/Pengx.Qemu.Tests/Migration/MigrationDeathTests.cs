using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>Whatever dies during a move, at most one side runs the guest, and nothing that it flushed is lost. The guest's own count is
/// the judge: every number is printed once, over both hosts' consoles.</summary>
public sealed class MigrationDeathTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>A guest survives the death of either service at each moment, without ever being started again.</summary>
    [Fact]
    public async Task A_service_that_dies_at_any_moment_takes_nothing_with_it()
    {
        await using var hosts = await MoveTestHosts.StartAsync();
        DomainId id;
        string counter;
        await using (var driver = await hosts.Here.StartDriverAsync(Token))
        {
            (var definition, counter) = await hosts.StartCountingAsync(driver, 0, Token);
            id = definition.Id;
        }

        var (at, other) = (hosts.Here, hosts.There);
        List<string> consoles = [];
        foreach (var (moment, isThere, goes) in (IEnumerable<(MoveMoment Moment, bool IsThere, bool Goes)>)
        [
            (MoveMoment.Waiting, true, false),
            (MoveMoment.Sending, false, false),
            (MoveMoment.Standing, false, false),
            (MoveMoment.Loaded, true, false),
            (MoveMoment.Sent, false, false),
            (MoveMoment.Left, false, false),
            (MoveMoment.Told, true, false),
            (MoveMoment.Owned, true, true),
            (MoveMoment.Running, true, true),
            (MoveMoment.Known, false, true),
        ])
        {
            var before = GuestNumbers.Last(await MoveTestHosts.SerialAsync(at, id));
            if (isThere)
            {
                await using var leaving = await at.StartDriverAsync(Token);
                await using var dying = await MortalService.StartAsync(other, moment, null, Token);
                var move = MoveTestHosts.MigrationOf(leaving).MigrateAsync(id, MoveTestHosts.OtherName, Token);
                await dying.DiesAsync(Token);
                await using var again = await other.StartDriverAsync(Token);
                if (goes)
                {
                    await move;
                }
                else
                {
                    var error = await Assert.ThrowsAsync<HypervisorException>(() => move);
                    TestContext.Current.TestOutputHelper?.WriteLine($"{moment}: {error.Message}");
                }

                await AssertRunsAsync(goes ? again : leaving, goes ? leaving : again, id, $"{moment}");
            }
            else
            {
                await using var staying = await other.StartDriverAsync(Token);
                await using (var dying = await MortalService.StartAsync(at, moment, id, Token))
                {
                    await dying.DiesAsync(Token);
                }

                await using var again = await at.StartDriverAsync(Token);
                await AssertRunsAsync(goes ? staying : again, goes ? again : staying, id, $"{moment}");
            }

            Assert.Empty(ProcessTable.FindByArgument(Path.Combine(at.Options.RunDirectory!, "peer-")));
            if (goes)
            {
                consoles.Add(await MoveTestHosts.SerialAsync(at, id));
                before = GuestNumbers.Last(consoles[^1]);
                (at, other) = (other, at);
            }

            await AssertNoneAsync(other);
            await MoveTestHosts.CountsPastAsync(at, id, before, Token);
        }

        var last = GuestNumbers.AssertOneGuest([.. consoles, await MoveTestHosts.SerialAsync(at, id)]);
        Assert.Equal(3, consoles.Count);
        await using var end = await at.StartDriverAsync(Token);
        await end.Domains.DestroyAsync(id, Token);
        Assert.True(await GuestCounter.ReadNewestAsync(counter, Token) >= last);
    }

    /// <summary>A QEMU that dies takes the guest with it only where the other one has not all of it; the guest starts again with all that it
    /// flushed.</summary>
    [Theory]
    [InlineData(nameof(MoveMoment.Sending), false, Side.Neither)]
    [InlineData(nameof(MoveMoment.Standing), false, Side.Neither)]
    [InlineData(nameof(MoveMoment.Sent), false, Side.There)]
    [InlineData(nameof(MoveMoment.Waiting), true, Side.Here)]
    [InlineData(nameof(MoveMoment.Loaded), true, Side.Here)]
    [InlineData(nameof(MoveMoment.Told), true, Side.Here)]
    [InlineData(nameof(MoveMoment.Owned), true, Side.Neither)]
    [InlineData(nameof(MoveMoment.Running), true, Side.Neither)]
    public async Task A_QEMU_that_dies_at_any_moment_leaves_one_side_or_none(string moment, bool isThere, Side runs)
    {
        await using var hosts = await MoveTestHosts.StartAsync();
        await using var here = await hosts.Here.StartDriverAsync(Token);
        await using var there = await hosts.There.StartDriverAsync(Token);
        var (definition, counter) = await hosts.StartCountingAsync(here, 1, Token);
        var id = definition.Id;
        var dies = isThere ? hosts.There : hosts.Here;
        (isThere ? there : here).Environment.OnMove = now => now.ToString() == moment ? MoveTestHosts.KillAsync(dies.PidOf(id), Token) : Task.CompletedTask;
        var move = MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token);
        if (moment is nameof(MoveMoment.Sent) or nameof(MoveMoment.Running) or nameof(MoveMoment.Owned))
        {
            await move;
        }
        else
        {
            TestContext.Current.TestOutputHelper?.WriteLine((await Assert.ThrowsAsync<HypervisorException>(() => move)).Message);
        }

        var left = await MoveTestHosts.SerialAsync(hosts.Here, id);
        long last;
        switch (runs)
        {
            case Side.Neither:
                await here.Domains.WaitUntilStoppedAsync(id, Token);
                await there.Domains.WaitUntilStoppedAsync(id, Token);
                await AssertNoneAsync(hosts.Here);
                await AssertNoneAsync(hosts.There);
                last = GuestNumbers.AssertOneGuest(left, await MoveTestHosts.SerialAsync(hosts.There, id));
                Assert.True(await GuestCounter.ReadNewestAsync(counter, Token) >= last);
                var again = isThere ? there : here;
                await again.Domains.DefineAsync(definition, Token);
                await again.Domains.StartAsync(id, Token);
                await MoveTestHosts.CountsPastAsync(dies, id, last, Token);
                Assert.Contains("PENGX-GUEST counter resumes at ", await MoveTestHosts.SerialAsync(dies, id), StringComparison.Ordinal);
                break;
            case Side.Here:
                await AssertRunsAsync(here, there, id, moment);
                await MoveTestHosts.CountsPastAsync(hosts.Here, id, GuestNumbers.Last(left), Token);
                GuestNumbers.AssertOneGuest(await MoveTestHosts.SerialAsync(hosts.Here, id));
                await AssertNoneAsync(hosts.There);
                break;
            default:
                await AssertRunsAsync(there, here, id, moment);
                await MoveTestHosts.CountsPastAsync(hosts.There, id, GuestNumbers.Last(left), Token);
                GuestNumbers.AssertOneGuest(left, await MoveTestHosts.SerialAsync(hosts.There, id));
                Assert.Empty(MoveTestHosts.ProcessesOf(hosts.Here));
                break;
        }
    }

    /// <summary>One host runs the guest, with its stored definition, and the other does not.</summary>
    private static async Task AssertRunsAsync(QemuHypervisorDriver one, QemuHypervisorDriver notOther, DomainId id, string when)
    {
        DomainStatus? runs = null;
        DomainStatus? left = null;
        await QemuTestHost.EventuallyAsync(
            async () =>
            {
                (runs, left) = (await one.Domains.FindAsync(id, Token), await notOther.Domains.FindAsync(id, Token));
                return runs is { State: VmState.Running } && left is null;
            },
            () => $"{when}: {runs}, and on the other {left}",
            Token);

        Assert.True(await one.Domains.FindDefinitionAsync(id, Token) is { Disks.Count: 2 }, $"{when}: it has no definition.");
        Assert.True(await MoveTestHosts.MigrationOf(one).IsHereAsync(id, Token), when);
        Assert.False(await MoveTestHosts.MigrationOf(notOther).IsHereAsync(id, Token), when);
    }

    /// <summary>A move that is given up, or whose ssh dies, leaves the guest running where it was, and nothing on the other host.</summary>
    [Fact]
    public async Task A_move_that_is_cancelled_or_cut_off_goes_on_here()
    {
        await using var hosts = await MoveTestHosts.StartAsync();
        hosts.Here.Options.MigrationBytesPerSecond = 1024 * 1024;
        await using var here = await hosts.Here.StartDriverAsync(Token);
        await using var there = await hosts.There.StartDriverAsync(Token);
        var id = (await hosts.StartCountingAsync(here, 1, Token)).Definition.Id;

        using (var cancelled = CancellationTokenSource.CreateLinkedTokenSource(Token))
        {
            here.Environment.OnMove = now => now == MoveMoment.Sending ? cancelled.CancelAsync() : Task.CompletedTask;
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, cancelled.Token));
        }

        await GoesOnAsync();
        here.Environment.OnMove = now => now == MoveMoment.Sending
            ? MoveTestHosts.KillAsync(Assert.Single(ProcessTable.FindByArgument(Path.Combine(hosts.Here.Options.RunDirectory!, "peer-") + $"{id.Value:N}:")), Token)
            : Task.CompletedTask;
        await Assert.ThrowsAsync<HypervisorException>(() => MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token));
        await GoesOnAsync();

        // A destroy does not wait for a move.
        TaskCompletionSource sends = new();
        here.Environment.OnMove = _ =>
        {
            sends.TrySetResult();
            return Task.CompletedTask;
        };
        var move = MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token);
        await sends.Task.WaitAsync(QemuTestHost.Patience, Token);
        await here.Domains.DestroyAsync(id, Token);
        await Assert.ThrowsAsync<HypervisorException>(() => move);
        Assert.Null(await here.Domains.FindAsync(id, Token));
        await AssertNoneAsync(hosts.Here);
        await AssertNoneAsync(hosts.There);

        async Task GoesOnAsync()
        {
            await AssertRunsAsync(here, there, id, "goes on");
            var serial = await MoveTestHosts.SerialAsync(hosts.Here, id);
            await MoveTestHosts.CountsPastAsync(hosts.Here, id, GuestNumbers.Last(serial), Token);
            GuestNumbers.AssertOneGuest(await MoveTestHosts.SerialAsync(hosts.Here, id));
            await AssertNoneAsync(hosts.There);
            Assert.False(Directory.Exists(Path.Combine(hosts.There.Options.StateDirectory, id.ToString())));
        }
    }

    /// <summary>A guest whose service died before it let it run, runs as soon as its QEMU answers the next one. Until then it runs nowhere; the
    /// service that it left waits for that, and where it has given up, it is asked again when the guest is moved again.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_guest_that_has_arrived_runs_also_where_service_and_QEMU_answer_late(bool waits)
    {
        await using var hosts = await MoveTestHosts.StartAsync();
        hosts.Here.Options.OutcomePatience = waits ? hosts.Here.Options.OutcomePatience : TimeSpan.Zero;
        await using var here = await hosts.Here.StartDriverAsync(Token);
        var id = (await hosts.StartCountingAsync(here, 1, Token)).Definition.Id;
        await using var dying = await MortalService.StartAsync(hosts.There, MoveMoment.Owned, null, Token);
        var move = MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token);
        await dying.DiesAsync(Token);
        if (!waits)
        {
            var givenUp = await Assert.ThrowsAsync<HypervisorException>(() => move);
            Assert.Contains("is not known, so it stands still here", givenUp.Message, StringComparison.Ordinal);
        }

        var left = await MoveTestHosts.SerialAsync(hosts.Here, id);
        await using StallingMonitor monitor = new(hosts.There.FilesOf(id).MonitorSocket);
        monitor.StallAt("qmp_capabilities", isCarriedOut: false);
        await using var there = await hosts.There.StartDriverAsync(Token);
        await (waits ? move : MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token));
        Assert.Equal((left, ""), (await MoveTestHosts.SerialAsync(hosts.Here, id), await MoveTestHosts.SerialAsync(hosts.There, id)));
        monitor.GoOn();
        await MoveTestHosts.CountsPastAsync(hosts.There, id, GuestNumbers.Last(left), Token);
        await AssertRunsAsync(there, here, id, "answers late");
        GuestNumbers.AssertOneGuest(left, await MoveTestHosts.SerialAsync(hosts.There, id));
    }

    /// <summary>A QEMU that does not answer when a move is given up lets the guest go on as soon as it answers.</summary>
    [Fact]
    public async Task A_move_that_is_given_up_while_QEMU_hangs_is_settled_later()
    {
        const int SigCont = 18;
        const int SigStop = 19;
        await using var hosts = await MoveTestHosts.StartAsync();
        await using var here = await hosts.Here.StartDriverAsync(Token);
        await using var there = await hosts.There.StartDriverAsync(Token);
        var id = (await hosts.StartCountingAsync(here, 1, Token)).Definition.Id;
        using var process = QemuProcess.Open(hosts.Here.PidOf(id), TimeProvider.System);
        Assert.NotNull(process);
        here.Environment.OnMove = now =>
        {
            if (now == MoveMoment.Sent)
            {
                process.Signal(SigStop);
                throw new HypervisorException("given up");
            }

            return Task.CompletedTask;
        };
        await Assert.ThrowsAsync<HypervisorException>(() => MoveTestHosts.MigrationOf(here).MigrateAsync(id, MoveTestHosts.OtherName, Token));
        var stood = GuestNumbers.Last(await MoveTestHosts.SerialAsync(hosts.Here, id));
        process.Signal(SigCont);
        await MoveTestHosts.CountsPastAsync(hosts.Here, id, stood, Token);
        await AssertRunsAsync(here, there, id, "goes on");
        GuestNumbers.AssertOneGuest(await MoveTestHosts.SerialAsync(hosts.Here, id));
        await AssertNoneAsync(hosts.There);
    }

    private static Task AssertNoneAsync(QemuTestHost host) => QemuTestHost.EventuallyAsync(
        () => Task.FromResult(MoveTestHosts.ProcessesOf(host).Count == 0),
        () => $"A QEMU is left: {string.Join(", ", MoveTestHosts.ProcessesOf(host))}",
        Token);

    /// <summary>Which side runs the guest in the end.</summary>
    public enum Side
    {
        /// <summary>Neither.</summary>
        Neither,

        /// <summary>The one that it was to leave.</summary>
        Here,

        /// <summary>The one that it was to go to.</summary>
        There,
    }
}
