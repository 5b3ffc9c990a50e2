using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Pengx.Qmp.Qapi;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>The generated surface against a real QEMU: every question that needs no arguments, disks, and typed events.</summary>
public sealed class QapiOnQemuTests : IAsyncLifetime
{
    private readonly RealMonitor _monitor = new();

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => _monitor.DisposeAsync();

    [Theory]
    [InlineData("none", false)]
    [InlineData("q35", true)]
    public async Task Every_question_without_arguments_is_answered_as_its_type_says(string machine, bool devices)
    {
        string[] arguments = devices
            ? ["-S", "-m", "64", "-smp", "2,maxcpus=4", "-device", "virtio-balloon-pci,id=balloon0", "-device", "pcie-root-port,id=port0",
                "-netdev", "hubport,hubid=0,id=net0", "-device", "virtio-net-pci,netdev=net0,id=nic0", "-object", "iothread,id=io0", "-object", "memory-backend-ram,id=mem0,size=1M",
                "-vnc", $"unix:{Path.Combine(_monitor.Directory, "vnc")},password=on", "-chardev", "null,id=chr0"]
            : [];
        await using QmpClient client = await _monitor.StartAsync(machine, arguments);
        MethodInfo execute = typeof(QapiOnQemuTests).GetMethod(nameof(ExecuteAsync), BindingFlags.NonPublic | BindingFlags.Static)!;
        List<string> bound = [];
        List<string> refused = [];
        foreach (object command in typeof(QapiCommands).GetProperties(BindingFlags.Public | BindingFlags.Static).Select(property => property.GetValue(null)!))
        {
            string name = command.ToString()!;
            Type[] types = command.GetType().GetGenericArguments();
            if (!name.StartsWith("query-", StringComparison.Ordinal) && !name.StartsWith("x-query-", StringComparison.Ordinal))
            {
                continue;
            }

            if (types[0] != typeof(QmpEmpty) && types[0].GetProperties().Any(property => property.IsDefined(typeof(RequiredMemberAttribute))))
            {
                continue;
            }

            try
            {
                JsonElement raw = await client.ExecuteRawAsync(name, cancellationToken: Stop);
                JsonTypeInfo info = (JsonTypeInfo)command.GetType().GetProperty("Result")!.GetValue(command)!;
                JsonElement back = JsonSerializer.SerializeToElement(raw.Deserialize(info), info);
                Assert.True(JsonElement.DeepEquals(raw, back) || !IsStoredVersion(client), $"{name}:\n{raw.GetRawText()}\n{back.GetRawText()}");
                await (Task)execute.MakeGenericMethod(types).Invoke(null, [client, command])!;
                bound.Add(name);
            }
            catch (QmpCommandException refusal)
            {
                refused.Add($"{name}: {refusal.Description}");
            }
        }

        TestContext.Current.TestOutputHelper!.WriteLine($"-machine {machine}: {bound.Count} bound, {refused.Count} refused\n{string.Join('\n', refused)}");
        Assert.True(bound.Count > 55, $"{bound.Count}");
        Assert.True(refused.Count < 20, $"{refused.Count}");
    }

    [Fact]
    public async Task A_qcow2_file_is_made_and_opened_with_typed_arguments_and_its_job_tells_by_typed_events()
    {
        await using QmpClient client = await _monitor.StartAsync("none");
        string path = Path.Combine(_monitor.Directory, "disk.qcow2");
        using QmpEventSubscription events = client.Subscribe(QapiEvents.JobStatusChange.Filter);

        await CreateAsync("make-file", new BlockdevCreateOptionsFile { Filename = path, Size = 0 });
        await client.ExecuteAsync(QapiCommands.BlockdevAdd, new BlockdevOptionsFile { NodeName = "file0", Filename = path }, Stop);
        await CreateAsync("make-qcow2", new BlockdevCreateOptionsQcow2 { File = "file0", Size = 8 << 20, Version = BlockdevQcow2Version.V3, ClusterSize = 65536 });
        await client.ExecuteAsync(QapiCommands.BlockdevDel, new BlockdevDelArguments { NodeName = "file0" }, Stop);

        await client.ExecuteAsync(
            QapiCommands.BlockdevAdd,
            new BlockdevOptionsQcow2
            {
                NodeName = "disk0",
                Discard = BlockdevDiscardOptions.Unmap,
                File = new BlockdevOptionsFile { Filename = path, Locking = OnOffAuto.Off },
            },
            Stop);
        IReadOnlyList<BlockDeviceInfo> nodes = await client.ExecuteAsync(QapiCommands.QueryNamedBlockNodes, new QueryNamedBlockNodesArguments { Flat = true }, Stop);
        BlockDeviceInfo disk = Assert.Single(nodes, node => node.NodeName == "disk0");
        Assert.Equal(("qcow2", 8L << 20), (disk.Drv, disk.Image.VirtualSize));
        ImageInfoSpecificQCow2 format = Assert.IsType<ImageInfoSpecificQcow2Branch>(disk.Image.FormatSpecific).Data;
        Assert.Equal("1.1", format.Compat);

        QmpCommandException twice = await Assert.ThrowsAsync<QmpCommandException>(
            () => client.ExecuteAsync(QapiCommands.BlockdevAdd, new BlockdevOptionsFile { NodeName = "disk0", Filename = path }, Stop));
        Assert.Contains("disk0", twice.Description, StringComparison.Ordinal);

        async Task CreateAsync(string job, BlockdevCreateOptions options)
        {
            await client.ExecuteAsync(QapiCommands.BlockdevCreate, new BlockdevCreateArguments { JobId = job, Options = options }, Stop);
            List<JobStatus> seen = [];
            await foreach (QmpEvent happened in events.WithCancellation(Stop))
            {
                JobStatusChangeEvent change = QapiEvents.JobStatusChange.Read(happened);
                Assert.Equal(job, change.Id);
                seen.Add(change.Status);
                if (change.Status == JobStatus.Concluded)
                {
                    break;
                }
            }

            Assert.Equal([JobStatus.Created, JobStatus.Running, JobStatus.Waiting, JobStatus.Pending, JobStatus.Concluded], seen);
            JobInfo info = Assert.Single(await client.ExecuteAsync(QapiCommands.QueryJobs, Stop));
            Assert.Equal((job, JobType.Create, null), (info.Id, info.Type, info.Error));
            await client.ExecuteAsync(QapiCommands.JobDismiss, new JobDismissArguments { Id = job }, Stop);
            await foreach (QmpEvent happened in events.WithCancellation(Stop))
            {
                Assert.Equal(JobStatus.Null, QapiEvents.JobStatusChange.Read(happened).Status);
                break;
            }
        }
    }

    [Fact]
    public async Task The_life_of_a_machine_is_told_by_typed_events()
    {
        await using QmpClient client = await _monitor.StartAsync("none");
        using QmpEventSubscription events = client.Subscribe();
        await client.ExecuteAsync(QapiCommands.Stop, Stop);
        Assert.Equal(RunState.Paused, (await client.ExecuteAsync(QapiCommands.QueryStatus, Stop)).Status);
        await client.ExecuteAsync(QapiCommands.Cont, Stop);
        await client.ExecuteAsync(QapiCommands.Quit, Stop);

        List<QmpEvent> happened = [];
        await foreach (QmpEvent next in events.WithCancellation(Stop))
        {
            happened.Add(next);
        }

        Assert.Single(happened, next => QapiEvents.Stop.TryRead(next, out _));
        Assert.Single(happened, next => QapiEvents.Resume.TryRead(next, out _));
        ShutdownEvent shutdown = QapiEvents.Shutdown.Read(Assert.Single(happened, next => next.Name == QapiEvents.Shutdown.Name));
        Assert.Equal((false, ShutdownCause.HostQmpQuit), (shutdown.Guest, shutdown.Reason));
    }

    [Fact]
    public async Task A_running_qemu_tells_what_it_supports()
    {
        await using QmpClient client = await _monitor.StartAsync("none");
        QmpSchema schema = await QmpSchema.QueryAsync(client, Stop);
        Assert.True(schema.Supports("blockdev-mirror", "arg-type/copy-mode"));
        Assert.False(schema.Supports("blockdev-mirror", "arg-type/no-such"));
        IReadOnlyList<CommandInfo> commands = await client.ExecuteAsync(QapiCommands.QueryCommands, Stop);
        Assert.Equal(commands.Select(command => command.Name).Order(StringComparer.Ordinal), schema.Commands);
        Assert.Equal(schema.Commands, (await client.ExecuteAsync(QapiCommands.QueryQmpSchema, Stop)).OfType<SchemaInfoCommand>().Select(command => command.Name).Order(StringComparer.Ordinal));
    }

    private static bool IsStoredVersion(QmpClient client) =>
        $"{client.Greeting.Version.Qemu.Major}.{client.Greeting.Version.Qemu.Minor}.{client.Greeting.Version.Qemu.Micro}" == StoredFiles.Schema.Version;

    private static Task<TResult> ExecuteAsync<TArguments, TResult>(QmpClient client, QmpCommand<TArguments, TResult> command) =>
        client.ExecuteAsync(command, QmpEmpty.Instance is TArguments none ? none : JsonSerializer.Deserialize("{}", command.Arguments)!, Stop);
}
