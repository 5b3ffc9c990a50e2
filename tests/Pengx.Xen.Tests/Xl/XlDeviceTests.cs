using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>Disks and interfaces as xl specifies them, beside the real xl.</summary>
public sealed class XlDeviceTests
{
    private static readonly string[] s_diskTokens =
    [
        "format=raw", "format=qcow2", "format=", "format=vmdk", "vdev=xvda", "vdev=hdc", "access=rw", "access=ro", "access=w", "access=x", "devtype=cdrom", "devtype=disk", "devtype=tape", "cdrom",
        "backendtype=phy", "backendtype=qdisk", "backendtype=zfs", "script=block-a", "discard", "no-discard", "direct-io-safe", "target=/a b,c=d", "target=", "raw", "qcow2", "xvdb", "hdc:cdrom", "xvdb:disk",
        "hda:tape", "w", "r", "", " ", "/srv/a.img", "/srv/a:b.img", "raw:/srv/a.img", "qcow2:/srv/b", "phy:/dev/vg/lv", "file:/a", "nbd:host:1", "drbd:res", "aio:", "foo:", "foo:bar", "foo=bar", "é", "backend=dom",
    ];

    private static readonly string[] s_vifTokens =
    [
        "mac=00:16:3e:01:02:03", "mac=00-16-3E-01-02-ff", "mac=0.16.3e.1.2.3", "mac=zz", "bridge=xenbr0", "bridge=a b", "bridge=", "script=vif-x", "model=e1000", "ip=10.0.0.1", "type=ioemu", "type=vif", "vifname=eth9",
        "gatewaydev=g", "backend=d", "trusted", " bridge=late", "", " ",
    ];

    public static TheoryData<string, XlDisk> Disks => new()
    {
        { "/dev/vg/guest-volume,,hda", new() { Vdev = "hda", Target = "/dev/vg/guest-volume" } },
        { "/dev/vg/guest-volume,raw,hda,rw", new() { Vdev = "hda", Target = "/dev/vg/guest-volume" } },
        { "format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume", new() { Vdev = "hda", Target = "/dev/vg/guest-volume" } },
        { "raw:/dev/vg/guest-volume,hda,w", new() { Vdev = "hda", Target = "/dev/vg/guest-volume" } },
        { "/root/image.iso,,hdc,cdrom", new() { Vdev = "hdc", Target = "/root/image.iso", IsCdrom = true, ReadOnly = true } },
        { "raw:/root/image.iso,hdc:cdrom,ro", new() { Vdev = "hdc", Target = "/root/image.iso", IsCdrom = true, ReadOnly = true } },
        { ",hdc:cdrom,r", new() { Vdev = "hdc", Target = "", Format = "empty", IsCdrom = true, ReadOnly = true } },
        { "devtype=cdrom,,,hdc", new() { Vdev = "hdc", Target = "", Format = "empty", IsCdrom = true, ReadOnly = true } },
        { "vdev=hdc,access=r,devtype=cdrom", new() { Vdev = "hdc", Target = "", Format = "empty", IsCdrom = true, ReadOnly = true } },
        { "drbd:app01,hda,w", new() { Vdev = "hda", Target = "app01", Script = "block-drbd" } },
        { "iscsi:iqn.2001-05.com.example:0-8a,xvda,w", new() { Vdev = "xvda", Target = "iqn.2001-05.com.example:0-8a", Script = "block-iscsi" } },
        { "backendtype=phy,vdev=xvdb,discard,access=ro,target=/dev/vg/a, b ", new() { Vdev = "xvdb", Target = "/dev/vg/a, b ", BackendType = "phy", ReadOnly = true, Others = ["discard"] } },
    };

    [Theory]
    [MemberData(nameof(Disks), DisableDiscoveryEnumeration = true)]
    public void The_forms_of_a_disk_are_read(string specification, XlDisk disk)
    {
        Assert.Equal(disk, XlDisk.Parse(specification));
        Assert.Equal(disk, XlDisk.Parse(disk.ToSpecification()));
    }

    [Fact]
    public async Task Disks_are_read_as_xl_reads_them()
    {
        XenTools.Require();
        int taken = 0, refused = 0;
        var specifications = Gen.Frequency(
            (1, Hostile.Pick(s_diskTokens).Array[1, 5].Select(tokens => string.Join(',', tokens))),
            (1, Gen.Select(Hostile.Pick("/srv/a.img", "phy:/dev/vg/lv", "", "/a b"), Hostile.Pick("raw", "", "qcow2", "xvda"), Hostile.Pick("xvda", "hdc:cdrom", "hdd"), Hostile.Pick("", ",w", ",r", ",cdrom", ",rw,x"))
                .Select((target, format, vdev, rest) => $"{target},{format},{vdev}{rest}")));
        await specifications.SampleAsync(
            async specification =>
            {
                XlDisk? disk = null;
                try
                {
                    disk = XlDisk.Parse(specification);
                }
                catch (XlConfigException)
                {
                }

                var result = await RealXl.RunAsync((string[])["block-attach", "7", specification]);
                Assert.True((disk is null) == (result.ExitCode != 0), $"'{specification}': ours {(disk is null ? "refused" : "read")}, xl {result.ExitCode}: {result.Error}");
                if (disk is null)
                {
                    Interlocked.Increment(ref refused);
                    return;
                }

                // What libxl does not print in this form (flags, another backend) is left out of the comparison.
                var asked = Assert.Single(RealXl.ReadAsked(result.Output));
                Assert.Equal(XlDomainDetails.ReadDisk(asked.Json), disk with { Others = [] });
                Assert.Equal(disk, XlDisk.Parse(disk.ToSpecification()));
                Interlocked.Increment(ref taken);
            },
            iter: 250);
        Assert.True(taken >= 30 && refused >= 30, $"{taken} taken, {refused} refused");
    }

    [Fact]
    public async Task Interfaces_are_read_as_xl_reads_them_from_a_file()
    {
        XenTools.Require();
        var taken = 0;
        await Hostile.Pick(s_vifTokens).Array[0, 5].Select(tokens => string.Join(',', tokens)).SampleAsync(
            async specification =>
            {
                XlVif vif;
                try
                {
                    vif = XlVif.Parse(specification);
                }
                catch (XlConfigException)
                {
                    Assert.Contains("mac=zz", specification, StringComparison.Ordinal);
                    return;
                }

                var (config, error) = await RealXl.ReadConfigAsync(
                    $"name=\"x\"\ntype=\"pv\"\nkernel=\"/k\"\nmemory=1\nvif = {XlConfigValue.FromItems(specification)}\n");
                Assert.True(config is not null, error);
                Assert.Equal(Assert.Single(XlDomainDetails.Read(config.Value, 1).Vifs), vif with { Others = [] });
                Interlocked.Increment(ref taken);
            },
            iter: 120);
        Assert.True(taken >= 30, $"{taken} taken");
    }

    [Fact]
    public void A_disk_that_would_be_read_as_another_is_refused()
    {
        XlDisk[] disks =
        [
            new() { Vdev = "xvda,target=/etc/shadow", Target = "/a" },
            new() { Vdev = " xvda", Target = "/a", Format = "raw,discard" },
            new() { Vdev = "xvda", Target = "/a", BackendType = "phy,discard" },
            new() { Vdev = "xvda", Target = "/a", Script = "x,target=/b" },
            new() { Vdev = "xvda", Target = "/a", Others = ["target=/b"] },
            new() { Vdev = "xvda", Target = "/a", Others = ["discard,trusted"] },
            new() { Vdev = "xvda", Target = "/a\nb" },
            new() { Vdev = "xvda", Target = "/a", Format = "vmdk" },
        ];
        foreach (var disk in disks)
        {
            Assert.Equal("disk", Assert.Throws<InvalidFieldException>(() => disk.ToSpecification()).Field);
        }
    }

    [Fact]
    public void An_interface_that_would_be_read_as_another_is_refused()
    {
        XlVif[] vifs =
        [
            new() { Bridge = "br0,script=/bin/sh" },
            new() { Bridge = "br0", Others = ["script=/bin/sh"] },
            new() { Others = [" ip=1"] },
            new() { Others = ["mac=zz"] },
            new() { Model = "a\nb" },
        ];
        foreach (var vif in vifs)
        {
            Assert.Equal("vif", Assert.Throws<InvalidFieldException>(() => vif.ToSpecification()).Field);
        }
    }

    [Fact]
    public async Task A_comma_at_the_end_of_a_path_is_kept()
    {
        XenTools.Require();
        var disk = new XlDisk { Vdev = "xvda", Format = "qcow2", Target = "/srv/a,,", BackendType = "qdisk" };

        var asked = Assert.Single(await RealXl.AskAsync(XlCommand.AttachDisk(7, disk)));

        Assert.Equal("/srv/a,,", XlDomainDetails.ReadDisk(asked.Json).Target);
    }
}
