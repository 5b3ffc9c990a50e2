using System.Diagnostics;
using System.Text;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>What a guest and a user's text cannot reach.</summary>
public sealed class IsolationTests : IAsyncLifetime
{
    private const string HostileName = "'; rm -rf /\n,id=evil\" ,,if=none\t\u202e名前💥";

    private readonly QemuTestHost _host = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync()
    {
        QemuTestHost.RequireQemu();
        return ValueTask.CompletedTask;
    }

    public ValueTask DisposeAsync() => _host.DisposeAsync();

    [Fact]
    public async Task Headers_and_names_of_any_kind_stay_what_they_are()
    {
        var folder = _host.PathOf("a, 'b' \"c\"\n,id=x,file=" + new string('ß', 60));
        Directory.CreateDirectory(folder);

        // A raw disk into which a guest has written an image's header that names a file of the host, and an image whose header
        // does while the record says that nothing lies beneath it.
        var header = Path.Combine(folder, "header.qcow2");
        await RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", header, "1M");
        var planted = DiskId.New();
        var raw = Path.Combine(folder, $"{planted}.raw");
        File.Copy(header, raw);
        using (var stream = File.Open(raw, FileMode.Open))
        {
            stream.SetLength(2 * 1024 * 1024);
        }

        await File.WriteAllBytesAsync(Path.Combine(folder, "cd.iso"), new byte[64 * 1024], Token);
        var overlay = DiskId.New();
        var definition = _host.CreateBootable(
            QemuTestHost.DiskOf(planted, raw, "xvdb"), QemuTestHost.DiskOf(overlay, header, "xvdd", DiskFormat.Qcow2)) with
        {
            Name = HostileName + new string('名', 255),
            VncPassword = "pa,ss\"wd",
            IsoPath = Path.Combine(folder, "cd.iso"),
        };
        var id = definition.Id;
        await using var driver = await _host.StartDriverAsync(Token);
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(id, Token);
        var arguments = await File.ReadAllTextAsync($"/proc/{_host.PidOf(id)}/cmdline", Token);
        Assert.DoesNotContain("pa,ss", arguments, StringComparison.Ordinal);
        Assert.DoesNotContain("rm -rf", arguments, StringComparison.Ordinal);
        await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
        await console.ExpectAsync("PENGX-GUEST disk vdb 2097152");
        await console.ExpectAsync("PENGX-GUEST disk vdc 1048576");
        await console.ExpectUpAsync();
        await _host.TypeAsync(id, "counter off", Token);
        await _host.TypeAsync(id, "echo vdb: $(dd if=/dev/vdb bs=3 count=1 2>/dev/null) vdc: $(dd if=/dev/vdc bs=512 count=1 2>/dev/null | tr -d '\\000' | wc -c) end", Token);
        Assert.Contains("vdb: QFI", await console.ExpectAsync("vdc: 0 end"), StringComparison.Ordinal);
        Assert.Equal(definition.Name, (await driver.Domains.FindDefinitionAsync(id, Token))?.Name);
        await driver.Domains.DestroyAsync(id, Token);
    }

    [Fact]
    public async Task QEMU_has_no_privileges_and_holds_nothing_of_the_service()
    {
        _host.Options.VncListen = QemuVncListen.UnixSocket;
        await using var driver = await _host.StartDriverAsync(Token);
        var definition = _host.CreateBootable();
        var id = definition.Id;
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(id, Token);
        var pid = _host.PidOf(id);
        var status = await File.ReadAllTextAsync($"/proc/{pid}/status", Token);
        Assert.Contains("Seccomp:\t2", status, StringComparison.Ordinal);
        Assert.Contains("NoNewPrivs:\t1", status, StringComparison.Ordinal);
        Assert.Contains("CapEff:\t0000000000000000", status, StringComparison.Ordinal);
        Assert.Equal(pid.ToString(System.Globalization.CultureInfo.InvariantCulture), (await File.ReadAllTextAsync($"/proc/{pid}/stat", Token)).Split(") ")[1].Split(' ')[3]);
        var held = Directory.EnumerateFiles($"/proc/{pid}/fd").Select(fd => File.ResolveLinkTarget(fd, false)?.FullName ?? "").ToList();
        Assert.DoesNotContain(held, target => target.Contains("/lock", StringComparison.Ordinal));
        Assert.DoesNotContain("PENGX_", await File.ReadAllTextAsync($"/proc/{pid}/environ", Token), StringComparison.Ordinal);
        Assert.Equal("/", File.ResolveLinkTarget($"/proc/{pid}/cwd", false)?.FullName);
        var vnc = await driver.Domains.FindVncAsync(id, Token);
        Assert.True(vnc is { Port: null, SocketPath: not null } && File.Exists(vnc.SocketPath));
        Assert.True((File.GetUnixFileMode(Path.Combine(_host.Options.StateDirectory, id.ToString(), "definition.json")) & (UnixFileMode.GroupRead | UnixFileMode.OtherRead)) == 0);
        await driver.Domains.DestroyAsync(id, Token);
    }

    [Fact]
    public async Task QEMU_runs_as_another_user_on_a_bridge_where_the_service_is_root()
    {
        Requires.That(Environment.UserName == "root" && File.Exists("/dev/net/tun"), "root", "only root can make network devices and change users");
        Requires.Tool("ip", "iproute2");
        var bridge = "pxq" + Guid.NewGuid().ToString("N")[..8];
        await RunAsync("ip", "link", "add", bridge, "type", "bridge");
        try
        {
            // The node is for root alone on some hosts, where QEMU then runs as root on the bridge.
            var tunForAll = (File.GetUnixFileMode("/dev/net/tun") & UnixFileMode.OtherWrite) != 0;
            _host.Options.User = "nobody";
            _host.Options.BridgePolicy = QemuBridgePolicy.Never;
            await using (var driver = await _host.StartDriverAsync(Token))
            {
                var definition = _host.CreateBootable();
                await driver.Domains.DefineAsync(definition, Token);
                await driver.Domains.StartAsync(definition.Id, Token);
                var uid = QemuUser.Find("nobody").Uid;
                Assert.Contains($"Uid:\t{uid}\t{uid}\t{uid}\t{uid}", await File.ReadAllTextAsync($"/proc/{_host.PidOf(definition.Id)}/status", Token), StringComparison.Ordinal);
                await using var console = QemuTestHost.ConsoleOf(driver, definition.Id, Token);
                await console.ExpectUpAsync();
                await ((IHypervisorDriver)driver).Devices.PlugDiskAsync(definition.Id, _host.CreateDisk("xvdb"), Token);
                await console.ExpectAsync("vdb added");
                await driver.Domains.DestroyAsync(definition.Id, Token);
            }

            _host.Options.User = tunForAll ? "nobody" : null;
            _host.Options.BridgePolicy = QemuBridgePolicy.Require;
            await using (var driver = await _host.StartDriverAsync(Token))
            {
                var nic = new DomainNic { Mac = MacAddress.NewXen(), Switch = bridge };
                var definition = _host.CreateBootable() with { Nics = [nic] };
                var id = definition.Id;
                var tap = TapDevices.NameOf(id, nic.Mac);
                await driver.Domains.DefineAsync(definition, Token);
                await driver.Domains.StartAsync(id, Token);
                Assert.True(Path.Exists($"/sys/class/net/{bridge}/brif/{tap}"));
                var more = new DomainNic { Mac = MacAddress.NewXen(), Switch = bridge };
                await using var console = QemuTestHost.ConsoleOf(driver, id, Token);
                await console.ExpectUpAsync();
                await ((IHypervisorDriver)driver).Devices.PlugNicAsync(id, more, Token);
                await console.ExpectAsync($"nic eth1 {more.Mac} up");
                Assert.True(Path.Exists($"/sys/class/net/{bridge}/brif/{TapDevices.NameOf(id, more.Mac)}"));
                await ((IHypervisorDriver)driver).Devices.UnplugNicAsync(id, more.Mac, Token);
                Assert.False(TapDevices.Exists(TapDevices.NameOf(id, more.Mac)));
                await driver.Domains.DestroyAsync(id, Token);
                Assert.False(TapDevices.Exists(tap));

                var lost = definition with { Nics = [nic with { Switch = "../" + bridge }] };
                await driver.Domains.DefineAsync(lost, Token);
                await Assert.ThrowsAsync<InvalidFieldException>(() => driver.Domains.StartAsync(id, Token));
            }
        }
        finally
        {
            await RunAsync("ip", "link", "del", bridge);
        }
    }

    private static async Task RunAsync(string program, params string[] arguments)
    {
        var result = await new ProcessRunner().RunAsync(new() { FileName = program, Arguments = arguments }, Token);
        result.EnsureSuccess();
    }
}
