using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;

namespace Pengx.Qemu;

/// <summary>Finds out whether KVM really runs a guest here. That <c>/dev/kvm</c> opens proves little: nested and emulated
/// KVMs exist that accept a machine and then fail at its first interrupt return.</summary>
internal sealed class AcceleratorProbe(QemuOptions options, IProcessRunner processes, ILogger logger) : IDisposable
{
    // A boot sector that does what every operating system does on its way up, and tells of its end by writing 0x10 to the exit
    // device at port 0xf4, which ends QEMU with code 33: real mode; protected mode; 1000 software interrupts with their
    // returns through an interrupt gate; page tables; long mode; a loop over memory; SSE; cpuid. The source is
    // boot-sector.S.
    private const string BootSector =
        "fa31c08ed88ec08ed0bc007c660f0116587d0f20c00c010f22c066ea227c0000080066b810008ed88ec08ed0bc007c0000bf00100000b8d87c0000" +
        "66a38011000066c70582110000080066c70584110000008ec1e81066a3861100000f011d5e7d000031dbb9e8030000cd30e2fc81fbe80300007564" +
        "bf0020000031c0b9000c0000f3abc7050020000003300000c7050030000003400000c7050040000083000000b8002000000f22d80f20e00d200600" +
        "000f22e0b9800000c00f320d000100000f300f20c083e0fb0d020000800f22c0eae47c0000180043cf66bae900b046eef4ebfd48c7c70000100048" +
        "c7c1000001004831c048890f4803074883c70848ffc975f166480f6ec0660fd4c066480f7ec348b900000100010000004839cb75100fa266bae900" +
        "b04bee66baf400b010eef4ebfd0f1f40000000000000000000ffff0000009acf00ffff00000092cf00ffff0000009aaf001f00387d0000ff010010";

    private const int SectorBytes = 512;
    private const int PassedExitCode = 33;
    private const string KvmDevice = "/dev/kvm";

    private readonly SemaphoreSlim _once = new(1, 1);
    private KvmProof? _proof;

    public void Dispose() => _once.Dispose();

    /// <summary>Whether guests run under KVM, and why.</summary>
    /// <param name="binary">The QEMU, as an absolute path.</param>
    /// <param name="cancellationToken">Ends the probe.</param>
    public async Task<(bool UseKvm, string Reason)> ChooseAsync(string binary, CancellationToken cancellationToken)
    {
        if (options.Accelerator == QemuAccelerator.Tcg)
        {
            return (false, "TCG, as configured");
        }

        await _once.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var proof = _proof ??= await ProveAsync(binary, cancellationToken).ConfigureAwait(false);
            return (proof.Works, proof.Works ? "KVM" : $"TCG, because {proof.Reason}");
        }
        finally
        {
            _once.Release();
        }
    }

    /// <summary>Runs the boot sector under an accelerator.</summary>
    /// <param name="binary">The QEMU.</param>
    /// <param name="accelerator"><c>kvm</c> or <c>tcg</c>.</param>
    /// <param name="cancellationToken">Ends the probe.</param>
    /// <returns><see langword="null"/> when the sector ran to its end, else what happened.</returns>
    internal async Task<string?> TryBootAsync(string binary, string accelerator, CancellationToken cancellationToken)
    {
        var image = Path.Combine(Path.GetTempPath(), $"pengx-probe-{Guid.NewGuid():N}");
        try
        {
            await File.WriteAllBytesAsync(image, MakeSector(), cancellationToken).ConfigureAwait(false);
            var medium = new JsonObject
            {
                ["driver"] = "raw",
                ["node-name"] = "boot",
                ["read-only"] = true,
                ["file"] = new JsonObject { ["driver"] = "file", ["filename"] = image, ["read-only"] = true },
            };
            var result = await processes.RunAsync(
                new()
                {
                    FileName = binary,
                    Arguments =
                    [
                        "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", accelerator, "-m", "64M",
                        "-blockdev", medium.ToJsonString(), "-device", "floppy,unit=0,drive=boot", "-boot", "a",
                        "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
                    ],
                    Timeout = options.KvmProbeTimeout,
                },
                cancellationToken).ConfigureAwait(false);
            return result.ExitCode == PassedExitCode
                ? null
                : string.Create(CultureInfo.InvariantCulture, $"the test machine ended with exit code {result.ExitCode}: {FirstLine(result.Error)}");
        }
        catch (ProcessFailedException exception)
        {
            return $"the test machine did not run: {exception.Message}";
        }
        finally
        {
            File.Delete(image);
        }
    }

    internal static byte[] MakeSector()
    {
        var sector = new byte[SectorBytes];
        Convert.FromHexString(BootSector).CopyTo(sector, 0);
        sector[510] = 0x55;
        sector[511] = 0xaa;
        return sector;
    }

    private static string FirstLine(string text)
    {
        var line = text.AsSpan().Trim();
        var end = line.IndexOf('\n');
        return (end < 0 ? line : line[..end]).ToString();
    }

    private async Task<KvmProof> ProveAsync(string binary, CancellationToken cancellationToken)
    {
        var file = new FileInfo(binary);
        var qemu = string.Create(CultureInfo.InvariantCulture, $"{binary} {file.Length} {file.LastWriteTimeUtc.Ticks}");
        var bootId = HostReadings.BootId();
        var cache = Path.Combine(options.StateDirectory, "kvm-proof.json");
        if (TryReadCache(cache) is { } known && known.BootId == bootId && known.Qemu == qemu)
        {
            return known;
        }

        var failure = File.Exists(KvmDevice)
            ? await TryBootAsync(binary, "kvm", cancellationToken).ConfigureAwait(false)
            : $"{KvmDevice} does not exist";
        var proof = new KvmProof(bootId, qemu, failure is null, failure is null ? "a guest ran under KVM" : $"KVM does not run a guest here ({failure})");
        Log.AcceleratorChosen(logger, proof.Works ? "KVM" : "TCG", proof.Reason);
        if (Directory.Exists(options.StateDirectory))
        {
            await DurableFile.WriteAsync(cache, proof, QemuJsonContext.Default.KvmProof, cancellationToken).ConfigureAwait(false);
        }

        return proof;
    }

    private static KvmProof? TryReadCache(string path)
    {
        try
        {
            return DurableFile.Read(path, QemuJsonContext.Default.KvmProof);
        }
        catch (Exception exception) when (exception is System.Text.Json.JsonException or IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
