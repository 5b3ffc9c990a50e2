using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Pengx.Xen.Tests;

/// <summary>
/// What the client promises, held against a daemon: the fake one, Debian's C xenstored, or oxenstored on a real host. It keeps to one path
/// of its own and cleans up after itself; what only a daemon of the test's own allows is behind <see cref="OwnsDaemon"/>.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "The runner calls DisposeAsync.")]
public abstract class XenstoreSuite : IAsyncLifetime
{
    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
    private XenstoreClient? _client;

    protected XenstoreSuite() => _stop.CancelAfter(TimeSpan.FromMinutes(3));

    protected static TimeSpan Limit { get; } = TimeSpan.FromSeconds(60);

    /// <summary>No call of a test waits for ever.</summary>
    protected CancellationToken Stop => _stop.Token;

    /// <summary>Where the test writes.</summary>
    protected XenstorePath Root { get; } = $"/pengx-test/{Guid.NewGuid():N}";

    /// <summary>A connected client.</summary>
    protected XenstoreClient Client => _client ?? throw new InvalidOperationException("The suite is not initialized.");

    /// <summary>Whether domains may be introduced and quotas set.</summary>
    protected virtual bool OwnsDaemon => false;

    /// <summary>Whether the daemon lists directories in parts that do not fit into one message; oxenstored does not.</summary>
    protected virtual bool ListsInParts => true;

    /// <summary>Whether the daemon says of an operation or a control command that it does not know it; oxenstored of 4.17 gives no answer to such an
    /// operation, and an empty one to such a command.</summary>
    protected virtual bool TellsWhatItDoesNotKnow => true;

    /// <summary>Whether the client speaks through the kernel's device.</summary>
    protected virtual bool IsDevice => false;

    /// <summary>Another client of the same daemon.</summary>
    protected abstract Task<XenstoreClient> ConnectAsync(XenstoreClientOptions? options = null);

    public virtual async ValueTask InitializeAsync()
    {
        _client = await ConnectAsync();
        await Client.MakeDirectoryAsync(Root, Stop);
    }

    public virtual async ValueTask DisposeAsync()
    {
        if (_client is not null)
        {
            await _client.RemoveAsync(Root, CancellationToken.None);
            if (await _client.FindChildrenAsync("/pengx-test", CancellationToken.None) is { Count: 0 })
            {
                await _client.RemoveAsync("/pengx-test", CancellationToken.None);
            }

            await _client.DisposeAsync();
        }

        _stop.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task What_was_written_is_read_byte_for_byte()
    {
        byte[][] values = [[], [0], [.. Enumerable.Range(0, 256).Select(i => (byte)i)], "caf\u00e9 \0 end\0"u8.ToArray()];
        foreach (var value in values)
        {
            await Client.WriteAsync(Root / "value", new XenstoreValue(value), Stop);
            Assert.Equal(value, (await Client.ReadAsync(Root / "value", Stop)).Bytes.ToArray());
            Assert.Equal(value, (await Client.FindAsync(Root / "value", Stop))!.Value.Bytes.ToArray());
        }
    }

    [Fact]
    public async Task A_missing_node_is_nothing_or_ENOENT()
    {
        Assert.Null(await Client.FindAsync(Root / "missing", Stop));
        Assert.Null(await Client.FindTextAsync(Root / "missing", Stop));
        Assert.Null(await Client.FindChildrenAsync(Root / "missing", Stop));
        Assert.Null(await Client.FindTreeAsync(Root / "missing", Stop));

        var read = await Assert.ThrowsAsync<XenstoreRefusedException>(async () => await Client.ReadAsync(Root / "missing", Stop));
        Assert.Equal((XenstoreError.ENOENT, "READ", (Root / "missing").Value), (read.Error, read.Operation, read.Subject));
        Assert.Contains((Root / "missing").Value, read.Message, StringComparison.Ordinal);
        Assert.Equal(XenstoreError.ENOENT, (await Assert.ThrowsAsync<XenstoreRefusedException>(async () => await Client.ListChildrenAsync(Root / "missing", Stop))).Error);
        Assert.Equal(XenstoreError.ENOENT, (await Assert.ThrowsAsync<XenstoreRefusedException>(async () => await Client.GetPermissionsAsync(Root / "missing", Stop))).Error);
    }

    [Fact]
    public async Task Writing_makes_the_nodes_above_and_a_directory_keeps_what_is_there()
    {
        await Client.WriteAsync(Root / "a/b/c", "deep", Stop);
        Assert.Equal(XenstoreValue.Empty, await Client.ReadAsync(Root / "a/b", Stop));

        await Client.MakeDirectoryAsync(Root / "a/b/c", Stop);
        Assert.Equal("deep", await Client.FindTextAsync(Root / "a/b/c", Stop));
        await Client.MakeDirectoryAsync(Root / "d/e", Stop);
        Assert.Equal(string.Empty, await Client.FindTextAsync(Root / "d/e", Stop));
        Assert.Equal(["a", "d"], (await Client.ListChildrenAsync(Root, Stop)).Order());
    }

    [Fact]
    public async Task Removing_takes_all_below_and_a_missing_node_is_no_error()
    {
        await Client.WriteAsync(Root / "a/b/c", "deep", Stop);
        await Client.RemoveAsync(Root / "a", Stop);
        Assert.Null(await Client.FindAsync(Root / "a/b/c", Stop));
        Assert.Empty(await Client.ListChildrenAsync(Root, Stop));

        await Client.RemoveAsync(Root / "a", Stop);
        await Client.RemoveAsync(Root / "not/even/the/parent", Stop);
    }

    [Fact]
    public async Task A_directory_larger_than_a_message_is_listed_whole()
    {
        Assert.SkipUnless(ListsInParts, "this daemon does not list in parts");
        string[] names = [.. Enumerable.Range(0, 700).Select(i => $"a-name-of-some-length-{i:0000}-{new string('x', i % 23)}")];
        await Task.WhenAll(names.Select(name => Client.WriteAsync(Root / "large" / name, name, Stop).AsTask()));

        Assert.Equal(names.Order(), (await Client.ListChildrenAsync(Root / "large", Stop)).Order());
        Assert.Equal(names.Order(), (await Client.FindChildrenAsync(Root / "large", Stop))!.Order());
        var tree = await Client.FindTreeAsync(Root, Stop);
        Assert.Equal(names.Order(), tree!.Find("large")!.Children.Select(child => child.Value!.Value.ToString()).Order());
        Assert.Equal(names.Order(), (await Client.TransactAsync((transaction, token) => transaction.ListChildrenAsync(Root / "large", token).AsTask(), Stop)).Order());
    }

    [Fact]
    public async Task A_relative_path_starts_at_the_callers_own_domain()
    {
        var name = $"pengx-test-{Guid.NewGuid():N}";
        var absolute = await Client.Domains.GetPathAsync(0, Stop) / name;
        try
        {
            await Client.WriteAsync(name, "relative", Stop);
            Assert.Equal("relative", await Client.FindTextAsync(absolute, Stop));
            await using var watch = await Client.WatchAsync(name, cancellationToken: Stop);
            Assert.Equal(name, (await NextAsync(watch)).Path.Value);
            await Client.WriteAsync(absolute / "below", "1", Stop);
            Assert.Equal($"{name}/below", (await NextAsync(watch)).Path.Value);
        }
        finally
        {
            await Client.RemoveAsync(absolute, CancellationToken.None);
        }
    }

    [Fact]
    public async Task Permissions_are_what_was_set()
    {
        await Client.MakeDirectoryAsync(Root / "node", Stop);
        Assert.Equal("n0", (await Client.GetPermissionsAsync(Root / "node", Stop)).ToString());

        XenstorePermissions permissions = new()
        {
            Owner = 0,
            Others = XenstoreAccess.Read,
            Domains = [new(5, XenstoreAccess.ReadWrite), new(6, XenstoreAccess.Write), new(7, XenstoreAccess.None)],
        };
        if (!OwnsDaemon)
        {
            // Daemons drop what is given to domains that do not exist.
            permissions = permissions with { Domains = [] };
        }

        await Client.SetPermissionsAsync(Root / "node", permissions, Stop);
        Assert.Equal(permissions, await Client.GetPermissionsAsync(Root / "node", Stop));
        await Client.WriteAsync(Root / "node/child", "inherits", Stop);
        Assert.Equal(XenstoreAccess.Read, (await Client.GetPermissionsAsync(Root / "node/child", Stop)).Others);
    }

    [Fact]
    public async Task A_watch_tells_its_path_first_and_then_every_change_below()
    {
        await using var watch = await Client.WatchAsync(Root / "watched", cancellationToken: Stop);
        Assert.Equal(Changed(Root / "watched"), await NextAsync(watch));

        await Client.WriteAsync(Root / "watched", "1", Stop);
        Assert.Equal(Changed(Root / "watched"), await NextAsync(watch));
        await Client.WriteAsync(Root / "watched/a/b", "2", Stop);
        Assert.Equal(Changed(Root / "watched/a/b"), await NextUntilAsync(watch, Root / "watched/a/b"));
        await Client.WriteAsync(Root / "elsewhere", "3", Stop);
        await Client.RemoveAsync(Root / "watched/a/b", Stop);
        Assert.Equal(Changed(Root / "watched/a/b"), await NextUntilAsync(watch, Root / "watched/a/b"));
        await Client.RemoveAsync(Root, Stop);
        Assert.Equal(Changed(Root / "watched"), await NextUntilAsync(watch, Root / "watched"));
        Assert.Equal(0, watch.Dropped);
    }

    [Fact]
    public async Task A_watch_is_live_when_the_call_returns_and_silent_once_disposed()
    {
        var watch = await Client.WatchAsync(Root / "live", cancellationToken: Stop);
        await using var other = await Client.WatchAsync(Root / "live", cancellationToken: Stop);
        await using var writer = await ConnectAsync();
        await writer.WriteAsync(Root / "live", "1", Stop);
        Assert.Equal(Changed(Root / "live"), await NextAsync(watch));
        Assert.Equal(Changed(Root / "live"), await NextAsync(watch));
        Assert.Equal(Changed(Root / "live"), await NextAsync(other));
        Assert.Equal(Changed(Root / "live"), await NextAsync(other));

        await watch.DisposeAsync();
        await writer.WriteAsync(Root / "live", "2", Stop);
        Assert.Equal(Changed(Root / "live"), await NextAsync(other));
        Assert.False(await watch.WaitToReadAsync(Stop).AsTask().WaitAsync(Limit, Stop));
        await watch.DisposeAsync();
    }

    [Fact]
    public async Task A_thousand_watches_each_tell_their_own_changes()
    {
        const int Count = 1000;
        var watches = await Task.WhenAll(Enumerable.Range(0, Count).Select(i => Client.WatchAsync(Root / $"many/{i}", cancellationToken: Stop)));
        foreach (var watch in watches)
        {
            Assert.Equal(Changed(watch.Path), await NextAsync(watch));
        }

        await using var writer = await ConnectAsync();
        await Task.WhenAll(watches.Select(watch => writer.WriteAsync(watch.Path, "changed", Stop).AsTask()));
        foreach (var watch in watches)
        {
            Assert.Equal(Changed(watch.Path), await NextAsync(watch));
        }

        // The odd ones end; the even ones go on, and nobody got what was another's.
        await Task.WhenAll(watches.Where((_, i) => i % 2 == 1).Select(watch => watch.DisposeAsync().AsTask()));
        await Task.WhenAll(watches.Select(watch => writer.WriteAsync(watch.Path, "again", Stop).AsTask()));
        for (var i = 0; i < Count; i += 2)
        {
            Assert.Equal(Changed(watches[i].Path), await NextAsync(watches[i]));
        }

        // Whatever the daemon had still to say to this client came before this answer.
        await Client.ReadAsync(Root, Stop);
        Assert.All(watches, watch => Assert.False(watch.TryRead(out _), watch.Path.Value));
        await Task.WhenAll(watches.Select(watch => watch.DisposeAsync().AsTask()));
    }

    [Fact]
    public async Task A_depth_limits_a_watch_where_the_daemon_knows_it()
    {
        Assert.SkipUnless(TellsWhatItDoesNotKnow, "this daemon does not answer operations that it does not know");
        var features = await FeaturesAsync();
        if (!features.HasFlag(XenstoreFeatures.WatchDepth))
        {
            var refusal = await Assert.ThrowsAsync<XenstoreRefusedException>(() => Client.WatchAsync(Root, new XenstoreWatchOptions { Depth = 1 }, Stop));
            Assert.Equal(XenstoreError.EINVAL, refusal.Error);
            return;
        }

        await using var watch = await Client.WatchAsync(Root / "deep", new XenstoreWatchOptions { Depth = 1 }, Stop);
        Assert.Equal(Changed(Root / "deep"), await NextAsync(watch));
        await Client.WriteAsync(Root / "deep/a/b", "below", Stop);
        await Client.WriteAsync(Root / "deep/z", "right below", Stop);
        await NextUntilAsync(watch, Root / "deep/z");
        while (watch.TryRead(out var change))
        {
            Assert.NotEqual(Root / "deep/a/b", change.Path);
        }
    }

    [Fact]
    public async Task The_names_beside_the_tree_can_be_watched()
    {
        await using var released = await Client.WatchAsync(XenstorePath.ReleaseDomain, cancellationToken: Stop);
        await using var introduced = await Client.WatchAsync(XenstorePath.IntroduceDomain, cancellationToken: Stop);
        Assert.Equal(Changed(XenstorePath.ReleaseDomain), await NextAsync(released));
        Assert.Equal(Changed(XenstorePath.IntroduceDomain), await NextAsync(introduced));
    }

    [Fact]
    public async Task Domains_are_introduced_and_released()
    {
        Assert.Equal(XenstorePath.OfDomain(7), await Client.Domains.GetPathAsync(7, Stop));
        Assert.True(await Client.Domains.IsIntroducedAsync(0, Stop));
        Assert.False(await Client.Domains.IsIntroducedAsync(31999, Stop));
        Assert.SkipUnless(OwnsDaemon, "this daemon belongs to a real host");

        await using var introduced = await Client.WatchAsync(XenstorePath.IntroduceDomain, cancellationToken: Stop);
        await using var released = await Client.WatchAsync(XenstorePath.ReleaseDomain, cancellationToken: Stop);
        await NextAsync(introduced);
        await NextAsync(released);
        await Client.Domains.IntroduceAsync(7, 100, 3, Stop);
        await Client.Domains.IntroduceAsync(8, 101, 4, Stop);
        Assert.Equal(Changed(XenstorePath.IntroduceDomain), await NextAsync(introduced));
        Assert.True(await Client.Domains.IsIntroducedAsync(7, Stop));
        await Client.Domains.SetTargetAsync(8, 7, Stop);
        await Client.Domains.ResumeAsync(7, Stop);

        await Client.Domains.ReleaseAsync(8, Stop);
        await Client.Domains.ReleaseAsync(7, Stop);
        Assert.Equal(Changed(XenstorePath.ReleaseDomain), await NextAsync(released));
        Assert.False(await Client.Domains.IsIntroducedAsync(7, Stop));
        Assert.Equal(XenstoreError.ENOENT, (await Assert.ThrowsAsync<XenstoreRefusedException>(async () => await Client.Domains.ReleaseAsync(7, Stop))).Error);
    }

    [Fact]
    public async Task The_daemon_takes_control_commands_or_says_that_it_does_not()
    {
        if (OwnsDaemon)
        {
            Assert.Contains("print", await Client.Daemon.ControlAsync("help", cancellationToken: Stop), StringComparison.Ordinal);
            await Client.Daemon.ControlAsync("print", ["from a test"], Stop);
        }

        if (TellsWhatItDoesNotKnow)
        {
            await Assert.ThrowsAsync<XenstoreRefusedException>(async () => await Client.Daemon.ControlAsync("no-such-command", cancellationToken: Stop));
        }

        await Assert.ThrowsAsync<ArgumentException>(async () => await Client.Daemon.ControlAsync("a\0b", cancellationToken: Stop));
        Assert.Equal(XenstoreValue.Empty, await Client.ReadAsync(Root, Stop));
    }

    [Fact]
    public async Task Features_and_quotas_are_told_or_refused_with_ENOSYS()
    {
        Assert.SkipUnless(TellsWhatItDoesNotKnow, "this daemon does not answer operations that it does not know");
        try
        {
            var features = await Client.Daemon.GetFeaturesAsync(Stop);
            Assert.NotEqual(XenstoreFeatures.None, features);
        }
        catch (XenstoreRefusedException refusal)
        {
            Assert.Equal((XenstoreError.ENOSYS, "GET_FEATURE"), (refusal.Error, refusal.Operation));
            Assert.Contains("does not know", refusal.Message, StringComparison.Ordinal);
            foreach (var request in new Func<Task>[]
            {
                () => Client.Daemon.GetFeaturesAsync(0, Stop).AsTask(),
                () => Client.Daemon.SetFeaturesAsync(1, XenstoreFeatures.Error, Stop).AsTask(),
                () => Client.Daemon.ListQuotasAsync(Stop).AsTask(),
                () => Client.Daemon.GetQuotaAsync("nodes", cancellationToken: Stop).AsTask(),
                () => Client.Daemon.SetQuotaAsync("nodes", 1, 1, Stop).AsTask(),
            })
            {
                Assert.Equal(XenstoreError.ENOSYS, (await Assert.ThrowsAsync<XenstoreRefusedException>(request)).Error);
            }

            return;
        }

        var quotas = await Client.Daemon.ListQuotasAsync(Stop);
        Assert.Contains("nodes", quotas);
        var nodes = await Client.Daemon.GetQuotaAsync("nodes", cancellationToken: Stop);
        if (OwnsDaemon)
        {
            await Client.Daemon.SetQuotaAsync("nodes", nodes + 1, cancellationToken: Stop);
            Assert.Equal(nodes + 1, await Client.Daemon.GetQuotaAsync("nodes", cancellationToken: Stop));
        }
    }

    [Fact]
    public async Task Reset_ends_the_watches_of_its_own_connection_only()
    {
        await using var client = await ConnectAsync();
        if (IsDevice)
        {
            await Assert.ThrowsAsync<InvalidOperationException>(() => client.Daemon.ResetWatchesAsync(Stop).AsTask());
            return;
        }

        var watch = await client.WatchAsync(Root / "reset", cancellationToken: Stop);
        await using var kept = await Client.WatchAsync(Root / "reset", cancellationToken: Stop);
        await NextAsync(watch);
        await NextAsync(kept);

        await client.Daemon.ResetWatchesAsync(Stop);
        Assert.False(await watch.WaitToReadAsync(Stop).AsTask().WaitAsync(Limit, Stop));
        await Client.WriteAsync(Root / "reset", "1", Stop);
        Assert.Equal(Changed(Root / "reset"), await NextAsync(kept));
        await using var again = await client.WatchAsync(Root / "reset", cancellationToken: Stop);
        Assert.Equal(Changed(Root / "reset"), await NextAsync(again));
    }

    [Fact]
    public async Task A_transaction_is_seen_all_at_once()
    {
        await using var other = await ConnectAsync();
        var result = await Client.TransactAsync(
            async (transaction, token) =>
            {
                await transaction.WriteAsync(Root / "a", "1", token);
                await transaction.WriteAsync(Root / "b/c", "2", token);
                await transaction.MakeDirectoryAsync(Root / "d", token);
                await transaction.RemoveAsync(Root / "missing", token);
                Assert.Equal("1", await transaction.FindTextAsync(Root / "a", token));
                Assert.Equal(["a", "b", "d"], (await transaction.ListChildrenAsync(Root, token)).Order());
                Assert.Equal("2", (await transaction.FindTreeAsync(Root, token))!.FindText("b/c"));
                Assert.Null(await other.FindAsync(Root / "a", token));
                Assert.Empty(await other.ListChildrenAsync(Root, token));
                return transaction.Attempt;
            },
            Stop);
        Assert.Equal(1, result);
        Assert.Equal("1", await other.FindTextAsync(Root / "a", Stop));
        Assert.Equal("2", await other.FindTextAsync(Root / "b/c", Stop));
    }

    [Fact]
    public async Task A_transaction_whose_body_throws_changes_nothing()
    {
        IXenstoreTransaction? kept = null;
        await Assert.ThrowsAsync<InvalidDataException>(() => Client.TransactAsync(
            async (transaction, token) =>
            {
                kept = transaction;
                await transaction.WriteAsync(Root / "a", "1", token);
                throw new InvalidDataException("not like this");
            },
            Stop));
        Assert.Null(await Client.FindAsync(Root / "a", Stop));
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await kept!.ReadAsync(Root, Stop));
    }

    [Fact]
    public async Task A_transaction_that_met_another_change_runs_again_up_to_a_bound()
    {
        await using var client = await ConnectAsync(new XenstoreClientOptions { TransactionAttempts = 3 });
        await Client.WriteAsync(Root / "a", "1", Stop);
        var runs = 0;
        await client.TransactAsync(
            async (transaction, token) =>
            {
                runs++;
                var value = await transaction.FindTextAsync(Root / "a", token);
                if (runs == 1)
                {
                    await Client.WriteAsync(Root / "a", "5", token);
                }

                await transaction.WriteAsync(Root / "a", value + "0", token);
            },
            Stop);
        Assert.Equal((2, "50"), (runs, await Client.FindTextAsync(Root / "a", Stop)));

        runs = 0;
        var conflict = await Assert.ThrowsAsync<XenstoreConflictException>(() => client.TransactAsync(
            async (transaction, token) =>
            {
                runs++;
                await transaction.ReadAsync(Root / "a", token);
                await Client.WriteAsync(Root / "a", $"{runs}", token);
                await transaction.WriteAsync(Root / "a", "never", token);
            },
            Stop));
        Assert.Equal((3, 3, XenstoreError.EAGAIN), (runs, conflict.Attempts, conflict.Error));
        Assert.Equal("3", await Client.FindTextAsync(Root / "a", Stop));
    }

    [Fact]
    public async Task Four_clients_that_count_lose_no_update()
    {
        const int Clients = 4;
        const int Each = 50;
        await Client.WriteAsync(Root / "counter", "0", Stop);
        var clients = await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => ConnectAsync(new XenstoreClientOptions { TransactionAttempts = 10_000 })));
        try
        {
            var retries = await Task.WhenAll(clients.Select(client => Task.Run(
                async () =>
                {
                    var retried = 0;
                    for (var i = 0; i < Each; i++)
                    {
                        retried += await client.TransactAsync(
                            async (transaction, token) =>
                            {
                                (await transaction.ReadAsync(Root / "counter", token)).TryGetInt64(out var count);
                                await transaction.WriteAsync(Root / "counter", XenstoreValue.FromInt64(count + 1), token);
                                return transaction.Attempt - 1;
                            },
                            Stop);
                    }

                    return retried;
                },
                Stop)));
            Assert.Equal((Clients * Each).ToString(CultureInfo.InvariantCulture), await Client.FindTextAsync(Root / "counter", Stop));
            Assert.True(retries.Sum() > 0, "the clients never met: the test proved nothing");
        }
        finally
        {
            foreach (var client in clients)
            {
                await client.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task A_tree_is_read_as_it_was_written()
    {
        Dictionary<string, string> written = [];
        for (var i = 0; i < 20; i++)
        {
            for (var j = 0; j < 15; j++)
            {
                written[$"{i}/device/{j}/state"] = $"{i * j}";
            }
        }

        await Task.WhenAll(written.Select(pair => Client.WriteAsync(Root / pair.Key, pair.Value, Stop).AsTask()));
        var tree = await Client.FindTreeAsync(Root, Stop);
        Assert.NotNull(tree);
        Assert.Equal(1 + 20 + 20 + (20 * 15 * 2), tree.DescendantsAndSelf().Count());
        Assert.Equal(
            written.OrderBy(pair => pair.Key, StringComparer.Ordinal),
            tree.DescendantsAndSelf().Where(node => node.Children.Count == 0)
                .Select(node => KeyValuePair.Create(node.Path.Value[(Root.Value.Length + 1)..], node.Value!.Value.ToString()))
                .OrderBy(pair => pair.Key, StringComparer.Ordinal));
        Assert.Equal("28", tree.FindText("4/device/7/state"));
        Assert.Null(tree.Find("4/device/77"));
        Assert.Equal((await Client.ListChildrenAsync(Root, Stop)).ToArray(), tree.Children.Select(child => child.Name));
    }

    [Fact]
    public async Task Requests_of_many_callers_get_their_own_answers()
    {
        // A device takes them one after the other, and each has its time limit from the call on.
        var atOnce = IsDevice ? 60 : 500;
        await Task.WhenAll(Enumerable.Range(0, 500).Select(i => Client.WriteAsync(Root / $"{i}", $"value {i}", Stop).AsTask()));
        await Task.WhenAll(Enumerable.Range(0, 8).Select(caller => Task.Run(
            async () =>
            {
                for (var round = 0; round < 3; round++)
                {
                    var reads = Enumerable.Range(0, atOnce).Select(i => Client.FindTextAsync(Root / $"{(i * 7 * (caller + 1)) % 600}", Stop)).ToArray();
                    for (var i = 0; i < reads.Length; i++)
                    {
                        var at = (i * 7 * (caller + 1)) % 600;
                        Assert.Equal(at < 500 ? $"value {at}" : null, await reads[i]);
                    }

                    Assert.Equal("value 3", await Client.FindTextAsync(Root / "3", Stop));
                }
            },
            Stop)));
    }

    [Fact]
    public async Task Cancelling_gives_up_the_wait_and_nothing_else()
    {
        await Client.WriteAsync(Root / "a", "1", Stop);
        using CancellationTokenSource cancelled = new();
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await Client.WriteAsync(Root / "a", "never", cancelled.Token));
        Assert.Equal("1", await Client.FindTextAsync(Root / "a", Stop));

        for (var i = 0; i < 200; i++)
        {
            using CancellationTokenSource source = new();
            var read = Client.ReadAsync(Root / "a", source.Token).AsTask();
            await source.CancelAsync();
            try
            {
                Assert.Equal("1", (await read.WaitAsync(Limit, Stop)).ToString());
            }
            catch (OperationCanceledException)
            {
                Assert.Equal("1", await Client.FindTextAsync(Root / "a", Stop));
            }
        }
    }

    [Fact]
    public async Task What_exceeds_a_limit_is_refused_before_it_is_sent()
    {
        var path = Root / "limit";
        var limit = IsDevice ? XenstoreLimits.DevicePayload : XenstoreLimits.Payload;
        var most = limit - path.Value.Length - 1;
        var error = await Assert.ThrowsAsync<ArgumentException>(async () => await Client.WriteAsync(path, new XenstoreValue(new byte[most + 1]), Stop));
        Assert.Contains($"{limit}", error.Message, StringComparison.Ordinal);
        Assert.Contains(path.Value, error.Message, StringComparison.Ordinal);
        Assert.Null(await Client.FindAsync(path, Stop));

        // The most that fits goes out; whether the daemon stores as much is its own quota.
        try
        {
            await Client.WriteAsync(path, new XenstoreValue(new byte[most]), Stop);
            Assert.Equal(most, (await Client.ReadAsync(path, Stop)).Length);
        }
        catch (XenstoreRefusedException refusal)
        {
            Assert.Contains(refusal.Error, (string[])[XenstoreError.ENOSPC, XenstoreError.E2BIG]);
        }

        var longest = Root / string.Join('/', Enumerable.Repeat("0123456789", 300))[..(XenstoreLimits.AbsolutePath - Root.Value.Length - 1)];
        Assert.Equal(XenstoreLimits.AbsolutePath, longest.Value.Length);
        await AnsweredAsync(longest);
        await AnsweredAsync(string.Join('/', Enumerable.Repeat("0123456789", 300))[..XenstoreLimits.RelativePath]);
        Assert.Throws<ArgumentException>(() => longest.Append("x"));
        await Assert.ThrowsAsync<ArgumentException>(async () => await Client.FindAsync("@releaseDomain", Stop));
        await Assert.ThrowsAsync<ArgumentException>(() => Client.Daemon.ControlAsync(new string('x', XenstoreLimits.Payload), cancellationToken: Stop).AsTask());
        Assert.Equal(XenstoreValue.Empty, await Client.ReadAsync(Root, Stop));
        Assert.Equal(XenstoreConnectionState.Connected, Client.State);

        async Task AnsweredAsync(XenstorePath place)
        {
            try
            {
                Assert.Null(await Client.FindAsync(place, Stop));
            }
            catch (XenstoreRefusedException refusal)
            {
                // A daemon may have a narrower quota, but it answers.
                Assert.Equal(XenstoreError.EINVAL, refusal.Error);
            }
        }
    }

    [Fact]
    public async Task A_closed_client_fails_every_call_and_ends_every_watch()
    {
        var client = await ConnectAsync();
        var watch = await client.WatchAsync(Root, cancellationToken: Stop);
        await NextAsync(watch);
        await client.DisposeAsync();
        await client.DisposeAsync();

        await Assert.ThrowsAsync<XenstoreDisconnectedException>(async () => await client.FindAsync(Root, Stop));
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(() => client.FindTreeAsync(Root, Stop));
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(() => client.WatchAsync(Root, cancellationToken: Stop));
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(() => client.TransactAsync((_, _) => Task.CompletedTask, Stop));
        Assert.False(await watch.WaitToReadAsync(Stop));
        Assert.Equal(XenstoreConnectionState.Closed, client.State);
        await client.Completion.WaitAsync(Limit, Stop);
        await watch.DisposeAsync();
    }

    protected static XenstoreWatchEvent Changed(XenstorePath path) => new(XenstoreWatchEventKind.Changed, path);

    protected async Task<XenstoreWatchEvent> NextAsync(XenstoreWatch watch)
    {
        ArgumentNullException.ThrowIfNull(watch);
        Assert.True(await watch.WaitToReadAsync(Stop).AsTask().WaitAsync(Limit, Stop), $"the watch of {watch.Path} ended");
        Assert.True(watch.TryRead(out var change));
        return change;
    }

    /// <summary>Daemons tell some changes more than once, such as the nodes made above: skips to the one that is due.</summary>
    protected async Task<XenstoreWatchEvent> NextUntilAsync(XenstoreWatch watch, XenstorePath path)
    {
        while (true)
        {
            var change = await NextAsync(watch);
            if (change.Path == path)
            {
                return change;
            }
        }
    }

    private async Task<XenstoreFeatures> FeaturesAsync()
    {
        try
        {
            return await Client.Daemon.GetFeaturesAsync(Stop);
        }
        catch (XenstoreRefusedException refusal) when (refusal.Error == XenstoreError.ENOSYS)
        {
            return XenstoreFeatures.None;
        }
    }
}
