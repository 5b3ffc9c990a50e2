namespace Pengx.Core.Tests;

public sealed class DiskTests
{
    private static readonly DiskId Id = new(Guid.Parse("bed05d84-7c44-4720-9588-57cbd8ecef8c"));

    [Theory]
    [InlineData(StorlinkLevel.File, "/srv/images", DiskFormat.Qcow2, "/srv/images/bed05d84-7c44-4720-9588-57cbd8ecef8c.qcow2")]
    [InlineData(StorlinkLevel.File, "/srv/images/", DiskFormat.Raw, "/srv/images/bed05d84-7c44-4720-9588-57cbd8ecef8c.raw")]
    [InlineData(StorlinkLevel.Block, "/dev/vg", DiskFormat.Raw, "/dev/vg/bed05d84-7c44-4720-9588-57cbd8ecef8c")]
    [InlineData(StorlinkLevel.Object, "pool", DiskFormat.Raw, "pool/bed05d84-7c44-4720-9588-57cbd8ecef8c")]
    public void A_disk_lies_where_its_storage_link_and_uuid_say(StorlinkLevel level, string link, DiskFormat format, string expected) =>
        Assert.Equal(expected, Make.Disk(Id, DiskOwner.Of(VmId.New()), 0, format).Path(Make.Storlink(1, link, level)));

    [Fact]
    public void The_path_on_another_storage_link_is_no_question() =>
        Assert.Throws<ArgumentException>(() => Make.Disk(Id, DiskOwner.Of(VmId.New()), 0).Path(Make.Storlink(2, "/x")));

    [Fact]
    public void Devices_are_given_in_order_and_never_the_CD_ROM_s()
    {
        var devices = Enumerable.Range(0, Vdev.MaxDisks).Select(Vdev.At).ToList();

        Assert.Equal(["xvda", "xvdb", "xvdd", "xvde"], devices[..4]);
        Assert.Equal("xvdz", devices[^1]);
        Assert.DoesNotContain("xvdc", devices);
        Assert.Equal(Vdev.MaxDisks, devices.Distinct().Count());
        Assert.Throws<ArgumentOutOfRangeException>(() => Vdev.At(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Vdev.At(Vdev.MaxDisks));
    }

    [Theory]
    [InlineData("raw", DiskFormat.Raw)]
    [InlineData(" QCOW2 ", DiskFormat.Qcow2)]
    public void A_format_is_read_in_any_case(string text, DiskFormat expected)
    {
        Assert.True(DiskFormatNames.TryParse(text, out var format));
        Assert.Equal(expected, format);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("vmdk")]
    [InlineData("1")]
    public void Another_format_is_refused(string? text) => Assert.False(DiskFormatNames.TryParse(text, out _));

    [Fact]
    public void Formats_have_the_tools_names()
    {
        Assert.Equal(("raw", "qcow2"), (DiskFormat.Raw.Name, DiskFormat.Qcow2.Name));
        Assert.Throws<ArgumentOutOfRangeException>(() => ((DiskFormat)9).Name);
    }

    [Fact]
    public void Owners_of_different_kinds_differ_even_under_one_uuid()
    {
        var uuid = Guid.NewGuid();
        DiskOwner[] owners = [DiskOwner.Of(new VmId(uuid)), DiskOwner.Of(new SnapshotId(uuid)), DiskOwner.Of(new BackupId(uuid)), DiskOwner.Of(new TemplateId(uuid))];

        Assert.Equal(4, owners.Distinct().Count());
        Assert.All(owners, owner => Assert.Equal(uuid, owner.Id));
    }
}
