namespace Pengx.Core.Tests;

public sealed class IdentifierTests
{
    private const string Canonical = "bed05d84-7c44-4720-9588-57cbd8ecef8c";

    public static TheoryData<string, Func<string?, string?>> Kinds => new()
    {
        { "VM", text => VmId.TryParse(text, out var id) ? id.ToString() : null },
        { "template", text => TemplateId.TryParse(text, out var id) ? id.ToString() : null },
        { "disk", text => DiskId.TryParse(text, out var id) ? id.ToString() : null },
        { "PM", text => PmId.TryParse(text, out var id) ? id.ToString() : null },
        { "snapshot", text => SnapshotId.TryParse(text, out var id) ? id.ToString() : null },
        { "backup", text => BackupId.TryParse(text, out var id) ? id.ToString() : null },
        { "domain", text => DomainId.TryParse(text, out var id) ? id.ToString() : null },
    };

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_uuid_is_read_in_any_form_and_written_in_one(string kind, Func<string?, string?> read)
    {
        Assert.NotEmpty(kind);
        Assert.Equal(Canonical, read(Canonical));
        Assert.Equal(Canonical, read(" BED05D84-7C44-4720-9588-57CBD8ECEF8C\t"));
        Assert.Equal(Canonical, read("bed05d847c444720958857cbd8ecef8c"));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Anything_else_is_refused(string kind, Func<string?, string?> read)
    {
        Assert.NotEmpty(kind);
        foreach (var text in new[] { null, "", "x", $"{{{Canonical}}}", $"({Canonical})", Canonical[1..], $"../{Canonical}", $"{Canonical}; $(reboot)", new string('a', 10_000) })
        {
            Assert.Null(read(text));
        }
    }

    [Theory]
    [InlineData("1", 1)]
    [InlineData(" 2147483647 ", int.MaxValue)]
    [InlineData("007", 7)]
    public void A_number_is_read(string text, int expected)
    {
        Assert.True(StorlinkId.TryParse(text, out var storlink));
        Assert.True(VmInterfaceId.TryParse(text, out var nic));
        Assert.Equal((expected, expected), (storlink.Value, nic.Value));
        Assert.Equal(($"{expected}", $"{expected}"), (storlink.ToString(), nic.ToString()));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("+1")]
    [InlineData("1.0")]
    [InlineData("1,000")]
    [InlineData("0x1")]
    [InlineData("2147483648")]
    public void A_number_that_is_none_is_refused(string? text)
    {
        Assert.False(StorlinkId.TryParse(text, out _));
        Assert.False(VmInterfaceId.TryParse(text, out _));
    }

    [Fact]
    public void Fresh_identifiers_differ_and_become_domains()
    {
        Assert.NotEqual(VmId.New(), VmId.New());
        var vm = VmId.New();
        var template = TemplateId.New();
        DomainId fromVm = vm;
        DomainId fromTemplate = template;

        Assert.Equal((vm.Value, template.Value), (fromVm.Value, fromTemplate.Value));
    }
}
