namespace Pengx.Core.Tests;

public sealed class DomainDefinitionTests
{
    [Fact]
    public void Text_of_a_definition_shows_everything_but_the_password()
    {
        var disk = DiskId.New();
        var definition = new DomainDefinition
        {
            Id = DomainId.New(),
            Name = "web",
            Cpus = 2,
            MaxCpus = 4,
            Memory = DataSize.FromMiB(64),
            MaxMemory = DataSize.FromMiB(128),
            Disks = [new() { Id = disk, Layers = [new(new FileLocation("/srv/a.raw"), DiskFormat.Raw)], Vdev = "xvda" }],
            Nics = [new() { Mac = MacAddress.NewXen(), Switch = "xenbr0" }],
            VncPassword = "secret42",
            IsoPath = "/srv/a.iso",
        };
        var text = $"{definition}";
        Assert.DoesNotContain("secret42", text, StringComparison.Ordinal);
        Assert.Contains("VncPassword = ***", text, StringComparison.Ordinal);
        foreach (var shown in new[] { definition.Id.ToString(), "web", disk.ToString(), "/srv/a.raw", "xenbr0", "/srv/a.iso", "MaxCpus = 4" })
        {
            Assert.Contains(shown, text, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("***", $"{definition with { VncPassword = null }}", StringComparison.Ordinal);
    }
}
