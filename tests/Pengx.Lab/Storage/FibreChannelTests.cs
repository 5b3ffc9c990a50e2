using Pengx.Storage;

namespace Pengx.Lab;

/// <summary>Fibre Channel without its hardware: two ports of software FCoE on a pair of virtual Ethernet devices, one of them a target.</summary>
public sealed class FibreChannelTests : IAsyncLifetime
{
    private const string Initiator = "pengxfc0";
    private const string Target = "pengxfc1";
    private const string Parameters = "/sys/module/libfcoe/parameters";
    private const string Backstore = "pengxlab";

    private readonly ProcessRunner _runner = new();
    private string _directory = "";

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        await LabKernel.LoadAsync("libfc", "libfcoe", "fcoe", "tcm_fc", "target_core_file", "sd_mod", "veth");
        _directory = LabKernel.Folder();

        // targetcli asks on it for a daemon that it could do without. It stays: nothing else can tell when it may go.
        await LabHost.OutputAsync("systemctl", "start", "dbus.socket");

        // The ports' names are made of the addresses: udev gives a card others in its own time unless somebody has set them.
        await LabHost.OutputAsync("ip", "link", "add", Initiator, "address", "02:00:00:70:66:01", "type", "veth", "peer", "name", Target, "address", "02:00:00:70:66:02");
        await MakePortAsync(Initiator);
        await MakePortAsync(Target);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_directory.Length == 0)
        {
            return;
        }

        foreach (var card in new[] { Initiator, Target }.Where(card => HostOf(card) is not null))
        {
            await File.WriteAllTextAsync($"{Parameters}/destroy", card, CancellationToken.None);
        }

        await _runner.RunAsync(new() { FileName = "targetcli", Arguments = ["clearconfig", "confirm=True"], Timeout = LabHost.Patience });
        await _runner.RunAsync(new() { FileName = "ip", Arguments = ["link", "delete", Initiator], Timeout = LabHost.Patience });
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>A unit is looked for, used, let go, and found again; one that is not there is told.</summary>
    [Fact]
    public async Task A_unit_is_found_used_and_let_go()
    {
        var initiator = await PortAsync(Initiator);
        var target = await PortAsync(Target);
        var image = Path.Combine(_directory, "unit.img");
        await using (var file = File.Create(image))
        {
            file.SetLength(64 << 20);
        }

        // The target must be whole before the initiator logs in.
        var name = $"naa.{target[2..]}";
        await LabHost.OutputAsync("targetcli", "/backstores/fileio", "create", Backstore, image, "64M");
        await LabHost.OutputAsync("targetcli", "/tcm_fc", "create", name);
        await LabHost.OutputAsync("targetcli", $"/tcm_fc/{name}/luns", "create", $"/backstores/fileio/{Backstore}");
        await LabHost.OutputAsync("targetcli", $"/tcm_fc/{name}/acls", "create", $"naa.{initiator[2..]}");
        FibreChannelLayers layers = new(_runner, leaseDirectory: Path.Combine(_directory, "leases"));
        var order = Order(StorageVerb.Create, target, 0);
        var nobody = await Assert.ThrowsAsync<UnavailableException>(() => layers.PlanAsync(order, Token));
        Assert.Contains($"{initiator}) is Online", nobody.Message, StringComparison.Ordinal);
        await File.WriteAllTextAsync($"{Parameters}/destroy", Initiator, Token);
        await LabHost.UntilAsync("end of the port", () => Task.FromResult(HostOf(Initiator)), host => host is null);
        await LabHost.OutputAsync("ip", "link", "set", Initiator, "down");
        await MakePortAsync(Initiator);
        Assert.Equal(initiator, await PortAsync(Initiator));
        await LabHost.UntilAsync("target", () => Task.FromResult(RemotePorts()), ports => ports.Any(port => port.EndsWith("FCP Target, FCP Initiator 0", StringComparison.Ordinal)));

        var state = (await layers.ExecuteAsync(order, cancellationToken: Token))!;
        Assert.Equal((true, DataSize.FromMiB(64)), (state.Attached, state.Layer.Size));
        Assert.StartsWith("naa.6001405", state.Layer.Uuid, StringComparison.Ordinal);
        Assert.Equal(("wwid", state.Layer.Uuid), (new DeviceGuard().Inspect(state.Name).Identity.Kind, new DeviceGuard().Inspect(state.Name).Identity.Value));
        Assert.Empty((await layers.PlanAsync(order, Token)).Steps);
        await LabKernel.FillAsync(state.Name, 1 << 20, 65536, 0x5a);
        Assert.True(await LabKernel.IsFilledAsync(state.Name, 1 << 20, 65536, 0x5a));

        Assert.Null(await layers.ExecuteAsync(order with { Verb = StorageVerb.Detach }, cancellationToken: Token));
        Assert.False(File.Exists(state.Name));
        var plan = await layers.PlanAsync(order with { Verb = StorageVerb.Attach }, Token);
        Assert.Contains("into /sys/class/scsi_host/", Assert.Single(plan.Steps).Action.ToString(), StringComparison.Ordinal);
        state = (await layers.ExecuteAsync(order with { Verb = StorageVerb.Attach }, cancellationToken: Token))!;
        Assert.True(state.Attached);
        Assert.True(await LabKernel.IsFilledAsync(state.Name, 1 << 20, 65536, 0x5a));

        FibreChannelLayers hasty = new(_runner, new() { DeviceTimeout = TimeSpan.FromSeconds(3) }, Path.Combine(_directory, "leases"));
        var missing = await Assert.ThrowsAsync<StoragePlanFailedException>(() => hasty.ExecuteAsync(Order(StorageVerb.Create, target, 5), cancellationToken: Token));
        Assert.Contains("has unit 5", missing.Message, StringComparison.Ordinal);

        Assert.Null(await layers.ExecuteAsync(order with { Verb = StorageVerb.Delete }, cancellationToken: Token));
        Assert.False(File.Exists(state.Name));
    }

    /// <summary>Makes a card a port. It is down meanwhile: a frame of the other one that comes before the port is whole ends in an error of
    /// the kernel's (Linux 6.1, <c>fcoe_ctlr_vn_recv</c>), and so does the port.</summary>
    private static async Task MakePortAsync(string card)
    {
        await File.WriteAllTextAsync($"{Parameters}/create_vn2vn", card, Token);
        await LabHost.OutputAsync("ip", "link", "set", card, "mtu", "9000", "up");
    }

    /// <summary>The world wide name of the port on a card, once it is online.</summary>
    private static async Task<string> PortAsync(string card)
    {
        await LabHost.UntilAsync($"port on {card}", () => Task.FromResult(HostOf(card)), host => host is not null && Read(host, "port_state") == "Online");
        return Read(HostOf(card)!, "port_name");
    }

    private static string? HostOf(string card) => Directory.Exists("/sys/class/fc_host")
        ? Directory.EnumerateFileSystemEntries("/sys/class/fc_host").FirstOrDefault(host => Read(host, "symbolic_name").EndsWith($" over {card}", StringComparison.Ordinal))
        : null;

    private static string[] RemotePorts() =>
        [.. Directory.EnumerateFileSystemEntries("/sys/class/fc_remote_ports").Select(port => $"{Read(port, "port_name")} {Read(port, "roles")} {Read(port, "scsi_target_id")}")];

    private static string Read(string directory, string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, file)).Trim();
        }
        catch (IOException)
        {
            // It is gone, or going.
            return "";
        }
    }

    private static StorageOrder Order(StorageVerb verb, string target, int lun) => new()
    {
        Verb = verb,
        Layer = new() { Id = 1, Pm = PmId.New(), Category = StorageCategory.FibreChannel, Target = target, Lun = lun },
    };
}
