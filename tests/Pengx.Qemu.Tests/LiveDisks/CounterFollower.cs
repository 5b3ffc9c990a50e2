using System.Globalization;

namespace Pengx.Qemu.Tests;

/// <summary>What the guest's counter says on the console of a run.</summary>
internal sealed class CounterFollower(QemuTestHost host, IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken) : IAsyncDisposable
{
    private const string Flushed = "PENGX-GUEST flushed ";

    private readonly GuestConsole _console = new(driver, id, cancellationToken);
    private long _newest;

    /// <summary>The newest number that the guest has said to be flushed, by now.</summary>
    public static long NewestOf(QemuTestHost host, DomainId id)
    {
        using var log = new FileStream(host.FilesOf(id).SerialLog, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using var reader = new StreamReader(log);
        var newest = 0L;
        foreach (var line in reader.ReadToEnd().Split('\n')[..^1])
        {
            newest = Math.Max(newest, NumberOf(line));
        }

        return newest;
    }

    public Task<string> ExpectWritingAsync() => _console.ExpectAsync(Flushed);

    /// <summary>Waits for a number that the guest began after the call.</summary>
    public async Task<long> FlushAnotherAsync()
    {
        var known = NewestOf(host, id);
        while (_newest < known + 2)
        {
            _newest = Math.Max(_newest, NumberOf(await _console.ExpectAsync(Flushed)));
        }

        return _newest;
    }

    public ValueTask DisposeAsync() => _console.DisposeAsync();

    private static long NumberOf(string line)
    {
        var start = line.IndexOf(Flushed, StringComparison.Ordinal);
        return start >= 0 && long.TryParse(line.AsSpan(start + Flushed.Length).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
    }
}
