using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Xen;

/// <summary>
/// A descriptor that leads to a daemon: its unix socket, or the kernel's device. Reading blocks the thread that does it until
/// <see cref="Abort"/>; writing never blocks.
/// </summary>
internal sealed class XenstoreTransport : IDisposable
{
    /// <summary>How long a path the system takes for a socket, its NUL byte not counted.</summary>
    private const int MaxSocketPath = 107;

    private static readonly TimeSpan s_retryDelay = TimeSpan.FromMilliseconds(20);

    private readonly SafeFileHandle _descriptor;

    // A device cannot be shut down to wake its reader: the reader looks at this one too. Null for a socket.
    private readonly SafeFileHandle? _wake;

    private volatile bool _isAborted;

    private XenstoreTransport(SafeFileHandle descriptor, SafeFileHandle? wake)
    {
        _descriptor = descriptor;
        _wake = wake;
    }

    /// <summary>The kernel's device takes one message with each write and forgets what is behind it; and it reads the message from
    /// the descriptor's only buffer when it gets to it, so that the next one may not be written before the answer has come. Its
    /// connection to the daemon is the kernel's own.</summary>
    internal bool IsDevice => _wake is not null;

    /// <summary>The longest payload of a message that it takes.</summary>
    internal int MaxPayload => IsDevice ? XenstoreLimits.DevicePayload : XenstoreLimits.Payload;

    internal static async Task<XenstoreTransport> ConnectAsync(XenstoreEndPoint endPoint, XenstoreClientOptions options, CancellationToken cancellationToken)
    {
        var path = endPoint.Path;
        cancellationToken.ThrowIfCancellationRequested();
        var opened = SystemCalls.Open(path, SystemCalls.ReadWrite | SystemCalls.CloseOnExec | SystemCalls.NoControllingTerminal);
        if (opened >= 0)
        {
            return OfDevice(path, new SafeFileHandle(opened, ownsHandle: true));
        }

        // A socket is not opened but connected, which is what this error says.
        var error = Marshal.GetLastPInvokeError();
        if (error != SystemCalls.NoDevice)
        {
            throw CannotConnect(path, error);
        }

        var name = Encoding.UTF8.GetBytes(path);
        if (name.Length > MaxSocketPath)
        {
            throw new XenstoreConnectException($"Cannot connect to the xenstore socket '{path}': its path has {name.Length} bytes, the system's limit is {MaxSocketPath}.", isTransient: false);
        }

        using CancellationTokenSource timeout = new(options.ConnectTimeout, options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        while (true)
        {
            if (TryConnect(path, name) is { } transport)
            {
                return transport;
            }

            try
            {
                // The daemon accepts no one for now: its backlog is full.
                await Task.Delay(s_retryDelay, options.TimeProvider, either.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                throw new XenstoreConnectException(
                    string.Create(CultureInfo.InvariantCulture, $"The xenstore socket '{path}' did not accept a connection within {options.ConnectTimeout.TotalSeconds:0.###} s."),
                    isTransient: true);
            }
        }
    }

    /// <summary>Waits for bytes and takes them; 0 at the end.</summary>
    /// <exception cref="IOException">The connection broke.</exception>
    internal unsafe int Read(Span<byte> buffer)
    {
        while (true)
        {
            if (_wake is not null && !WaitForDevice())
            {
                return 0;
            }

            nint count;
            fixed (byte* first = buffer)
            {
                count = SystemCalls.Read(_descriptor, first, (nuint)buffer.Length);
            }

            if (count >= 0)
            {
                return (int)count;
            }

            var error = Marshal.GetLastPInvokeError();
            if (error is not (SystemCalls.Interrupted or SystemCalls.Again))
            {
                throw Broken(error);
            }
        }
    }

    /// <summary>Hands bytes over, as many as are taken at once; false and 0 if none are for now.</summary>
    /// <exception cref="IOException">The connection broke.</exception>
    internal unsafe bool TryWrite(ReadOnlySpan<byte> bytes, out int written)
    {
        while (true)
        {
            nint count;
            fixed (byte* first = bytes)
            {
                count = _wake is null
                    ? SystemCalls.Send(_descriptor, first, (nuint)bytes.Length, SystemCalls.DontWait | SystemCalls.NoSignal)
                    : SystemCalls.Write(_descriptor, first, (nuint)bytes.Length);
            }

            if (count >= 0)
            {
                written = (int)count;
                return true;
            }

            var error = Marshal.GetLastPInvokeError();
            if (error == SystemCalls.Again)
            {
                written = 0;
                return false;
            }

            if (error != SystemCalls.Interrupted)
            {
                throw Broken(error);
            }
        }
    }

    /// <summary>Waits until bytes may be taken again, or a while.</summary>
    internal unsafe void WaitToWrite(TimeSpan limit)
    {
        var isHeld = false;
        try
        {
            _descriptor.DangerousAddRef(ref isHeld);
            SystemCalls.PollDescriptor descriptor = new() { Descriptor = (int)_descriptor.DangerousGetHandle(), Events = SystemCalls.PollOut };
            _ = SystemCalls.Poll(&descriptor, 1, (int)limit.TotalMilliseconds);
        }
        finally
        {
            if (isHeld)
            {
                _descriptor.DangerousRelease();
            }
        }
    }

    /// <summary>Ends the connection: whoever reads gets the end.</summary>
    internal unsafe void Abort()
    {
        if (_isAborted)
        {
            return;
        }

        _isAborted = true;
        try
        {
            if (_wake is null)
            {
                _ = SystemCalls.Shutdown(_descriptor, SystemCalls.ShutdownBoth);
            }
            else
            {
                ulong one = 1;
                _ = SystemCalls.Write(_wake, (byte*)&one, sizeof(ulong));
            }
        }
        catch (ObjectDisposedException)
        {
            // Closed already.
        }
    }

    /// <summary>Closes the descriptor, once nobody reads any more.</summary>
    public void Dispose()
    {
        _descriptor.Dispose();
        _wake?.Dispose();
    }

    /// <summary>A device that was opened already; the transport owns it from here on.</summary>
    internal static XenstoreTransport OfDevice(string path, SafeFileHandle device)
    {
        if (SystemCalls.Seek(device, 0, SystemCalls.FromCurrent) >= 0)
        {
            device.Dispose();
            throw new XenstoreConnectException($"'{path}' is a file, neither a socket nor a device.", isTransient: false);
        }

        var wake = SystemCalls.EventDescriptor(0, SystemCalls.CloseOnExec);
        if (wake < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            device.Dispose();
            throw CannotConnect(path, error);
        }

        return new XenstoreTransport(device, new SafeFileHandle(wake, ownsHandle: true));
    }

    /// <summary>A connection; null if the daemon accepts nobody for now.</summary>
    private static unsafe XenstoreTransport? TryConnect(string path, ReadOnlySpan<byte> name)
    {
        var created = SystemCalls.Socket(SystemCalls.Unix, SystemCalls.Stream | SystemCalls.CloseOnExec | SystemCalls.NonBlocking, 0);
        if (created < 0)
        {
            throw CannotConnect(path, Marshal.GetLastPInvokeError());
        }

        SafeFileHandle socket = new(created, ownsHandle: true);
        try
        {
            Span<byte> address = stackalloc byte[sizeof(ushort) + MaxSocketPath + 1];
            address.Clear();
            MemoryMarshal.Write(address, (ushort)SystemCalls.Unix);
            name.CopyTo(address[sizeof(ushort)..]);
            fixed (byte* first = address)
            {
                if (SystemCalls.Connect(socket, first, (uint)address.Length) < 0)
                {
                    var error = Marshal.GetLastPInvokeError();
                    if (error is SystemCalls.Again or SystemCalls.Interrupted)
                    {
                        socket.Dispose();
                        return null;
                    }

                    throw CannotConnect(path, error);
                }
            }

            // From here on reads block; writes say each time that they do not.
            if (SystemCalls.Control(socket, SystemCalls.SetFlags, 0) < 0)
            {
                throw CannotConnect(path, Marshal.GetLastPInvokeError());
            }

            return new XenstoreTransport(socket, wake: null);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static XenstoreConnectException CannotConnect(string path, int error) => new(
        $"Cannot connect to xenstored at '{path}': {Marshal.GetPInvokeErrorMessage(error)}",
        isTransient: error is SystemCalls.NoEntry or SystemCalls.ConnectionRefused or SystemCalls.Again);

    private static IOException Broken(int error) => new(Marshal.GetPInvokeErrorMessage(error), error);

    /// <summary>Waits until the device has bytes; false when it was aborted.</summary>
    private unsafe bool WaitForDevice()
    {
        bool isHeld = false, isWakeHeld = false;
        try
        {
            _descriptor.DangerousAddRef(ref isHeld);
            _wake!.DangerousAddRef(ref isWakeHeld);
            var descriptors = stackalloc SystemCalls.PollDescriptor[2];
            descriptors[0] = new() { Descriptor = (int)_descriptor.DangerousGetHandle(), Events = SystemCalls.PollIn };
            descriptors[1] = new() { Descriptor = (int)_wake.DangerousGetHandle(), Events = SystemCalls.PollIn };
            while (!_isAborted)
            {
                if (SystemCalls.Poll(descriptors, 2, -1) < 0)
                {
                    var error = Marshal.GetLastPInvokeError();
                    if (error != SystemCalls.Interrupted)
                    {
                        throw Broken(error);
                    }
                }
                else if (descriptors[0].Returned != 0)
                {
                    return !_isAborted;
                }
            }

            return false;
        }
        finally
        {
            if (isWakeHeld)
            {
                _wake!.DangerousRelease();
            }

            if (isHeld)
            {
                _descriptor.DangerousRelease();
            }
        }
    }
}
