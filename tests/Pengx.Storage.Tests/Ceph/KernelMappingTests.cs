using Moq;

namespace Pengx.Storage.Tests;

/// <summary>How images that the kernel has mapped are told apart, from a tree as the kernel shows it in sysfs.</summary>
public sealed class KernelMappingTests : IDisposable
{
    private const string Image = "5fd2d4f6-8f4a-4d3c-a6cb-4cc2b4c8d1a7";
    private readonly string _sys = Directory.CreateTempSubdirectory("sys-").FullName;

    public void Dispose() => Directory.Delete(_sys, recursive: true);

    [Fact]
    public void An_image_is_known_by_pool_and_name_and_neither_by_number_nor_as_a_snapshot_or_in_a_namespace()
    {
        var mapping = Create();
        Assert.Null(mapping.Find("vms", Image));
        Map(0, "backup", Image);
        Map(1, "vms", Image, snapshot: "s1");
        Map(2, "vms", Image, space: "tenant");
        Map(3, "vms", Image + "x");
        Assert.Null(mapping.Find("vms", Image));
        Map(10, "vms", Image);
        Assert.Equal("/dev/rbd10", mapping.Find("vms", Image));
    }

    [Fact]
    public async Task What_the_tool_says_is_mapped_and_the_kernel_does_not_is_not_used()
    {
        var runner = new Mock<IProcessRunner>(MockBehavior.Strict);
        Answer(runner, "map", 0, "/dev/rbd0\n");
        Answer(runner, "device", 0, $$"""[{"id":"0","pool":"vms","namespace":"","name":"{{Image}}","snap":"-","device":"/dev/rbd0"}]""");
        var failure = await Assert.ThrowsAsync<StorageException>(() => Create(runner.Object).MapAsync("Storlink 1", "vms", Image, TestContext.Current.CancellationToken));
        Assert.Contains("/dev/rbd0", failure.Message, StringComparison.Ordinal);

        Map(0, "vms", Image);
        Assert.Equal("/dev/rbd0", await Create(runner.Object).MapAsync("Storlink 1", "vms", Image, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_device_that_is_open_or_stays_is_not_told_as_unmapped()
    {
        var runner = new Mock<IProcessRunner>(MockBehavior.Strict);
        Assert.False(await Create(runner.Object).UnmapAsync("Storlink 1", "vms", Image, TestContext.Current.CancellationToken));
        Map(4, "vms", Image);
        Answer(runner, "unmap", 16, "", "rbd: sysfs write failed\nrbd: unmap failed: (16) Device or resource busy\n");
        var busy = await Assert.ThrowsAsync<InUseException>(() => Create(runner.Object).UnmapAsync("Storlink 1", "vms", Image, TestContext.Current.CancellationToken));
        Assert.Contains("/dev/rbd4", busy.Message, StringComparison.Ordinal);
        Assert.Contains("Device or resource busy", busy.Message, StringComparison.Ordinal);

        Answer(runner, "unmap", 0, "");
        await Assert.ThrowsAsync<StorageException>(() => Create(runner.Object).UnmapAsync("Storlink 1", "vms", Image, TestContext.Current.CancellationToken));
        Answer(runner, "unmap", 0, "", before: () => Directory.Delete(Path.Combine(_sys, "bus/rbd/devices/4"), recursive: true));
        Assert.True(await Create(runner.Object).UnmapAsync("Storlink 1", "vms", Image, TestContext.Current.CancellationToken));
    }

    [Fact]
    public void A_mapped_image_is_called_by_pool_and_disk_whatever_its_number()
    {
        RbdDeviceName names = new(_sys);
        var path = Path.Combine(_sys, "rbd/vms", Image);
        foreach (var device in new[] { "/dev/rbd3", "/dev/rbd3", "/dev/rbd12" })
        {
            Assert.Equal(path, names.Ensure("vms", Image, device));
            Assert.Equal(device, new FileInfo(path).LinkTarget);
        }

        Assert.Equal([path], Directory.GetFileSystemEntries(Path.GetDirectoryName(path)!));
        Assert.Equal(new DiskId(Guid.Parse(Image)), names.Parse("vms", path));
        foreach (var other in new[] { Path.Combine(_sys, "rbd/other", Image), path + "-part1", Path.Combine(_sys, "rbd/vms/golden"), "/dev/rbd3", path.ToUpperInvariant() })
        {
            Assert.Null(names.Parse("vms", other));
        }

        names.Remove("vms", Image);
        names.Remove("vms", Image);
        names.Remove("nosuch", Image);
        Assert.Empty(Directory.GetFileSystemEntries(Path.GetDirectoryName(path)!));
    }

    private static void Answer(Mock<IProcessRunner> runner, string verb, int exitCode, string output, string error = "", Action? before = null) =>
        runner.Setup(port => port.RunAsync(It.Is<ProcessCommand>(command => command.Arguments.Contains(verb)), It.IsAny<CancellationToken>()))
            .ReturnsAsync((ProcessCommand command, CancellationToken _) =>
            {
                before?.Invoke();
                return new ProcessResult(command, exitCode, output, error);
            });

    private KernelMapping Create(IProcessRunner? runner = null)
    {
        CephOptions options = new();
        return new(new(runner ?? Mock.Of<IProcessRunner>(), options, new(options)), options, _sys);
    }

    private void Map(int number, string pool, string name, string space = "", string snapshot = "-")
    {
        var device = Directory.CreateDirectory(Path.Combine(_sys, $"bus/rbd/devices/{number}")).FullName;
        foreach (var (attribute, value) in new[] { ("pool", pool), ("name", name), ("pool_ns", space), ("current_snap", snapshot) })
        {
            File.WriteAllText(Path.Combine(device, attribute), value + "\n");
        }
    }
}
