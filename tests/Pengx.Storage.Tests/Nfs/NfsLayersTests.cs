using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class NfsLayersTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-nfs-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string Point => Path.Combine(_directory, "mnt");

    private string MountInfo => Path.Combine(_directory, "mountinfo");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_mount_is_believed_only_when_the_kernel_lists_it()
    {
        using TcpListener server = new(IPAddress.Loopback, 0);
        server.Start();
        WatchingRunner runner = new() { Before = command => new(command, 0, "", "") };
        var layers = Layers(runner);
        var order = Order(StorageVerb.Create, server);
        await File.WriteAllTextAsync(MountInfo, "", Token);
        var plan = await layers.PlanAsync(order, Token);
        Assert.Equal(
            [$"mkdir -p {Point}, mode 0", $"mount.nfs 127.0.0.1:/export {Point} -o vers=4.2,port={Port(server)},retry=0,nosuid,nodev,noexec"],
            plan.Steps.Select(step => step.Action.ToString()));

        // The program says yes, and nothing is mounted: that is a failure, and the directory goes again.
        var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("reported success, but it is not so", failed.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Point));

        runner.Before = command =>
        {
            if (command.FileName == "mount.nfs")
            {
                Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(Point));
                Mounted("127.0.0.1:/export", "nfs4");
            }

            return new(command, 0, command.FileName == "stat" && command.Arguments.Contains("--file-system") ? "4096 25600 12800\n" : "1\n", "");
        };
        var state = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.Equal((true, DataSize.FromMiB(100), DataSize.FromMiB(50)), (state.Attached, state.Layer.Size, state.Layer.Free));
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);

        // Another file system in its place is neither ours nor touched.
        Mounted("tmpfs", "tmpfs");
        Assert.Contains("tmpfs", (await Assert.ThrowsAsync<WrongStateException>(() => layers.PlanAsync(order with { Verb = StorageVerb.Delete }, Token))).Message, StringComparison.Ordinal);
        Assert.False((await layers.InspectAsync(order.Layer, Token))!.Attached);
    }

    [Fact]
    public async Task A_stale_mount_is_taken_off_and_never_waited_for()
    {
        using TcpListener server = new(IPAddress.Loopback, 0);
        server.Start();
        Directory.CreateDirectory(Point);
        Mounted("127.0.0.1:/export", "nfs4");
        WatchingRunner runner = new()
        {
            Before = command => command.FileName == "stat" ? new(command, 1, "", "stat: cannot statx: Stale file handle") : new(command, 0, "", ""),
        };
        var layers = Layers(runner);
        var order = Order(StorageVerb.Attach, server);
        var plan = await layers.PlanAsync(order, Token);
        Assert.Equal([$"umount --force --lazy -- {Point}", $"mount.nfs 127.0.0.1:/export {Point} -o vers=4.2,port={Port(server)},retry=0,nosuid,nodev,noexec"], plan.Steps.Select(step => step.Action.ToString()));
        Assert.Contains("Stale file handle", Assert.Single(plan.Warnings), StringComparison.Ordinal);
        Assert.Contains("Stale file handle", Assert.Single((await layers.InspectAsync(order.Layer, Token))!.Warnings), StringComparison.Ordinal);
        Assert.Contains("--lazy", Assert.Single((await layers.PlanAsync(order with { Verb = StorageVerb.Detach }, Token)).Steps).Action.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_mount_whose_server_is_away_is_left_to_what_waits_there()
    {
        using TcpListener server = new(IPAddress.Loopback, 0);
        server.Start();
        Directory.CreateDirectory(Point);
        Mounted("127.0.0.1:/export", "nfs4");
        WatchingRunner runner = new() { Before = command => throw ProcessFailedException.TimedOut(command, "") };
        var away = await Assert.ThrowsAsync<UnavailableException>(() => Layers(runner).ExecuteAsync(Order(StorageVerb.Attach, server), cancellationToken: Token));
        Assert.Contains("goes on when it is back", away.Message, StringComparison.Ordinal);
        Assert.All(runner.Commands, command => Assert.StartsWith("stat ", command, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_directory_that_is_there_is_closed_before_it_is_mounted_on()
    {
        using TcpListener server = new(IPAddress.Loopback, 0);
        server.Start();
        Directory.CreateDirectory(Point);
        var mode = File.GetUnixFileMode(Point);
        await File.WriteAllTextAsync(MountInfo, "", Token);
        WatchingRunner runner = new() { Before = command => new(command, 32, "", "mount.nfs: No such device") };
        var layers = Layers(runner);
        var plan = await layers.PlanAsync(Order(StorageVerb.Attach, server), Token);
        Assert.Equal($"chmod 0 {Point}", plan.Steps[0].Action.ToString());

        // What fails leaves it as it was.
        await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(Order(StorageVerb.Attach, server), cancellationToken: Token));
        Assert.Equal(mode, File.GetUnixFileMode(Point));
        runner.Before = command =>
        {
            Assert.True(command.FileName != "mount.nfs" || File.GetUnixFileMode(Point) == UnixFileMode.None);
            Mounted("127.0.0.1:/export", "nfs4");
            return new(command, 0, command.Arguments.Contains("--file-system") ? "4096 25600 12800\n" : "1\n", "");
        };
        Assert.True((await layers.ExecuteAsync(Order(StorageVerb.Attach, server), cancellationToken: Token))!.Attached);
        Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(Point));
    }

    [Fact]
    public async Task What_lies_in_an_unmounted_mount_point_is_never_hidden_or_removed()
    {
        using TcpListener server = new(IPAddress.Loopback, 0);
        server.Start();
        Directory.CreateDirectory(Point);
        await File.WriteAllTextAsync(MountInfo, "", Token);
        await File.WriteAllTextAsync(Path.Combine(Point, "file"), "content", Token);
        WatchingRunner runner = new();
        var layers = Layers(runner);
        var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(Order(StorageVerb.Create, server), cancellationToken: Token));
        Assert.Contains("there is something in it", failed.Message, StringComparison.Ordinal);
        Assert.Empty(runner.Commands);
        Assert.Empty((await layers.PlanAsync(Order(StorageVerb.Delete, server), Token)).Steps);
        Assert.Equal("content", await File.ReadAllTextAsync(Path.Combine(Point, "file"), Token));
    }

    [Fact]
    public async Task A_real_server_is_mounted_where_the_kernel_can_and_told_when_it_is_gone()
    {
        Requires.Tool("mount.nfs", "nfs");
        Requires.That(Environment.IsPrivilegedProcess, "nfs", "mounting needs root");
        await using var server = await Ganesha.StartAsync(_directory);
        NfsLayers layers = new(new ProcessRunner(), leaseDirectory: Path.Combine(_directory, "leases"));
        var order = Order(StorageVerb.Create, server.Port);
        Assert.Equal(2, (await layers.PlanAsync(order, Token)).Steps.Count);
        if ((await File.ReadAllTextAsync("/proc/filesystems", Token)).Contains("nfs4", StringComparison.Ordinal))
        {
            var state = await layers.ExecuteAsync(order, cancellationToken: Token);
            Assert.True(state!.Attached);
            Assert.Equal("served", await File.ReadAllTextAsync(Path.Combine(Point, "file"), Token));
            await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token);
        }
        else
        {
            var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
            Assert.Contains("mount.nfs failed with exit code 32: mount.nfs: No such device", failed.Message, StringComparison.Ordinal);
        }

        Assert.False(Directory.Exists(Point));
        await server.KillAsync();
        var away = await Assert.ThrowsAsync<UnavailableException>(() => layers.PlanAsync(order, Token));
        Assert.Contains(server.Port.ToString(CultureInfo.InvariantCulture), away.Message, StringComparison.Ordinal);
    }

    private NfsLayers Layers(IProcessRunner runner) => new(runner, new() { MountInfo = MountInfo, Timeout = TimeSpan.FromSeconds(20) }, Path.Combine(_directory, "leases"));

    private void Mounted(string source, string type) => File.WriteAllText(MountInfo, $"99 1 0:99 / {Point} rw shared:1 - {type} {source} rw\n");

    private static int Port(TcpListener server) => ((IPEndPoint)server.LocalEndpoint).Port;

    private StorageOrder Order(StorageVerb verb, TcpListener server) => Order(verb, Port(server));

    private StorageOrder Order(StorageVerb verb, int port) => new()
    {
        Verb = verb,
        Layer = new()
        {
            Id = 1,
            Pm = PmId.New(),
            Category = StorageCategory.Nfs,
            Target = "127.0.0.1:/export",
            MountPoint = Point,
            MountOptions = string.Create(CultureInfo.InvariantCulture, $"vers=4.2,port={port}"),
        },
    };

    /// <summary>A real NFS server in user space, version 4 only, on loopback.</summary>
    private sealed class Ganesha(Process daemon, int port) : IAsyncDisposable
    {
        public int Port => port;

        public static async Task<Ganesha> StartAsync(string directory)
        {
            Requires.Tool("ganesha.nfsd", "nfs");
            Requires.Tool("nfs-ls", "nfs");
            using TcpListener free = new(IPAddress.Loopback, 0);
            free.Start();
            var port = NfsLayersTests.Port(free);
            free.Stop();
            var export = Directory.CreateDirectory(Path.Combine(directory, "export")).FullName;
            await File.WriteAllTextAsync(Path.Combine(export, "file"), "served", Token);
            var configuration = Path.Combine(directory, "ganesha.conf");
            await File.WriteAllTextAsync(
                configuration,
                $$"""
                NFS_CORE_PARAM { Protocols = 4; NFS_Port = {{port}}; Bind_Addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; }
                NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = "{{directory}}"; }
                EXPORT { Export_Id = 1; Path = {{export}}; Pseudo = /export; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Protocols = 4; FSAL { Name = VFS; } }
                """,
                Token);
            ProcessStartInfo start = new("ganesha.nfsd");
            foreach (var argument in (string[])["-F", "-f", configuration, "-L", Path.Combine(directory, "ganesha.log"), "-p", Path.Combine(directory, "ganesha.pid")])
            {
                start.ArgumentList.Add(argument);
            }

            Ganesha server = new(Process.Start(start)!, port);
            ProcessRunner runner = new();
            using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(100));
            for (var attempt = 0; attempt < 300; attempt++)
            {
                var listed = await runner.RunAsync(
                    new() { FileName = "nfs-ls", Arguments = [string.Create(CultureInfo.InvariantCulture, $"nfs://127.0.0.1/export/?version=4&nfsport={port}")], Timeout = TimeSpan.FromSeconds(10) }, Token);
                if (listed.ExitCode == 0)
                {
                    Assert.Contains("file", listed.Output, StringComparison.Ordinal);
                    return server;
                }

                await timer.WaitForNextTickAsync(Token);
            }

            await server.DisposeAsync();
            throw new InvalidOperationException(await File.ReadAllTextAsync(Path.Combine(directory, "ganesha.log"), Token));
        }

        public async Task KillAsync()
        {
            if (!daemon.HasExited)
            {
                daemon.Kill();
                await daemon.WaitForExitAsync(CancellationToken.None);
            }
        }

        public async ValueTask DisposeAsync()
        {
            await KillAsync();
            daemon.Dispose();
        }
    }
}
