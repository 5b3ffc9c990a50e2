using System.Formats.Tar;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>Debian's own guest agent, in a guest with a file system that is written to all the time.</summary>
public sealed class RealAgentTests : IAsyncDisposable
{
    private const string AgentDirectory = "/agent";

    private readonly QemuTestHost _host = new();
    private readonly ImageFiles _images;

    public RealAgentTests() => _images = new(_host);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    [Fact]
    public async Task A_quiesced_snapshot_holds_a_file_system_that_was_left_in_order()
    {
        QemuTestHost.RequireQemu();
        Requires.Tool("qemu-ga", "qemu-ga");
        Requires.Tool("mke2fs", "e2fsprogs");
        await using var driver = await _host.StartDriverAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var archive = _host.CreateDisk("xvdc", bytes: 0);
        await PackAsync(Requires.Find("qemu-ga")!, PathOf(archive));
        var files = _host.CreateDisk("xvdd", 32 << 20);
        await ToolAsync("mke2fs", "-q", "-F", "-t", "ext4", PathOf(files));
        var definition = _host.CreateBootable(_host.CreateDisk("xvdb"), archive, files);
        var id = definition.Id;
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(id, Token);
        await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
        await console.ExpectUpAsync();
        await _host.TypeAsync(id, $"mkdir -p {AgentDirectory} /files /run && tar xf /dev/vdc -C {AgentDirectory} && mount -t ext4 /dev/vdd /files && echo mounted-$((1 + 1))", Token);
        await console.ExpectAsync("mounted-2");
        await _host.TypeAsync(id, "(n=0; while :; do n=$((n + 1)); echo $n > /files/$((n % 50)); [ $((n % 20)) != 0 ] || echo written-$n; done) &", Token);
        await console.ExpectAsync("written-");

        // Without the agent the journal has to be gone through.
        var loose = await OverlayAsync(files);
        Assert.False(await live.OverlayAsync(id, [loose], quiesce: true, Token));
        Assert.Contains("needs_recovery", await ToolAsync("dumpe2fs", "-h", PathOf(files)), StringComparison.Ordinal);

        // The program and its libraries are those of this machine, whatever the guest is.
        await _host.TypeAsync(
            id,
            $"{AgentDirectory}/ld --library-path {AgentDirectory} {AgentDirectory}/qemu-ga --method=virtio-serial --path=$(ls /dev/vport*) --statedir=/run --daemonize --pidfile=/run/ga.pid; until ls -l /proc/$(cat /run/ga.pid)/fd | grep -q vport; do sleep 0.1; done; echo agent-$((1 + 1))",
            Token);
        await console.ExpectAsync("agent-2");
        var settled = await OverlayAsync(loose.After);
        Assert.True(await live.OverlayAsync(id, [settled], quiesce: true, Token));

        var flat = await _images.FlattenAsync(loose.After.Layers[0], Token);
        Assert.DoesNotContain("needs_recovery", await ToolAsync("dumpe2fs", "-h", flat), StringComparison.Ordinal);
        await ToolAsync("e2fsck", "-f", "-n", flat);

        // And the guest goes on.
        await console.ExpectAsync("written-");
        await console.ExpectAsync("written-");
        await driver.Domains.DestroyAsync(id, Token);
    }

    /// <summary>A program and every library that it asks for, as an archive that the guest reads off its disk.</summary>
    private static async Task PackAsync(string program, string path)
    {
        await using (var file = File.Create(path))
        await using (TarWriter archive = new(file, TarEntryFormat.Ustar))
        {
            await archive.WriteEntryAsync(program, "qemu-ga", Token);
            foreach (var line in (await ToolAsync("ldd", program)).Split('\n'))
            {
                if (line.Split(' ', StringSplitOptions.TrimEntries).FirstOrDefault(part => part.StartsWith('/')) is { } library)
                {
                    var real = new FileInfo(library).ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? library;
                    var name = Path.GetFileName(library);
                    await archive.WriteEntryAsync(real, name.StartsWith("ld-", StringComparison.Ordinal) ? "ld" : name, Token);
                }
            }
        }

        // Whole megabytes, as a disk has them.
        await using FileStream grown = new(path, FileMode.Open, FileAccess.Write);
        grown.SetLength((grown.Length + (1 << 20) - 1) / (1 << 20) * (1 << 20));
    }

    private static async Task<string> ToolAsync(string program, params string[] arguments) =>
        (await new ProcessRunner().RunAsync(new() { FileName = program, Arguments = arguments }, Token)).EnsureSuccess().Output;

    private static string PathOf(DomainDisk disk) => ((FileLocation)disk.Layers[0].Location).Path;

    private async Task<DiskReplacement> OverlayAsync(DomainDisk disk)
    {
        var id = DiskId.New();
        return new(disk, disk with { Id = id, Layers = [await _images.CreateOverlayAsync(disk.Layers[0], id, Token), .. disk.Layers] });
    }
}
