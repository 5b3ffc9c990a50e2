using System.Net;
using System.Net.Sockets;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class IscsiLayersTests : IDisposable
{
    private const string Secret = "correct-horse-battery";

    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-iscsi-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string Leases => Path.Combine(_directory, "leases");

    private string Sys => Path.Combine(_directory, "sys");

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_login_that_fails_takes_its_record_back_and_the_secret_is_in_no_argument()
    {
        await using var target = await TgtTarget.StartAsync(_directory);
        Requires.Tool("iscsiadm", "iscsi");
        Requires.Tool("iscsi-ls", "iscsi");
        Requires.That(Environment.IsPrivilegedProcess, "iscsi", "the initiator's records belong to root");

        // The target is a real one, which others can read from.
        var read = await new ProcessRunner().RunAsync(new() { FileName = "iscsi-ls", Arguments = ["-s", $"iscsi://127.0.0.1:{target.Port}"], Timeout = TimeSpan.FromSeconds(20) }, Token);
        Assert.Contains(target.Name, read.EnsureSuccess().Output, StringComparison.Ordinal);

        var secretFile = Path.Combine(_directory, "secret");
        await File.WriteAllTextAsync(secretFile, Secret, Token);
        WatchingRunner runner = new();
        var record = $"/etc/iscsi/nodes/{target.Name}/127.0.0.1,{target.Port},1/default";
        var seen = "";
        runner.Before = command =>
        {
            if (command.Arguments.Contains("--login"))
            {
                seen = File.ReadAllText(record);
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(record));
            }

            return null;
        };
        IscsiLayers layers = new(runner, leaseDirectory: Leases);
        var order = Order(StorageVerb.Create, target.Port, target.Name) with { ChapSecretFile = secretFile };
        order = order with { Layer = order.Layer with { ChapUser = "host1" } };
        var plan = await layers.PlanAsync(order, Token);
        Assert.Equal(
            [
                $"iscsiadm -m node -o new -T {target.Name} -p 127.0.0.1:{target.Port},1",
                $"iscsiadm -m node -o update -T {target.Name} -p 127.0.0.1:{target.Port} -n node.startup -v manual",
                $"iscsiadm -m node -o update -T {target.Name} -p 127.0.0.1:{target.Port} -n node.session.scan -v manual",
                $"iscsiadm -m node -o update -T {target.Name} -p 127.0.0.1:{target.Port} -n node.session.initial_login_retry_max -v 2",
                $"iscsiadm -m node -o update -T {target.Name} -p 127.0.0.1:{target.Port} -n node.session.timeo.replacement_timeout -v 120",
                $"write node.session.auth.authmethod, username and password (from a file) into {record}, mode 0600",
                $"iscsiadm -m node -T {target.Name} -p 127.0.0.1:{target.Port} --login",
                "write '0 0 1' into the scan file of the session's host",
            ],
            plan.Steps.Select(step => step.Action.ToString()));
        Assert.False(File.Exists(record));

        if (Directory.Exists("/sys/class/iscsi_transport/tcp") || Directory.Exists("/sys/module/iscsi_tcp"))
        {
            // The laboratory's kernel logs in.
            var state = await layers.ExecuteAsync(order, cancellationToken: Token);
            Assert.True(state!.Attached);
            await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token);
        }
        else
        {
            var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
            Assert.Contains("Log in to", failed.Message, StringComparison.Ordinal);
            Assert.Contains("iscsiadm", failed.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(Secret, failed.ToString(), StringComparison.Ordinal);
        }

        Assert.Contains($"node.session.auth.password = {Secret}", seen, StringComparison.Ordinal);
        Assert.Contains("node.session.auth.authmethod = CHAP", seen, StringComparison.Ordinal);
        Assert.Contains("node.session.scan = manual", seen, StringComparison.Ordinal);
        Assert.All(runner.Commands, command => Assert.DoesNotContain(Secret, command, StringComparison.Ordinal));
        Assert.DoesNotContain(Secret, plan.ToString(), StringComparison.Ordinal);
        Assert.False(File.Exists(record));
        Assert.Null(await layers.InspectAsync(order.Layer, Token));
    }

    [Fact]
    public async Task A_killed_target_is_told_at_once_and_works_again_afterwards()
    {
        var target = await TgtTarget.StartAsync(_directory);
        IscsiLayers layers = new(new ProcessRunner(), leaseDirectory: Leases);
        var order = Order(StorageVerb.Create, target.Port, target.Name);
        Assert.NotEmpty((await layers.PlanAsync(order, Token)).Steps);
        await target.KillAsync();
        var away = await Assert.ThrowsAsync<UnavailableException>(() => layers.PlanAsync(order, Token));
        Assert.Contains($"127.0.0.1:{target.Port}", away.Message, StringComparison.Ordinal);
        await using var again = await TgtTarget.StartAsync(_directory, target.Port);
        Assert.NotEmpty((await layers.PlanAsync(order with { Layer = order.Layer with { Target = again.Name } }, Token)).Steps);
        await target.DisposeAsync();
    }

    [Fact]
    public async Task A_server_that_never_answers_is_given_up_in_time()
    {
        // A full backlog: the kernel drops what comes in, as a dead network does.
        using Socket silent = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        silent.Listen(0);
        var port = ((IPEndPoint)silent.LocalEndPoint!).Port;
        List<TcpClient> fill = [];
        try
        {
            for (var i = 0; i < 3; i++)
            {
                TcpClient client = new();
                fill.Add(client);
                _ = client.ConnectAsync(IPAddress.Loopback, port, Token).AsTask().ContinueWith(_ => { }, Token, TaskContinuationOptions.None, TaskScheduler.Default);
            }

            IscsiLayers layers = new(new ProcessRunner(), new() { Timeout = TimeSpan.FromSeconds(1) }, Leases);
            var started = TimeProvider.System.GetTimestamp();
            var away = await Assert.ThrowsAsync<UnavailableException>(() => layers.DiscoverAsync(IPAddress.Loopback, port, Token));
            Assert.Contains("does not answer within 1 s", away.Message, StringComparison.Ordinal);
            Assert.InRange(TimeProvider.System.GetElapsedTime(started), TimeSpan.FromSeconds(0.9), TimeSpan.FromSeconds(30));
        }
        finally
        {
            fill.ForEach(client => client.Dispose());
        }
    }

    [Fact]
    public async Task Discovery_reads_what_a_portal_offers()
    {
        await using var target = await TgtTarget.StartAsync(_directory);
        WatchingRunner runner = new()
        {
            Before = command => new(command, 0, $"127.0.0.1:{target.Port},1 {target.Name}\n[2001:db8::1]:3260,1 iqn.2026-11.org.example:other\n", ""),
        };
        IscsiLayers layers = new(runner, leaseDirectory: Leases);
        Assert.Equal(
            [new(target.Name, IPAddress.Loopback, target.Port), new("iqn.2026-11.org.example:other", IPAddress.Parse("2001:db8::1"), 3260)],
            await layers.DiscoverAsync(IPAddress.Loopback, target.Port, Token));
        Assert.Equal($"iscsiadm -m discovery -t sendtargets -o nonpersistent -p 127.0.0.1:{target.Port}", Assert.Single(runner.Commands));
        runner.Before = command => new(command, 21, "", "iscsiadm: No portals found");
        Assert.Empty(await layers.DiscoverAsync(IPAddress.Loopback, target.Port, Token));
        runner.Before = command => new(command, 12, "", "iscsiadm: iSCSI driver tcp is not loaded.");
        Assert.Contains("not loaded", (await Assert.ThrowsAsync<ProcessFailedException>(() => layers.DiscoverAsync(IPAddress.Loopback, target.Port, Token))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_session_is_read_from_sysfs_and_left_device_first()
    {
        const string Name = "iqn.2026-11.org.example:vm";
        Lay("class/iscsi_session/session7/targetname", Name);
        Lay("class/iscsi_session/session7/state", "LOGGED_IN");
        Lay("class/iscsi_connection/connection7:0/persistent_address", "127.0.0.1");
        Lay("class/iscsi_connection/connection7:0/persistent_port", "3260");
        Directory.CreateDirectory(Path.Combine(Sys, "class/iscsi_session/session7/device/target5:0:0/5:0:0:1/block/sdpengx"));
        Lay("block/sdpengx/size", "204800");
        Lay("block/sdpengx/device/delete", "");
        IscsiLayers layers = new(new ProcessRunner(), new() { Sys = Sys, NodeDirectory = Path.Combine(_directory, "nodes") }, Leases);
        var order = Order(StorageVerb.Detach, 3260, Name);
        var state = (await layers.InspectAsync(order.Layer, Token))!;
        Assert.Equal((true, DataSize.FromMiB(100), $"/dev/disk/by-path/ip-127.0.0.1:3260-iscsi-{Name}-lun-1"), (state.Attached, state.Layer.Size, state.Name));
        Assert.Empty(state.Warnings);
        Assert.Empty((await layers.PlanAsync(order with { Verb = StorageVerb.Attach }, Token)).Steps);
        Assert.Equal(
            [$"write 1 into {Sys}/block/sdpengx/device/delete", $"iscsiadm -m node -T {Name} -p 127.0.0.1:3260 --logout"],
            (await layers.PlanAsync(order, Token)).Steps.Select(step => step.Action.ToString()));

        // Another unit of the same target keeps the session; another portal is another session.
        Directory.CreateDirectory(Path.Combine(Sys, "class/iscsi_session/session7/device/target5:0:0/5:0:0:2/block/sdother"));
        Assert.Single((await layers.PlanAsync(order, Token)).Steps);
        Lay("class/iscsi_session/session7/state", "FAILED");
        Assert.Contains("FAILED", Assert.Single((await layers.InspectAsync(order.Layer, Token))!.Warnings), StringComparison.Ordinal);
        Assert.Null(await layers.InspectAsync(order.Layer with { TargetIp = IPAddress.Parse("127.0.0.2") }, Token));
        Assert.False((await layers.InspectAsync(order.Layer with { Lun = 9 }, Token))!.Attached);
    }

    [Fact]
    public async Task A_unit_that_is_another_one_now_is_refused()
    {
        const string Name = "iqn.2026-11.org.example:vm";
        await using var loop = await LoopDevice.CreateAsync(32 << 20, Token);
        var (own, other) = (Guid.NewGuid().ToString(), Guid.NewGuid().ToString());
        await LoopDevice.RunAsync("mkfs.ext4", "-q", "-U", other, loop.Path);
        var kernel = Path.GetFileName(loop.Path);
        Lay("class/iscsi_session/session7/targetname", Name);
        Lay("class/iscsi_session/session7/state", "LOGGED_IN");
        Lay("class/iscsi_connection/connection7:0/persistent_address", "127.0.0.1");
        Lay("class/iscsi_connection/connection7:0/persistent_port", "3260");
        Lay($"block/{kernel}/size", "65536");
        Lay($"block/{kernel}/device/wwid", "naa.6001405aaaa");
        Directory.CreateDirectory(Path.Combine(Sys, $"class/iscsi_session/session7/device/target5:0:0/5:0:0:1/block/{kernel}"));
        Directory.CreateDirectory(Path.Combine(Sys, "dev/block"));
        var number = (await File.ReadAllTextAsync($"/sys/class/block/{kernel}/dev", Token)).Trim();
        File.CreateSymbolicLink(Path.Combine(Sys, "dev/block", number), $"/sys/devices/virtual/block/{kernel}");
        IscsiLayers layers = new(new ProcessRunner(), new() { Sys = Sys, NodeDirectory = Path.Combine(_directory, "nodes") }, Leases);

        // Without a mount point the unit's WWID is what it is known by.
        var raw = (await layers.InspectAsync(Order(StorageVerb.Attach, 3260, Name).Layer, Token))!.Layer;
        Assert.Equal("naa.6001405aaaa", raw.Uuid);
        Assert.Empty((await layers.PlanAsync(new() { Verb = StorageVerb.Attach, Layer = raw }, Token)).Steps);
        Assert.True((await layers.InspectAsync(raw, Token))!.Attached);
        Lay($"block/{kernel}/device/wwid", "naa.6001405bbbb");
        var state = (await layers.InspectAsync(raw, Token))!;
        Assert.Equal((false, "naa.6001405aaaa"), (state.Attached, state.Layer.Uuid));
        Assert.Equal($"Another unit has got the layer's number: {loop.Path} must be naa.6001405aaaa, but it is naa.6001405bbbb.", Assert.Single(state.Warnings));

        // With one, its file system.
        var mounted = raw with { MountPoint = Path.Combine(_directory, "mnt"), FileSystem = "ext4", Uuid = own };
        foreach (var verb in (StorageVerb[])[StorageVerb.Attach, StorageVerb.Delete, StorageVerb.Resize])
        {
            var refused = await Assert.ThrowsAsync<StorageException>(() => layers.PlanAsync(new() { Verb = verb, Layer = raw }, Token));
            Assert.Contains($"{loop.Path} must be naa.6001405aaaa, but it is naa.6001405bbbb", refused.Message, StringComparison.Ordinal);
            refused = await Assert.ThrowsAsync<StorageException>(() => layers.PlanAsync(new() { Verb = verb, Layer = mounted }, Token));
            Assert.Contains($"it must hold ext4 {own}, but it holds 'ext4 {other}'", refused.Message, StringComparison.Ordinal);
        }

        // A file system that an earlier run of the order has made is mounted and not made again.
        StorageOrder create = new() { Verb = StorageVerb.Create, Layer = mounted with { Uuid = other }, FileSystem = "ext4" };
        Assert.StartsWith("mount -t ext4", (await layers.PlanAsync(create, Token)).Steps[^1].Action.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain((await layers.PlanAsync(create, Token)).Steps, step => step.Risk == StorageRisk.Destructive);

        // And nothing is destroyed for a directory that cannot be mounted on.
        Directory.CreateDirectory(mounted.MountPoint!);
        await File.WriteAllTextAsync(Path.Combine(mounted.MountPoint!, "file"), "content", Token);
        var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(
            () => layers.ExecuteAsync(create with { Layer = mounted, Consent = new($"ext4 {other}") }, cancellationToken: Token));
        Assert.Contains("there is something in it", failed.Message, StringComparison.Ordinal);
        Assert.Null(await new FormatGuard(new ProcessRunner()).Holds(loop.Path, "ext4", other).VerifyAsync(Token));

        // A target that is away is not asked, and can be left.
        Lay("class/iscsi_session/session7/state", "FAILED");
        Assert.NotEmpty((await layers.PlanAsync(new() { Verb = StorageVerb.Delete, Layer = mounted }, Token)).Steps);
    }

    [Theory]
    [InlineData(StorageVerb.Detach)]
    [InlineData(StorageVerb.Delete)]
    public async Task A_mount_that_outlived_its_session_is_left(StorageVerb verb)
    {
        await using var mounted = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(32));
        var mount = MountTable.FindOf(mounted.Directory, File.ReadLines("/proc/self/mountinfo"))!;
        IscsiLayers layers = new(new ProcessRunner(), new() { Sys = Sys, NodeDirectory = Path.Combine(_directory, "nodes") }, Leases);
        var order = Order(verb, 3260, "iqn.2026-11.org.example:vm");
        order = order with { Layer = order.Layer with { MountPoint = mounted.Directory } };

        // While the kernel has its device, it is that of another layer.
        Directory.CreateDirectory(Path.Combine(Sys, "dev/block", mount.Number));
        Assert.Equal($"{mount.Source} (ext4) is mounted at {mounted.Directory}.", (await Assert.ThrowsAsync<WrongStateException>(() => layers.PlanAsync(order, Token))).Message);
        Directory.Delete(Path.Combine(Sys, "dev/block", mount.Number));
        Assert.Equal($"umount -- {mounted.Directory}", Assert.Single((await layers.PlanAsync(order, Token)).Steps).Action.ToString());
        await layers.ExecuteAsync(order, cancellationToken: Token);
        Assert.NotEqual(mounted.Directory, MountTable.FindOf(mounted.Directory, File.ReadLines("/proc/self/mountinfo"))!.Point);
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);
    }

    private void Lay(string file, string text)
    {
        var path = Path.Combine(Sys, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text + "\n");
    }

    private static StorageOrder Order(StorageVerb verb, int port, string target) => new()
    {
        Verb = verb,
        Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Iscsi, TargetIp = IPAddress.Loopback, TargetPort = port, Target = target, Lun = 1 },
    };
}
