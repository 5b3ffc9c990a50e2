namespace Pengx.Core.Tests;

public sealed class BackingReferenceTests
{
    private static readonly RbdLocation s_full = new("pool", "image") { ConfigurationFile = "/etc/a.conf", User = "vms" };

    [Fact]
    public void One_form_is_written_and_read_back()
    {
        Assert.Equal("""json:{"file":{"driver":"rbd","pool":"pool","image":"image","conf":"/etc/a.conf","user":"vms"}}""", BackingReference.Write(s_full));
        foreach (var location in new[] { s_full, new("p", "i"), new("a\"b", "x:y@z/\\") { User = "u" } })
        {
            Assert.Equal(location, BackingReference.ReadRbd(BackingReference.Write(location)));
        }

        Assert.Equal("/a b", BackingReference.Write(new FileLocation("/a b")));
        Assert.Equal("/dev/vg/lv", BackingReference.Write(new BlockLocation("/dev/vg/lv")));
    }

    [Theory]
    [InlineData("""json:{"driver": "raw", "file": {"pool": "pool", "image": "image", "conf": "/etc/a.conf", "driver": "rbd", "user": "vms"}}""")]
    [InlineData("""json:{"driver": "qcow2", "file": {"pool": "pool", "image": "image", "conf": "/etc/a.conf", "driver": "rbd", "user": "vms"}}""")]
    [InlineData("""json:{"pool": "pool", "image": "image", "conf": "/etc/a.conf", "driver": "rbd", "user": "vms"}""")]
    [InlineData("""json:{"driver": "raw", "file.driver": "rbd", "file.pool": "pool", "file.image": "image", "file.conf": "/etc/a.conf", "file.user": "vms"}""")]
    [InlineData("""json:{"file":{"driver":"rbd","pool":"pool","image":"image","conf":"/etc/a.conf","user":"vms","cache":{"direct":true}}}""")]
    [InlineData("rbd:pool/image:conf=/etc/a.conf:id=vms")]
    [InlineData("rbd:po\\ol/image:id=vms:conf=/etc/a.conf")]
    public void Every_form_of_QEMUs_is_read(string name) => Assert.Equal(s_full, BackingReference.ReadRbd(name));

    [Theory]
    [InlineData("/srv/image")]
    [InlineData("")]
    [InlineData("json:")]
    [InlineData("json:{")]
    [InlineData("json:[]")]
    [InlineData("json:\"rbd\"")]
    [InlineData("""json:{"file":{"driver":"file","filename":"/etc/passwd"}}""")]
    [InlineData("""json:{"file":{"driver":"rbd","pool":"pool"}}""")]
    [InlineData("""json:{"file":{"driver":"rbd","pool":"","image":"i"}}""")]
    [InlineData("""json:{"file":{"driver":"rbd","pool":"pool","image":"i","snapshot":"s"}}""")]
    [InlineData("""json:{"file":{"driver":"rbd","pool":"pool","image":"i","namespace":"n"}}""")]
    [InlineData("""json:{"file":{"driver":"rbd","pool":"pool","image":"i","server":[{"host":"evil","port":"1"}]}}""")]
    [InlineData("""json:{"driver":"nbd","file":{"driver":"rbd","pool":"pool","image":"i"}}""")]
    [InlineData("""json:{"file":{"driver":"rbd","pool":"pool","image":"i"},"backing":{"driver":"file","filename":"/etc/passwd"}}""")]
    [InlineData("rbd:pool")]
    [InlineData("rbd:pool/image@snapshot")]
    [InlineData("rbd:pool/namespace/image")]
    [InlineData("rbd:pool/image:mon_host=10.0.0.1")]
    [InlineData("nbd:unix:/x")]
    public void What_is_no_whole_RBD_image_is_not_taken_for_one(string name) => Assert.Null(BackingReference.ReadRbd(name));
}
