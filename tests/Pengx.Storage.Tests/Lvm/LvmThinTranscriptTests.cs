using System.Text.Json;
using Moq;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

/// <summary>A thin pool as real device-mapper makes it: recorded where there is a disk for it (into the file that
/// <c>PENGX_RECORD</c> names), replayed anywhere.</summary>
public sealed class LvmThinTranscriptTests
{
    private const string Disk = "/dev/disk0";
    private const string Group = "vg0";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_thin_pool_is_made_measured_and_fails_writes_when_full()
    {
        if (!LvmTestHost.HasLabDisk)
        {
            var lines = await File.ReadAllLinesAsync(Path.Combine(AppContext.BaseDirectory, "Recorded", "lvm", "thin-pool.jsonl"), Token);
            ReplayingProcessRunner player = new(lines, new() { Names = { [Disk] = "{disk}", [Group] = "{group}" } });
            var leases = Directory.CreateTempSubdirectory("pengx-leases-").FullName;
            try
            {
                await MakeAsync(player, new() { LeaseDirectory = leases }, Group);
            }
            finally
            {
                Directory.Delete(leases, recursive: true);
            }

            Assert.Empty(player.Remaining);
            return;
        }

        await using var host = await LvmTestHost.CreateAsync();
        StringWriter transcript = new();
        RecordingProcessRunner recorder = new(host.Runner, transcript, new() { Names = { [host.Devices[0]] = "{disk}", [host.Group] = "{group}" } });
        await MakeAsync(recorder, host.Options, host.Group);
        if (Environment.GetEnvironmentVariable("PENGX_RECORD") is { Length: > 0 } path)
        {
            await File.WriteAllTextAsync(path, transcript.ToString(), Token);
        }
    }

    [Fact]
    public async Task A_thin_pool_that_shows_what_others_held_is_not_used()
    {
        var lines = await File.ReadAllLinesAsync(Path.Combine(AppContext.BaseDirectory, "Recorded", "lvm", "thin-pool.jsonl"), Token);
        var report = JsonDocument.Parse(lines.Last(line => line.Contains("thin-pool", StringComparison.Ordinal) && line.Contains("fullreport", StringComparison.Ordinal)))
            .RootElement.GetProperty("output").GetString()!.Replace("{group}", Group, StringComparison.Ordinal).Replace("{disk}", Disk, StringComparison.Ordinal);
        var zeroes = true;
        Mock<IProcessRunner> runner = new();
        runner.Setup(port => port.RunAsync(It.IsAny<ProcessCommand>(), It.IsAny<CancellationToken>()))
            .Returns((ProcessCommand command, CancellationToken _) => Task.FromResult(new ProcessResult(
                command, 0, zeroes ? report : report.Replace("\"zero\":\"zero\"", "\"zero\":\"\"", StringComparison.Ordinal), "")));
        LvmStorage storage = new(runner.Object);
        var link = TemporaryStorlink.For($"/dev/{Group}", level: StorlinkLevel.Block);
        await storage.CheckAsync(link, Token);

        zeroes = false;
        var refused = await Assert.ThrowsAsync<StorageException>(() => storage.CheckAsync(link, Token));
        Assert.Contains("lvchange --zero y vg0/pool", refused.Message, StringComparison.Ordinal);
        StorageOrder order = new()
        {
            Verb = StorageVerb.Create,
            Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.LogicalVolume, VolumeGroupId = Group, Size = DataSize.FromMiB(64) },
            Name = "thin",
            Kind = LogicalVolumeKind.Thin,
        };
        refused = await Assert.ThrowsAsync<StorageException>(() => new LvmLayers(runner.Object).PlanAsync(order, Token));
        Assert.Contains("lvchange --zero y vg0/pool", refused.Message, StringComparison.Ordinal);
    }

    private static async Task MakeAsync(IProcessRunner runner, LvmOptions options, string group)
    {
        LvmLayers layers = new(runner, options);
        StorageOrder order = new()
        {
            Verb = StorageVerb.Create,
            Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.LogicalVolume, VolumeGroupId = group, Size = DataSize.FromMiB(512) },
            Name = "pool",
            Kind = LogicalVolumeKind.ThinPool,
        };
        var pool = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.Equal(($"{group}/pool", true, DataSize.FromMiB(512), DataSize.FromMiB(512)), (pool.Name, pool.Attached, pool.Layer.Size, pool.Layer.Free));
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);

        // The group has a pool for disks now: its figures are the storage link's.
        LvmStorage storage = new(runner, options);
        var link = TemporaryStorlink.For($"/dev/{group}", level: StorlinkLevel.Block);
        await storage.CheckAsync(link, Token);
        Assert.Equal(new(DataSize.FromMiB(512), DataSize.FromMiB(512)), await storage.MeasureAsync(link, Token));

        order = order with { Verb = StorageVerb.Create, Name = "thin", Kind = LogicalVolumeKind.Thin };
        var plan = await layers.PlanAsync(order with { Layer = order.Layer with { Size = DataSize.FromMiB(4096) } }, Token);
        Assert.Contains($"lvcreate --yes -an -ky --type thin -n thin -V 4294967296b --thinpool pool --addtag pengx {group}", plan.ToString(), StringComparison.Ordinal);
    }
}
