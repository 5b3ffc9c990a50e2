using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Pengx.Qmp;

namespace Pengx.Benchmarks.Qmp;

/// <summary>
/// The client against bare sockets with the same bytes, at one real QEMU, in alternating rounds of one run: on a shared machine only
/// the ratio within a round means anything. Run with <c>qmp-real</c>; prints a table. With <c>PENGX_QEMU_PYTHON</c> naming the folder
/// that holds QEMU's own Python package (<c>python</c> in QEMU's source), that client takes part.
/// </summary>
internal static class RealMonitorComparison
{
    private const int Rounds = 5;
    private const int Commands = 2000;
    private const string PythonProgram = """
        import asyncio, sys, time
        from qemu.qmp import QMPClient

        async def main(path, count):
            client = QMPClient("bench")
            await client.connect(path)
            started = time.perf_counter()
            for _ in range(count):
                await client.execute("query-status")
            print(count / (time.perf_counter() - started))
            await client.disconnect()

        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
        """;

    private static readonly byte[] s_command = [.. "{\"execute\":\"query-status\",\"id\":1}\n"u8];

    internal static async Task RunAsync()
    {
        string directory = Directory.CreateTempSubdirectory("pengx-bench-").FullName;
        string ours = Path.Combine(directory, "ours");
        string bare = Path.Combine(directory, "bare");
        string python = Path.Combine(directory, "python");
        string? package = Environment.GetEnvironmentVariable("PENGX_QEMU_PYTHON");
        using Process qemu = Process.Start(
            "qemu-system-x86_64",
            ["-machine", "none", "-nodefaults", "-display", "none", "-qmp", $"unix:{ours},server=on,wait=off", "-qmp", $"unix:{bare},server=on,wait=off", "-qmp", $"unix:{python},server=on,wait=off"]);
        try
        {
            await using QmpClient client = await ConnectAsync(ours);
            using Socket socket = await BareAsync(bare);
            byte[] buffer = new byte[64 * 1024];
            List<double[]> rounds = [];
            for (int round = 0; round < Rounds; round++)
            {
                double sequentialBare = Rate(Commands, () =>
                {
                    for (int i = 0; i < Commands; i++)
                    {
                        socket.Send(s_command);
                        ReadLines(socket, buffer, 1);
                    }
                });
                long allocated = GC.GetTotalAllocatedBytes(precise: true);
                double sequential = await RateAsync(Commands, async () =>
                {
                    for (int i = 0; i < Commands; i++)
                    {
                        await client.ExecuteAsync(QmpCommands.QueryStatus);
                    }
                });
                allocated = (GC.GetTotalAllocatedBytes(precise: true) - allocated) / Commands;
                double pipelined = await RateAsync(Commands, () => Task.WhenAll(Enumerable.Range(0, Commands).Select(_ => client.ExecuteAsync(QmpCommands.QueryStatus))));
                double schema = await RateAsync(10, async () =>
                {
                    for (int i = 0; i < 10; i++)
                    {
                        await client.ExecuteRawAsync("query-qmp-schema");
                    }
                });
                using QmpEventSubscription events = client.Subscribe(QmpEventFilter.Named(QmpEventNames.Stop, QmpEventNames.Resume));
                double eventRate = await RateAsync(1000, async () =>
                {
                    for (int i = 0; i < 500; i++)
                    {
                        _ = client.ExecuteAsync(QmpCommands.Stop);
                        _ = client.ExecuteAsync(QmpCommands.Cont);
                    }

                    for (int seen = 0; seen < 1000 && await events.WaitToReadAsync();)
                    {
                        while (events.TryRead(out _))
                        {
                            seen++;
                        }
                    }
                });
                double pythonRate = package is null ? double.NaN : await PythonAsync(package, python);
                rounds.Add([sequentialBare, sequential, sequential / sequentialBare, pythonRate, sequential / pythonRate, pipelined, schema, eventRate, allocated]);
            }

            await client.DisposeAsync();
            double connects = await RateAsync(50, async () =>
            {
                for (int i = 0; i < 50; i++)
                {
                    await using QmpClient again = await ConnectAsync(ours);
                    await again.ExecuteAsync(QmpCommands.QueryStatus);
                }
            });
            string[] names = ["bare socket, sequential, round trips/s", "client, sequential, round trips/s", "client / bare socket", "QEMU's Python client, sequential, round trips/s", "client / Python client", "client, pipelined, commands/s", "query-qmp-schema, replies/s", "events/s", "bytes allocated per command"];
            for (int column = 0; column < names.Length; column++)
            {
                double[] values = [.. rounds.Select(round => round[column]).Order()];
                Console.WriteLine($"| {names[column]} | {values[Rounds / 2]:0.##} | {values[0]:0.##} to {values[^1]:0.##} |");
            }

            Console.WriteLine($"| connect, negotiate, one command, close, per second | {connects:0.##} | one round of 50 |");
        }
        finally
        {
            qemu.Kill();
            await qemu.WaitForExitAsync();
            Directory.Delete(directory, recursive: true);
        }
    }

    private static double Rate(int count, Action action)
    {
        long started = Stopwatch.GetTimestamp();
        action();
        return count / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    private static async Task<double> RateAsync(int count, Func<Task> action)
    {
        long started = Stopwatch.GetTimestamp();
        await action();
        return count / Stopwatch.GetElapsedTime(started).TotalSeconds;
    }

    private static async Task<double> PythonAsync(string package, string path)
    {
        ProcessStartInfo start = new("python3") { RedirectStandardOutput = true };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(PythonProgram);
        start.ArgumentList.Add(path);
        start.ArgumentList.Add(Commands.ToString(CultureInfo.InvariantCulture));
        start.Environment["PYTHONPATH"] = package;
        using Process client = Process.Start(start)!;
        string printed = await client.StandardOutput.ReadToEndAsync();
        await client.WaitForExitAsync();
        return double.Parse(printed, CultureInfo.InvariantCulture);
    }

    private static async Task<QmpClient> ConnectAsync(string path)
    {
        while (true)
        {
            try
            {
                return await QmpClient.ConnectAsync(path);
            }
            catch (QmpConnectException exception) when (exception.IsTransient)
            {
                await Task.Yield();
            }
        }
    }

    private static async Task<Socket> BareAsync(string path)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
        byte[] buffer = new byte[64 * 1024];
        ReadLines(socket, buffer, 1);
        socket.Send("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}\n"u8);
        ReadLines(socket, buffer, 1);
        return socket;
    }

    private static void ReadLines(Socket socket, byte[] buffer, int count)
    {
        while (count > 0)
        {
            int received = socket.Receive(buffer);
            ReadOnlySpan<byte> read = buffer.AsSpan(0, received);
            // Events of what the other connection does arrive here too, and are no replies.
            foreach (Range line in read.Split((byte)'\n'))
            {
                count -= read[line].IndexOf("\"event\""u8) < 0 && read[line].Length > 2 ? 1 : 0;
            }
        }
    }
}
