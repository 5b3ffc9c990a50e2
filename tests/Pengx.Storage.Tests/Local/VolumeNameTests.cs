namespace Pengx.Storage.Tests;

public sealed class VolumeNameTests
{
    private const string Uuid = "bed05d84-7c44-4720-9588-57cbd8ecef8c";

    [Theory]
    [InlineData(Uuid, true)]
    [InlineData(Uuid + ".raw", true)]
    [InlineData(Uuid + ".qcow2", true)]
    [InlineData("." + Uuid + ".raw.part-12ab", false)]
    [InlineData("." + Uuid + ".qcow2.trash-12ab", false)]
    [InlineData("." + Uuid + ".trash-12ab", false)]
    public void Our_names_are_read(string name, bool complete) =>
        Assert.Equal(new VolumeEntry(new(Guid.Parse(Uuid)), name, complete), VolumeName.Parse(name));

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData(Uuid + ".vmdk")]
    [InlineData(Uuid + ".raw~")]
    [InlineData("." + Uuid + ".raw")]
    [InlineData("." + Uuid)]
    [InlineData("BED05D84-7c44-4720-9588-57cbd8ecef8c.raw")]
    [InlineData("bed05d847c444720958857cbd8ecef8c.raw")]
    [InlineData("x" + Uuid)]
    public void Strangers_names_are_not(string name) => Assert.Null(VolumeName.Parse(name));

    [Fact]
    public void Hidden_names_are_read_back()
    {
        var disk = DiskId.New();
        Assert.Equal((disk, false), (VolumeName.Parse(VolumeName.NewPart(disk, DiskFormat.Raw))!.Disk, VolumeName.Parse(VolumeName.NewPart(disk, DiskFormat.Raw))!.Complete));
        Assert.All(VolumeName.Finals(disk), name => Assert.False(VolumeName.Parse(VolumeName.NewTrash(name))!.Complete));
    }

    [Theory]
    [InlineData("/srv/images", "/srv/images")]
    [InlineData("/srv/images/deep", "/srv/images")]
    [InlineData("/srv/images2", "/srv")]
    [InlineData("/with blank/x", "/with blank")]
    [InlineData("/var", "/")]
    public void A_path_lies_under_the_longest_mount_point(string path, string expected)
    {
        string[] table =
        [
            "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
            "23 22 0:21 / /srv rw - ext4 /dev/vdb rw",
            "24 23 0:22 / /srv/images rw shared:1 - nfs4 server:/images rw",
            @"25 22 0:23 / /with\040blank rw - tmpfs tmpfs rw",
            "short line",
        ];
        Assert.Equal(expected, MountTable.FindOf(path, table)?.Point);
    }
}
