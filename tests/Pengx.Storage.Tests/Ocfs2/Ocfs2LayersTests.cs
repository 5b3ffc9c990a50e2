using System.Net;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class Ocfs2LayersTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-ocfs2-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private string File => Path.Combine(_directory, "cluster.conf");

    private Ocfs2Layers Layers => new(new ProcessRunner(), new() { ConfigurationFile = File }, Path.Combine(_directory, "leases"));

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task A_cluster_of_several_nodes_is_written_by_the_real_tool_and_never_contradicted()
    {
        Requires.Tool("o2cb", "ocfs2");
        Ocfs2Node[] nodes = [Node(0), Node(1), Node(2)];
        var plan = await Layers.PlanClusterAsync(nodes, Token);
        Assert.Equal($"o2cb --config-file={File} add-node pengx host1 --ip 192.0.2.1 --port 7777 --number 1", plan.Steps[2].Action.ToString());
        Assert.False(System.IO.File.Exists(File));
        await new StoragePlanExecutor(new ProcessRunner()).ExecuteAsync(plan, Token);
        var written = await System.IO.File.ReadAllTextAsync(File, Token);
        Assert.Contains("\tip_address = 192.0.2.2\n\tname = host2\n", written, StringComparison.Ordinal);
        Assert.Contains("\tnode_count = 3\n", written, StringComparison.Ordinal);
        Assert.Empty((await Layers.PlanClusterAsync(nodes, Token)).Steps);
        Assert.Single((await Layers.PlanClusterAsync([.. nodes, Node(3)], Token)).Steps);

        var other = await Assert.ThrowsAsync<WrongStateException>(() => Layers.PlanClusterAsync([Node(1) with { PeerIp = IPAddress.Parse("192.0.2.77") }], Token));
        Assert.Contains("node 1 host1 at 192.0.2.1 already", other.Message, StringComparison.Ordinal);

        // Another cluster's file keeps what it has.
        Ocfs2Layers second = new(new ProcessRunner(), new() { ConfigurationFile = File, Cluster = "other" }, Path.Combine(_directory, "leases"));
        Assert.Equal(2, (await second.PlanClusterAsync([Node(0)], Token)).Steps.Count);
    }

    [Fact]
    public async Task Only_a_blank_device_or_one_with_OCFS2_is_taken()
    {
        Requires.Tool("mkfs.ocfs2", "ocfs2");
        Requires.Tool("o2cb", "ocfs2");
        await using var loop = await LoopDevice.CreateAsync(300 << 20, Token);
        var order = new StorageOrder
        {
            Verb = StorageVerb.Create,
            Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Ocfs2, DeviceId = loop.Path, MountPoint = Path.Combine(_directory, "mnt") },
            Nodes = [Node(0), Node(1)],
        };
        var plan = await Layers.PlanAsync(order, Token);
        Assert.Contains(plan.Steps, step => step.Action.ToString()!.StartsWith("mkfs.ocfs2 -x -q -b 4K -C 1M -T vmstore -N 4 -L pengx --cluster-stack=o2cb --cluster-name=pengx", StringComparison.Ordinal) && step.NoReturn);
        Assert.Equal($"mount -t ocfs2 -o nosuid,nodev,noexec,_netdev -- {loop.Path} {_directory}/mnt", plan.Steps[^1].Action.ToString());

        // The directory is looked at first: what is formatted has no way back.
        var format = plan.Steps.Single(step => step.Risk == StorageRisk.Destructive);
        Assert.Equal([$"Make the directory {_directory}/mnt", format.Description], plan.Steps.SkipLast(1).TakeLast(2).Select(step => step.Description));
        Assert.Equal($"{_directory}/mnt is an empty directory with nothing mounted", format.Before[0].Text);

        // Data in the way is refused by name.
        await LoopDevice.RunAsync("mkfs.ext4", "-q", loop.Path);
        Assert.Contains("ext4", (await Assert.ThrowsAsync<StorageException>(() => Layers.PlanAsync(order, Token))).Message, StringComparison.Ordinal);

        // An OCFS2 that another node has made is used as it is: the real tool makes one, without a cluster.
        await LoopDevice.RunAsync("wipefs", "--quiet", "--all", loop.Path);
        await LoopDevice.RunAsync("mkfs.ocfs2", "-x", "-q", "-M", "local", "-F", "-L", "theirs", loop.Path);
        plan = await Layers.PlanAsync(order, Token);
        Assert.DoesNotContain(plan.Steps, step => step.Action.ToString()!.StartsWith("mkfs", StringComparison.Ordinal));
        Assert.Contains("theirs", Assert.Single(plan.Warnings), StringComparison.Ordinal);

        // But not by the row of another one.
        var known = order with { Verb = StorageVerb.Attach, Layer = order.Layer with { Uuid = Guid.NewGuid().ToString() } };
        foreach (var verb in (StorageVerb[])[StorageVerb.Attach, StorageVerb.Delete, StorageVerb.Resize])
        {
            var other = await Assert.ThrowsAsync<StorageException>(() => Layers.PlanAsync(known with { Verb = verb }, Token));
            Assert.Contains($"it must hold ocfs2 {known.Layer.Uuid}, but it holds 'ocfs2 ", other.Message, StringComparison.Ordinal);
        }

        // Without the cluster's stack in the kernel it fails there, and the file is taken back.
        if (!Directory.Exists("/sys/fs/o2cb"))
        {
            var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => Layers.ExecuteAsync(order, cancellationToken: Token));
            Assert.Contains("Load OCFS2 and its cluster stack into the kernel", failed.Message, StringComparison.Ordinal);
            Assert.DoesNotContain("host1", System.IO.File.Exists(File) ? await System.IO.File.ReadAllTextAsync(File, Token) : "", StringComparison.Ordinal);
        }

        // Deleting leaves what other nodes may use.
        Assert.Empty((await Layers.PlanAsync(order with { Verb = StorageVerb.Delete }, Token)).Steps);
    }

    [Theory]
    [InlineData(StorageVerb.Detach)]
    [InlineData(StorageVerb.Delete)]
    public async Task A_mount_whose_device_is_gone_is_left_and_that_of_another_one_is_told(StorageVerb verb)
    {
        StorageOrder order = new() { Verb = verb, Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Ocfs2, DeviceId = "/dev/pengx-gone", MountPoint = Path.Combine(_directory, "mnt") } };
        Assert.Empty((await Layers.PlanAsync(order, Token)).Steps);
        await using (var mount = await NamedMount.MountAsync(order.Layer.DeviceId!, order.Layer.MountPoint!))
        {
            Assert.Null(await Layers.ExecuteAsync(order, cancellationToken: Token));
            Assert.False(mount.IsThere);
        }

        await using var other = await NamedMount.MountAsync("tmpfs", order.Layer.MountPoint!);
        await Assert.ThrowsAsync<WrongStateException>(() => Layers.PlanAsync(order, Token));
    }

    [Fact]
    public async Task A_mount_that_waits_for_a_dead_node_is_told_in_time()
    {
        await using var mounted = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(32));
        var device = MountTable.FindOf(mounted.Directory, System.IO.File.ReadLines("/proc/self/mountinfo"))!.Source;
        WatchingRunner runner = new() { Before = command => throw ProcessFailedException.TimedOut(command, "") };
        Ocfs2Layers layers = new(runner, new() { ConfigurationFile = File }, Path.Combine(_directory, "leases"));
        StorageLayer layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.Ocfs2, DeviceId = device, MountPoint = mounted.Directory, Uuid = Guid.NewGuid().ToString() };
        var state = (await layers.InspectAsync(layer, Token))!;
        Assert.True(state.Attached);
        Assert.StartsWith($"{mounted.Directory} does not answer: ", Assert.Single(state.Warnings), StringComparison.Ordinal);
        Assert.StartsWith("stat --file-system", Assert.Single(runner.Commands), StringComparison.Ordinal);
    }

    private static Ocfs2Node Node(int number) => new() { Id = number + 1, Storage = 1, Pm = PmId.New(), Number = number, PeerName = $"host{number}", PeerIp = IPAddress.Parse($"192.0.2.{number}") };
}
