using System.Net;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class DrbdLayersTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("pengx-drbd-").FullName;

    private string Sys => Path.Combine(_directory, "sys");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Resource_file_and_metadata_are_made_by_the_real_tools_and_taken_back_without_the_kernel()
    {
        Requires.Tool("drbdadm", "drbd");
        await using var loop = await LoopDevice.CreateAsync(64 << 20, Token);
        DrbdLayers layers = new(new ProcessRunner(), new() { ConfigurationDirectory = _directory }, Path.Combine(_directory, "leases"));
        var order = Order(StorageVerb.Create, loop.Path);
        var file = Path.Combine(_directory, "r0.res");
        var plan = await layers.PlanAsync(order, Token);
        Assert.Equal(
            [
                $"write {file}: 3 hosts, 127.0.0.1, 192.0.2.2, 2001:db8::3, port 7792, /dev/drbd4 on {loop.Path}",
                $"drbdadm -c {file} create-md --force --max-peers=2 r0", $"drbdadm -c {file} up r0",
            ],
            plan.Steps.Select(step => step.Action.ToString()));
        Assert.Equal(StorageRisk.Destructive, plan.Risk);
        Assert.False(File.Exists(file));
        if (Directory.Exists("/sys/module/drbd"))
        {
            Assert.Skip("The kernel has DRBD: what it makes is for the laboratory to look at.");
        }

        // The real drbdadm reads the file as it was meant, the real drbdmeta writes; then the kernel is missing.
        WatchingRunner runner = new();
        string? written = null;
        var hadMetadata = false;
        runner.Before = command =>
        {
            if (command.Arguments.Contains("up"))
            {
                written = File.ReadAllText(file);
                hadMetadata = new FormatGuard(new ProcessRunner()).Holds(loop.Path, "drbd").VerifyAsync(CancellationToken.None).GetAwaiter().GetResult() is null;
            }

            return null;
        };
        layers = new(runner, new() { ConfigurationDirectory = _directory }, Path.Combine(_directory, "leases"));
        var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("Bring r0 up", failed.Message, StringComparison.Ordinal);
        Assert.True(hadMetadata);
        Assert.Contains("after-sb-2pri disconnect", written!, StringComparison.Ordinal);
        Assert.False(File.Exists(file));
        Assert.Null(await new FormatGuard(new ProcessRunner()).HoldsNothing(loop.Device).VerifyAsync(Token));
        Assert.Contains(runner.Commands, command => command == $"drbdadm -c {file} wipe-md --force r0");
    }

    [Fact]
    public async Task A_disk_with_data_is_not_given_to_DRBD()
    {
        Requires.Tool("drbdadm", "drbd");
        await using var loop = await LoopDevice.CreateAsync(64 << 20, Token);
        await LoopDevice.RunAsync("mkfs.ext4", "-q", loop.Path);
        DrbdLayers layers = new(new ProcessRunner(), new() { ConfigurationDirectory = _directory }, Path.Combine(_directory, "leases"));
        var refused = await Assert.ThrowsAsync<StorageException>(() => layers.PlanAsync(Order(StorageVerb.Create, loop.Path), Token));
        Assert.Contains("ext4", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Split_brain_and_missing_data_are_told_and_never_resolved_by_guess()
    {
        var (role, disk, connection, peer) = ("Secondary", "UpToDate", "StandAlone", "DUnknown");
        WatchingRunner runner = new()
        {
            Before = command => command.FileName == "drbdsetup"
                ? new(command, 0, $$"""[{"name":"r0","node-id":0,"role":"{{role}}","suspended":false,"devices":[{"volume":0,"minor":4,"disk-state":"{{disk}}"}],"connections":[{"peer-node-id":1,"name":"peer-192.0.2.2","connection-state":"{{connection}}","peer_devices":[{"volume":0,"replication-state":"Off","peer-disk-state":"{{peer}}","percent-in-sync":100.00}]}]}]""", "")
                : new(command, 0, "", ""),
        };
        DrbdLayers layers = new(runner, new() { ConfigurationDirectory = _directory }, Path.Combine(_directory, "leases"));
        var order = Order(StorageVerb.Attach, "/dev/sdz");
        await File.WriteAllTextAsync(Path.Combine(_directory, "r0.res"), "", Token);
        var split = await Assert.ThrowsAsync<WrongStateException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("split brain", split.Message, StringComparison.Ordinal);
        Assert.Contains("--discard-my-data", split.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<WrongStateException>(() => layers.ExecuteAsync(order with { Consent = new(DrbdLayers.FirstSource) }, cancellationToken: Token));
        var secondary = (await layers.InspectAsync(order.Layer, Token))!;
        Assert.Equal((false, true), (secondary.Attached, secondary.Up));
        Assert.Contains(secondary.Warnings, warning => warning.Contains("split brain", StringComparison.Ordinal));
        Assert.All(runner.Commands, command => Assert.StartsWith("drbdsetup status r0 --json", command, StringComparison.Ordinal));

        // Nobody's data is up to date: only the operator knows whose shall be.
        (disk, connection, peer) = ("Inconsistent", "Connected", "Inconsistent");
        var nobody = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains(DrbdLayers.FirstSource, nobody.Message, StringComparison.Ordinal);
        var plan = await layers.PlanAsync(order with { Consent = new(DrbdLayers.FirstSource) }, Token);
        Assert.Equal($"drbdadm -c {_directory}/r0.res primary --force r0", Assert.Single(plan.Steps).Action.ToString());

        // And the consent does not overwrite a peer that is up to date.
        peer = "UpToDate";
        var lost = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order with { Consent = new(DrbdLayers.FirstSource) }, cancellationToken: Token));
        Assert.Contains("it would be lost", lost.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(runner.Commands, command => command.Contains("primary", StringComparison.Ordinal));

        // Without the kernel's module the state is not known, and nothing is concluded from that.
        runner.Before = command => new(command, 20, "", "Failed to modprobe drbd");
        await Assert.ThrowsAsync<UnavailableException>(() => layers.PlanAsync(order, Token));
        Assert.True((await layers.InspectAsync(order.Layer, Token))!.Up);
        runner.Before = command => new(command, 10, "", "r0: No such resource");
        Assert.False((await layers.InspectAsync(order.Layer, Token))!.Up);
    }

    /// <summary>The kernel of Debian 12 has DRBD 8.4: its own drbdadm reads the file and writes the metadata, what needs the kernel was
    /// recorded there.</summary>
    [Fact]
    public async Task Version_8_4_gets_what_it_understands()
    {
        const string Old = "/usr/lib/drbd/drbdadm-84";
        Requires.Tool(Old, "drbd");
        await using var loop = await LoopDevice.CreateAsync(64 << 20, Token);
        var (up, role, disk) = (false, "Secondary", "Inconsistent");
        WatchingRunner runner = new();
        runner.Before = command => (command.FileName, command.Arguments) switch
        {
            ("drbdadm", ["--version"]) => new(command, 0, "DRBDADM_BUILDTAG=GIT-hash:\\ 409097fe\nDRBDADM_API_VERSION=1\nDRBD_KERNEL_VERSION_CODE=0x08040b\nDRBDADM_VERSION_CODE=0x091600\nDRBDADM_VERSION=9.22.0\n", ""),
            ("drbdadm", [.., "up", "r0"]) => Answer(command, () => up = true),
            ("drbdadm", [.., "down", "r0"]) => Answer(command, () => up = false),
            ("drbdadm", [.., "primary", "--force", "r0"]) => Answer(command, () => (role, disk) = ("Primary", "UpToDate")),
            ("drbdadm", [.., "secondary", "r0"]) => Answer(command, () => role = "Secondary"),
            ("drbdadm", _) => new ProcessRunner().RunAsync(command with { FileName = Old }, CancellationToken.None).GetAwaiter().GetResult(),
            ("drbdsetup", ["status", "r0", "--json"]) => new(command, 20, "\nUSAGE: drbdsetup command device arguments options\n", "status: unrecognized option '--json'\n"),
            ("drbdsetup", ["events2", "--now", "r0"]) => new(
                command, 0,
                up ? $"""
                    exists resource name:r0 role:{role} suspended:no
                    exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connecting role:Unknown
                    exists device name:r0 volume:0 minor:4 disk:{disk}
                    exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off peer-disk:DUnknown resync-suspended:no
                    exists -

                    """ : "exists -\n",
                ""),
            _ => null,
        };
        DrbdLayers layers = new(runner, new() { ConfigurationDirectory = _directory, PeerTimeout = TimeSpan.Zero }, Path.Combine(_directory, "leases"));
        var order = Order(StorageVerb.Create, loop.Path);
        var many = await Assert.ThrowsAsync<InvalidFieldException>(() => layers.PlanAsync(order, Token));
        Assert.Contains("two hosts", many.Message, StringComparison.Ordinal);

        order = order with { Layer = order.Layer with { DrbdPeerIps = [IPAddress.Parse("192.0.2.2")] } };
        var state = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.False(state.Attached);
        Assert.Equal(["The disk of r0 is Inconsistent.", "r0 is Connecting towards peer."], state.Warnings);
        Assert.Null(await new FormatGuard(new ProcessRunner()).Holds(loop.Path, "drbd").VerifyAsync(Token));
        await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token));
        state = (await layers.ExecuteAsync(order with { Verb = StorageVerb.Attach, Consent = new(DrbdLayers.FirstSource) }, cancellationToken: Token))!;
        Assert.Equal((true, "r0 is Connecting towards peer."), (state.Attached, Assert.Single(state.Warnings)));

        // Metadata that was there before a creation outlives that one's undo, and goes with the layer.
        Assert.Null(await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete, KeepsContent = true }, cancellationToken: Token));
        Assert.False(File.Exists(Path.Combine(_directory, "r0.res")));
        Assert.Null(await new FormatGuard(new ProcessRunner()).Holds(loop.Path, "drbd").VerifyAsync(Token));
        Assert.True((await layers.PlanAsync(order, Token)).Adopts);
        await layers.ExecuteAsync(order, cancellationToken: Token);
        Assert.Null(await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token));
        Assert.Null(await new FormatGuard(new ProcessRunner()).HoldsNothing(loop.Device).VerifyAsync(Token));
        Assert.False(File.Exists(Path.Combine(_directory, "r0.res")));

        static ProcessResult Answer(ProcessCommand command, Action change)
        {
            change();
            return new(command, 0, "", "");
        }
    }

    /// <summary>Two disks whose names were exchanged at a boot: the tree that stands for sysfs says so, and the metadata is the other resource's then.</summary>
    [Fact]
    public async Task A_disk_that_has_got_the_name_of_the_layers_own_is_neither_used_nor_wiped()
    {
        Requires.Tool("drbdadm", "drbd");
        await using var loop = await LoopDevice.CreateAsync(64 << 20, Token);
        await LayAsync(loop, "naa.6001405aaaa");
        Kernel kernel = new();
        WatchingRunner runner = new() { Before = kernel.Answer };
        var layers = Layers(runner);
        var row = Order(StorageVerb.Create, loop.Path).Layer;
        var layer = (await layers.ExecuteAsync(new() { Verb = StorageVerb.Create, Layer = row }, cancellationToken: Token))!.Layer;
        Assert.Equal("wwid:naa.6001405aaaa", layer.Uuid);
        Assert.True((await layers.ExecuteAsync(new() { Verb = StorageVerb.Attach, Layer = layer }, cancellationToken: Token))!.Attached);
        Assert.Empty((await layers.InspectAsync(layer, Token))!.Warnings);

        await LayAsync(loop, "naa.6001405bbbb");
        runner.Commands.Clear();
        var said = $"{loop.Path} is not the disk of this layer: it must be wwid:naa.6001405aaaa, but it is wwid:naa.6001405bbbb";
        foreach (var verb in (StorageVerb[])[StorageVerb.Create, StorageVerb.Attach, StorageVerb.Resize, StorageVerb.Delete])
        {
            var refused = await Assert.ThrowsAsync<StorageException>(() => layers.ExecuteAsync(new() { Verb = verb, Layer = layer }, cancellationToken: Token));
            Assert.Equal($"{said}; nothing was changed.", refused.Message);
        }

        var state = (await layers.InspectAsync(layer, Token))!;
        Assert.Equal(("wwid:naa.6001405aaaa", $"{said}."), (state.Layer.Uuid, Assert.Single(state.Warnings)));
        Assert.DoesNotContain(runner.Commands, command => command.StartsWith("drbdadm -c", StringComparison.Ordinal));

        // It is let go all the same, and what is not in use gives a row that has no identity none.
        Assert.False((await layers.ExecuteAsync(new() { Verb = StorageVerb.Detach, Layer = layer }, cancellationToken: Token))!.Attached);
        Assert.Null(kernel.Role);
        Assert.Null((await layers.InspectAsync(row, Token))!.Layer.Uuid);
        Assert.Null(await new FormatGuard(new ProcessRunner()).Holds(loop.Path, "drbd").VerifyAsync(Token));

        // A name that becomes another's while the work begins is noticed, too.
        await LayAsync(loop, "naa.6001405aaaa");
        runner.Before = command =>
        {
            if (command.FileName == "drbdsetup")
            {
                LayAsync(loop, "naa.6001405bbbb").GetAwaiter().GetResult();
            }

            return kernel.Answer(command);
        };
        var late = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(new() { Verb = StorageVerb.Attach, Layer = layer }, cancellationToken: Token));
        Assert.Contains("it is wwid:naa.6001405bbbb now", late.Message, StringComparison.Ordinal);
        Assert.Null(kernel.Role);

        // A row from before gets its identity when it is attached.
        runner.Before = kernel.Answer;
        Assert.Equal("wwid:naa.6001405bbbb", (await layers.ExecuteAsync(new() { Verb = StorageVerb.Attach, Layer = row }, cancellationToken: Token))!.Layer.Uuid);

        // A disk that replaces a broken one has nothing on it that could be lost: the layer can be deleted, and made anew on it.
        await LoopDevice.RunAsync("wipefs", "--all", loop.Path);
        runner.Commands.Clear();
        Assert.Null(await layers.ExecuteAsync(new() { Verb = StorageVerb.Delete, Layer = layer }, cancellationToken: Token));
        Assert.False(File.Exists(Path.Combine(_directory, "r0.res")));
        Assert.DoesNotContain(runner.Commands, command => command.Contains("wipe-md", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_disk_that_is_gone_keeps_nobody_from_letting_its_layer_go()
    {
        Kernel kernel = new() { Role = "Primary", Disk = "Diskless" };
        WatchingRunner runner = new() { Before = kernel.Answer };
        var layers = Layers(runner);
        var layer = Order(StorageVerb.Detach, "/dev/pengx/gone").Layer with { Uuid = "wwid:naa.6001405aaaa" };
        await File.WriteAllTextAsync(Path.Combine(_directory, "r0.res"), "", Token);
        var state = (await layers.ExecuteAsync(new() { Verb = StorageVerb.Detach, Layer = layer }, cancellationToken: Token))!;
        Assert.Equal((false, "wwid:naa.6001405aaaa"), (state.Attached, state.Layer.Uuid));
        Assert.Null(kernel.Role);
        Assert.Null(await layers.ExecuteAsync(new() { Verb = StorageVerb.Delete, Layer = layer }, cancellationToken: Token));
        Assert.False(File.Exists(Path.Combine(_directory, "r0.res")));
    }

    [Fact]
    public async Task A_resource_is_not_left_half_up()
    {
        Requires.Tool("drbdadm", "drbd");
        await using var loop = await LoopDevice.CreateAsync(64 << 20, Token);
        await LayAsync(loop, "naa.6001405aaaa");
        Kernel kernel = new() { Disk = "Diskless", Connection = "StandAlone", Peer = "DUnknown", UpFails = true };
        WatchingRunner runner = new() { Before = kernel.Answer };
        var layers = Layers(runner);
        var order = Order(StorageVerb.Create, loop.Path);
        var file = Path.Combine(_directory, "r0.res");

        // Bringing it up fails in the middle: all of it is taken back.
        var failed = await Assert.ThrowsAsync<StoragePlanFailedException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Empty(failed.Outcome.NotUndone);
        Assert.Null(kernel.Role);
        Assert.False(File.Exists(file));
        Assert.Null(await new FormatGuard(new ProcessRunner()).HoldsNothing(loop.Device).VerifyAsync(Token));

        // One that somebody else made is not taken for this one.
        kernel.Role = "Secondary";
        var foreign = await Assert.ThrowsAsync<WrongStateException>(() => layers.ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("There is a DRBD resource r0 already", foreign.Message, StringComparison.Ordinal);
        Assert.Equal("Secondary", kernel.Role);
        Assert.False(File.Exists(file));

        // wipe-md leaves a part of its metadata, without a signature: an operator wipes it.
        await LoopDevice.RunAsync("blkdiscard", ["--zeroout", loop.Path]);

        // It ends in the middle and takes nothing back, as by kill -9: the next one takes that down first.
        (kernel.Role, kernel.Disk, kernel.Connection, kernel.UpFails) = (null, "Inconsistent", "Connecting", false);
        await layers.ExecuteAsync(order, cancellationToken: Token);
        (kernel.Disk, kernel.Connection) = ("Diskless", "StandAlone");
        foreach (var verb in (StorageVerb[])[StorageVerb.Create, StorageVerb.Attach])
        {
            Assert.Equal([$"drbdadm -c {file} down r0", $"drbdadm -c {file} up r0"], (await layers.PlanAsync(order with { Verb = verb }, Token)).Steps.Take(2).Select(step => step.Action.ToString()));
        }

        // A host that lost its disk and uses its peer's data is left so.
        (kernel.Connection, kernel.Peer) = ("Connected", "UpToDate");
        Assert.Equal([$"drbdadm -c {file} primary r0"], (await layers.PlanAsync(order with { Verb = StorageVerb.Attach }, Token)).Steps.Select(step => step.Action.ToString()));

        // One that talks to nobody says so, without data of its own, too.
        (kernel.Disk, kernel.Connection) = ("Inconsistent", "StandAlone");
        Assert.Contains("r0 is StandAlone towards peer-192.0.2.2.", (await layers.InspectAsync(order.Layer, Token))!.Warnings);
    }

    /// <summary>A host that was away takes its old data for the latest until it hears its peer.</summary>
    [Fact]
    public async Task A_host_does_not_become_the_primary_before_its_peers_had_time_to_answer()
    {
        // The peer answers some moments after the resource is up here: it is the primary, and the kernel refuses a second one it knows of.
        Kernel kernel = new() { Silence = 4, PrimaryFails = true };
        WatchingRunner runner = new() { Before = kernel.Answer };
        var order = Order(StorageVerb.Attach, "/dev/pengx/none");
        await File.WriteAllTextAsync(Path.Combine(_directory, "r0.res"), "", Token);
        var refused = await Assert.ThrowsAsync<StoragePlanFailedException>(() => Layers(runner).ExecuteAsync(order, cancellationToken: Token));
        Assert.Contains("Multiple primaries", refused.Message, StringComparison.Ordinal);
        Assert.Null(kernel.Role);

        // One that does not answer is not waited for longer than was said.
        (kernel.Silence, kernel.PrimaryFails) = (int.MaxValue, false);
        DrbdLayers impatient = new(runner, new() { ConfigurationDirectory = _directory, Sys = Sys, PeerTimeout = TimeSpan.FromMilliseconds(500) }, Path.Combine(_directory, "leases"));
        Assert.True((await impatient.ExecuteAsync(order, cancellationToken: Token))!.Attached);
    }

    private DrbdLayers Layers(IProcessRunner runner) => new(runner, new() { ConfigurationDirectory = _directory, Sys = Sys }, Path.Combine(_directory, "leases"));

    /// <summary>What the kernel would tell of a disk, under the number of a device that exists here.</summary>
    private async Task LayAsync(LoopDevice loop, string wwid)
    {
        var disk = Path.Combine(Sys, "devices/sdb");
        Directory.CreateDirectory(Path.Combine(disk, "device"));
        var number = (await File.ReadAllTextAsync($"/sys/class/block/{Path.GetFileName(loop.Path)}/dev", Token)).Trim();
        await File.WriteAllTextAsync(Path.Combine(disk, "dev"), number, Token);
        await File.WriteAllTextAsync(Path.Combine(disk, "size"), "131072", Token);
        await File.WriteAllTextAsync(Path.Combine(disk, "device/wwid"), wwid, Token);
        var link = Path.Combine(Directory.CreateDirectory(Path.Combine(Sys, "dev/block")).FullName, number);
        if (!Path.Exists(link))
        {
            File.CreateSymbolicLink(link, disk);
        }
    }

    /// <summary>Answers for DRBD 9 in the kernel; resource files are read and metadata is written by the real tools.</summary>
    private sealed class Kernel
    {
        /// <summary>The role; <see langword="null"/> while the resource is not up.</summary>
        public string? Role { get; set; }

        public string Disk { get; set; } = "UpToDate";

        public string Connection { get; set; } = "Connected";

        public string Peer { get; set; } = "UpToDate";

        /// <summary>How often the state is asked for until the peer has answered.</summary>
        public int Silence { get; set; }

        /// <summary>Whether there is a primary already, as the kernel knows once the peer has answered.</summary>
        public bool PrimaryFails { get; set; }

        /// <summary>Whether bringing it up fails half way.</summary>
        public bool UpFails { get; set; }

        public ProcessResult? Answer(ProcessCommand command)
        {
            switch (command.FileName, command.Arguments)
            {
                case ("drbdadm", ["--version"]):
                    return new(command, 0, "DRBD_KERNEL_VERSION_CODE=0x09020c\n", "");
                case ("drbdadm", [.., "up", "r0"]):
                    Role = "Secondary";
                    return new(command, UpFails ? 10 : 0, "", "");
                case ("drbdadm", [.., "down", "r0"]):
                    Role = null;
                    return new(command, 0, "", "");
                case ("drbdadm", [.., "primary", "r0"]) when PrimaryFails && Silence == 0:
                    return new(command, 11, "", "r0: State change failed: (-1) Multiple primaries not allowed by config\n");
                case ("drbdadm", [.., "primary" or "secondary", "r0"]):
                    Role = command.Arguments[^2] == "primary" ? "Primary" : "Secondary";
                    return new(command, 0, "", "");
                case ("drbdsetup", ["status", "r0", "--json"]) when Role is null:
                    return new(command, 10, "", "r0: No such resource\n");
                case ("drbdsetup", ["status", "r0", "--json"]):
                    var (connection, peer) = Silence > 0 ? ("Connecting", "DUnknown") : (Connection, Peer);
                    Silence -= Silence > 0 ? 1 : 0;
                    return new(command, 0, $$"""[{"name":"r0","node-id":0,"role":"{{Role}}","devices":[{"volume":0,"minor":4,"disk-state":"{{Disk}}"}],"connections":[{"peer-node-id":1,"name":"peer-192.0.2.2","connection-state":"{{connection}}","peer_devices":[{"volume":0,"replication-state":"Established","peer-disk-state":"{{peer}}","percent-in-sync":100.00}]}]}]""", "");
                default:
                    return null;
            }
        }
    }

    private static StorageOrder Order(StorageVerb verb, string disk) => new()
    {
        Verb = verb,
        Layer = new()
        {
            Id = 1,
            Pm = PmId.New(),
            Category = StorageCategory.Drbd,
            DrbdResourceName = "r0",
            DrbdDisk = disk,
            DrbdMinor = 4,
            DrbdIp = IPAddress.Loopback,
            DrbdPeerIps = [IPAddress.Parse("192.0.2.2"), IPAddress.Parse("2001:db8::3")],
        },
    };
}
