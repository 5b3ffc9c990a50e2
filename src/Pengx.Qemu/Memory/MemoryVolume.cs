using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Qemu;

/// <summary>A volume that a guest's memory is kept in: QEMU's migration stream, and before it what must be known to rebuild the machine
/// around it. That head says that it is whole only when the rest is on the disk.</summary>
internal sealed class MemoryVolume : IDisposable
{
    // Far more than a guest with many disks and long chains of images needs.
    private const int HeadBytes = 1024 * 1024;

    // A disk that is slower than this hangs.
    private const long SlowestBytesPerSecond = 4 * 1024 * 1024;

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly DiskLocation _location;
    private readonly string _path;
    private readonly TimeProvider _time;

    private MemoryVolume(DiskLocation location, string path, SafeFileHandle handle, TimeProvider time)
    {
        _location = location;
        _path = path;
        Handle = handle;
        _time = time;
    }

    private static ReadOnlySpan<byte> Magic => "PENGXMEM"u8;

    /// <summary>The volume, for QEMU.</summary>
    public SafeFileHandle Handle { get; }

    /// <exception cref="WrongStateException">QEMU cannot be given it.</exception>
    /// <exception cref="HypervisorException">It cannot be opened.</exception>
    public static async Task<MemoryVolume> OpenAsync(DiskLocation location, bool forWriting, TimeProvider time, CancellationToken cancellationToken)
    {
        var path = location switch
        {
            FileLocation file => file.Path,
            BlockLocation block => block.Path,
            _ => throw new WrongStateException($"Memory can be kept in a file or a block device, and not in {location}."),
        };
        return await RunAsync(
            path,
            s_patience,
            time,
            () => new MemoryVolume(location, path, File.OpenHandle(path, FileMode.Open, forWriting ? FileAccess.ReadWrite : FileAccess.Read, FileShare.ReadWrite), time),
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes what it holds worthless, notes what will be kept, and puts QEMU where the stream begins.</summary>
    /// <param name="guest">The guest.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public Task BeginAsync(MovingGuest guest, CancellationToken cancellationToken)
    {
        // The stream is the guest's; what else there is to know is the stored definition's, and no password is written here.
        var head = Write(new(guest with { Definition = null, VncPassword = null }, 0));
        return RunAsync(
            s_patience,
            () =>
            {
                if (_location is FileLocation)
                {
                    // Every key that the guest knows is in it; QEMU is given the descriptor, and needs no right to the file.
                    File.SetUnixFileMode(Handle, UnixFileMode.UserRead | UnixFileMode.UserWrite);
                }

                RandomAccess.Write(Handle, head, 0);
                RandomAccess.FlushToDisk(Handle);
                Seek();
            },
            cancellationToken);
    }

    /// <summary>Says, when all that QEMU wrote is on the disk, that it is whole.</summary>
    /// <param name="begun">What was noted at the beginning.</param>
    /// <param name="bytes">What QEMU wrote.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public Task FinishAsync(MemoryHead begun, long bytes, CancellationToken cancellationToken)
    {
        var head = Write(begun with { Bytes = bytes });
        return RunAsync(
            PatienceFor(bytes),
            () =>
            {
                RandomAccess.FlushToDisk(Handle);
                RandomAccess.Write(Handle, head, 0);
                RandomAccess.FlushToDisk(Handle);
            },
            cancellationToken);
    }

    /// <summary>Reads what it holds, and puts QEMU where the stream begins.</summary>
    /// <returns>What it is to hold: whether it holds that, <see cref="MemoryHead.IsWhole"/> says. <see langword="null"/> for what is no such volume.</returns>
    public async Task<MemoryHead?> FindAsync(CancellationToken cancellationToken)
    {
        MemoryHead? head = null;
        await RunAsync(s_patience, () => head = Read(), cancellationToken).ConfigureAwait(false);
        return head;
    }

    /// <summary>Reads what it holds, and puts QEMU where the stream begins.</summary>
    /// <exception cref="HypervisorException">It holds nothing whole.</exception>
    public async Task<MemoryHead> ReadAsync(CancellationToken cancellationToken) => await FindAsync(cancellationToken).ConfigureAwait(false) is { IsWhole: true } whole
        ? whole
        : throw new HypervisorException($"'{_path}' holds no memory of a guest that was kept to the end.");

    public void Dispose() => Handle.Dispose();

    /// <summary>How long a disk may take for some bytes.</summary>
    public static TimeSpan PatienceFor(long bytes) => s_patience + TimeSpan.FromSeconds((double)bytes / SlowestBytesPerSecond);

    /// <summary>How much QEMU has written or read.</summary>
    public long Position() => NativeMethods.Seek((int)Handle.DangerousGetHandle(), 0, NativeMethods.SeekCurrent) - HeadBytes;

    private static byte[] Write(MemoryHead head)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(head, MoveJsonContext.Default.MemoryHead);
        if (Magic.Length + sizeof(int) + json.Length > HeadBytes)
        {
            throw new HypervisorException($"What has to be known of domain {head.Guest.Id} is too long to be kept with its memory.");
        }

        var bytes = new byte[HeadBytes];
        Magic.CopyTo(bytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(Magic.Length), json.Length);
        json.CopyTo(bytes, Magic.Length + sizeof(int));
        return bytes;
    }

    private MemoryHead? Read()
    {
        var start = new byte[Magic.Length + sizeof(int)];
        if (RandomAccess.Read(Handle, start, 0) < start.Length || !start.AsSpan().StartsWith(Magic))
        {
            return null;
        }

        var length = BinaryPrimitives.ReadInt32LittleEndian(start.AsSpan(Magic.Length));
        if (length is <= 0 or > HeadBytes)
        {
            return null;
        }

        var json = new byte[length];
        if (RandomAccess.Read(Handle, json, start.Length) < json.Length)
        {
            return null;
        }

        Seek();
        try
        {
            return JsonSerializer.Deserialize(json, MoveJsonContext.Default.MemoryHead);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    // .NET keeps positions of its own; QEMU goes by the descriptor's.
    private void Seek()
    {
        if (NativeMethods.Seek((int)Handle.DangerousGetHandle(), HeadBytes, NativeMethods.SeekStart) < 0)
        {
            throw new IOException($"lseek: {NativeMethods.LastError()}");
        }
    }

    private Task<bool> RunAsync(TimeSpan patience, Action work, CancellationToken cancellationToken) => RunAsync(
        _path,
        patience,
        _time,
        () =>
        {
            work();
            return true;
        },
        cancellationToken);

    // Storage that does not answer holds a thread, and not the caller.
    private static async Task<T> RunAsync<T>(string path, TimeSpan patience, TimeProvider time, Func<T> work, CancellationToken cancellationToken)
    {
        try
        {
            return await Task.Run(work, CancellationToken.None).WaitAsync(patience, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException exception)
        {
            throw new UnavailableException($"'{path}' does not answer.", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new HypervisorException($"The memory in '{path}': {exception.Message}", exception);
        }
    }
}

/// <summary>What is known of a guest's memory.</summary>
/// <param name="Guest">The machine that it is of.</param>
/// <param name="Bytes">How long QEMU's stream is; 0 as long as it is not whole.</param>
internal sealed record MemoryHead(MovingGuest Guest, long Bytes)
{
    [JsonIgnore]
    public bool IsWhole => Bytes > 0;
}
