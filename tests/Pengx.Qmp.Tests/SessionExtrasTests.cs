using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>The lane out of band, jobs and the wire log, against a peer that plays the worst.</summary>
public sealed class SessionExtrasTests : QmpTest
{
    [Fact]
    public async Task Out_of_band_overtakes_a_full_window_and_may_be_answered_first()
    {
        await using QmpClient client = await ConnectAsync(options => options.MaxInFlight = 2);
        Task[] ordinary = [.. Enumerable.Range(0, 4).Select(_ => (Task)client.ExecuteAsync(QmpCommands.Cont, Stop))];
        FakeQmpRequest first = await Server.ReceiveAsync(Stop);
        FakeQmpRequest second = await Server.ReceiveAsync(Stop);

        Task urgent = client.ExecuteRawOutOfBandAsync("query-yank", cancellationToken: Stop);
        FakeQmpRequest overtaking = await Server.ReceiveAsync(Stop);
        Assert.Equal(("query-yank", true), (overtaking.Command, overtaking.IsOutOfBand));
        await Server.ReplyAsync(overtaking, "[]", Stop);
        await urgent.WaitAsync(Limit, Stop);
        Assert.All(ordinary, task => Assert.False(task.IsCompleted));

        // The lane took no place of the window, nor does its end give one.
        await Server.ReplyAsync(second, cancellationToken: Stop);
        await Server.ReplyAsync(first, cancellationToken: Stop);
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), cancellationToken: Stop);
        await Server.ReplyAsync(await Server.ReceiveAsync(Stop), cancellationToken: Stop);
        await Task.WhenAll(ordinary).WaitAsync(Limit, Stop);
    }

    [Fact]
    public async Task Out_of_band_is_negotiated_only_where_it_is_offered_and_wanted()
    {
        Server.Greeting = Server.Greeting.Replace("[\"oob\"]", "[]", StringComparison.Ordinal);
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(), Stop);
        await Server.GreetAsync(Stop);
        FakeQmpRequest negotiation = await Server.ReceiveAsync(Stop);
        Assert.Null(negotiation.Arguments);
        await Server.ReplyAsync(negotiation, cancellationToken: Stop);
        await using QmpClient client = await connecting.WaitAsync(Limit, Stop);

        Assert.False(client.IsOutOfBandEnabled);
        await Assert.ThrowsAsync<InvalidOperationException>(() => client.ExecuteRawOutOfBandAsync("query-yank", cancellationToken: Stop));
    }

    [Fact]
    public async Task A_job_that_completed_with_an_error_has_failed_and_lost_events_do_not_hide_it()
    {
        await using QmpClient client = await ConnectAsync();
        QmpJobEngine jobs = new(client);
        int asked = 0;
        bool isDismissed = false;
        Server.Serve(request =>
        {
            if (request.Command == "job-dismiss")
            {
                isDismissed = true;
                return FakeQmpServer.Reply(request);
            }

            if (request.Command != "query-jobs")
            {
                return FakeQmpServer.Reply(request);
            }

            asked++;
            string state = asked switch
            {
                1 => """[{"id": "j", "type": "mirror", "status": "running", "current-progress": 5, "total-progress": 10}]""",
                _ => """[{"id": "j", "type": "mirror", "status": "concluded", "current-progress": 7, "total-progress": 10, "error": "No space left on device"}]""",
            };
            return FakeQmpServer.Reply(request, state)
                + (asked == 1 ? "\r\n" + FakeQmpServer.Event("JOB_STATUS_CHANGE", """{"id": "other", "status": "running"}""") + "\r\n" + FakeQmpServer.Event("BLOCK_JOB_COMPLETED", """{"device": "j", "error": "No space left on device"}""") : string.Empty);
        });
        QmpJob job = await jobs.StartAsync("j", "blockdev-mirror", new JsonObject { ["device"] = "d", ["target"] = "t", ["sync"] = "full" }, Stop);

        Task waiting = job.WaitAsync(cancellationToken: Stop);
        while (!waiting.IsCompleted)
        {
            // No event of its own ever comes: the poll finds the end.
            Clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Yield();
            await Task.WhenAny(waiting, client.ExecuteAsync(QmpCommands.Cont, Stop));
        }

        QmpJobException failure = await FailsAsync<QmpJobException>(waiting);
        Assert.Equal("No space left on device", failure.Error);
        Assert.True(isDismissed);
    }

    [Fact]
    public async Task The_wire_log_has_every_line_and_no_secret()
    {
        const string Secret = "sesame-4711";
        Lines lines = new();
        await using QmpClient client = await ConnectAsync(options => options.WireLogger = lines);
        Server.Serve(request => FakeQmpServer.Reply(request, request.Command is "qom-get" or "human-monitor-command" ? $"\"{Secret}\"" : "{}"));

        await client.ExecuteAsync(QmpCommands.SetPassword, new QmpPassword { Protocol = "vnc", Password = Secret }, Stop);
        await RawAsync(client, "change-vnc-password", new JsonObject { ["password"] = Secret });
        await RawAsync(client, "object-add", new JsonObject { ["qom-type"] = "secret", ["id"] = "s0", ["data"] = Secret });
        await RawAsync(client, "send-key", new JsonObject { ["keys"] = new JsonArray(new JsonObject { ["type"] = "qcode", ["data"] = Secret }) });
        await RawAsync(client, "human-monitor-command", new JsonObject { ["command-line"] = $"set_password vnc {Secret}" });
        await RawAsync(client, "qom-get", new JsonObject { ["path"] = "/objects/s0", ["property"] = "data" });
        await RawAsync(client, "qom-set", new JsonObject { ["path"] = "/objects/s0", ["property"] = "data", ["value"] = Secret });
        await RawAsync(client, "blockdev-add", new JsonObject { ["driver"] = "curl", ["node-name"] = "n0", ["cookie"] = Secret, ["password-secret"] = "s0" });

        Assert.DoesNotContain(lines.All, line => line.Contains(Secret, StringComparison.Ordinal));
        Assert.Contains(lines.All, line => line.Contains("\"execute\":\"set_password\"", StringComparison.Ordinal) && line.Contains("\"password\":\"***\"", StringComparison.Ordinal));
        Assert.Contains(lines.All, line => line.Contains("\"password-secret\":\"s0\"", StringComparison.Ordinal));
        Assert.Contains(lines.All, line => line.Contains("\"QMP\"", StringComparison.Ordinal));
        Assert.Equal(9, lines.All.Count(line => line.Contains("->", StringComparison.Ordinal)));
        Assert.Equal(10, lines.All.Count(line => line.Contains("<-", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("backup", "disk-1", "backup-disk-1")]
    [InlineData("mirror", "a b", "mirror-a_b.")]
    public void Job_ids_are_the_same_each_time_and_differ_between_subjects(string operation, string subject, string beginning)
    {
        string id = QmpJobId.Create(operation, subject);

        Assert.StartsWith(beginning, id, StringComparison.Ordinal);
        Assert.Equal(id, QmpJobId.Create(operation, subject));
        Assert.NotEqual(id, QmpJobId.Create(operation, subject + "!"));
        Assert.InRange(QmpJobId.Create(operation, new string('x', 500)).Length, 1, 64);
        Assert.Throws<ArgumentException>(() => QmpJobId.Create("1", subject));
    }

    private sealed class Lines : ILogger
    {
        private readonly List<string> _lines = [];

        public IReadOnlyList<string> All
        {
            get
            {
                lock (_lines)
                {
                    return [.. _lines];
                }
            }
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (_lines)
            {
                _lines.Add(formatter(state, exception));
            }
        }
    }
}
