using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

[CollectionDefinition(nameof(RunsAlone), DisableParallelization = true)]
public sealed class RunsAlone;

/// <summary>Listeners and the allocation counter are global: these tests run alone.</summary>
[Collection(nameof(RunsAlone))]
public sealed class TelemetryTests : QmpTest
{
    [Fact]
    public async Task Commands_and_lost_events_are_measured()
    {
        ConcurrentBag<(double Seconds, string? Command, string? Error)> durations = [];
        long dropped = 0;
        using MeterListener listener = new()
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == QmpDiagnostics.Name)
                {
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) =>
        {
            Assert.Equal(("pengx.qmp.command.duration", "s"), (instrument.Name, instrument.Unit));
            durations.Add((value, Tag(tags, "pengx.qmp.command"), Tag(tags, "error.type")));
        });
        listener.SetMeasurementEventCallback<long>((_, value, _, _) => Interlocked.Add(ref dropped, value));
        listener.Start();
        await using QmpClient client = await ConnectAsync(options => options.EventQueueLength = 1);
        using QmpEventSubscription events = client.Subscribe();
        Task<JsonElement> good = RawAsync(client, "good");
        Task<JsonElement> bad = RawAsync(client, "bad");
        Clock.Advance(TimeSpan.FromSeconds(2));

        await Server.SendAsync(Stop, FakeQmpServer.Event("A"), FakeQmpServer.Event("B"), FakeQmpServer.Event("C"));
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), cancellationToken: Stop);
        await Server.RefuseAsync(await Server.ReceiveAsync(Stop), "GenericError", "no", Stop);
        await good.WaitAsync(Limit, Stop);
        await FailsAsync<QmpCommandException>(bad);

        Assert.Contains((2.0, "good", null), durations);
        Assert.Contains((2.0, "bad", nameof(QmpCommandException)), durations);
        Assert.Equal(2, dropped);
    }

    [Fact]
    public async Task A_trace_names_the_command_and_never_its_arguments()
    {
        ConcurrentQueue<Activity> activities = [];
        using ActivityListener listener = new()
        {
            ShouldListenTo = source => source.Name == QmpDiagnostics.Name,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activities.Enqueue,
        };
        ActivitySource.AddActivityListener(listener);
        ListLogger logger = new();
        await using QmpClient client = await ConnectAsync(options => options.Logger = logger);
        Task<JsonElement> bad = RawAsync(client, "bad", new JsonObject { ["password"] = "sesame" });
        await Server.RefuseAsync(await Server.ReceiveAsync(Stop), "GenericError", "no", Stop);
        await FailsAsync<QmpCommandException>(bad);

        Activity activity = Assert.Single(activities);
        Assert.Equal("qmp bad", activity.OperationName);
        Assert.Equal(ActivityKind.Client, activity.Kind);
        Assert.Equal(ActivityStatusCode.Error, activity.Status);
        Assert.DoesNotContain(activity.TagObjects, tag => tag.Value?.ToString()?.Contains("sesame", StringComparison.Ordinal) == true);
        Assert.Contains(logger.Lines, line => line.Id == 1001 && line.Text.Contains("7.2.22", StringComparison.Ordinal));
        Assert.DoesNotContain(logger.Lines, line => line.Text.Contains("sesame", StringComparison.Ordinal));
    }

    [Fact]
    public async Task What_outlives_the_connecting_call_is_no_part_of_it()
    {
        AsyncLocal<string?> operation = new() { Value = "connecting" };
        ConcurrentQueue<(int Id, string? Operation)> lines = [];
        ListLogger logger = new() { OnLine = id => lines.Enqueue((id, operation.Value)) };
        await using QmpClient client = await ConnectAsync(options => options.Logger = logger);

        await Server.SendAsync(Stop, FakeQmpServer.Event("A"), "garbage");
        await FailsAsync<QmpProtocolException>(client.Completion);

        Assert.Contains((1001, "connecting"), lines);
        Assert.Contains((1002, null), lines);
    }

    [Fact]
    public async Task A_command_allocates_less_than_500_bytes()
    {
        const int Count = 2000;
        Requires.Tool("qemu-system-x86_64", "qemu");
        await using RealMonitor monitor = new();
        await using QmpClient client = await monitor.StartAsync("none");
        long perCommand = long.MaxValue;

        // The best of a few rounds: the first ones also pay for what is compiled and cached once.
        for (int round = 0; round < 4; round++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            for (int i = 0; i < Count; i++)
            {
                await client.ExecuteAsync(QmpCommands.QueryStatus, CancellationToken.None);
            }

            perCommand = Math.Min(perCommand, (GC.GetTotalAllocatedBytes(precise: true) - before) / Count);
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{perCommand} bytes per command");
        Assert.InRange(perCommand, 0, 500);
    }

    private static string? Tag(ReadOnlySpan<KeyValuePair<string, object?>> tags, string name)
    {
        foreach ((string key, object? value) in tags)
        {
            if (key == name)
            {
                return value as string;
            }
        }

        return null;
    }

    private sealed class ListLogger : ILogger
    {
        public ConcurrentQueue<(int Id, string Text)> Lines { get; } = [];

        public Action<int>? OnLine { get; init; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            Lines.Enqueue((eventId.Id, formatter(state, exception)));
            OnLine?.Invoke(eventId.Id);
        }
    }
}
