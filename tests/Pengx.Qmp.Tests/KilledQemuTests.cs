namespace Pengx.Qmp.Tests;

public sealed class KilledQemuTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_qemu_that_dies_amid_a_job_is_told_as_unknown_and_the_old_disk_has_everything()
    {
        await using RunningGuest guest = new();
        await guest.EnsureStartedAsync();
        QmpBlockOperations operations = new(new QmpJobEngine(guest.Client));
        string file = await guest.NewImageAsync("target");
        QmpMirror mirror = await operations.StartMirrorAsync(
            [new QmpMirrorDisk("d1", QmpBlockTarget.File("target", file, "qcow2"))], options: new QmpBlockJobOptions { BytesPerSecond = 1 << 20 }, cancellationToken: Stop);
        Task waiting = mirror.WaitReadyAsync(Stop);
        await guest.FlushedBeyondAsync(guest.Flushed());

        guest.Kill();

        QmpBlockOperationException failure = await Assert.ThrowsAsync<QmpBlockOperationException>(() => waiting.WaitAsync(TimeSpan.FromSeconds(20), Stop));
        Assert.Equal(QmpBlockOutcome.Unknown, failure.Outcome);
        Assert.Equal([QmpJobId.Create("mirror", "d1")], failure.JobIds);
        Assert.IsType<QmpDisconnectedException>(failure.InnerException);
        long flushed = guest.Flushed();
        Assert.True(await guest.NewestInAsync(guest.PathOf("data.qcow2"), "qcow2") >= flushed);
    }
}
