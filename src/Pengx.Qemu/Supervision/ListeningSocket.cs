using System.Text;

namespace Pengx.Qemu;

/// <summary>A unix socket that listens before QEMU runs, and is handed to it: whoever connects is served as soon as QEMU can,
/// and nobody has to wait for a file to appear.</summary>
internal sealed class ListeningSocket : IDisposable
{
    /// <summary>The longest path that the system takes, in bytes.</summary>
    public const int MaxPathBytes = 107;

    private const int UnixFamily = 1;
    private const int StreamType = 1;

    private ListeningSocket(int descriptor) => Descriptor = descriptor;

    public int Descriptor { get; private set; }

    /// <summary>Whether a path fits into a socket's address.</summary>
    /// <param name="path">The path.</param>
    public static bool Fits(string path) => Encoding.UTF8.GetByteCount(path) <= MaxPathBytes;

    /// <summary>Makes the socket's file and listens on it.</summary>
    /// <param name="path">The file, which must not exist.</param>
    /// <exception cref="HypervisorException">The system refused.</exception>
    public static unsafe ListeningSocket Create(string path)
    {
        var descriptor = NativeMethods.Socket(UnixFamily, StreamType | NativeMethods.CloseOnExec, 0);
        if (descriptor < 0)
        {
            throw new HypervisorException($"A socket cannot be made: {NativeMethods.LastError()}");
        }

        var address = stackalloc byte[2 + MaxPathBytes + 1];
        new Span<byte>(address, 2 + MaxPathBytes + 1).Clear();
        *(ushort*)address = UnixFamily;
        var length = Encoding.UTF8.GetBytes(path, new Span<byte>(address + 2, MaxPathBytes));
        if (NativeMethods.Bind(descriptor, address, (uint)(2 + length + 1)) < 0 || NativeMethods.Listen(descriptor, 16) < 0)
        {
            var error = NativeMethods.LastError();
            _ = NativeMethods.Close(descriptor);
            throw new HypervisorException($"The socket '{path}' cannot be made: {error}");
        }

        return new(descriptor);
    }

    public void Dispose()
    {
        if (Descriptor >= 0)
        {
            _ = NativeMethods.Close(Descriptor);
            Descriptor = -1;
        }
    }
}
