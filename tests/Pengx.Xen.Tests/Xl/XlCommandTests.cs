using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>Every command that is given to xl: what the real xl then asks of libxl, and what is refused before.</summary>
public sealed class XlCommandTests
{
    private const string Config = "name=\"x\"\nuuid=\"b459634c-1768-4082-b67b-4d578a9b6eeb\"\ntype=\"pv\"\nkernel=\"/k\"\nmemory=64\n";

    private static readonly XlDisk s_disk = new() { Vdev = "xvdb", Format = "qcow2", BackendType = "qdisk", Target = "/srv/a b, c=d.qcow2" };
    private static readonly XlVif s_vif = new() { Mac = MacAddress.Parse("00:16:3e:00:00:07"), Bridge = "ovsbr0:10:20", Model = "e1000", Script = "vif-openvswitch", Others = ["ip=10.0.0.1"] };

    private static readonly Dictionary<string, (XlCommand Command, string[] Asked)> s_plain = new()
    {
        ["destroy"] = (XlCommand.Destroy(7), ["destroy 7"]),
        ["shutdown"] = (XlCommand.Shutdown(7), ["shutdown 7", "trigger 7 1 0"]),
        ["reboot"] = (XlCommand.Reboot(7), ["reboot 7", "trigger 7 5 0"]),
        ["pause"] = (XlCommand.Pause(7), ["pause 7"]),
        ["unpause"] = (XlCommand.Unpause(7), ["unpause 7"]),
        ["rename"] = (XlCommand.Rename(7, XlName.For(DomainId.New(), "web-1.a_b")), ["rename 7 web-1.a_b"]),
        ["vcpu-set"] = (XlCommand.SetCpus(7, 9), ["vcpus 7 9"]),
        ["mem-set"] = (XlCommand.SetMemory(7, DataSize.FromMiB(512)), ["memory 7 524288 0 1"]),
        ["mem-max"] = (XlCommand.SetMaxMemory(7, DataSize.FromMiB(1)), ["maxmem 7 1024"]),
        ["block-detach"] = (XlCommand.DetachDisk(7, "xvdb"), ["disk-find 7 xvdb", "disk-remove 7"]),
        ["block-detach by force"] = (XlCommand.DetachDisk(7, "hda", force: true), ["disk-find 7 hda", "disk-destroy 7"]),
        ["block-list"] = (XlCommand.ListDisks(7), ["disk-list 7"]),
        ["network-detach"] = (XlCommand.DetachNic(7, MacAddress.Parse("00:16:3e:00:00:07")), ["nic-find 7 00:16:3e:00:00:07", "nic-remove 7"]),
        ["network-list"] = (XlCommand.ListNics(7), ["nic-list 7"]),
        ["trigger power"] = (XlCommand.Trigger(7, "power"), ["trigger 7 1 0"]),
        ["trigger reset"] = (XlCommand.Trigger(7, "reset"), ["trigger 7 5 0"]),
        ["sysrq"] = (XlCommand.SysRq(7, 'h'), ["sysrq 7 h"]),
    };

    public static TheoryData<string> Plain => [.. s_plain.Keys];

    public XlCommandTests() => XenTools.Require();

    [Theory]
    [MemberData(nameof(Plain))]
    public async Task Xl_asks_for_exactly_that(string name)
    {
        var (command, asked) = s_plain[name];
        Assert.StartsWith(command.Verb, name, StringComparison.Ordinal);
        Assert.Equal(asked, (await RealXl.AskAsync(command)).Select(line => $"{line.Verb} {line.Domain} {line.Rest}".TrimEnd()));
        Assert.InRange(command.Timeout, TimeSpan.FromSeconds(1), TimeSpan.FromHours(2));
    }

    [Fact]
    public async Task A_disk_is_plugged_as_it_was_said()
    {
        var asked = Assert.Single(await RealXl.AskAsync(XlCommand.AttachDisk(7, s_disk)));

        Assert.Equal(("disk-add", 7), (asked.Verb, asked.Domain));
        Assert.Equal(s_disk, XlDomainDetails.ReadDisk(asked.Json));
    }

    [Fact]
    public async Task An_interface_is_plugged_as_it_was_said()
    {
        var command = XlCommand.AttachNic(7, s_vif);
        var asked = Assert.Single(await RealXl.AskAsync(command));

        Assert.Equal(["network-attach", "7", "mac=00:16:3e:00:00:07", "bridge=ovsbr0:10:20", "model=e1000", "script=vif-openvswitch", "ip=10.0.0.1"], command.Arguments);
        Assert.Equal(("nic-add", 7), (asked.Verb, asked.Domain));
        Assert.Equal(s_vif with { Others = [] }, XlDomainDetails.ReadVif(asked.Json));
        Assert.Equal("10.0.0.1", asked.Json.GetProperty("ip").GetString());
    }

    // Why each key is an argument of its own: xl loses what stands behind a comma, and says nothing.
    [Fact]
    public async Task Xl_still_loses_a_bridge_behind_a_comma()
    {
        var result = await RealXl.RunAsync((string[])["network-attach", "7", "mac=00:16:3e:00:00:01,bridge=xenbr0"]);

        Assert.Equal(0, result.ExitCode);
        Assert.False(Assert.Single(RealXl.ReadAsked(result.Output)).Json.TryGetProperty("bridge", out _));
    }

    [Fact]
    public async Task A_disc_is_put_in_and_taken_out()
    {
        using var folder = new TestFolder();
        var iso = folder.Write("in stall=é #1.iso", "");

        var inserted = Assert.Single(await RealXl.AskAsync(XlCommand.InsertCdrom(7, iso)));
        var ejected = Assert.Single(await RealXl.AskAsync(XlCommand.EjectCdrom(7)));

        Assert.Equal(("cdrom", 7), (inserted.Verb, inserted.Domain));
        Assert.Equal(new XlDisk { Vdev = "hdc", Target = iso, ReadOnly = true, IsCdrom = true }, XlDomainDetails.ReadDisk(inserted.Json));
        Assert.Equal(new XlDisk { Vdev = "hdc", Target = "", Format = "empty", ReadOnly = true, IsCdrom = true }, XlDomainDetails.ReadDisk(ejected.Json));
    }

    // A path with '=' in it would be taken for a setting were it not behind -f.
    [Theory]
    [InlineData("domain.cfg")]
    [InlineData("a=b c.cfg")]
    public async Task A_domain_is_created_from_its_file(string name)
    {
        using var folder = new TestFolder();
        var file = folder.Write(name, Config);

        foreach (var paused in (bool[])[false, true])
        {
            var result = await RealXl.RunAsync(XlCommand.Create(file, paused));
            var asked = Assert.Single(RealXl.ReadAsked(result.Output));
            Assert.Equal(3, result.ExitCode);
            Assert.Equal("create", asked.Verb);
            Assert.Equal("x", XlDomainDetails.Read(asked.Json, 1).Name);
        }
    }

    [Theory]
    [InlineData("domain.cfg")]
    [InlineData("a=b c.cfg")]
    public async Task The_next_start_is_stored(string name)
    {
        using var folder = new TestFolder();

        var result = await RealXl.RunAsync(XlCommand.UpdateConfiguration(7, folder.Write(name, Config)));

        Assert.Equal(0, result.ExitCode);
        Assert.Equal($"userdata 7 xl {Config.Length}\n{Config}", result.Output);
    }

    [Fact]
    public async Task A_guest_is_saved_and_restored()
    {
        using var folder = new TestFolder();
        var config = folder.Write("a=b.cfg", Config);
        var file = folder.At("memory image");

        Assert.Equal(["suspend 7", "destroy 7"], await VerbsAsync(XlCommand.Save(7, file, config)));
        Assert.Equal(["suspend 7", "resume 7"], await VerbsAsync(XlCommand.Save(7, file, config, XlAfterSave.Run)));
        Assert.Equal(["suspend 7", "pause 7", "resume 7"], await VerbsAsync(XlCommand.Save(7, file, config, XlAfterSave.StayPaused)));

        var result = await RealXl.RunAsync(XlCommand.Restore(config, file, paused: true));
        var asked = Assert.Single(RealXl.ReadAsked(result.Output));
        Assert.Equal("restore", asked.Verb);
        Assert.Equal("x", XlDomainDetails.Read(asked.Json, 1).Name);
        Assert.Equal(result.Output, (await RealXl.RunAsync(XlCommand.Restore(config, file))).Output);
    }

    [Fact]
    public async Task A_migration_starts_ssh_with_what_was_said()
    {
        using var folder = new TestFolder();
        var config = folder.Write("a=b.cfg", Config);
        var ssh = folder.Write("ssh", $"#!/bin/sh\nprintf '%s\\n' \"$@\" > '{folder.At("arguments")}'\nexit 255\n");
        File.SetUnixFileMode(ssh, UnixFileMode.UserRead | UnixFileMode.UserExecute);

        var result = await RealXl.RunAsync(XlCommand.Migrate(7, "host-2.example", config, "-o", "UserKnownHostsFile=/run/pengx/known_hosts"), folder.Path);

        Assert.Equal(1, result.ExitCode);
        Assert.Equal(
            ["-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/run/pengx/known_hosts", "host-2.example", "xl", "migrate-receive", "-e"],
            await File.ReadAllLinesAsync(folder.At("arguments"), TestContext.Current.CancellationToken));
    }

    [Theory]
    [InlineData("")]
    [InlineData("-oProxyCommand=id")]
    [InlineData("host; id")]
    [InlineData("host id")]
    [InlineData("$(id)")]
    [InlineData("`id`")]
    [InlineData("host\nid")]
    [InlineData("hóst")]
    [InlineData("user@host")]
    public void A_host_that_a_shell_would_read_is_refused(string host) =>
        Assert.Equal("host", Assert.Throws<InvalidFieldException>(() => XlCommand.Migrate(7, host, "/a.cfg")).Field);

    [Theory]
    [InlineData("")]
    [InlineData("-o ProxyCommand=id")]
    [InlineData("a;id")]
    [InlineData("$HOME")]
    public void An_option_of_ssh_that_a_shell_would_read_is_refused(string option) =>
        Assert.Equal("ssh_option", Assert.Throws<InvalidFieldException>(() => XlCommand.Migrate(7, "host", "/a.cfg", option)).Field);

    [Fact]
    public void What_is_no_command_is_refused_before_anything_runs()
    {
        Assert.Equal("configuration", Assert.Throws<InvalidFieldException>(() => XlCommand.Create("-N")).Field);
        Assert.Equal("configuration", Assert.Throws<InvalidFieldException>(() => XlCommand.Create("domain.cfg")).Field);
        Assert.Equal("file", Assert.Throws<InvalidFieldException>(() => XlCommand.Save(7, "image", "/a.cfg")).Field);
        Assert.Equal("iso", Assert.Throws<InvalidFieldException>(() => XlCommand.InsertCdrom(7, "/a,b.iso")).Field);
        Assert.Equal("vdev", Assert.Throws<InvalidFieldException>(() => XlCommand.DetachDisk(7, "--force")).Field);
        Assert.Equal("sysrq", Assert.Throws<InvalidFieldException>(() => XlCommand.SysRq(7, '-')).Field);
        Assert.Equal("memory", Assert.Throws<InvalidFieldException>(() => XlCommand.SetMemory(7, new(1024))).Field);
        Assert.Equal("mac", Assert.Throws<InvalidFieldException>(() => XlCommand.DetachNic(7, default)).Field);
        Assert.Throws<ArgumentOutOfRangeException>(() => XlCommand.Destroy(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => XlCommand.Pause(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => XlCommand.Pause(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => XlCommand.SetCpus(7, 0));
    }

    [Fact]
    public void Every_verb_is_one_of_xl_and_names_a_domain_by_its_number()
    {
        XlCommand[] others = [XlCommand.ListVms(), XlCommand.Info(), XlCommand.Uptime()];
        foreach (var command in others)
        {
            Assert.Single(command.Arguments);
        }

        Assert.Equal(["list", "-l", "7"], XlCommand.ListDetails(7).Arguments);
        Assert.Equal(["list", "-v"], XlCommand.List().Arguments);
        Assert.Equal(["list", "-v", "7"], XlCommand.List(7).Arguments);
        Assert.Throws<ArgumentOutOfRangeException>(() => XlCommand.Trigger(7, "nmi"));
        var process = XlCommand.Pause(7).ToProcess("/usr/sbin/xl");
        Assert.Equal(("/usr/sbin/xl", XlCommand.QuickTimeout), (process.FileName, process.Timeout));
        Assert.Equal(["pause", "7"], process.Arguments);
    }

    [Fact]
    public async Task Hostile_disks_and_interfaces_arrive_as_they_were_or_are_refused()
    {
        int taken = 0, refused = 0;
        await Gen.Select(Hostile.Printable.Select(text => "/srv/" + text), Hostile.Or("xenbr0"), Hostile.Text, Gen.Int[0, 2]).SampleAsync(
            async (path, bridge, name, kind) =>
            {
                XlCommand command;
                try
                {
                    command = kind switch
                    {
                        0 => XlCommand.AttachDisk(7, XlDisk.From(
                            new() { Id = DiskId.New(), Vdev = "xvdb", Layers = [new(new FileLocation(path + name), DiskFormat.Qcow2)] },
                            new() { Kind = XlGuestKind.Pv },
                            hotplug: true)),
                        1 => XlCommand.AttachNic(7, XlVif.From(new() { Mac = MacAddress.Parse("00:16:3e:00:00:01"), Switch = bridge }, false, XlGuestProfile.Default)),
                        _ => XlCommand.Rename(7, XlName.For(new(Guid.Empty), name)),
                    };
                }
                catch (InvalidFieldException)
                {
                    Interlocked.Increment(ref refused);
                    return;
                }

                var asked = Assert.Single(await RealXl.AskAsync(command));
                Assert.Equal(7, asked.Domain);
                switch (kind)
                {
                    case 0:
                        Assert.Equal(new XlDisk { Vdev = "xvdb", Format = "qcow2", BackendType = "qdisk", Target = path + name }, XlDomainDetails.ReadDisk(asked.Json));
                        break;
                    case 1:
                        Assert.Equal(new XlVif { Mac = MacAddress.Parse("00:16:3e:00:00:01"), Bridge = bridge }, XlDomainDetails.ReadVif(asked.Json));
                        break;
                    default:
                        Assert.Equal(XlName.IsUsable(name) ? name : "vm-00000000-0000-0000-0000-000000000000", asked.Rest);
                        break;
                }

                Interlocked.Increment(ref taken);
            },
            iter: 150);
        Assert.True(taken >= 30 && refused >= 5, $"{taken} taken, {refused} refused");
    }

    private static async Task<IEnumerable<string>> VerbsAsync(XlCommand command) => (await RealXl.AskAsync(command)).Select(line => $"{line.Verb} {line.Domain}");
}
