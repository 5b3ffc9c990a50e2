using System.Buffers.Binary;
using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using Pengx.Xen;

namespace Pengx.Benchmarks.Xenstore;

/// <summary>
/// The client against bare sockets with the same bytes and Xen's own library, at one real xenstored, in alternating rounds of one run: on a
/// shared machine only the ratio within a round means anything. Run with <c>xenstore-real</c>; prints a table.
/// </summary>
internal static class RealXenstoredComparison
{
    private const int Rounds = 7;
    private const int Slices = 60;
    private const int Slice = 256;
    private const int Transactions = 100;
    private const int Nodes = 2000;
    private const string NodePath = "/local/domain/1/name";

    private static readonly byte[] s_path = Encoding.ASCII.GetBytes(NodePath + '\0');

    internal static async Task RunAsync()
    {
        await using RealXenstored daemon = new();
        using var bare = await daemon.ConnectBareAsync();
        await using var client = await XenstoreClient.ConnectAsync(XenstoreEndPoint.At(daemon.SocketPath));
        await using var pooled = await XenstoreClient.ConnectAsync(XenstoreEndPoint.At(daemon.SocketPath), new XenstoreClientOptions { ContinueOnReader = false });
        using LibXenstore library = new(daemon.SocketPath);
        await client.WriteAsync(NodePath, "a guest's name");
        for (var i = 0; i < Nodes / 10; i++)
        {
            for (var j = 0; j < 9; j++)
            {
                await client.WriteAsync($"/tree/{i}/key{j}", $"value {i} {j}");
            }
        }

        if ((await client.FindTreeAsync("/tree"))!.DescendantsAndSelf().Count() != Nodes + 1)
        {
            throw new InvalidOperationException("The tree is not what was written.");
        }

        byte[] buffer = new byte[64 * 1024];
        List<(string Name, double[] Values)> columns = [];
        void Note(string name, int round, double value)
        {
            var column = columns.Find(column => column.Name == name);
            if (column.Name is null)
            {
                columns.Add(column = (name, new double[Rounds]));
            }

            column.Values[round] = value;
        }

        Func<Task<double>>[] sequential =
        [
            () => Rate(() => BareSequential(bare, buffer)),
            () => RateAsync(() => SequentialAsync(client)),
            () => RateAsync(() => SequentialAsync(pooled)),
            () => Rate(() => Library(library)),
            () => RateAsync(() => WritesAsync(client)),
        ];
        Func<Task<double>>[] pipelined =
        [
            () => Rate(() => BarePipelined(bare, buffer, 16)),
            () => RateAsync(() => PipelinedAsync(client, 16)),
            () => Rate(() => BarePipelined(bare, buffer, 64)),
            () => RateAsync(() => PipelinedAsync(client, 64)),
        ];

        // Round -1 warms up.
        for (var round = -1; round < Rounds; round++)
        {
            var one = await AlternateAsync(sequential);
            var many = await AlternateAsync(pipelined);
            var other = await AlternateAsync(
                [
                    async () => await RateAsync(() => TransactionsAsync(client)) / Slice,
                    async () => await RateAsync(() => client.FindTreeAsync("/tree")) / Slice,
                    async () => await RateAsync(() => daemon.RunToolAsync("xenstore-ls", "/tree")) / Slice,
                    async () => await RateAsync(() => daemon.RunToolAsync("xenstore-read", NodePath)) / Slice,
                ],
                slices: 5);
            var allocated = GC.GetTotalAllocatedBytes(precise: true);
            await SequentialAsync(client);
            allocated = (GC.GetTotalAllocatedBytes(precise: true) - allocated) / Slice;
            if (round < 0)
            {
                continue;
            }

            Note("bare socket, sequential, reads/s", round, one[0]);
            Note("client, sequential, reads/s", round, one[1]);
            Note("client / bare socket", round, one[1] / one[0]);
            Note("client with ContinueOnReader = false / bare socket", round, one[2] / one[0]);
            Note("libxenstore in this process, sequential, reads/s", round, one[3]);
            Note("client / libxenstore", round, one[1] / one[3]);
            Note("client, sequential, writes/s", round, one[4]);
            Note("bare socket, 16 at once, reads/s", round, many[0]);
            Note("client, 16 at once, reads/s", round, many[1]);
            Note("client / bare socket, 16 at once", round, many[1] / many[0]);
            Note("bare socket, 64 at once, reads/s", round, many[2]);
            Note("client, 64 at once, reads/s", round, many[3]);
            Note("client / bare socket, 64 at once", round, many[3] / many[2]);
            Note("client, transactions of one read and one write/s", round, other[0] * Transactions);
            Note("client, tree of 2 000 nodes, ms", round, 1000 / other[1]);
            Note("xenstore-ls of the same tree, ms", round, 1000 / other[2]);
            Note("xenstore-read, one process for each, ms", round, 1000 / other[3]);
            Note("bytes allocated for each read (the value has 14)", round, allocated);
        }

        Console.WriteLine("| measured | median | rounds |");
        Console.WriteLine("|---|---|---|");
        foreach (var (name, values) in columns)
        {
            Array.Sort(values);
            Console.WriteLine($"| {name} | {values[Rounds / 2]:0.##} | {values[0]:0.##} to {values[^1]:0.##} |");
        }
    }

    private static void BareSequential(Socket socket, byte[] buffer)
    {
        var request = Request(1);
        for (var i = 0; i < Slice; i++)
        {
            socket.Send(request);
            Receive(socket, buffer, 1);
        }
    }

    private static void BarePipelined(Socket socket, byte[] buffer, int depth)
    {
        byte[] requests = [.. Enumerable.Range(0, depth).SelectMany(i => Request((uint)i + 1))];
        for (var i = 0; i < Slice; i += depth)
        {
            socket.Send(requests);
            Receive(socket, buffer, depth);
        }
    }

    private static byte[] Request(uint id)
    {
        var request = new byte[16 + s_path.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(request, 2);
        BinaryPrimitives.WriteUInt32LittleEndian(request.AsSpan(4), id);
        BinaryPrimitives.WriteUInt32LittleEndian(request.AsSpan(12), (uint)s_path.Length);
        s_path.CopyTo(request, 16);
        return request;
    }

    private static void Receive(Socket socket, byte[] buffer, int messages)
    {
        var filled = 0;
        for (var start = 0; messages > 0;)
        {
            while (filled - start < 16 || filled - start < 16 + BinaryPrimitives.ReadInt32LittleEndian(buffer.AsSpan(start + 12)))
            {
                filled += socket.Receive(buffer.AsSpan(filled));
            }

            start += 16 + BinaryPrimitives.ReadInt32LittleEndian(buffer.AsSpan(start + 12));
            messages--;
        }
    }

    private static async Task SequentialAsync(XenstoreClient client)
    {
        for (var i = 0; i < Slice; i++)
        {
            await client.ReadAsync(NodePath);
        }
    }

    private static async Task WritesAsync(XenstoreClient client)
    {
        XenstoreValue value = "a guest's name";
        for (var i = 0; i < Slice; i++)
        {
            await client.WriteAsync(NodePath, value);
        }
    }

    private static async Task PipelinedAsync(XenstoreClient client, int depth)
    {
        var reads = new ValueTask<XenstoreValue>[depth];
        for (var i = 0; i < Slice; i += depth)
        {
            for (var j = 0; j < depth; j++)
            {
#pragma warning disable CA2012 // Each is awaited once, below.
                reads[j] = client.ReadAsync(NodePath);
#pragma warning restore CA2012
            }

            foreach (var read in reads)
            {
                await read;
            }
        }
    }

    private static async Task TransactionsAsync(XenstoreClient client)
    {
        for (var i = 0; i < Transactions; i++)
        {
            await client.TransactAsync(async (transaction, token) =>
            {
                var value = await transaction.ReadAsync(NodePath, token);
                await transaction.WriteAsync(NodePath, value, token);
            });
        }
    }

    private static void Library(LibXenstore library)
    {
        for (var i = 0; i < Slice; i++)
        {
            library.Read(s_path);
        }
    }

    /// <summary>
    /// All of them in turns, many short slices of each, and of each the median: what else runs on the machine meets all alike, and a burst
    /// of it none.
    /// </summary>
    private static async Task<double[]> AlternateAsync(Func<Task<double>>[] measured, int slices = Slices)
    {
        var rates = new double[measured.Length][];
        for (var i = 0; i < rates.Length; i++)
        {
            rates[i] = new double[slices];
        }

        for (var slice = 0; slice < slices; slice++)
        {
            for (var i = 0; i < measured.Length; i++)
            {
                rates[i][slice] = await measured[i]();

                // The next one begins on a thread that nobody else needs.
                await Task.Yield();
            }
        }

        return [.. rates.Select(each => each.Order().ElementAt(slices / 2))];
    }

    private static Task<double> Rate(Action action)
    {
        var started = Stopwatch.GetTimestamp();
        action();
        return Task.FromResult(Slice / Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    private static async Task<double> RateAsync(Func<Task> action)
    {
        var started = Stopwatch.GetTimestamp();
        await action();
        return Slice / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }
}
