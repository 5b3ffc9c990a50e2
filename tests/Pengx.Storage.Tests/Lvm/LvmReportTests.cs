using System.Text.Json.Nodes;

namespace Pengx.Storage.Tests;

public sealed class LvmReportTests
{
    private static readonly string s_recorded = Path.Combine(AppContext.BaseDirectory, "Recorded", "lvm");

    [Fact]
    public async Task What_a_real_host_reported_is_understood()
    {
        // Recorded by lvs, vgs and pvs with all fields; a full report has the same rows together.
        JsonObject part = [];
        foreach (var (file, kind) in new[] { ("vgs.json", "vg"), ("pvs.json", "pv"), ("lvs.json", "lv") })
        {
            var text = await File.ReadAllTextAsync(Path.Combine(s_recorded, file), TestContext.Current.CancellationToken);
            part[kind] = JsonNode.Parse(text)!["report"]![0]![kind]!.DeepClone();
        }

        var report = LvmReport.Parse(new JsonObject { ["report"] = new JsonArray(part) }.ToJsonString(), "");
        var group = report.Find("vg0")!;
        Assert.Same(group, report.Find("Kw9XJ4-RPyF-nE9T-DRFs-KHe7-EEPw-kdYqfA"));
        Assert.Equal((3217031168, 2772434944, 4194304), (group.Size, group.Free, group.ExtentSize));
        Assert.Equal(("/dev/vdc", 1048576L, "vg0"), (report.PhysicalVolumes[0].Name, report.PhysicalVolumes[0].Start, report.PhysicalVolumes[0].VolumeGroup));

        var pool = group.Find("tp")!;
        Assert.True(pool.IsThinPool);
        Assert.Equal((0.00m, 10.94m, "queue"), (pool.DataPercent, pool.MetadataPercent, pool.WhenFull));
        var thin = group.Find("th1s")!;
        Assert.True(thin is { IsThin: true, IsThinPool: false, Pool: "tp", Origin: "th1", Size: 536870912 });
        Assert.True(group.Find("lv1") is { IsThin: false, IsThinPool: false, DataPercent: null, Open: false });
        Assert.Contains(group.LogicalVolumes, volume => volume.IsInternal);
    }

    [Fact]
    public void What_is_wrong_is_told_and_noise_is_not() => Assert.Equal(
        ["WARNING: wrong checksum 0 in mda header on /dev/sdb at 4096", "WARNING: Couldn't find device with uuid x."],
        LvmReport.WarningsOf(
            """
              WARNING: Activation disabled. No device-mapper interaction will be attempted.
            File descriptor 10 (/dev/null) leaked on lvm invocation. Parent PID 11365: bash
              WARNING: wrong checksum 0 in mda header on /dev/sdb at 4096
              WARNING: wrong checksum 0 in mda header on /dev/sdb at 4096
              WARNING: This metadata update is NOT backed up.
              WARNING: Couldn't find device with uuid x.
            """));

    [Theory]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("""{"report":[{"vg":[{"vg_name":"a"}]}]}""")]
    [InlineData("""{"report":[{"vg":"none"}]}""")]
    public void An_answer_that_is_none_is_an_error(string text) => Assert.Throws<StorageException>(() => LvmReport.Parse(text, ""));

    [Theory]
    [InlineData("a", true)]
    [InlineData("A.b+c_d-9", true)]
    [InlineData("", false)]
    [InlineData("-a", false)]
    [InlineData("..", false)]
    [InlineData("a/b", false)]
    [InlineData("a b", false)]
    [InlineData("snapshot1", false)]
    [InlineData("pvmove0", false)]
    [InlineData("x_tdata", false)]
    [InlineData("ü", false)]
    public void Names_are_LVMs(string name, bool valid)
    {
        if (valid)
        {
            Assert.Equal(name, LogicalVolumeName.Demand("name", name));
            return;
        }

        Assert.Contains("name", Assert.Throws<InvalidFieldException>(() => LogicalVolumeName.Demand("name", name)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Only_disks_own_names_are_disks()
    {
        var disk = DiskId.New();
        Assert.Equal(new(disk, disk.ToString(), Complete: true), LogicalVolumeName.Parse(disk.ToString()));
        Assert.Equal(new(disk, $"part-{disk}", Complete: false), LogicalVolumeName.Parse($"part-{disk}"));
        Assert.Equal(new(disk, $"del-{disk}", Complete: false), LogicalVolumeName.Parse($"del-{disk}"));
        Assert.Null(LogicalVolumeName.Parse($"x-{disk}"));
        Assert.Null(LogicalVolumeName.Parse(disk.ToString().ToUpperInvariant().Replace('0', 'A')));
        Assert.Null(LogicalVolumeName.Parse("root"));
        Assert.Null(LogicalVolumeName.Parse(""));
    }
}
