using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Storage;

/// <summary>Lets one writer at a time work on a disk, a volume group or whatever else has a name, among all processes of this
/// host that use the same directory. The lease is a lock on an open file: whatever ends its process ends it, too.</summary>
/// <remarks>What it protects against: a second service, or another program that uses these libraries, that makes, copies,
/// grows or removes the same disk at the same time. What it does not: guests (their hypervisor's locks and the kernel's
/// open counts are asked for those), programs that take no lease, and other hosts (LVM's system ID, its cluster locks and
/// the database are for those). Safe to use from many threads.</remarks>
/// <param name="directory">Where the files lie; made when it is missing.</param>
public sealed class DiskLeases(string directory = "/run/pengx/leases")
{
    private readonly KeyedLock _locks = new();

    /// <summary>Takes the lease of a disk, or of another thing by its name, waiting for whoever holds it.</summary>
    /// <param name="name">The name: letters, digits, <c>.</c>, <c>_</c>, <c>+</c> and <c>-</c>, not beginning with <c>.</c>.</param>
    /// <param name="timeout">How long to wait.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <returns>The lease; disposing it gives it back.</returns>
    /// <exception cref="InUseException">Another held it all the time; the message says who.</exception>
    public async Task<IDisposable> AcquireAsync(string name, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (name[0] == '.' || name.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('.' or '_' or '+' or '-')))
        {
            throw new ArgumentException($"'{name}' cannot name a lease.", nameof(name));
        }

        using var deadline = new CancellationTokenSource(timeout);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        IDisposable? local = null;
        SafeFileHandle? handle = null;
        var path = Path.Combine(directory, name);
        try
        {
            local = await _locks.EnterAsync(name, stop.Token).ConfigureAwait(false);
            Directory.CreateDirectory(directory);
            handle = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            _ = await Posix.TryOwnAsync(handle, path, int.MaxValue, stop.Token).ConfigureAwait(false);

            var holder = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessPath} (process {Environment.ProcessId})\n"));
            RandomAccess.SetLength(handle, 0);
            RandomAccess.Write(handle, holder, 0);
            return new Lease(local, handle);
        }
        catch (Exception exception)
        {
            var holder = exception is OperationCanceledException && handle is not null ? Read(handle) : "";
            handle?.Dispose();
            local?.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            throw exception switch
            {
                OperationCanceledException => new InUseException($"{name} is worked on by {(holder.Length == 0 ? "another task of this process" : holder)}."),
                IOException or UnauthorizedAccessException => new StorageException($"The lease {path} cannot be taken: {exception.Message}", exception),
                _ => exception,
            };
        }
    }

    private static string Read(SafeFileHandle handle)
    {
        Span<byte> text = stackalloc byte[512];
        return Encoding.UTF8.GetString(text[..RandomAccess.Read(handle, text, 0)]).Trim();
    }

    // The file stays: removing it would let two others lock two files of the same name.
    private sealed class Lease(IDisposable local, SafeFileHandle handle) : IDisposable
    {
        public void Dispose()
        {
            handle.Dispose();
            local.Dispose();
        }
    }
}
