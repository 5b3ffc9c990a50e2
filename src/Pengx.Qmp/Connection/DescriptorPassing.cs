using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Qmp;

/// <summary>Sends a file descriptor with the first byte of a command (SCM_RIGHTS), so that QEMU has it before it has the command. Linux only.</summary>
internal static partial class DescriptorPassing
{
    private const int SolSocket = 1;
    private const int ScmRights = 1;
    private const int MsgDontWait = 0x40;
    private const int MsgNoSignal = 0x4000;
    private const int Again = 11;
    private const int Interrupted = 4;
    private const int DuplicateCloseOnExec = 1030;
    private static readonly TimeSpan s_retryDelay = TimeSpan.FromMilliseconds(5);

    internal static bool IsPossibleOver(Stream stream) =>
        OperatingSystem.IsLinux() && stream is NetworkStream { Socket.AddressFamily: AddressFamily.Unix };

    /// <summary>A copy of a descriptor, not inherited by programs that this one starts.</summary>
    internal static SafeFileHandle Duplicate(SafeHandle descriptor)
    {
        bool isHeld = false;
        try
        {
            descriptor.DangerousAddRef(ref isHeld);
            int copy = DuplicateAtLeast((int)descriptor.DangerousGetHandle(), DuplicateCloseOnExec, 0);
            return copy >= 0
                ? new SafeFileHandle(copy, ownsHandle: true)
                : throw new ArgumentException("The file descriptor is not open.", nameof(descriptor), new Win32Exception(Marshal.GetLastPInvokeError()));
        }
        finally
        {
            if (isHeld)
            {
                descriptor.DangerousRelease();
            }
        }
    }

    internal static async Task SendAsync(Stream stream, SafeHandle descriptor, ReadOnlyMemory<byte> firstByte, CancellationToken cancellationToken)
    {
        Socket socket = ((NetworkStream)stream).Socket;
        while (!TrySend(socket, descriptor, firstByte.Span))
        {
            // The socket is full because QEMU does not read; rare, and over as soon as it does.
            await Task.Delay(s_retryDelay, cancellationToken).ConfigureAwait(false);
        }
    }

    private static unsafe bool TrySend(Socket socket, SafeHandle descriptor, ReadOnlySpan<byte> firstByte)
    {
        bool isHeld = false;
        bool isSocketHeld = false;
        try
        {
            descriptor.DangerousAddRef(ref isHeld);
            socket.SafeHandle.DangerousAddRef(ref isSocketHeld);
            fixed (byte* data = firstByte)
            {
                ControlMessage control = new()
                {
                    Length = (nuint)(sizeof(nuint) + (3 * sizeof(int))),
                    Level = SolSocket,
                    Type = ScmRights,
                    Descriptor = (int)descriptor.DangerousGetHandle(),
                };
                IoVector vector = new() { Base = (nint)data, Length = (nuint)firstByte.Length };
                MessageHeader header = new()
                {
                    Vectors = (nint)(&vector),
                    VectorCount = 1,
                    Control = (nint)(&control),
                    ControlLength = (nuint)sizeof(ControlMessage),
                };
                nint sent;
                int error;
                do
                {
                    sent = SendMessage((int)socket.SafeHandle.DangerousGetHandle(), &header, MsgDontWait | MsgNoSignal);
                    error = Marshal.GetLastPInvokeError();
                }
                while (sent < 0 && error == Interrupted);

                return sent >= 0 ? true
                    : error == Again ? false
                    : throw new IOException("The file descriptor could not be sent.", new Win32Exception(error));
            }
        }
        finally
        {
            if (isHeld)
            {
                descriptor.DangerousRelease();
            }

            if (isSocketHeld)
            {
                socket.SafeHandle.DangerousRelease();
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static unsafe partial nint SendMessage(int socket, MessageHeader* message, int flags);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int DuplicateAtLeast(int descriptor, int command, int minimum);

    // The layouts of Linux on 64 bits: struct msghdr, struct iovec, and struct cmsghdr with one descriptor, padded as CMSG_SPACE demands.
    [StructLayout(LayoutKind.Sequential)]
    private struct MessageHeader
    {
        public nint Name;
        public uint NameLength;
        public nint Vectors;
        public nuint VectorCount;
        public nint Control;
        public nuint ControlLength;
        public int Flags;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct IoVector
    {
        public nint Base;
        public nuint Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ControlMessage
    {
        public nuint Length;
        public int Level;
        public int Type;
        public int Descriptor;
        public int Padding;
    }
}
