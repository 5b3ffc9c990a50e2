using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Pengx.Testing;

[assembly: AssemblyFixture(typeof(Pengx.Storage.Tests.CephCluster))]

namespace Pengx.Storage.Tests;

/// <summary>A real Ceph cluster on 127.0.0.1: one monitor, one OSD with BlueStore on a sparse file, one manager; pools, and a user that
/// may use those pools and nothing else. Started by the first test that needs it, gone with all its processes and files at the
/// end.</summary>
public sealed class CephCluster : IAsyncDisposable
{
    public const string User = "pengx";

    /// <summary>One pool for each class of tests that runs beside others.</summary>
    public const string ContractPool = "contract";
    public const string StoragePool = "storage";
    public const string DevicePool = "devices";
    public const string OverlayPool = "overlays";

    private static readonly string[] s_pools = [ContractPool, StoragePool, DevicePool, OverlayPool];

    /// <summary>How long the cluster takes a crashed client for alive; 30 seconds outside of tests.</summary>
    public static readonly TimeSpan WatchExpiry = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly ProcessRunner _runner = new();
    private readonly string _root = Path.Combine(Path.GetTempPath(), "ceph-" + Guid.NewGuid().ToString("N")[..8]);
    private readonly List<Daemon> _daemons = [];
    private readonly Lazy<Task> _started;

    public CephCluster() => _started = new(StartAsync);

    public string ConfigurationFile => Path.Combine(_root, "client", "ceph.conf");

    public string Keyring => Path.Combine(_root, "client", "pengx.keyring");

    public Daemon Monitor => _daemons[0];

    public Daemon Osd => _daemons[1];

    private string AdminFile => Path.Combine(_root, "ceph.conf");

    /// <summary>Options that reach the cluster, with short waits.</summary>
    public CephOptions Options(string directory) => new()
    {
        ConfigurationFile = ConfigurationFile,
        User = User,
        Keyring = Keyring,
        StateDirectory = Path.Combine(directory, "state"),
        RunDirectory = Path.Combine(directory, "run"),
        LeaseDirectory = Path.Combine(directory, "leases"),
        ConnectTimeout = TimeSpan.FromSeconds(4),
        OperationTimeout = TimeSpan.FromSeconds(4),
        CommandTimeout = TimeSpan.FromSeconds(30),
        WatchExpiry = WatchExpiry + TimeSpan.FromSeconds(2),
    };

    /// <summary>Waits for the cluster. Skips the test where there is no Ceph, and fails it where the cluster does not come up.</summary>
    public async Task RequireAsync()
    {
        foreach (var tool in new[] { "ceph", "rbd", "ceph-mon", "ceph-osd", "ceph-mgr", "ceph-authtool", "monmaptool", "qemu-img" })
        {
            Requires.Tool(tool, "ceph");
        }

        await _started.Value.WaitAsync(TestContext.Current.CancellationToken);
    }

    /// <summary>Runs a program of Ceph as the cluster's administrator.</summary>
    public async Task<ProcessResult> AdminAsync(string program, params string[] arguments) =>
        (await _runner.RunAsync(new() { FileName = program, Arguments = ["-c", AdminFile, .. arguments], Timeout = s_patience })).EnsureSuccess();

    /// <summary>Waits until the cluster answers.</summary>
    public async Task ExpectUpAsync()
    {
        using CancellationTokenSource patience = new(s_patience);
        ProcessResult result;
        do
        {
            result = await _runner.RunAsync(
                new() { FileName = "rbd", Arguments = ["-c", AdminFile, "ls", StoragePool, "--rados-osd-op-timeout", "1", "--client-mount-timeout", "5"] },
                patience.Token);
        }
        while (result.ExitCode != 0);
    }

    public async ValueTask DisposeAsync()
    {
        if (_started.IsValueCreated)
        {
            await _started.Value.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await Task.WhenAll(_daemons.Select(daemon => daemon.DisposeAsync().AsTask()));
        if (Directory.Exists(_root))
        {
            Directory.Delete(_root, recursive: true);
        }
    }

    private async Task StartAsync()
    {
        foreach (var directory in new[] { "mon", "osd", "mgr", "run", "client" })
        {
            Directory.CreateDirectory(Path.Combine(_root, directory));
        }

        var (first, second) = FreePorts();
        var monitors = string.Create(CultureInfo.InvariantCulture, $"[v2:127.0.0.1:{first},v1:127.0.0.1:{second}]");
        var cluster = Guid.NewGuid().ToString();
        var keys = Path.Combine(_root, "keyring");
        await File.WriteAllTextAsync(ConfigurationFile, $"""
            [global]
            fsid = {cluster}
            mon host = {monitors}
            auth client required = cephx
            objecter tick interval = 0.5

            """);
        await File.WriteAllTextAsync(AdminFile, $"""
            [global]
            fsid = {cluster}
            mon host = {monitors}
            mon initial members = a
            public addr = 127.0.0.1
            cluster addr = 127.0.0.1
            auth cluster required = cephx
            auth service required = cephx
            auth client required = cephx
            auth allow insecure global id reclaim = false
            keyring = {keys}
            log file = /dev/null
            mon cluster log file = /dev/null
            run dir = {_root}/run
            pid file = {_root}/run/$name.pid
            admin socket =
            mon data = {_root}/mon
            osd data = {_root}/osd
            mgr data = {_root}/mgr
            mon data avail crit = 1
            mon data avail warn = 2
            mon allow pool size one = true
            mon tick interval = 1
            paxos propose interval = 0.05
            mgr initial modules =
            mgr tick period = 1
            mgr stats period = 1
            osd pool default size = 1
            osd pool default min size = 1
            osd pool default pg autoscale mode = off
            osd crush chooseleaf type = 0
            osd objectstore = bluestore
            bluestore block size = {DataSize.FromGiB(4).Bytes}
            osd memory target = {DataSize.FromMiB(896).Bytes}
            bluestore cache autotune = false
            bluestore cache size = {DataSize.FromMiB(64).Bytes}
            osd client watch timeout = {WatchExpiry.TotalSeconds}

            """);

        await ToolAsync("ceph-authtool", "-C", keys, "-g", "-n", "mon.", "--cap", "mon", "allow *");
        await ToolAsync("ceph-authtool", keys, "-g", "-n", "client.admin", "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *");
        await ToolAsync("ceph-authtool", keys, "-g", "-n", "mgr.x", "--cap", "mon", "allow profile mgr", "--cap", "osd", "allow *");
        await ToolAsync("ceph-authtool", keys, "-g", "-n", "osd.0", "--cap", "mon", "allow profile osd", "--cap", "osd", "allow *", "--cap", "mgr", "allow profile osd");
        var map = Path.Combine(_root, "monmap");
        await ToolAsync("monmaptool", "--create", "--addv", "a", monitors, "--fsid", cluster, map);
        await ToolAsync("ceph-mon", "-c", AdminFile, "--mkfs", "-i", "a", "--monmap", map, "--keyring", keys);
        Start("ceph-mon", "a", "mon.a");
        var osd = Guid.NewGuid().ToString();
        await Task.WhenAll(
            ToolAsync("ceph-osd", "-c", AdminFile, "-i", "0", "--mkfs", "--osd-uuid", osd),
            AdminAsync("ceph", "--connect-timeout", "30", "osd", "new", osd));
        Start("ceph-osd", "0", "osd.0");
        Start("ceph-mgr", "x", "mgr.x");
        await Task.WhenAll(s_pools.Select(pool => AdminAsync("ceph", "osd", "pool", "create", pool, "4", "4")));
        await Task.WhenAll(
        [
            AdminAsync(
                "ceph", "auth", "get-or-create", $"client.{User}", "mon", "profile rbd", "mgr", "profile rbd",
                "osd", string.Join(", ", s_pools.Select(pool => $"profile rbd pool={pool}")), "-o", Keyring),
            .. s_pools.Select(pool => AdminAsync("rbd", "pool", "init", pool)),
        ]);

        // The manager's first report of sizes.
        using CancellationTokenSource patience = new(s_patience);
        while ((await AdminAsync("ceph", "df", "--format", "json")).Output.Contains("\"total_bytes\":0", StringComparison.Ordinal))
        {
            patience.Token.ThrowIfCancellationRequested();
        }
    }

    private void Start(string program, string id, string name) => _daemons.Add(new(_runner, program, ["-c", AdminFile, "-f", "-i", id], Path.Combine(_root, "run", $"{name}.pid")));

    private async Task ToolAsync(string program, params string[] arguments) =>
        (await _runner.RunAsync(new() { FileName = program, Arguments = arguments, Timeout = s_patience })).EnsureSuccess();

    private static (int First, int Second) FreePorts()
    {
        using TcpListener first = new(IPAddress.Loopback, 0);
        using TcpListener second = new(IPAddress.Loopback, 0);
        first.Start();
        second.Start();
        return (((IPEndPoint)first.LocalEndpoint).Port, ((IPEndPoint)second.LocalEndpoint).Port);
    }
}

/// <summary>A daemon of the cluster, ended with the tests.</summary>
public sealed partial class Daemon : IAsyncDisposable
{
    private const int SigKill = 9;
    private const int SigStop = 19;
    private const int SigContinue = 18;
    private readonly ProcessRunner _runner;
    private readonly ProcessCommand _command;
    private readonly string _pidFile;
    private readonly CancellationTokenSource _stop = new();
    private Task _running;

    public Daemon(ProcessRunner runner, string program, IReadOnlyList<string> arguments, string pidFile)
    {
        _runner = runner;
        _pidFile = pidFile;
        _command = new() { FileName = program, Arguments = arguments, Timeout = Timeout.InfiniteTimeSpan, MaxOutputBytes = 64 * 1024 };
        _running = _runner.RunAsync(_command, _stop.Token);
    }

    /// <summary>Ends it as a crash would.</summary>
    public async Task CrashAsync()
    {
        Signal(SigKill);
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Starts it again after a crash.</summary>
    public void Restart() => _running = _runner.RunAsync(_command, _stop.Token);

    /// <summary>Lets it go on existing without ever answering.</summary>
    public void Freeze() => Signal(SigStop);

    /// <summary>Lets it answer again.</summary>
    public void Thaw() => Signal(SigContinue);

    public async ValueTask DisposeAsync()
    {
        if (!_running.IsCompleted)
        {
            Thaw();
        }

        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
    }

    private void Signal(int signal)
    {
        if (File.Exists(_pidFile) && int.TryParse(File.ReadAllText(_pidFile).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
        {
            Assert.Equal(0, kill(pid, signal));
        }
    }

#pragma warning disable IDE1006, SYSLIB1054 // The name of the C library.
    [LibraryImport("libc", SetLastError = true)]
    private static partial int kill(int pid, int signal);
#pragma warning restore IDE1006, SYSLIB1054
}

/// <summary>The tests that stop the cluster's daemons: alone, after all others.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class CephFaults
{
    public const string Name = "ceph faults";
}
