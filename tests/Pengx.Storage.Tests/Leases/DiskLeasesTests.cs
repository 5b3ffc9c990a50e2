namespace Pengx.Storage.Tests;

public sealed class DiskLeasesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-leases-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task One_holds_a_lease_at_a_time_and_the_next_gets_it()
    {
        // Two objects, as two processes would have.
        var (first, second) = (new DiskLeases(_directory), new DiskLeases(_directory));
        var lease = await first.AcquireAsync("a", TimeSpan.FromSeconds(1), Token);
        using var other = await second.AcquireAsync("b", TimeSpan.FromSeconds(1), Token);
        var waiting = second.AcquireAsync("a", TimeSpan.FromSeconds(30), Token);
        Assert.False(waiting.IsCompleted);
        lease.Dispose();
        using var passed = await waiting;

        var failure = await Assert.ThrowsAsync<InUseException>(() => first.AcquireAsync("a", TimeSpan.FromMilliseconds(50), Token));
        Assert.Contains($"process {Environment.ProcessId}", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../a")]
    [InlineData(".a")]
    [InlineData("a/b")]
    [InlineData("a b")]
    public Task A_name_that_is_a_path_is_refused(string name) =>
        Assert.ThrowsAsync<ArgumentException>(() => new DiskLeases(_directory).AcquireAsync(name, TimeSpan.FromSeconds(1), Token));

    [Fact]
    public async Task Waiting_can_be_cancelled()
    {
        DiskLeases leases = new(_directory);
        using var lease = await leases.AcquireAsync("a", TimeSpan.FromSeconds(1), Token);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var waiting = leases.AcquireAsync("a", TimeSpan.FromMinutes(1), cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }
}
