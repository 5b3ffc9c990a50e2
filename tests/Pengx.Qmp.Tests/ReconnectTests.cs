using System.Text.Json.Nodes;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

public sealed class ReconnectTests : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-qmp-").FullName;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string SocketPath => Path.Combine(_directory, "fake");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_loss_fails_what_is_in_flight_and_the_next_session_tells_the_gap_and_the_jobs()
    {
        FakeQmpServer first = FakeQmpServer.Listen(SocketPath);
        Task<ReconnectingQmpClient> connecting = ReconnectingQmpClient.ConnectAsync(QmpEndPoint.Unix(SocketPath), Quick(), Stop);
        await first.AcceptAsync(Stop);
        await first.NegotiateAsync(Stop);
        await using ReconnectingQmpClient client = await connecting.WaitAsync(s_limit, Stop);
        using QmpEventSubscription events = client.Subscribe(QmpEventFilter.Named(QmpEventNames.Stop));
        await first.RaiseAsync(QmpEventNames.Stop, cancellationToken: Stop);
        Assert.True(await events.WaitToReadAsync(Stop).AsTask().WaitAsync(s_limit, Stop));
        Assert.True(events.TryRead(out _));
        Task inFlight = client.ExecuteAsync(QmpCommands.Cont, Stop);
        Assert.Equal("cont", (await first.ReceiveAsync(Stop)).Command);

        await first.DisposeAsync();

        await Assert.ThrowsAsync<QmpDisconnectedException>(() => inFlight.WaitAsync(s_limit, Stop));
        await using IAsyncEnumerator<QmpConnectionChange> changes = client.Changes.GetAsyncEnumerator(Stop);
        Assert.True(await changes.MoveNextAsync().AsTask().WaitAsync(s_limit, Stop));
        Assert.Equal((QmpConnectionState.Connecting, 1), (changes.Current.State, changes.Current.Session));
        Assert.IsType<QmpDisconnectedException>(changes.Current.Reason);
        await Assert.ThrowsAsync<QmpDisconnectedException>(() => client.ExecuteAsync(QmpCommands.Cont, Stop));

        await using FakeQmpServer second = FakeQmpServer.Listen(SocketPath);
        await second.AcceptAsync(Stop);
        await second.NegotiateAsync(Stop);
        FakeQmpRequest jobs = await second.ReceiveAsync(Stop);
        Assert.Equal("query-jobs", jobs.Command);
        await second.ReplyAsync(jobs, """[{"id": "mirror-d1", "type": "mirror", "status": "running", "current-progress": 1, "total-progress": 2}]""", Stop);
        Assert.True(await changes.MoveNextAsync().AsTask().WaitAsync(s_limit, Stop));
        Assert.Equal((QmpConnectionState.Ready, 2), (changes.Current.State, changes.Current.Session));
        Assert.NotNull(changes.Current.BlindSince);
        Assert.Equal("mirror-d1", Assert.Single(changes.Current.Jobs).Id);
        Assert.Equal(QmpConnectionState.Ready, client.State);

        // The lost command is not sent again; the subscription goes on and knows of the gap.
        await second.RaiseAsync(QmpEventNames.Stop, cancellationToken: Stop);
        Assert.True(await events.WaitToReadAsync(Stop).AsTask().WaitAsync(s_limit, Stop));
        Assert.Equal(1, events.Gaps);
        Task status = client.ExecuteAsync(QmpCommands.Stop, Stop);
        FakeQmpRequest next = await second.ReceiveAsync(Stop);
        Assert.Equal("stop", next.Command);
        await second.ReplyAsync(next, cancellationToken: Stop);
        await status.WaitAsync(s_limit, Stop);
    }

    [Fact]
    public async Task It_is_given_up_after_the_attempts_that_the_policy_allows()
    {
        FakeQmpServer server = FakeQmpServer.Listen(SocketPath);
        QmpReconnectOptions policy = Quick();
        policy.MaxAttempts = 3;
        Task<ReconnectingQmpClient> connecting = ReconnectingQmpClient.ConnectAsync(QmpEndPoint.Unix(SocketPath), policy, Stop);
        await server.AcceptAsync(Stop);
        await server.NegotiateAsync(Stop);
        await using ReconnectingQmpClient client = await connecting.WaitAsync(s_limit, Stop);
        using QmpEventSubscription events = client.Subscribe();

        await server.DisposeAsync();

        await Assert.ThrowsAsync<QmpConnectException>(() => client.Completion.WaitAsync(s_limit, Stop));
        Assert.Equal(QmpConnectionState.Closed, client.State);
        await Assert.ThrowsAsync<QmpConnectException>(async () => await events.WaitToReadAsync(Stop).AsTask().WaitAsync(s_limit, Stop));
        List<QmpConnectionState> states = [];
        await foreach (QmpConnectionChange change in client.Changes.WithCancellation(Stop))
        {
            states.Add(change.State);
        }

        Assert.Equal([QmpConnectionState.Connecting, QmpConnectionState.Closed], states);
    }

    [Fact]
    public async Task A_job_of_a_real_qemu_is_taken_up_after_the_connection_was_lost()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        await using RealMonitor monitor = new();
        await using (QmpClient first = await monitor.StartAsync("none"))
        {
            foreach (string node in (string[])["n0", "n1"])
            {
                await first.ExecuteAsync(QmpCommands.BlockdevAdd, QmpArguments.Create(new JsonObject { ["driver"] = "null-co", ["node-name"] = node, ["size"] = 64 << 20 }), Stop);
            }

            await new QmpJobEngine(first).StartAsync(
                "move", "blockdev-mirror", new JsonObject { ["device"] = "n0", ["target"] = "n1", ["sync"] = "full", ["speed"] = 1 << 20 }, Stop);
        }

        await using ReconnectingQmpClient second = await ReconnectingQmpClient.ConnectAsync(QmpEndPoint.Unix(monitor.SocketPath), cancellationToken: Stop);
        QmpJobEngine jobs = new(second);
        QmpJob job = (await jobs.FindAsync("move", Stop))!;
        Assert.Null(await jobs.FindAsync("other", Stop));
        await job.CancelAsync(Stop);
        QmpJobException cancelled = await Assert.ThrowsAsync<QmpJobException>(() => job.WaitAsync(cancellationToken: Stop).WaitAsync(s_limit, Stop));
        Assert.True(cancelled.IsCancelled);
        Assert.Empty(await jobs.ListAsync(Stop));
        await second.ExecuteAsync(QmpCommands.Quit, Stop);
        await second.Completion.WaitAsync(s_limit, Stop);
        Assert.Equal(QmpConnectionState.Closed, second.State);
    }

    private static QmpReconnectOptions Quick() => new() { FirstDelay = TimeSpan.FromMilliseconds(20), LongestDelay = TimeSpan.FromMilliseconds(50) };
}
