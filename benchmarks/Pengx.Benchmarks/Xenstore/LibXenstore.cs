using System.Runtime.InteropServices;

namespace Pengx.Benchmarks.Xenstore;

/// <summary>Xen's own library, called from this process: what its own tools would do, without the cost of starting them.</summary>
internal sealed partial class LibXenstore : IDisposable
{
    private readonly nint _library;
    private readonly nint _handle;
    private readonly unsafe delegate* unmanaged<nint, uint, byte*, uint*, byte*> _read;
    private readonly unsafe delegate* unmanaged<nint, void> _close;

    internal unsafe LibXenstore(string socketPath)
    {
        // Its own dependency first: it is in no folder where the system would look.
        NativeLibrary.Load(Path.Combine(RealXenstored.Libraries, "libxentoolcore.so.1"));
        _library = NativeLibrary.Load(Path.Combine(RealXenstored.Libraries, "libxenstore.so.4"));
        _read = (delegate* unmanaged<nint, uint, byte*, uint*, byte*>)NativeLibrary.GetExport(_library, "xs_read");
        _close = (delegate* unmanaged<nint, void>)NativeLibrary.GetExport(_library, "xs_close");
        _ = SetEnvironment("XENSTORED_PATH", socketPath, 1);
        _handle = ((delegate* unmanaged<ulong, nint>)NativeLibrary.GetExport(_library, "xs_open"))(0);
        if (_handle == 0)
        {
            throw new InvalidOperationException("libxenstore could not connect.");
        }
    }

    internal unsafe void Read(ReadOnlySpan<byte> pathWithNul)
    {
        uint length;
        fixed (byte* path = pathWithNul)
        {
            var value = _read(_handle, 0, path, &length);
            if (value is null)
            {
                throw new InvalidOperationException("libxenstore could not read.");
            }

            NativeMemory.Free(value);
        }
    }

    public unsafe void Dispose() => _close(_handle);

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
