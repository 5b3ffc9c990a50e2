namespace Pengx.Storage.Tests;

/// <summary>What a test of the RBD backend works with; at its end the pool is as empty as before.</summary>
internal sealed class RbdBench(CephCluster cluster, string pool) : IAsyncDisposable
{
    private readonly string _directory = Path.Combine(Path.GetTempPath(), "rbd-" + Guid.NewGuid().ToString("N")[..8]);

    public CephOptions Options => field ??= cluster.Options(Directory.CreateDirectory(_directory).FullName);

    public RbdStorage Storage => field ??= Create(Options);

    public Storlink Storlink { get; } = new()
    {
        Id = new(7),
        Pm = PmId.New(),
        Name = "ceph",
        Link = pool,
        Type = StorlinkType.Ceph,
        Level = StorlinkLevel.Object,
        Shared = true,
    };

    public static RbdStorage Create(CephOptions options) => new(new ProcessRunner(), options);

    public string PathOf(string name) => Path.Combine(Directory.CreateDirectory(_directory).FullName, name);

    public async Task<IReadOnlyList<VolumeEntry>> ListAsync(CancellationToken cancellationToken)
    {
        List<VolumeEntry> entries = [];
        await foreach (var entry in Storage.ListAsync(Storlink, cancellationToken))
        {
            entries.Add(entry);
        }

        return entries;
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            // A clone goes before what it is made from.
            List<DiskId> left = [.. (await ListAsync(CancellationToken.None)).Select(entry => entry.Disk).Distinct()];
            for (var before = left.Count + 1; left.Count > 0 && left.Count < before;)
            {
                before = left.Count;
                var removed = await Task.WhenAll(left.Select(TryDeleteAsync));
                left = [.. left.Where((_, index) => !removed[index])];
            }

            Assert.Empty(await ListAsync(CancellationToken.None));
        }
        catch (Exception exception) when (exception is UnavailableException or ProcessFailedException or StorageException)
        {
            // There is no cluster, or the test has failed already.
        }

        if (Directory.Exists(_directory))
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    private async Task<bool> TryDeleteAsync(DiskId disk)
    {
        try
        {
            await Storage.DetachAsync(Storlink, disk, CancellationToken.None);
            await Storage.DeleteAsync(Storlink, disk, CancellationToken.None);
            return true;
        }
        catch (InUseException)
        {
            return false;
        }
    }
}
