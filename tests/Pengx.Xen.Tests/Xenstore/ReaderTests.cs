using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net.Sockets;
using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>Callers' code that goes on right on the thread that reads can do there whatever it likes.</summary>
public sealed class ReaderTests : FakeDaemonTest
{
    [Fact]
    public async Task A_lone_caller_goes_on_on_the_thread_that_reads()
    {
        await using var client = await ConnectAsync();
        await using var pooled = await ConnectAsync(options => options.ContinueOnReader = false);

        // An answer that is there before it is awaited finds nobody to tell, and its caller stays where it is: that is rare, but no fault.
        Assert.True(await CountOnOwnThreadsAsync(client) > 50);
        Assert.Equal(0, await CountOnOwnThreadsAsync(pooled));

        Task<int> CountOnOwnThreadsAsync(XenstoreClient asked) => Task.Run(
            async () =>
            {
                var count = 0;
                for (var i = 0; i < 100; i++)
                {
                    await asked.FindAsync("/a", Stop).ConfigureAwait(false);
                    count += Thread.CurrentThread.IsThreadPoolThread ? 0 : 1;
                }

                return count;
            },
            Stop);
    }

    [Fact]
    public async Task Code_that_blocks_there_on_another_request_gets_its_answer()
    {
        Server.Write("/a", "1");
        await using var client = await ConnectAsync();
        await Task.Run(
            async () =>
            {
                for (var i = 0; i < 5; i++)
                {
                    await client.FindAsync("/a", Stop).ConfigureAwait(false);
#pragma warning disable xUnit1031 // Blocking is what is tested.
                    Assert.Equal("1", Task.Run(() => client.FindTextAsync("/a", Stop).AsTask(), Stop).WaitAsync(Limit, Stop).GetAwaiter().GetResult());
                    Assert.Equal("1", client.FindTextAsync("/a", Stop).AsTask().WaitAsync(Limit, Stop).GetAwaiter().GetResult());
#pragma warning restore xUnit1031
                }
            },
            Stop).WaitAsync(Limit, Stop);
    }

    [Fact]
    public async Task Code_that_keeps_many_such_threads_holds_nobody_up()
    {
        Server.Write("/a", "1");
        await using var client = await ConnectAsync();
        using ManualResetEventSlim release = new();
        ConcurrentBag<int> threads = [];
        List<Task> stuck = [];
        for (var i = 0; i < 6; i++)
        {
            stuck.Add(Task.Run(
                async () =>
                {
                    await client.FindAsync("/a", Stop).ConfigureAwait(false);
                    threads.Add(Environment.CurrentManagedThreadId);
                    release.Wait(Limit, Stop);
                },
                Stop));
            var count = i + 1;
            await EventuallyAsync(() => threads.Count == count, "the code behind the request has begun");
            Assert.Equal("1", await client.FindTextAsync("/a", Stop).AsTask().WaitAsync(Limit, Stop));
        }

        await using var watch = await client.WatchAsync("/a", cancellationToken: Stop).WaitAsync(Limit, Stop);
        await NextAsync(watch);
        Server.Write("/a", "2");
        await NextAsync(watch);
        release.Set();
        await Task.WhenAll(stuck).WaitAsync(Limit, Stop);
        Assert.Equal(6, threads.Distinct().Count());
        Assert.Equal("2", await client.FindTextAsync("/a", Stop).AsTask().WaitAsync(Limit, Stop));
    }

    [Fact]
    public async Task The_client_can_be_closed_from_there()
    {
        for (var i = 0; i < 50; i++)
        {
            var client = await ConnectAsync();
            await Task.Run(
                async () =>
                {
                    await client.FindAsync("/a", Stop).ConfigureAwait(false);
                    await client.DisposeAsync().ConfigureAwait(false);
                    await Assert.ThrowsAsync<XenstoreDisconnectedException>(async () => await client.FindAsync("/a", Stop).ConfigureAwait(false)).ConfigureAwait(false);
                },
                Stop).WaitAsync(Limit, Stop);
        }

        await EventuallyAsync(() => Server.Clients == 0, "every connection is closed");
    }

    [Fact]
    public async Task Closing_while_many_ask_leaves_nobody_waiting()
    {
        for (var round = 0; round < 30; round++)
        {
            var client = await ConnectAsync();
            var callers = Enumerable.Range(0, 4).Select(_ => Task.Run(
                async () =>
                {
                    while (true)
                    {
                        try
                        {
                            await client.FindAsync("/a", Stop).ConfigureAwait(false);
                        }
                        catch (XenstoreDisconnectedException)
                        {
                            return;
                        }
                    }
                },
                Stop)).ToArray();
            await client.FindAsync("/b", Stop);
            await client.DisposeAsync().AsTask().WaitAsync(Limit, Stop);
            await Task.WhenAll(callers).WaitAsync(Limit, Stop);
        }
    }

    [Fact]
    public async Task Nothing_of_the_callers_context_sticks_to_the_connections_threads()
    {
        AsyncLocal<string> ambient = new() { Value = "connecting" };
        await using var client = await ConnectAsync();
        ambient.Value = "asking";
        await using var watch = await client.WatchAsync("/a", cancellationToken: Stop);
        await Task.Run(
            async () =>
            {
                ambient.Value = "inside";
                await client.FindAsync("/a", Stop).ConfigureAwait(false);
                Assert.Equal("inside", ambient.Value);
            },
            Stop);
        ambient.Value = "after";
        await client.FindAsync("/a", Stop);
        Assert.Equal("after", ambient.Value);
    }
}

/// <summary>Where a daemon is looked for.</summary>
public sealed class ConnectTests : FakeDaemonTest
{
    [Fact]
    public async Task A_place_without_a_daemon_is_an_error_that_names_it()
    {
        var missing = SocketPath + "-missing";
        var error = await FailsAsync<XenstoreConnectException>(XenstoreClient.ConnectAsync(XenstoreEndPoint.At(missing), cancellationToken: Stop));
        Assert.Contains(missing, error.Message, StringComparison.Ordinal);
        Assert.True(error.IsTransient);

        var file = SocketPath + "-file";
        await File.WriteAllTextAsync(file, "no daemon", Stop);
        Assert.False((await FailsAsync<XenstoreConnectException>(XenstoreClient.ConnectAsync(XenstoreEndPoint.At(file), cancellationToken: Stop))).IsTransient);

        using Socket dead = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        dead.Bind(new UnixDomainSocketEndPoint(SocketPath + "-dead"));
        Assert.True((await FailsAsync<XenstoreConnectException>(XenstoreClient.ConnectAsync(XenstoreEndPoint.At(SocketPath + "-dead"), cancellationToken: Stop))).IsTransient);
        Assert.Throws<ArgumentException>(() => XenstoreEndPoint.At("a\0b"));
    }

    [Fact]
    public async Task A_daemon_that_accepts_nobody_is_given_up_in_time()
    {
        using Socket full = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        full.Bind(new UnixDomainSocketEndPoint(SocketPath + "-full"));
        full.Listen(0);
        List<XenstoreClient> waiting = [];
        try
        {
            XenstoreConnectException? error = null;
            while (error is null)
            {
                try
                {
                    var client = await XenstoreClient.ConnectAsync(
                        XenstoreEndPoint.At(SocketPath + "-full"), new XenstoreClientOptions { ConnectTimeout = TimeSpan.FromMilliseconds(200) }, Stop).WaitAsync(Limit, Stop);
                    waiting.Add(client);
                    Assert.True(waiting.Count < 100);
                }
                catch (XenstoreConnectException exception)
                {
                    error = exception;
                }
            }

            Assert.True(error.IsTransient);
            using CancellationTokenSource cancel = new(TimeSpan.FromMilliseconds(100));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
                XenstoreClient.ConnectAsync(XenstoreEndPoint.At(SocketPath + "-full"), cancellationToken: cancel.Token).WaitAsync(Limit, Stop));
        }
        finally
        {
            foreach (var client in waiting)
            {
                await client.DisposeAsync();
            }
        }
    }

    [Theory]
    [InlineData(nameof(XenstoreClientOptions.RequestTimeout))]
    [InlineData(nameof(XenstoreClientOptions.ConnectTimeout))]
    [InlineData(nameof(XenstoreClientOptions.TransactionAttempts))]
    [InlineData(nameof(XenstoreReconnectOptions.FirstDelay))]
    [InlineData(nameof(XenstoreReconnectOptions.MaxAttempts))]
    public async Task An_option_that_makes_no_sense_is_refused_by_name(string option)
    {
        XenstoreClientOptions options = new() { Reconnect = new() };
        switch (option)
        {
            case nameof(XenstoreClientOptions.RequestTimeout):
                options.RequestTimeout = TimeSpan.Zero;
                break;
            case nameof(XenstoreClientOptions.ConnectTimeout):
                options.ConnectTimeout = TimeSpan.FromSeconds(-5);
                break;
            case nameof(XenstoreClientOptions.TransactionAttempts):
                options.TransactionAttempts = 0;
                break;
            case nameof(XenstoreReconnectOptions.FirstDelay):
                options.Reconnect.FirstDelay = TimeSpan.Zero;
                break;
            default:
                options.Reconnect.MaxAttempts = 0;
                break;
        }

        var error = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => XenstoreClient.ConnectAsync(XenstoreEndPoint.At(SocketPath), options, Stop));
        Assert.Equal(option, error.ParamName);
    }
}

[CollectionDefinition(nameof(ListensGlobally), DisableParallelization = true)]
public sealed class ListensGlobally;

/// <summary>Listeners and the allocation counter are global: these tests run alone.</summary>
[Collection(nameof(ListensGlobally))]
public sealed class XenstoreTelemetryTests : FakeDaemonTest
{
    [Fact]
    public async Task Requests_lost_events_and_conflicts_are_measured()
    {
        ConcurrentBag<(string Operation, string? Error)> requests = [];
        ConcurrentDictionary<string, long> counters = [];
        using MeterListener listener = new()
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == XenstoreDiagnostics.Name)
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) =>
        {
            string? operation = null, error = null;
            foreach (var (key, tag) in tags)
            {
                operation = key == "pengx.xenstore.operation" ? (string?)tag : operation;
                error = key == "error.type" ? (string?)tag : error;
            }

            Assert.True(value >= 0);
            requests.Add((operation!, error));
        });
        listener.SetMeasurementEventCallback<long>((instrument, value, _, _) => counters.AddOrUpdate(instrument.Name, value, (_, sum) => sum + value));
        listener.Start();

        await using var client = await ConnectAsync();
        await using var watch = await client.WatchAsync("/a", new XenstoreWatchOptions { QueueLength = 1 }, Stop);
        Server.Write("/a", "1");
        await client.ReadAsync("/a", Stop);
        await Assert.ThrowsAsync<XenstoreRefusedException>(async () => await client.ReadAsync("/missing", Stop));
        var left = 1;
        Server.Fault = request => request.Type == FakeXenstoreType.TransactionEnd && left-- > 0 ? FakeXenstoreFault.Refuse("EAGAIN") : null;
        await client.TransactAsync((transaction, token) => transaction.WriteAsync("/a", "2", token).AsTask(), Stop);

        Assert.Contains(("READ", null), requests);
        Assert.Contains(("READ", "ENOENT"), requests);
        Assert.Contains(("TRANSACTION_END", "EAGAIN"), requests);
        Assert.Equal(1, counters["pengx.xenstore.transaction.conflicts"]);
        Assert.True(counters["pengx.xenstore.watch_events.dropped"] >= 1);
    }

    [Fact]
    public async Task A_trace_names_the_request_under_its_callers_and_no_value()
    {
        ConcurrentQueue<Activity> stopped = [];
        using ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == XenstoreDiagnostics.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = stopped.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        await using var client = await ConnectAsync();
        using Activity parent = new("caller");
        parent.Start();
        await client.WriteAsync("/a", "secret", Stop);
        Assert.Same(parent, Activity.Current);
        await Assert.ThrowsAsync<XenstoreRefusedException>(async () => await client.ReadAsync("/missing", Stop));

        Assert.Equal(["xenstore WRITE", "xenstore READ"], stopped.Select(activity => activity.DisplayName));
        Assert.All(stopped, activity => Assert.Equal(parent.SpanId, activity.ParentSpanId));
        Assert.Equal("ENOENT", stopped.Last().GetTagItem("error.type"));
        Assert.DoesNotContain(stopped, activity => activity.TagObjects.Any(tag => $"{tag.Value}".Contains("secret", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_read_allocates_its_value_and_nothing_that_stays()
    {
        Server.Write("/a", "0123456789");
        await using var client = await ConnectAsync();
        const int Count = 2000;
        async Task<long> MeasureAsync(Func<ValueTask> ask)
        {
            for (var i = 0; i < 200; i++)
            {
                await ask();
            }

            var before = GC.GetTotalAllocatedBytes(precise: true);
            for (var i = 0; i < Count; i++)
            {
                await ask();
            }

            return (GC.GetTotalAllocatedBytes(precise: true) - before) / Count;
        }

        // The fake daemon allocates in this process too: what both have in common is taken out by a request that it answers the same way.
        using Socket bare = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await bare.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), Stop);
        var message = FakeXenstoreServer.Message(2, 1, 0, "/a\0"u8);
        var buffer = new byte[64];
        var daemons = await MeasureAsync(() =>
        {
            bare.Send(message);
            bare.Receive(buffer);
            return ValueTask.CompletedTask;
        });
        var both = await MeasureAsync(async () => await client.ReadAsync("/a", Stop));
        Assert.True(both - daemons < 400, $"a read costs {both} bytes with the daemon's part of {daemons}");
    }
}
