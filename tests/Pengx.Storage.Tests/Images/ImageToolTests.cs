using Moq;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class ImageToolTests : IDisposable
{
    private readonly TemporaryStorlink _directory = new();
    private readonly ImageTool _tool = new(new ProcessRunner());

    public ImageToolTests() => Requires.Tool("qemu-img", "qemu");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task An_image_s_life()
    {
        // A colon is a protocol in a relative path, and only there.
        DiskLayer below = new(new FileLocation(_directory.PathOf("a:b,c d.raw")), DiskFormat.Raw);
        DiskLayer image = new(new FileLocation(_directory.PathOf("-x.qcow2")), DiskFormat.Qcow2);
        await _tool.CreateAsync(below, DataSize.FromMiB(4), cancellationToken: Token);
        await _tool.CreateAsync(image, DataSize.FromMiB(8), below, Token);
        await _tool.ResizeAsync(image, DataSize.FromMiB(16), Token);
        var info = await _tool.InfoAsync(image, Token);

        Assert.Equal((DiskFormat.Qcow2, DataSize.FromMiB(16), below.Location.ToString(), "raw"), (info.Format, info.Size, info.BackingFile, info.BackingFormat));
        Assert.Equal(new(0, 0) { TotalClusters = 256, EndOffset = 4 * 65536 }, await _tool.CheckAsync(image, Token));
        var measure = await _tool.MeasureAsync(image, DiskFormat.Raw, Token);
        Assert.Equal(DataSize.FromMiB(16), measure.FullyAllocated);
        var empty = await _tool.MeasureAsync(DataSize.FromGiB(10), DiskFormat.Qcow2, Token);
        Assert.True(empty.Required < DataSize.FromMiB(8) && empty.FullyAllocated > DataSize.FromGiB(10));

        List<double> progress = [];
        DiskLayer copy = new(new FileLocation(_directory.PathOf("copy.raw")), DiskFormat.Raw);
        await _tool.ConvertAsync(image, copy, direct: false, new Synchronous(progress.Add), Token);
        Assert.Equal(DataSize.FromMiB(16).Bytes, new FileInfo(copy.Location.ToString()!).Length);
        Assert.Equal(1, progress[^1]);
    }

    [Fact]
    public async Task The_tool_s_own_words_reach_the_user()
    {
        DiskLayer missing = new(new FileLocation("/no/such/image"), DiskFormat.Qcow2);
        var failure = await Assert.ThrowsAsync<ProcessFailedException>(() => _tool.InfoAsync(missing, Token));
        Assert.Contains("No such file or directory", failure.Message, StringComparison.Ordinal);

        // A raw image has nothing to check.
        DiskLayer raw = new(new FileLocation(_directory.PathOf("x")), DiskFormat.Raw);
        await _tool.CreateAsync(raw, DataSize.FromMiB(1), cancellationToken: Token);
        Assert.Equal(63, (await Assert.ThrowsAsync<ProcessFailedException>(() => _tool.CheckAsync(raw, Token))).ExitCode);
    }

    [Fact]
    public async Task The_tool_ends_with_the_process_that_runs_it()
    {
        var path = _directory.PathOf("source.raw");
        await TestImages.CreateFullAsync(path, DataSize.FromMiB(64));
        bool IsAtWork() => RunningPrograms.CommandLines().Any(line => line.Contains("/qemu-img\0convert", StringComparison.Ordinal) && line.Contains(path, StringComparison.Ordinal));
        using (var victim = Victim.StartTool(_directory.Directory))
        {
            try
            {
                Assert.True(await ComesTrueAsync(IsAtWork), "The tool does not work.");
            }
            finally
            {
                victim.Kill();
                await victim.WaitForExitAsync(CancellationToken.None);
            }
        }

        // At its rate it would go on for a minute.
        Assert.True(await ComesTrueAsync(() => !IsAtWork()), "The tool goes on.");
    }

    [Fact]
    public async Task Every_call_states_the_format_and_never_goes_past_the_locks()
    {
        List<IReadOnlyList<string>> calls = [];
        Mock<IProcessRunner> runner = new();
        runner.Setup(port => port.RunAsync(It.IsAny<ProcessCommand>(), It.IsAny<CancellationToken>()))
            .Returns((ProcessCommand command, CancellationToken _) =>
            {
                calls.Add(command.Arguments);
                return Task.FromResult(new ProcessResult(command, 0, """{"virtual-size":1,"required":1,"fully-allocated":1}""", ""));
            });
        ImageTool tool = new(runner.Object);
        DiskLayer raw = new(new FileLocation("/a"), DiskFormat.Raw);
        DiskLayer qcow2 = new(new BlockLocation("/dev/vg/b"), DiskFormat.Qcow2);
        await tool.CreateAsync(qcow2, new(512), raw, Token);
        await tool.ConvertAsync(raw, qcow2, direct: true, null, Token);
        await tool.ResizeAsync(raw, new(512), Token);
        await tool.InfoAsync(raw, Token);
        await tool.MeasureAsync(raw, DiskFormat.Qcow2, Token);
        await tool.CheckAsync(qcow2, Token);

        Assert.Equal(6, calls.Count);
        Assert.All(calls, call =>
        {
            Assert.Contains("-f", call);
            Assert.DoesNotContain("-U", call);
            Assert.DoesNotContain("--force-share", call);
        });
        Assert.Equal(["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/a", "/dev/vg/b", "512"], calls[0]);
        Assert.Equal(["convert", "-p", "-m", "16", "-W", "-f", "raw", "-O", "qcow2", "-t", "none", "/a", "/dev/vg/b"], calls[1]);
    }

    [Fact]
    public async Task Paths_that_a_tool_could_misread_are_refused()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => _tool.InfoAsync(new(new FileLocation("nbd:unix:/x"), DiskFormat.Raw), Token));
        await Assert.ThrowsAsync<ArgumentException>(() => _tool.CreateAsync(new(new FileLocation("x"), DiskFormat.Raw), new(512), cancellationToken: Token));
    }

    [Fact]
    public async Task An_answer_that_is_no_json_is_told()
    {
        Mock<IProcessRunner> runner = new();
        runner.Setup(port => port.RunAsync(It.IsAny<ProcessCommand>(), It.IsAny<CancellationToken>()))
            .Returns((ProcessCommand command, CancellationToken _) => Task.FromResult(new ProcessResult(command, 0, "what?", "")));
        var failure = await Assert.ThrowsAsync<StorageException>(() => new ImageTool(runner.Object).InfoAsync(new(new FileLocation("/a"), DiskFormat.Raw), Token));
        Assert.Contains("qemu-img info", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("    (62.96/100%)", 62.96)]
    [InlineData("(0.00/100%)", 0)]
    [InlineData("    (100.00/100%)", 100)]
    public void Progress_is_read(string line, double expected)
    {
        Assert.True(ImageTool.TryReadPercent(line, out var percent));
        Assert.Equal(expected, percent);
    }

    [Theory]
    [InlineData("")]
    [InlineData("(/100%)")]
    [InlineData("(x/100%)")]
    [InlineData("Formatting 'x'")]
    public void Other_lines_are_no_progress(string line) => Assert.False(ImageTool.TryReadPercent(line, out _));

    private static async Task<bool> ComesTrueAsync(Func<bool> condition)
    {
        for (var rest = 200; rest > 0 && !condition(); rest--)
        {
            await Task.Delay(50, Token);
        }

        return condition();
    }

    private sealed class Synchronous(Action<double> report) : IProgress<double>
    {
        public void Report(double value) => report(value);
    }
}
