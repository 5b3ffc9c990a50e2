namespace Pengx.Client.Tests;

public sealed class OperationTests
{
    private static readonly Guid A = Guid.Parse("aaaaaaaa-0000-4000-8000-00000000000a");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Waiting_ends_with_the_operation_and_tells_each_change_once()
    {
        string[] answers =
        [
            Operation("PENDING", 0), Operation("RUNNING", 40), Operation("RUNNING", 40),
            RawServer.Result(false, "restarting", "503 Service Unavailable"), Operation("RUNNING", 80), Operation("succeeded", 100),
        ];
        var (operation, seen) = await WaitAsync(answers);
        Assert.True(operation.IsSucceeded);
        Assert.Equal([0, 40, 80, 100], seen.Select(known => known.Progress));
    }

    [Theory]
    [InlineData("FAILED")]
    [InlineData("CANCELLED")]
    public async Task A_failed_operation_is_an_error_that_carries_it(string state)
    {
        var error = await Assert.ThrowsAsync<PengxApiException>(() => WaitAsync([Operation("RUNNING", 1), Operation(state, 2, "disk full")]));
        Assert.Equal((PengxApiFailure.OperationFailed, "disk full"), (error.Failure, error.Message));
        Assert.Equal(state, error.Operation!.State);
        Assert.False(error.IsTransient);
    }

    [Fact]
    public async Task An_unknown_operation_is_not_waited_for()
    {
        var error = await Assert.ThrowsAsync<PengxApiException>(() => WaitAsync([RawServer.Result(false, "no such operation", "404 Not Found")]));
        Assert.Equal(PengxErrorCode.NotFound, error.Code);
    }

    [Fact]
    public async Task A_server_that_stays_away_is_given_up()
    {
        var error = await Assert.ThrowsAsync<PengxApiException>(
            () => WaitAsync([Operation("RUNNING", 1), RawServer.Result(false, "away", "503 Service Unavailable")]));
        Assert.Equal("away", error.Message);
    }

    [Fact]
    public async Task Waiting_can_be_cancelled()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        await using var server = new RawServer(Operation("RUNNING", 1));
        var wait = Clients.Of(server).Operations.WaitAsync(A, new Immediate(_ => cancel.Cancel()), cancel.Token);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wait);
    }

    private static string Operation(string state, int progress, string message = "") =>
        RawServer.Xml($"<operation id='{A}'><state>{state}</state><progress>{progress}</progress><message>{message}</message></operation>");

    /// <summary>Waits on a clock that jumps from poll to poll; the last answer is repeated.</summary>
    private static async Task<(OperationResource Operation, List<OperationResource> Seen)> WaitAsync(string[] answers)
    {
        var asked = 0;
        await using var server = new RawServer((_, answer) => answer.WriteAsync(answers[Math.Min(asked++, answers.Length - 1)]));
        var client = Clients.Of(server, options => options.Timeout = TimeSpan.FromSeconds(10), new SkippingClock(TimeSpan.FromSeconds(1)));
        var seen = new List<OperationResource>();
        return (await client.Operations.WaitAsync(A, new Immediate(seen.Add), Token), seen);
    }

    private sealed class Immediate(Action<OperationResource> report) : IProgress<OperationResource>
    {
        public void Report(OperationResource value) => report(value);
    }
}
