using System.Diagnostics;
using System.Globalization;
using System.IO.Pipes;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>Every way to a real QEMU, from both sides, and what may travel on it.</summary>
public sealed class TransportTests : IAsyncLifetime
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-qmp-").FullName;
    private readonly List<Process> _processes = [];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private static QmpClientOptions Patient => new() { ConnectTimeout = TimeSpan.FromSeconds(20), GreetingTimeout = TimeSpan.FromSeconds(20) };

    public ValueTask InitializeAsync()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (Process process in _processes)
        {
            process.Kill();
            await process.WaitForExitAsync(CancellationToken.None);
            process.Dispose();
        }

        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Qemu_listens_on_tcp()
    {
        int port = FreePort();
        Start("-qmp", $"tcp:127.0.0.1:{port},server=on,wait=off");

        await using QmpClient client = await WhenUpAsync(() => QmpClient.ConnectAsync(QmpEndPoint.Tcp("127.0.0.1", port), Patient, Stop));

        Assert.True((await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Running);
        await Assert.ThrowsAsync<InvalidOperationException>(() => client.AddFdAsync(_processes[^1].SafeHandle, cancellationToken: Stop));
    }

    [Fact]
    public async Task Qemu_listens_on_tcp_with_tls_and_each_side_demands_the_others_certificate()
    {
        TestCertificates certificates = new(Path.Combine(_directory, "tls"), qemuIsServer: true);
        int port = FreePort();
        Start(
            "-object", $"tls-creds-x509,id=tls0,dir={certificates.Directory},endpoint=server,verify-peer=on",
            "-chardev", $"socket,id=c0,host=127.0.0.1,port={port},server=on,wait=off,tls-creds=tls0", "-mon", "chardev=c0,mode=control");
        QmpEndPoint trusted = QmpEndPoint.Tcp("127.0.0.1", port, new QmpTls
        {
            Client = new SslClientAuthenticationOptions { ClientCertificates = [certificates.Ours], CertificateChainPolicy = certificates.Trust },
        });

        await using (QmpClient client = await WhenUpAsync(() => QmpClient.ConnectAsync(trusted, Patient, Stop)))
        {
            Assert.InRange((await client.ExecuteRawAsync("query-qmp-schema", cancellationToken: Stop)).GetArrayLength(), 300, 5000);
        }

        TestCertificates others = new(Path.Combine(_directory, "others"), qemuIsServer: true);
        QmpEndPoint mistrusted = QmpEndPoint.Tcp("127.0.0.1", port, new QmpTls
        {
            Client = new SslClientAuthenticationOptions { ClientCertificates = [certificates.Ours], CertificateChainPolicy = others.Trust },
        });
        QmpConnectException noTrust = await Assert.ThrowsAsync<QmpConnectException>(() => QmpClient.ConnectAsync(mistrusted, Patient, Stop));
        Assert.False(noTrust.IsTransient);

        QmpEndPoint stranger = QmpEndPoint.Tcp("127.0.0.1", port, new QmpTls
        {
            Client = new SslClientAuthenticationOptions { ClientCertificates = [others.Ours], CertificateChainPolicy = certificates.Trust },
        });
        await Assert.ThrowsAnyAsync<QmpException>(() => QmpClient.ConnectAsync(stranger, Patient, Stop));
    }

    [Fact]
    public async Task Qemu_connects_to_us_over_a_unix_socket()
    {
        string path = Path.Combine(_directory, "ours");
        await using (QmpListener listener = await QmpListener.ListenAsync(QmpEndPoint.Unix(path), Patient, Stop))
        {
            Start("-chardev", $"socket,id=c0,path={path},server=off", "-mon", "chardev=c0,mode=control");
            await using QmpClient client = await listener.AcceptAsync(Stop).WaitAsync(s_limit, Stop);
            Assert.True((await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Running);
        }

        Assert.False(File.Exists(path));
    }

    [Fact]
    public async Task Qemu_connects_to_us_over_tcp_with_and_without_tls()
    {
        await using QmpListener plain = await QmpListener.ListenAsync(QmpEndPoint.Tcp("127.0.0.1", 0), Patient, Stop);
        Start("-chardev", $"socket,id=c0,host=127.0.0.1,port={plain.Port},server=off", "-mon", "chardev=c0,mode=control");
        await using (QmpClient client = await plain.AcceptAsync(Stop).WaitAsync(s_limit, Stop))
        {
            Assert.True((await client.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Running);
        }

        TestCertificates certificates = new(Path.Combine(_directory, "tls"), qemuIsServer: false);
        QmpTls tls = new()
        {
            Server = new SslServerAuthenticationOptions { ServerCertificate = certificates.Ours, ClientCertificateRequired = true, CertificateChainPolicy = certificates.Trust },
        };
        await using QmpListener secure = await QmpListener.ListenAsync(QmpEndPoint.Tcp("127.0.0.1", 0, tls), Patient, Stop);
        Start(
            "-object", $"tls-creds-x509,id=tls0,dir={certificates.Directory},endpoint=client,verify-peer=on",
            "-chardev", $"socket,id=c0,host=127.0.0.1,port={secure.Port},server=off,tls-creds=tls0", "-mon", "chardev=c0,mode=control");
        await using QmpClient secured = await secure.AcceptAsync(Stop).WaitAsync(s_limit, Stop);
        Assert.True((await secured.ExecuteAsync(QmpCommands.QueryStatus, Stop)).Running);
    }

    [Fact]
    public async Task The_storage_daemon_speaks_too()
    {
        Requires.Tool("qemu-storage-daemon", "qemu");
        string path = Path.Combine(_directory, "qsd");
        StartProgram("qemu-storage-daemon", "--blockdev", "null-co,node-name=n0,size=1048576", "--chardev", $"socket,id=c0,path={path},server=on,wait=off", "--monitor", "chardev=c0");
        await using QmpClient client = await WhenUpAsync(() => QmpClient.ConnectAsync(QmpEndPoint.Unix(path), Patient, Stop));

        QmpJobEngine jobs = new(client);
        string image = Path.Combine(_directory, "new.raw");
        QmpJob create = await jobs.StartAsync(
            "create-new", "blockdev-create", new JsonObject { ["options"] = new JsonObject { ["driver"] = "file", ["filename"] = image, ["size"] = 1 << 20 } }, Stop);
        await create.WaitAsync(cancellationToken: Stop);
        Assert.Equal(1 << 20, new FileInfo(image).Length);
        QmpBlockOperations operations = new(jobs);
        await operations.BackupFullAsync([new QmpBackupDisk("n0", QmpBlockTarget.File("t0", image, "raw"))], cancellationToken: Stop);
        Assert.Equal(["n0"], (await operations.QueryGraphAsync(Stop)).Nodes.Select(node => node.Name));
        Assert.Empty(await jobs.ListAsync(Stop));
    }

    [Fact]
    public async Task Descriptors_reach_qemu_with_their_own_commands()
    {
        await using QmpClient client = await OverUnixAsync();
        const int Count = 20;
        List<(Task<QmpAddedFd> Added, string File)> sent = [];
        for (int i = 0; i < Count; i++)
        {
            string file = Path.Combine(_directory, $"fd{i}.raw");
            await File.WriteAllBytesAsync(file, new byte[(i + 1) * 65536], Stop);
            using FileStream open = new(file, FileMode.Open, FileAccess.ReadWrite);

            // Pipelined, between ordinary commands, and closed here as soon as the call was made.
            sent.Add((client.AddFdAsync(open.SafeFileHandle, new QmpFdset { FdsetId = i, Opaque = $"file {i}" }, Stop), file));
            _ = client.ExecuteAsync(QmpCommands.QueryStatus, Stop);
        }

        for (int i = 0; i < Count; i++)
        {
            Assert.Equal(i, (await sent[i].Added.WaitAsync(s_limit, Stop)).FdsetId);
            File.Delete(sent[i].File);
            await client.ExecuteAsync(
                QmpCommands.BlockdevAdd,
                QmpArguments.Create(new JsonObject { ["driver"] = "file", ["node-name"] = $"n{i}", ["filename"] = $"/dev/fdset/{i}" }),
                Stop);
        }

        // Each set holds the file that was meant for it: their sizes tell them apart.
        IReadOnlyList<QmpBlockNode> nodes = await client.ExecuteAsync(QmpCommands.QueryNamedBlockNodes, new QmpNamedNodesQuery { Flat = true }, Stop);
        Assert.Equal(
            Enumerable.Range(0, Count).Select(i => ($"n{i}", (i + 1) * 65536L)),
            nodes.OrderBy(node => node.Image.VirtualSize).Select(node => (node.NodeName!, node.Image.VirtualSize)));
    }

    [Fact]
    public async Task A_named_descriptor_is_what_it_was_here()
    {
        await using QmpClient client = await OverUnixAsync();
        await using AnonymousPipeServerStream pipe = new(PipeDirection.In);
        await client.GetFdAsync("log", pipe.ClientSafePipeHandle, Stop);
        pipe.DisposeLocalCopyOfClientHandle();

        QmpCommandException unknown = await Assert.ThrowsAsync<QmpCommandException>(() => client.ExecuteAsync(QmpCommands.CloseFd, new QmpFdName { Fdname = "other" }, Stop));
        Assert.Contains("other", unknown.Description, StringComparison.Ordinal);
        await client.ExecuteAsync(QmpCommands.CloseFd, new QmpFdName { Fdname = "log" }, Stop);

        // QEMU held the last copy of the pipe's other end.
        Assert.Equal(0, await pipe.ReadAsync(new byte[1], Stop).AsTask().WaitAsync(s_limit, Stop));
    }

    [Fact]
    public async Task Out_of_band_commands_are_answered_while_an_ordinary_one_holds_qemu_up()
    {
        await using QmpClient client = await OverUnixAsync();
        Assert.True(client.IsOutOfBandEnabled);
        string silent = Path.Combine(_directory, "silent");
        using Socket nbd = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        nbd.Bind(new UnixDomainSocketEndPoint(silent));
        nbd.Listen(1);

        // QEMU waits for a server's greeting, and does nothing else meanwhile.
        Task adding = client.ExecuteAsync(
            QmpCommands.BlockdevAdd,
            QmpArguments.Create(new JsonObject { ["driver"] = "nbd", ["node-name"] = "n0", ["server"] = new JsonObject { ["type"] = "unix", ["path"] = silent } }),
            Stop);
        Socket connected = await nbd.AcceptAsync(Stop);
        Task<QmpStatus>[] ordinary = [.. Enumerable.Range(0, 20).Select(_ => client.ExecuteAsync(QmpCommands.QueryStatus, Stop))];

        JsonElement instances = await client.ExecuteRawOutOfBandAsync("query-yank", cancellationToken: Stop).WaitAsync(s_limit, Stop);

        Assert.Contains("n0", instances.GetRawText(), StringComparison.Ordinal);
        Assert.All(ordinary, status => Assert.False(status.IsCompleted));
        QmpCommandException refused = await Assert.ThrowsAsync<QmpCommandException>(
            () => client.ExecuteOutOfBandAsync(QmpCommands.QueryStatus, QmpEmpty.Instance, Stop).WaitAsync(s_limit, Stop));
        Assert.Contains("OOB", refused.Description, StringComparison.OrdinalIgnoreCase);
        Assert.False(adding.IsCompleted);

        connected.Dispose();
        await Assert.ThrowsAsync<QmpCommandException>(() => adding.WaitAsync(s_limit, Stop));
        foreach (Task<QmpStatus> status in ordinary)
        {
            Assert.True((await status.WaitAsync(s_limit, Stop)).Running);
        }
    }

    [Fact]
    public async Task Ten_thousand_pipelined_commands_are_answered_in_order()
    {
        const int Count = 10_000;
        await using QmpClient client = await OverUnixAsync();
        int answered = 0;
        int outOfTurn = 0;
        Task[] all = new Task[Count];
        for (int i = 0; i < Count; i++)
        {
            int turn = i;
            all[i] = client.ExecuteRawAsync($"no-{i.ToString(CultureInfo.InvariantCulture)}", cancellationToken: Stop).ContinueWith(
                reply =>
                {
                    if (Interlocked.Increment(ref answered) - 1 < turn - 64 || !reply.Exception!.InnerException!.Message.Contains($"'no-{turn}'", StringComparison.Ordinal))
                    {
                        Interlocked.Increment(ref outOfTurn);
                    }
                },
                Stop,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
        }

        await Task.WhenAll(all).WaitAsync(s_limit, Stop);
        Assert.Equal(0, outOfTurn);
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private async Task<QmpClient> OverUnixAsync()
    {
        string path = Path.Combine(_directory, "qmp");
        Start("-qmp", $"unix:{path},server=on,wait=off");
        return await WhenUpAsync(() => QmpClient.ConnectAsync(QmpEndPoint.Unix(path), Patient, Stop));
    }

    private void Start(params string[] arguments) =>
        StartProgram("qemu-system-x86_64", ["-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none", .. arguments]);

    private void StartProgram(string program, params string[] arguments) => _processes.Add(Process.Start(program, arguments));

    private async Task<QmpClient> WhenUpAsync(Func<Task<QmpClient>> connect)
    {
        while (true)
        {
            try
            {
                return await connect();
            }
            catch (QmpConnectException exception) when (exception.IsTransient && !_processes[^1].HasExited)
            {
                await Task.Yield();
            }
            catch (QmpProtocolException exception) when (exception.Message.Contains("second greeting", StringComparison.Ordinal) && !_processes[^1].HasExited)
            {
                // Whoever comes while a monitor is being set up may be greeted twice; such a session is of no use.
                await Task.Yield();
            }
        }
    }
}
