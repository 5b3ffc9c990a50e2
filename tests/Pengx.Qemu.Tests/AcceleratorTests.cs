using Microsoft.Extensions.Logging.Abstractions;
using Moq;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>KVM is used where it was seen to run a guest, and nowhere else.</summary>
public sealed class AcceleratorTests : IAsyncLifetime
{
    private readonly QemuTestHost _host = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        Directory.CreateDirectory(_host.Options.StateDirectory);
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    [Fact]
    public async Task The_boot_sector_runs_to_its_end_on_a_machine_that_works()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        _host.Options.KvmProbeTimeout = TimeSpan.FromSeconds(60);
        using var probe = new AcceleratorProbe(_host.Options, new ProcessRunner(), NullLogger.Instance);
        Assert.Null(await probe.TryBootAsync(ProgramSearch.Find(_host.Options.Binary)!, "tcg", Token));
        Assert.Contains("exit code", await probe.TryBootAsync(ProgramSearch.Find(_host.Options.Binary)!, "no-such", Token), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_boot_sector_is_what_its_source_says()
    {
        Requires.Tool("as", "binutils");
        Requires.Tool("ld", "binutils");
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (root is not null && !File.Exists(Path.Combine(root.FullName, "Pengx.Sdk.sln")))
        {
            root = root.Parent;
        }

        Assert.NotNull(root);
        var (assembled, linked) = (_host.PathOf("sector.o"), _host.PathOf("sector"));
        var runner = new ProcessRunner();
        var source = Path.Combine(root.FullName, "src", "Pengx.Qemu", "Probing", "boot-sector.S");
        (await runner.RunAsync(new() { FileName = "as", Arguments = ["--64", "-o", assembled, source] }, Token)).EnsureSuccess();
        (await runner.RunAsync(new() { FileName = "ld", Arguments = ["-m", "elf_x86_64", "-Ttext=0x7c00", "--oformat", "binary", "-o", linked, assembled] }, Token)).EnsureSuccess();
        Assert.Equal(Convert.ToHexString(await File.ReadAllBytesAsync(linked, Token)), Convert.ToHexString(AcceleratorProbe.MakeSector()));
    }

    [Theory]
    [InlineData(33, true)]
    [InlineData(0, false)]
    [InlineData(1, false)]
    [InlineData(134, false)]
    public async Task Only_the_sectors_own_end_proves_KVM_and_the_proof_is_kept(int exitCode, bool works)
    {
        Requires.That(File.Exists("/dev/kvm"), "kvm", "without /dev/kvm nothing is tried");
        var runner = new Mock<IProcessRunner>();
        runner.Setup(processes => processes.RunAsync(It.IsAny<ProcessCommand>(), It.IsAny<CancellationToken>()))
            .ReturnsAsync((ProcessCommand command, CancellationToken _) => new ProcessResult(command, exitCode, "", "KVM internal error. Suberror: 1"));
        for (var service = 0; service < 2; service++)
        {
            using var probe = new AcceleratorProbe(_host.Options, runner.Object, NullLogger.Instance);
            var (useKvm, reason) = await probe.ChooseAsync(Environment.ProcessPath!, Token);
            Assert.Equal(works, useKvm);
            Assert.Contains(works ? "KVM" : "KVM internal error", reason, StringComparison.Ordinal);
        }

        runner.Verify(processes => processes.RunAsync(It.IsAny<ProcessCommand>(), It.IsAny<CancellationToken>()), Times.Once);
    }

    [Fact]
    public async Task A_driver_without_its_QEMU_says_so()
    {
        _host.Options.Binary = "no-such-qemu";
        await using var driver = _host.CreateDriver();
        var capabilities = await driver.ProbeAsync(Token);
        Assert.False(capabilities.Usable);
        Assert.Contains("no-such-qemu is not installed", capabilities.Reason, StringComparison.Ordinal);
    }
}
