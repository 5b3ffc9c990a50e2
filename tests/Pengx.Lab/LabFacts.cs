using System.Diagnostics;

namespace Pengx.Lab;

/// <summary>The laboratory itself: is it what other tests take it for, and do its guests run? Only xl and xenstored act here.</summary>
public sealed class LabFacts
{
    /// <summary>Xen is the hypervisor, of the version that the laboratory is about, and this is its dom0.</summary>
    [Fact]
    public async Task Host_is_a_Xen_host()
    {
        LabHost.Require();
        var info = await LabHost.OutputAsync("xl", "info");
        Assert.Matches(@"(?m)^xen_version +: 4\.17\.", info);
        Assert.Matches(@"(?m)^virt_caps +:.* hvm", info);
        Assert.Contains("control_d", await File.ReadAllTextAsync("/proc/xen/capabilities", TestContext.Current.CancellationToken), StringComparison.Ordinal);
        Assert.Matches(@"(?m)^Domain-0 +0 +2048 ", await LabHost.OutputAsync("xl", "list"));
    }

    /// <summary>The xenstored here is the OCaml one, as Debian starts it.</summary>
    [Fact]
    public void Xenstored_is_the_OCaml_one()
    {
        LabHost.Require();
        var daemons = Process.GetProcesses().Where(process => process.ProcessName.Contains("xenstored", StringComparison.Ordinal)).ToList();
        Assert.Equal("oxenstored", Assert.Single(daemons).ProcessName);
    }

    /// <summary>A PV guest boots, counts on its disk, and leaves when it is asked to.</summary>
    [Fact]
    public Task PV_guest_boots_and_shuts_down() => BootAndShutDownAsync("pv");

    /// <summary>A PVH guest does.</summary>
    [Fact]
    public Task PVH_guest_boots_and_shuts_down() => BootAndShutDownAsync("pvh");

    /// <summary>An HVM guest does, from its own boot disk.</summary>
    [Fact]
    public Task HVM_guest_boots_and_shuts_down() => BootAndShutDownAsync("hvm");

    /// <summary>A panic in a guest reaches Xen as a crash, and the domain stays when it is told to.</summary>
    [Theory]
    [InlineData("pv")]
    [InlineData("pvh")]
    public async Task Panic_is_a_crash(string type)
    {
        await using var guests = LabGuests.Create();
        var name = guests.Name(type);
        var disk = await guests.CreateDiskAsync("count.raw");
        await LabGuests.StartAsync(await guests.WriteAsync("guest.cfg", Configuration(guests, name, type, disk) + "on_crash = \"preserve\"\n"));
        await LabGuests.WaitForCounterAsync(disk, 0);
        await LabHost.OutputAsync("xl", "sysrq", name, "c");
        await LabHost.UntilAsync("crashed domain", () => LabHost.OutputAsync("xl", "list", name), list => list.Contains("sc-", StringComparison.Ordinal));
    }

    /// <summary>A guest takes a second processor and gives memory back when it is told to.</summary>
    [Theory]
    [InlineData("pv")]
    [InlineData("pvh")]
    public async Task Guest_changes_its_size(string type)
    {
        await using var guests = LabGuests.Create();
        var name = guests.Name(type);
        var disk = await guests.CreateDiskAsync("count.raw");
        await LabGuests.StartAsync(await guests.WriteAsync("guest.cfg", Configuration(guests, name, type, disk)));
        await LabGuests.WaitForConsoleAsync(name, "PENGX-GUEST up ");
        Assert.Contains("PENGX-GUEST cpus 1", LabGuests.ConsoleOf(name), StringComparison.Ordinal);

        await LabHost.OutputAsync("xl", "vcpu-set", name, "2");
        await LabGuests.WaitForConsoleAsync(name, "PENGX-GUEST cpus 2");
        await LabHost.OutputAsync("xl", "mem-set", name, "160m");
        await LabHost.UntilAsync("160 MiB", () => LabHost.OutputAsync("xl", "list", name), list => list.Contains($" 160 ", StringComparison.Ordinal));
    }

    /// <summary>What a PV guest counts goes on after it was saved and restored.</summary>
    [Fact]
    public async Task PV_guest_is_saved_and_restored()
    {
        await using var guests = LabGuests.Create();
        var name = guests.Name("pv");
        var disk = await guests.CreateDiskAsync("count.raw");
        await LabGuests.StartAsync(await guests.WriteAsync("guest.cfg", Configuration(guests, name, "pv", disk)));
        await LabGuests.WaitForCounterAsync(disk, 0);
        var image = guests.PathOf("guest.save");
        await LabHost.OutputAsync("xl", "save", name, image);
        var counted = await guests.ReadCounterAsync(disk);
        await LabHost.OutputAsync("xl", "restore", image);
        await LabGuests.WaitForCounterAsync(disk, counted + 5);
        Assert.Equal(1, LabGuests.ConsoleOf(name).Split("PENGX-GUEST up ").Length - 1);
    }

    /// <summary>The other host is there, and root may go there.</summary>
    [Fact]
    public async Task Second_host_is_a_Xen_host_too()
    {
        var other = LabHost.RequireSecondHost();
        Assert.Matches(@"(?m)^host +: xenhost2$", await LabHost.OutputAsync("ssh", "-o", "BatchMode=yes", other, "xl", "info"));
    }

    private static async Task BootAndShutDownAsync(string type)
    {
        await using var guests = LabGuests.Create();
        var name = guests.Name(type);
        var disk = await guests.CreateDiskAsync("count.raw");
        await LabGuests.StartAsync(await guests.WriteAsync("guest.cfg", Configuration(guests, name, type, disk)));
        Task<string> Said(string text) => type == "hvm" ? LabGuests.WaitForFileAsync(guests.PathOf("serial.log"), text) : LabGuests.WaitForConsoleAsync(name, text);
        await Said("PENGX-GUEST up ");
        Assert.Contains("eth0 00:16:3e:00:00:01 up", await Said("PENGX-GUEST nic "), StringComparison.Ordinal);
        var first = await LabGuests.WaitForCounterAsync(disk, 0);
        await LabGuests.WaitForCounterAsync(disk, first + 5);

        await LabHost.OutputAsync("xl", "shutdown", "-F", name);
        await LabGuests.WaitUntilGoneAsync(name);
        await Said("PENGX-GUEST powering off");
        Assert.True(await guests.ReadCounterAsync(disk) > first);
    }

    /// <summary>What works in emulation: memory that is never ballooned at start, the processor's own clock, AHCI for HVM.</summary>
    private static string Configuration(LabGuests guests, string name, string type, string disk)
    {
        var boot = type == "hvm" ? guests.CopyBootDisk("boot.raw") : null;
        return $"""
            name = "{name}"
            type = "{type}"
            memory = 192
            maxmem = 192
            vcpus = 1
            maxvcpus = 2
            vif = [ "mac=00:16:3e:00:00:01,bridge={LabHost.Bridge}{(boot is null ? "" : ",model=e1000")}" ]
            disk = [ {(boot is null ? "" : $"\"format=raw,vdev=xvda,access=rw,backendtype=qdisk,target={boot}\", ")}"format=raw,vdev=xvdb,access=rw,backendtype=qdisk,target={disk}" ]
            {(boot is null
                ? $"kernel = \"{LabHost.Kernel}\"\nramdisk = \"{LabHost.Initramfs}\"\nextra = \"{LabHost.KernelArguments}\""
                : $"boot = \"c\"\nhdtype = \"ahci\"\nusb = 0\nserial = \"file:{guests.PathOf("serial.log")}\"")}
            {(type == "pv" ? "" : "tsc_mode = \"native\"")}

            """;
    }
}
