using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Win32.SafeHandles;

namespace Pengx.Xen.Tests;

/// <summary>
/// The client over a character device, as <c>/dev/xen/xenbus</c> is one: a pseudo-terminal in its raw mode, whose other end is joined to
/// Debian's xenstored message by message.
/// </summary>
public sealed partial class DeviceTests
{
    private static TimeSpan Limit { get; } = TimeSpan.FromSeconds(60);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_device_serves_requests_watches_and_transactions()
    {
        XenTools.Require();
        await using XenstoredProcess daemon = new();
        await daemon.StartAsync(Stop);
        await using var device = await Bridge.StartAsync(daemon.SocketPath);
        await using (var client = await XenstoreClient.ConnectAsync(XenstoreEndPoint.At(device.Path), cancellationToken: Stop))
        {
            await client.WriteAsync("/a/b", "over a device", Stop);
            Assert.Equal("over a device", await client.FindTextAsync("/a/b", Stop));
            Assert.Null(await client.FindAsync("/missing", Stop));
            await using var watch = await client.WatchAsync("/a", cancellationToken: Stop);
            var counts = await Task.WhenAll(Enumerable.Range(0, 64).Select(i => client.WriteAsync($"/a/{i}", $"{i}", Stop).AsTask().ContinueWith(
                _ => i, Stop, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default)));
            Assert.Equal(64, counts.Length);
            Assert.Equal(66, (await client.FindTreeAsync("/a", Stop))!.DescendantsAndSelf().Count());
            await client.TransactAsync((transaction, token) => transaction.WriteAsync("/a/b", "in one piece", token).AsTask(), Stop);
            var told = 0;
            while (watch.TryRead(out _))
            {
                told++;
            }

            Assert.Equal(1 + 64 + 1, told);
        }

        // Closing woke the reader, which no shutdown can do here.
        await device.DisposeAsync();
        Assert.True(device.Messages > 64 * 3);
    }

    [Fact]
    public async Task A_device_gets_one_message_with_each_write_and_the_next_after_its_answer()
    {
        // The kernel forgets whatever stands behind the first message, and reads a message only when it gets to it, from a buffer that
        // the next write uses, too. A socket that keeps the borders of writes shows both.
        const int SequencedPackets = 5;
        var ends = new int[2];
        Assert.Equal(0, SocketPair(1, SequencedPackets, 0, ends));
        using SafeFileHandle daemon = new(ends[1], ownsHandle: true);
        var transport = XenstoreTransport.OfDevice("a pair of sockets", new SafeFileHandle(ends[0], ownsHandle: true));
        XenstoreSession session = new(transport, XenstoreEndPoint.At("a pair of sockets"), new XenstoreClientOptions(), NullLogger.Instance, new NoEvents());
        var packets = 0;
        var serving = Task.Factory.StartNew(
            () =>
            {
                var packet = new byte[64 * 1024];
                while (Read(daemon, ref packet[0], (nuint)packet.Length) is > 0 and var count)
                {
                    Assert.Equal(16 + BitConverter.ToInt32(packet, 12), (int)count);
                    packets++;
                    if (packets == 2)
                    {
                        // By now everything else has been asked for: it must wait for this answer.
                        Assert.False(HasMore(daemon, TimeSpan.FromMilliseconds(200)));
                    }

                    Assert.False(HasMore(daemon, TimeSpan.Zero));
                    var isTop = packet[0] == 1 && packet.AsSpan(16, (int)count - 16).SequenceEqual("/top\0"u8);
                    byte[] payload = isTop ? [.. Enumerable.Range(0, 20).SelectMany(i => Encoding.ASCII.GetBytes($"{i}\0"))] : [];
                    byte[] answer = [.. packet.AsSpan(0, 12), .. BitConverter.GetBytes(payload.Length), .. payload];
                    Write(daemon, ref answer[0], (nuint)answer.Length);
                }
            },
            TaskCreationOptions.LongRunning);
        var tree = await XenstoreTreeWalk.RunAsync(session, 0, "/top", Stop).WaitAsync(Limit, Stop);
        Assert.Equal(20, tree!.Children.Count);
        session.Close();
        await session.Ended.WaitAsync(Limit, Stop);
        await serving.WaitAsync(Limit, Stop);
        Assert.Equal(42, packets);
    }

    [Fact]
    public async Task Closing_does_not_wait_for_a_device_that_says_nothing()
    {
        await using var device = await Bridge.StartAsync(null);
        var client = await XenstoreClient.ConnectAsync(XenstoreEndPoint.At(device.Path), cancellationToken: Stop);
        var read = client.FindAsync("/a", Stop).AsTask();
        await client.DisposeAsync().AsTask().WaitAsync(Limit, Stop);
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(() => read.WaitAsync(Limit, Stop));
    }

    [Fact]
    public async Task A_device_that_goes_away_ends_the_session()
    {
        var device = await Bridge.StartAsync(null);
        await using var client = await XenstoreClient.ConnectAsync(XenstoreEndPoint.At(device.Path), cancellationToken: Stop);
        var read = client.FindAsync("/a", Stop).AsTask();
        await device.DisposeAsync();
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(() => read.WaitAsync(Limit, Stop));
        await Assert.ThrowsAsync<XenstoreDisconnectedException>(() => client.Completion.WaitAsync(Limit, Stop));
    }

    private static bool HasMore(SafeFileHandle descriptor, TimeSpan limit)
    {
        PollDescriptor poll = new() { Descriptor = (int)descriptor.DangerousGetHandle(), Events = 1 };
        return Poll(ref poll, 1, (int)limit.TotalMilliseconds) > 0;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        internal int Descriptor;
        internal short Events;
        internal short Returned;
    }

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(ref PollDescriptor descriptors, nuint count, int timeout);

    [LibraryImport("libc", EntryPoint = "socketpair", SetLastError = true)]
    private static partial int SocketPair(int family, int type, int protocol, [Out] int[] ends);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint Read(SafeFileHandle descriptor, ref byte buffer, nuint length);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static partial nint Write(SafeFileHandle descriptor, ref byte buffer, nuint length);

    private sealed class NoEvents : IXenstoreEvents
    {
        public void OnEvent(ReadOnlySpan<byte> path, ReadOnlySpan<byte> token) => Assert.Fail("nobody watches");
    }

    /// <summary>A pseudo-terminal joined to a daemon's socket, or to nothing.</summary>
    private sealed partial class Bridge : IAsyncDisposable
    {
        private const int ReadWriteNoTerminal = 2 | 0x100 | 0x80000;

        private readonly SafeFileHandle _master;
        private readonly SafeFileHandle _keptOpen;
        private readonly Socket? _socket;
        private readonly Task _pumping;
        private bool _isDisposed;

        private Bridge(SafeFileHandle master, SafeFileHandle keptOpen, string path, Socket? socket)
        {
            _master = master;
            _keptOpen = keptOpen;
            Path = path;
            _socket = socket;
            _pumping = socket is null ? Task.CompletedTask : Task.WhenAll(Task.Factory.StartNew(PumpRequests, TaskCreationOptions.LongRunning), Task.Factory.StartNew(PumpAnswers, TaskCreationOptions.LongRunning));
        }

        internal string Path { get; }

        internal int Messages { get; private set; }

        internal static async Task<Bridge> StartAsync(string? socketPath)
        {
            SafeFileHandle master = new(Checked(OpenMaster(ReadWriteNoTerminal)), ownsHandle: true);
            Checked(Grant(master));
            Checked(Unlock(master));
            var name = new byte[64];
            Assert.Equal(0, NameOf(master, name, (nuint)name.Length));
            var path = Encoding.ASCII.GetString(name.AsSpan(0, Array.IndexOf(name, (byte)0)));
            SafeFileHandle slave = new(Checked(Open(path, ReadWriteNoTerminal)), ownsHandle: true);

            // Raw: no byte means anything but itself. The structure is larger than any libc's.
            var attributes = new byte[256];
            Checked(GetAttributes(slave, attributes));
            MakeRaw(attributes);
            Checked(SetAttributes(slave, 0, attributes));
            Socket? socket = null;
            if (socketPath is not null)
            {
                socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), Stop);
            }

            return new Bridge(master, slave, path, socket);
        }

        public async ValueTask DisposeAsync()
        {
            if (_isDisposed)
            {
                return;
            }

            _isDisposed = true;
            _socket?.Shutdown(SocketShutdown.Both);

            // The last one at the other end wakes the pump: a terminal without a user is at its end.
            _keptOpen.Dispose();
            if (_socket is null)
            {
                _master.Dispose();
            }

            await _pumping.WaitAsync(Limit);
            _master.Dispose();
            _socket?.Dispose();
        }

        private void PumpRequests()
        {
            var buffer = new byte[64 * 1024];
            var filled = 0;
            while (DeviceTests.Read(_master, ref buffer[filled], (nuint)(buffer.Length - filled)) is > 0 and var count)
            {
                filled += (int)count;
                var start = 0;
                while (filled - start >= 16)
                {
                    var length = 16 + BitConverter.ToInt32(buffer, start + 12);
                    if (filled - start < length)
                    {
                        break;
                    }

                    Messages++;
                    _socket!.Send(buffer.AsSpan(start, length));
                    start += length;
                }

                buffer.AsSpan(start, filled - start).CopyTo(buffer);
                filled -= start;
            }
        }

        private void PumpAnswers()
        {
            var buffer = new byte[1024];
            try
            {
                while (_socket!.Receive(buffer) is > 0 and var count)
                {
                    for (var sent = 0; sent < count;)
                    {
                        sent += Checked((int)DeviceTests.Write(_master, ref buffer[sent], (nuint)(count - sent)));
                    }
                }
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException or Win32Exception)
            {
                // Either end has gone.
            }
        }

        private static int Checked(int result) => result >= 0 ? result : throw new Win32Exception(Marshal.GetLastPInvokeError());

        [LibraryImport("libc", EntryPoint = "posix_openpt", SetLastError = true)]
        private static partial int OpenMaster(int flags);

        [LibraryImport("libc", EntryPoint = "grantpt", SetLastError = true)]
        private static partial int Grant(SafeFileHandle master);

        [LibraryImport("libc", EntryPoint = "unlockpt", SetLastError = true)]
        private static partial int Unlock(SafeFileHandle master);

        [LibraryImport("libc", EntryPoint = "ptsname_r", SetLastError = true)]
        private static partial int NameOf(SafeFileHandle master, [Out] byte[] name, nuint length);

        [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
        private static partial int Open(string path, int flags);

        [LibraryImport("libc", EntryPoint = "tcgetattr", SetLastError = true)]
        private static partial int GetAttributes(SafeFileHandle terminal, [In, Out] byte[] attributes);

        [LibraryImport("libc", EntryPoint = "cfmakeraw")]
        private static partial void MakeRaw([In, Out] byte[] attributes);

        [LibraryImport("libc", EntryPoint = "tcsetattr", SetLastError = true)]
        private static partial int SetAttributes(SafeFileHandle terminal, int when, [In] byte[] attributes);
    }
}
