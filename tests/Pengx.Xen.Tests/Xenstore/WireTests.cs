using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>Bytes on the wire: what is written is what the protocol says, and whatever comes is understood or refused.</summary>
public sealed class WireTests
{
    private static TimeSpan Limit { get; } = TimeSpan.FromSeconds(60);

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public void Messages_are_written_as_the_protocol_says() =>
        Gen.Select(Gen.UInt, Gen.UInt, Gen.String[Gen.Char["/ab-"], 1, 200], Gen.Byte.Array[0, 500], Gen.Int[1, 40]).Sample((id, transaction, text, rest, count) =>
        {
            OutgoingBuffer buffer = new();
            for (var i = 0; i < count; i++)
            {
                var length = OutgoingBuffer.PayloadLength(text, rest);
                buffer.Write(XenstoreOperation.Write, id, transaction, text, rest, length);
                if (i % 3 == 0)
                {
                    buffer.Advance(buffer.FirstUnsent.Length);
                    i++;
                    buffer.Write(XenstoreOperation.Write, id, transaction, text, rest, length);
                }
            }

            while (!buffer.IsEmpty)
            {
                var message = buffer.FirstUnsent;
                byte[] payload = [.. Encoding.ASCII.GetBytes(text), 0, .. rest];
                if (BinaryPrimitives.ReadUInt32LittleEndian(message) != 11
                    || BinaryPrimitives.ReadUInt32LittleEndian(message[4..]) != id
                    || BinaryPrimitives.ReadUInt32LittleEndian(message[8..]) != transaction
                    || BinaryPrimitives.ReadUInt32LittleEndian(message[12..]) != payload.Length
                    || !message[16..].SequenceEqual(payload))
                {
                    return false;
                }

                // In two pieces, as a daemon might take it.
                var first = 16 + (payload.Length / 2);
                buffer.Advance(first);
                if (!buffer.FirstUnsent.StartsWith(payload.AsSpan(first - 16)))
                {
                    return false;
                }

                buffer.Advance(buffer.FirstUnsent.Length);
            }

            return true;
        });

    [Fact]
    public void Payloads_are_read_as_they_were_meant()
    {
        Gen.String[Gen.Char.AlphaNumeric, 1, 20].Array[0, 50].Sample(names =>
            XenstorePayload.ReadNames(Encoding.ASCII.GetBytes(string.Concat(names.Select(name => name + '\0')))).SequenceEqual(names));
        Gen.Select(Gen.Int[0, 65535], Gen.Enum<XenstoreAccess>(), Gen.Select(Gen.Int[0, 65535], Gen.Enum<XenstoreAccess>()).Array[0, 10]).Sample((owner, others, domains) =>
        {
            XenstorePermissions permissions = new() { Owner = owner, Others = others, Domains = [.. domains.Select(domain => new XenstoreGrant(domain.Item1, domain.Item2))] };
            var wire = Encoding.ASCII.GetBytes(permissions.ToString().Replace(',', '\0') + '\0');
            return XenstorePayload.ReadPermissions(wire).Equals(permissions);
        });
        Gen.UInt[1, uint.MaxValue].Sample(id => XenstorePayload.ReadTransactionId(Encoding.ASCII.GetBytes($"{id}\0")) == id);
    }

    [Fact]
    public void Payloads_of_any_bytes_are_read_or_refused_and_nothing_else() =>
        Gen.Byte.Array[0, 40].Sample(bytes =>
        {
            foreach (var read in new Action<byte[]>[]
            {
                payload => XenstorePayload.ReadNames(payload),
                payload => XenstorePayload.ReadText(payload),
                payload => XenstorePayload.ReadNumber(payload),
                payload => XenstorePayload.ReadTruth(payload),
                payload => XenstorePayload.ReadPermissions(payload),
                payload => XenstorePayload.ReadTransactionId(payload),
                payload => XenstorePayload.SplitEvent(payload, out _, out _),
            })
            {
                try
                {
                    read(bytes);
                }
                catch (FormatException)
                {
                    // Refused.
                }
            }
        });

    [Fact]
    public async Task Any_bytes_from_a_daemon_end_in_an_answer_or_a_typed_error()
    {
        using TemporaryFolder folder = new();
        using Socket listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(folder.At("socket")));
        listener.Listen(16);
        var ids = Gen.Select(
            AnyOf(0u, 1, 2, 3, 11, 15, 16, 22, 65535, 0xFFFFFFFF),
            AnyOf(0u, (1u << 20) | 0, (1u << 20) | 1, 7, 0xFFFFFFFF),
            AnyOf(0u, 1),
            AnyOf(0u, 3, 4, 4096, 4097, 0xFFFFFFFF));
        await Gen.Select(ids, Gen.Byte.Array[0, 60], Gen.Int[1, 3]).SampleAsync(
            async (header, noise, times) =>
            {
                var connecting = XenstoreClient.ConnectAsync(XenstoreEndPoint.At(folder.At("socket")), cancellationToken: Stop);
                using var daemon = await listener.AcceptAsync(Stop);
                await using var client = await connecting;
                var calls = new Task[] { client.ReadAsync("/a", Stop).AsTask(), client.WriteAsync("/b", "1", Stop).AsTask(), client.FindTreeAsync("/c", Stop) };
                for (var i = 0; i < times; i++)
                {
                    var bytes = new byte[16 + noise.Length];
                    BinaryPrimitives.WriteUInt32LittleEndian(bytes, header.Item1);
                    BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), header.Item2);
                    BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), header.Item3);
                    BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(12), header.Item4);
                    noise.CopyTo(bytes, 16);
                    try
                    {
                        daemon.Send(bytes);
                    }
                    catch (SocketException)
                    {
                        // The client has heard enough.
                        break;
                    }
                }

                daemon.Close();
                foreach (var call in calls)
                {
                    try
                    {
                        await call.WaitAsync(Limit, Stop);
                    }
                    catch (XenstoreException)
                    {
                        // One of ours, which says what was wrong.
                    }
                }

                await Assert.ThrowsAnyAsync<XenstoreException>(() => client.Completion.WaitAsync(Limit, Stop));
            },
            iter: 300,
            threads: 1);
    }

    private static Gen<uint> AnyOf(params uint[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);
}
