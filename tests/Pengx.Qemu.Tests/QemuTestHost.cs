using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>A host of its own for a test: a state and a run directory, gone with everything that still runs at its end.</summary>
internal sealed class QemuTestHost : IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    private readonly string _root = Path.Combine(Path.GetTempPath(), "pxq-" + Guid.NewGuid().ToString("N")[..8]);

    public QemuTestHost()
    {
        Directory.CreateDirectory(_root);
        Options = new()
        {
            StateDirectory = Path.Combine(_root, "state"),
            RunDirectory = Path.Combine(_root, "run"),
            PowerButtonInterval = TimeSpan.FromSeconds(3),
        };
    }

    public QemuOptions Options { get; }

    public string Root => _root;

    /// <summary>Waits for what comes about by itself, and fails with what is said when it does not.</summary>
    public static async Task EventuallyAsync(Func<Task<bool>> isSo, Func<string> otherwise, CancellationToken cancellationToken)
    {
        var begun = Stopwatch.GetTimestamp();
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(50));
        while (!await isSo())
        {
            Assert.True(Stopwatch.GetElapsedTime(begun) < Patience, otherwise());
            await timer.WaitForNextTickAsync(cancellationToken);
        }
    }

    public static void RequireQemu()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        _ = GuestImage.Require();
    }

    public QemuHypervisorDriver CreateDriver() => new(Options);

    public async Task<QemuHypervisorDriver> StartDriverAsync(CancellationToken cancellationToken)
    {
        var driver = CreateDriver();
        await driver.StartAsync(cancellationToken);
        return driver;
    }

    public DomainFiles FilesOf(DomainId id) => new(Options.StateDirectory, Options.RunDirectory!, id);

    public string PathOf(string name) => Path.Combine(_root, name);

    /// <summary>A guest that boots from its own copy of the test guest's disk.</summary>
    public DomainDefinition CreateBootable(params DomainDisk[] more)
    {
        var boot = DiskId.New();
        return new()
        {
            Id = DomainId.New(),
            Name = "test guest",
            Cpus = 1,
            MaxCpus = 3,
            Memory = DataSize.FromMiB(160),
            MaxMemory = DataSize.FromMiB(160 + 384),
            Disks = [DiskOf(boot, GuestImage.CopyTo(PathOf($"{boot}.raw")), "xvda"), .. more],
            Nics = [new() { Mac = MacAddress.NewXen(), Switch = "nosuchbridge" }],
            VncPassword = "secret12",
        };
    }

    /// <summary>An empty raw disk.</summary>
    public DomainDisk CreateDisk(string vdev, long bytes = 2 * 1024 * 1024)
    {
        var id = DiskId.New();
        var path = PathOf($"{id}.raw");
        using (var file = File.Create(path))
        {
            file.SetLength(bytes);
        }

        return DiskOf(id, path, vdev);
    }

    public static DomainDisk DiskOf(DiskId id, string path, string vdev, DiskFormat format = DiskFormat.Raw) =>
        new() { Id = id, Layers = [new(new FileLocation(path), format)], Vdev = vdev };

    /// <summary>The id of a domain's QEMU process, as it wrote it itself.</summary>
    public int PidOf(DomainId id) => int.Parse(File.ReadAllText(FilesOf(id).PidFile), CultureInfo.InvariantCulture);

    /// <summary>Types a line on the guest's serial console.</summary>
    public async Task TypeAsync(DomainId id, string line, CancellationToken cancellationToken)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(FilesOf(id).SerialSocket), cancellationToken);
        await socket.SendAsync(Encoding.UTF8.GetBytes(line + "\n"), cancellationToken);

        // QEMU serves one viewer at a time, and takes what it has read when the viewer leaves: let it read first.
        socket.Shutdown(SocketShutdown.Send);
        var rest = new byte[256];
        using var brief = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        brief.CancelAfter(TimeSpan.FromMilliseconds(300));
        try
        {
            while (await socket.ReceiveAsync(rest, brief.Token) > 0)
            {
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // It has had its time.
        }
    }

    public static GuestConsole ConsoleOf(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) => new(driver, id, cancellationToken);

    public async ValueTask DisposeAsync()
    {
        // Whatever a failed test left: only processes of this very directory.
        foreach (var entry in ProcessTable.Find(id => DomainFiles.PidFileOf(Options.RunDirectory!, id)))
        {
            using var process = QemuProcess.Open(entry.Pid, TimeProvider.System);
            process?.Signal(NativeMethods.SigKill);
            _ = process is null || await process.WaitForExitAsync(TimeSpan.FromSeconds(10), CancellationToken.None);
        }

        Directory.Delete(_root, recursive: true);
    }
}

/// <summary>Follows what a guest says on its serial console.</summary>
internal sealed class GuestConsole(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) : IAsyncDisposable
{
    private readonly IAsyncEnumerator<string> _lines = Open(driver, id, cancellationToken);
    private readonly List<string> _seen = [];

    /// <summary>Everything that was read so far.</summary>
    public IReadOnlyList<string> Seen => _seen;

    /// <summary>Reads on until a line contains a text, and returns that line.</summary>
    public async Task<string> ExpectAsync(string text)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(QemuTestHost.Patience);
        while (await _lines.MoveNextAsync().AsTask().WaitAsync(patience.Token))
        {
            _seen.Add(_lines.Current);
            if (_lines.Current.Contains(text, StringComparison.Ordinal))
            {
                return _lines.Current;
            }
        }

        Assert.Fail($"The guest never said '{text}'. It said:\n{string.Join('\n', _seen.TakeLast(20))}");
        return "";
    }

    public Task<string> ExpectUpAsync() => ExpectAsync("PENGX-GUEST up ");

    /// <summary>Reads to the console's end.</summary>
    public async Task ReadToEndAsync()
    {
        while (await _lines.MoveNextAsync())
        {
            _seen.Add(_lines.Current);
        }
    }

    public async ValueTask DisposeAsync()
    {
        try
        {
            await _lines.DisposeAsync();
        }
        catch (NotSupportedException)
        {
            // A read was given up and is still under way; the test's token ends it.
        }
    }

    private static IAsyncEnumerator<string> Open(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken)
    {
        Assert.True(driver.TryGetFeature<ISerialConsole>(out var console));
        return console.ReadLinesAsync(id, cancellationToken).GetAsyncEnumerator(cancellationToken);
    }
}
