using System.Text;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>What a real daemon will not do: answers that are late, out of order, wrong, or missing.</summary>
public sealed class WireFaultTests : FakeDaemonTest
{
    [Fact]
    public async Task Answers_out_of_order_find_their_requests()
    {
        for (var i = 0; i < 20; i++)
        {
            Server.Write($"/n/{i}", $"value {i}");
        }

        await using var client = await ConnectAsync();
        Server.Fault = _ => FakeXenstoreFault.Hold;
        var reads = Enumerable.Range(0, 20).Select(i => client.FindTextAsync($"/n/{i}", Stop).AsTask()).ToArray();
        await EventuallyAsync(() => Server.Held == 20, "all requests are at the daemon at once");
        Server.SendHeld();
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal($"value {i}", await reads[i].WaitAsync(Limit, Stop));
        }
    }

    [Fact]
    public async Task A_request_without_an_answer_times_out_and_its_late_answer_is_dropped()
    {
        Server.Write("/a", "1");
        await using var client = await ConnectAsync(options => options.RequestTimeout = TimeSpan.FromSeconds(5));
        Server.Fault = _ => FakeXenstoreFault.Hold;
        var read = client.ReadAsync("/a", Stop).AsTask();
        await EventuallyAsync(() => Server.Held == 1, "the request is at the daemon");
        Clock.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(read.IsCompleted);
        Clock.Advance(TimeSpan.FromSeconds(0.2));
        var timeout = await FailsAsync<XenstoreTimeoutException>(read);
        Assert.Equal("READ", timeout.Operation);
        Assert.True(timeout.IsTransient);

        Server.Fault = null;
        Server.SendHeld();
        Server.Write("/a", "2");
        Assert.Equal("2", (await client.ReadAsync("/a", Stop)).ToString());
        Assert.Equal(XenstoreConnectionState.Connected, client.State);
    }

    [Fact]
    public async Task A_cancelled_request_leaves_the_connection_usable()
    {
        Server.Write("/a", "1");
        await using var client = await ConnectAsync();
        Server.Fault = request => request.Path == "/a" ? FakeXenstoreFault.Hold : null;
        using CancellationTokenSource cancel = new();
        var read = client.ReadAsync("/a", cancel.Token).AsTask();
        await EventuallyAsync(() => Server.Held == 1, "the request is at the daemon");
        await cancel.CancelAsync();
        Assert.Equal(cancel.Token, (await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(Limit, Stop))).CancellationToken);
        Assert.Null(await client.FindAsync("/b", Stop));
        Server.SendHeld();
        Assert.Null(await client.FindAsync("/b", Stop));
    }

    [Fact]
    public async Task A_transaction_that_was_given_up_while_it_started_is_ended_when_its_answer_comes()
    {
        await using var client = await ConnectAsync();
        Server.Fault = request => request.Type == FakeXenstoreType.TransactionStart ? FakeXenstoreFault.Hold : null;
        using CancellationTokenSource cancel = new();
        var transaction = client.TransactAsync((_, _) => Task.CompletedTask, cancel.Token);
        await EventuallyAsync(() => Server.OpenTransactions == 1 && Server.Held == 1, "the transaction is open at the daemon");
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => transaction.WaitAsync(Limit, Stop));
        Server.SendHeld();
        await EventuallyAsync(() => Server.OpenTransactions == 0, "the daemon has no open transaction");
    }

    [Fact]
    public async Task A_watch_that_was_given_up_while_it_was_set_up_is_taken_back_when_its_answer_comes()
    {
        await using var client = await ConnectAsync();
        Server.Fault = request => request.Type == FakeXenstoreType.Watch ? FakeXenstoreFault.Hold : null;
        using CancellationTokenSource cancel = new();
        var watch = client.WatchAsync("/a", cancellationToken: cancel.Token);
        await EventuallyAsync(() => Server.Watches == 1 && Server.Held == 1, "the daemon has the watch");
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watch.WaitAsync(Limit, Stop));
        Server.SendHeld();
        await EventuallyAsync(() => Server.Watches == 0, "the daemon has no watch");
        Assert.Null(await client.FindAsync("/a", Stop));
    }

    [Theory]
    [InlineData("garbage")]
    [InlineData("oversize")]
    [InlineData("unknown id")]
    [InlineData("wrong type")]
    [InlineData("wrong transaction")]
    [InlineData("error without a name")]
    [InlineData("event without a token")]
    [InlineData("invalid type")]
    public async Task What_is_not_the_protocol_ends_the_session_with_a_typed_reason(string what)
    {
        await using var client = await ConnectAsync();
        Server.Fault = request => FakeXenstoreFault.Send(what switch
        {
            "garbage" => [.. Enumerable.Repeat((byte)0xA5, 64)],
            "oversize" => [.. FakeXenstoreServer.Message(2, request.RequestId, 0, default).AsSpan(0, 12), 1, 16, 0, 0],
            "unknown id" => FakeXenstoreServer.Message(2, request.RequestId + 1, 0, "1"u8),
            "wrong type" => FakeXenstoreServer.Message(1, request.RequestId, 0, "1"u8),
            "wrong transaction" => FakeXenstoreServer.Message(2, request.RequestId, 9, "1"u8),
            "error without a name" => FakeXenstoreServer.Message(16, request.RequestId, 0, "no name\0"u8),
            "event without a token" => FakeXenstoreServer.Message(15, 0, 0, "/path\0"u8),
            _ => FakeXenstoreServer.Message(65535, request.RequestId, 0, default),
        });

        var failure = await Assert.ThrowsAnyAsync<XenstoreException>(() => client.ReadAsync("/a", Stop).AsTask().WaitAsync(Limit, Stop));
        Assert.True(failure is XenstoreProtocolException || failure.InnerException is XenstoreProtocolException, failure.ToString());
        await FailsAsync<XenstoreProtocolException>(client.Completion);
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(async () => await client.FindAsync("/a", Stop));
    }

    [Theory]
    [InlineData(FakeXenstoreType.Write, "NO\0")]
    [InlineData(FakeXenstoreType.Directory, "name")]
    [InlineData(FakeXenstoreType.Directory, "a\0\0b\0")]
    [InlineData(FakeXenstoreType.GetPermissions, "x0\0")]
    [InlineData(FakeXenstoreType.GetPermissions, "r\0")]
    [InlineData(FakeXenstoreType.GetPermissions, "")]
    [InlineData(FakeXenstoreType.TransactionStart, "0\0")]
    [InlineData(FakeXenstoreType.TransactionStart, "4294967296\0")]
    [InlineData(FakeXenstoreType.IsDomainIntroduced, "X\0")]
    [InlineData(FakeXenstoreType.GetDomainPath, "a//b\0")]
    [InlineData(FakeXenstoreType.GetFeature, "many\0")]
    public async Task A_payload_that_does_not_fit_ends_the_session_and_reaches_its_caller(FakeXenstoreType type, string payload)
    {
        await using var client = await ConnectAsync();
        Server.Fault = request => FakeXenstoreFault.Send(request.Answer(Encoding.ASCII.GetBytes(payload)));
        var call = type switch
        {
            FakeXenstoreType.Write => client.WriteAsync("/a", "1", Stop).AsTask(),
            FakeXenstoreType.Directory => client.ListChildrenAsync("/a", Stop).AsTask(),
            FakeXenstoreType.GetPermissions => client.GetPermissionsAsync("/a", Stop).AsTask(),
            FakeXenstoreType.TransactionStart => client.TransactAsync((_, _) => Task.CompletedTask, Stop),
            FakeXenstoreType.IsDomainIntroduced => client.Domains.IsIntroducedAsync(1, Stop).AsTask(),
            FakeXenstoreType.GetDomainPath => client.Domains.GetPathAsync(1, Stop).AsTask(),
            _ => client.Daemon.GetFeaturesAsync(Stop).AsTask(),
        };
        await FailsAsync<XenstoreProtocolException>(call);
        await FailsAsync<XenstoreProtocolException>(client.Completion);
    }

    [Fact]
    public async Task A_disconnect_in_the_middle_of_a_message_fails_every_call_at_once()
    {
        await using var client = await ConnectAsync();
        Server.Fault = request => request.Path == "/last"
            ? FakeXenstoreFault.SendAndDisconnect([.. request.Answer("half of it"u8).AsSpan(0, 20)])
            : FakeXenstoreFault.Silence;
        var first = client.FindAsync("/first", Stop).AsTask();
        var tree = client.FindTreeAsync("/tree", Stop);
        var last = client.FindAsync("/last", Stop).AsTask();
        foreach (var call in new Task[] { first, tree, last })
        {
            Assert.Contains("in the middle of a message", (await FailsAsync<XenstoreDisconnectedException>(call)).Message, StringComparison.Ordinal);
        }

        await FailsAsync<XenstoreDisconnectedException>(client.Completion);
    }

    [Fact]
    public async Task A_commit_that_meets_EAGAIN_is_tried_again_so_often_as_allowed()
    {
        await using var client = await ConnectAsync(options =>
        {
            options.TransactionAttempts = 5;
            options.TimeProvider = TimeProvider.System;
        });
        var left = 4;
        Server.Fault = request => request.Type == FakeXenstoreType.TransactionEnd && left-- > 0 ? FakeXenstoreFault.Refuse("EAGAIN") : null;
        Assert.Equal(5, await client.TransactAsync(
            async (transaction, token) =>
            {
                await transaction.WriteAsync("/a", $"{transaction.Attempt}", token);
                return transaction.Attempt;
            },
            Stop));
        Assert.Equal("5", Server.Read("/a"));

        left = 5;
        var conflict = await Assert.ThrowsAsync<XenstoreConflictException>(() => client.TransactAsync((transaction, token) => transaction.WriteAsync("/a", "never", token).AsTask(), Stop));
        Assert.Equal((5, true), (conflict.Attempts, conflict.IsTransient));
        Assert.Equal(("5", 0), (Server.Read("/a"), Server.OpenTransactions));

        // EAGAIN for a request inside counts as well, and leaves nothing open.
        left = 0;
        var refused = 0;
        Server.Fault = request => request.Type == FakeXenstoreType.Write && refused++ == 0 ? FakeXenstoreFault.Refuse("EAGAIN") : null;
        await client.TransactAsync((transaction, token) => transaction.WriteAsync("/a", "after all", token).AsTask(), Stop);
        Assert.Equal(("after all", 0), (Server.Read("/a"), Server.OpenTransactions));
    }

    [Fact]
    public async Task A_large_directory_that_changes_meanwhile_is_begun_again()
    {
        for (var i = 0; i < 500; i++)
        {
            Server.Write($"/large/name-of-some-length-{i}", string.Empty);
        }

        await using var client = await ConnectAsync();
        var parts = 0;
        Server.Fault = request =>
        {
            if (request.Type == FakeXenstoreType.DirectoryPart && ++parts == 2)
            {
                Server.Remove("/large/name-of-some-length-0");
                Server.Write("/large/newcomer", string.Empty);
            }

            return null;
        };
        var names = await client.ListChildrenAsync("/large", Stop);
        Assert.Equal(500, names.Distinct().Count());
        Assert.Contains("newcomer", names);
        Assert.DoesNotContain("name-of-some-length-0", names);

        // One that never stands still is given up with an error that says so.
        Server.Fault = request =>
        {
            if (request.Type == FakeXenstoreType.DirectoryPart)
            {
                Server.Write("/large/newcomer", $"{parts++}");
                Server.Write($"/large/{parts}", string.Empty);
            }

            return null;
        };
        Assert.Equal(XenstoreError.EAGAIN, (await FailsAsync<XenstoreRefusedException>(client.ListChildrenAsync("/large", Stop).AsTask())).Error);
        Server.Fault = request => request.Type == FakeXenstoreType.DirectoryPart ? FakeXenstoreFault.Refuse("ENOSYS") : null;
        Assert.Equal(XenstoreError.E2BIG, (await FailsAsync<XenstoreRefusedException>(client.ListChildrenAsync("/large", Stop).AsTask())).Error);
        await FailsAsync<XenstoreRefusedException>(client.FindTreeAsync("/", Stop));
    }

    [Fact]
    public async Task A_tree_leaves_out_what_vanishes_and_keeps_what_must_not_be_read()
    {
        foreach (var path in new[] { "/t/a/x", "/t/b/x", "/t/c/x" })
        {
            Server.Write(path, path);
        }

        await using var client = await ConnectAsync();
        Server.Fault = request =>
        {
            if (request.Path == "/t/b")
            {
                Server.Remove("/t/b");
            }

            return request.Path == "/t/c" ? FakeXenstoreFault.Refuse("EACCES") : null;
        };
        var tree = await client.FindTreeAsync("/t", Stop);
        Assert.Equal(["/t", "/t/a", "/t/a/x", "/t/c"], tree!.DescendantsAndSelf().Select(node => node.Path.Value));
        Assert.Null(tree.Find("c")!.Value);
        Assert.Equal("/t/a/x", tree.FindText("a/x"));

        Server.Fault = request => request.Path == "/t/a" ? FakeXenstoreFault.Refuse("EIO") : null;
        Assert.Equal(XenstoreError.EIO, (await FailsAsync<XenstoreRefusedException>(client.FindTreeAsync("/t", Stop))).Error);
        Server.Fault = _ => FakeXenstoreFault.Silence;
        using CancellationTokenSource cancel = new();
        var walk = client.FindTreeAsync("/t", cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => walk.WaitAsync(Limit, Stop));
    }

    [Fact]
    public async Task A_slow_reader_loses_the_oldest_events_and_holds_nobody_up()
    {
        await using var client = await ConnectAsync();
        await using var slow = await client.WatchAsync("/a", new XenstoreWatchOptions { QueueLength = 4 }, Stop);
        await using var fast = await client.WatchAsync("/a", cancellationToken: Stop);
        for (var i = 0; i < 100; i++)
        {
            Server.Write($"/a/{i}", string.Empty);
        }

        // Whatever was told came before this answer.
        await client.ReadAsync("/a", Stop);
        Assert.Equal(97, slow.Dropped);
        Assert.Equal(0, slow.Gaps);
        Assert.Equal(XenstoreWatchEventKind.Gap, (await NextAsync(slow)).Kind);
        for (var i = 96; i < 100; i++)
        {
            Assert.Equal($"/a/{i}", (await NextAsync(slow)).Path.Value);
        }

        Assert.False(slow.TryRead(out _));
        for (var i = -1; i < 100; i++)
        {
            Assert.Equal(i < 0 ? "/a" : $"/a/{i}", (await NextAsync(fast)).Path.Value);
        }
    }

    [Fact]
    public async Task A_daemon_that_reads_nothing_blocks_no_caller()
    {
        await using var client = await ConnectAsync();
        using ManualResetEventSlim reads = new();
        Server.Fault = _ =>
        {
            reads.Wait(Limit);
            return null;
        };
        var value = new XenstoreValue(new byte[4000]);
        var writes = Enumerable.Range(0, 2000).Select(i => client.WriteAsync($"/w/{i}", value, Stop).AsTask()).ToArray();

        // All calls have returned, and far more is waiting than any socket holds.
        using CancellationTokenSource cancel = new();
        var given = client.FindAsync("/w/0", cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given.WaitAsync(Limit, Stop));
        Assert.DoesNotContain(writes, write => write.IsCompleted);
        reads.Set();
        await Task.WhenAll(writes).WaitAsync(Limit, Stop);
        Assert.Equal(2000, (await client.ListChildrenAsync("/w", Stop)).Count);
    }

    [Fact]
    public async Task Depths_and_single_domains_are_watched_where_the_daemon_knows_them()
    {
        await using var client = await ConnectAsync();
        await using var one = await client.WatchAsync(XenstorePath.ReleaseOf(7), cancellationToken: Stop);
        await using var all = await client.WatchAsync(XenstorePath.ReleaseDomain, new XenstoreWatchOptions { Depth = 1 }, Stop);
        await NextAsync(one);
        await NextAsync(all);
        Server.FireSpecial("@releaseDomain/8");
        Server.FireSpecial("@releaseDomain/7");
        Assert.Equal(XenstorePath.ReleaseOf(7), (await NextAsync(one)).Path);
        Assert.Equal(XenstorePath.ReleaseOf(8), (await NextAsync(all)).Path);
        Assert.Equal(XenstorePath.ReleaseOf(7), (await NextAsync(all)).Path);

        Server.IsOld = true;
        Assert.Equal(XenstoreError.EINVAL, (await FailsAsync<XenstoreRefusedException>(client.WatchAsync(XenstorePath.ReleaseOf(7), cancellationToken: Stop))).Error);
        Assert.Equal(XenstoreError.ENOSYS, (await FailsAsync<XenstoreRefusedException>(client.Daemon.GetFeaturesAsync(Stop).AsTask())).Error);
        Assert.Equal(2, Server.Watches);
    }
}
