using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>Makes durable what a tool writes to a file or device. Opened before the tool opens it: that something could not be written back
/// the kernel tells once, to who has the file open then (fsync(2)), and a tool may hear it and say nothing.</summary>
/// <param name="path">The file or device.</param>
internal sealed class WriteBack(string path) : IDisposable
{
    private readonly SafeFileHandle _handle = Posix.OpenWrite(path);

    /// <summary>The file or device.</summary>
    public string Path => path;

    /// <summary>One for an image; none for an image in Ceph, which is never cached here.</summary>
    public static WriteBack? Of(DiskLayer layer) => layer.Location is RbdLocation ? null : new(ImageTool.PathOf(layer));

    /// <summary>Flushes a file that was open while it was written. Gigabytes may have to reach the disk first.</summary>
    /// <exception cref="StorageException">Something could not be written, now or before.</exception>
    /// <exception cref="InsufficientResourceException">There was no space left for it.</exception>
    /// <exception cref="UnavailableException">It took longer than that.</exception>
    public static async Task FlushAsync(SafeFileHandle handle, string path, TimeSpan patience, TimeProvider time, CancellationToken cancellationToken)
    {
        try
        {
            await Task.Run(() => Posix.SyncData(handle, path), CancellationToken.None).WaitAsync(patience, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"What was written to {path} did not reach the disk within {patience.TotalMinutes:0.#} minutes."));
        }
    }

    /// <summary>Flushes what was written since this was opened.</summary>
    /// <exception cref="PengxException">As <see cref="FlushAsync(SafeFileHandle, string, TimeSpan, TimeProvider, CancellationToken)"/> says.</exception>
    public Task FlushAsync(TimeSpan patience, TimeProvider time, CancellationToken cancellationToken) => FlushAsync(_handle, path, patience, time, cancellationToken);

    public void Dispose() => _handle.Dispose();
}
