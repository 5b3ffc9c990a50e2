using System.Globalization;
using CsCheck;

namespace Pengx.Xen.Tests;

/// <summary>The answers of a real Xen host, and of the real xl about domains made up here.</summary>
public sealed class XlAnswerTests
{
    private static readonly XlDomainState s_running = new(XlDomainActivity.Running, XlShutdownReason.None, false);
    private static readonly XlDomainState s_paused = new(XlDomainActivity.Paused, XlShutdownReason.None, true);

    /// <summary>Each recorded list: the rows as "name number MiB processors state seconds".</summary>
    private static readonly Dictionary<string, string[]> s_lists = new()
    {
        ["xl/004-xl-list-empty"] = ["Domain-0 0 2048 2 Running 53.3"],
        ["xl/021-xl-list"] = ["Domain-0 0 2048 2 Running 76.4", "pv1 1 192 1 Running 6.0"],
        ["xl/049-xl-list-after-errors"] = ["Domain-0 0 2048 2 Running 118.9", "pv1 1 192 1 Running 8.8"],
        ["xl/091-mem-list"] = ["pv1 1 160 1 Running 14.3"],
        ["xl/098-mem-list-2"] = ["pv1 1 200 1 Running 16.3"],
        ["xl/111-list-paused"] = ["pv1 1 200 1 Paused 21.6"],
        ["xl/141-list-after-save"] = ["Domain-0 0 2048 2 Running 296.2"],
        ["xl/143-list-after-restore"] = ["Domain-0 0 2048 2 Running 312.3", "pv1 8 200 1 Running 0.6"],
        ["xl/146-list-after-checkpoint"] = ["Domain-0 0 2048 2 Running 320.2", "pv1 8 200 1 Running 1.2"],
        ["xl/161-list-after-migrate"] = ["Domain-0 0 2048 2 Running 359.5", "pv1 10 192 1 Running 6.8"],
        ["xl/164-list-after-badmigrate"] = ["Domain-0 0 2048 2 Running 364.9", "pv1 10 192 1 Running 7.3"],
        ["xl/166-list-saved-paused"] = ["Domain-0 0 2048 2 Running 372.5", "pv1 10 192 1 Paused 7.4"],
        ["xl/168-list-after"] = ["Domain-0 0 2048 2 Running 376.3", "pv1 10 192 1 Running 7.9"],
        ["xl/171-list-after-reboot"] = ["Domain-0 0 2048 2 Running 409.3", "pv1 13 192 1 Running 1.7"],
        ["xl/175-list-after-shutdown"] = ["Domain-0 0 2048 2 Running 420.8", "pv1 13 192 1 Shutdown:PowerOff 8.2"],
        ["xl/181-list-created-paused"] = ["Domain-0 0 2048 2 Running 437.5", "pv1 14 192 1 Paused 0.0"],
        ["xl/185-list-final"] = ["Domain-0 0 2048 2 Running 447.3"],
        ["hvm/list"] = ["Domain-0 0 2048 1 Running 142.8", "hvm1 1 248 1 Shutdown:PowerOff 18.3"],
        ["migrate/02-list"] = ["Domain-0 0 2048 2 Running 753.8", "mig1 15 192 1 Running 7.7"],
        ["migrate/04-list-src"] = ["Domain-0 0 2048 2 Running 909.9"],
        ["migrate/05-list-dst"] = ["Domain-0 0 2048 1 Running 234.2", "mig1 2 192 1 Running 2.7"],
    };

    public static TheoryData<string> Lists => [.. s_lists.Keys];

    [Theory]
    [MemberData(nameof(Lists))]
    public void A_recorded_list(string name) => Assert.Equal(s_lists[name], XlListEntry.Parse(Recorded.Read(name).Output).Select(Describe));

    [Fact]
    public void Every_recorded_list_is_expected() => Assert.Equal(
        ((string[])["xl", "hvm", "migrate"]).SelectMany(Recorded.All)
            .Where(name => Recorded.Read(name) is { ExitCode: 0, Command: var command } && (command.EndsWith("xl list", StringComparison.Ordinal) || command == "xl list pv1"))
            .Order(StringComparer.Ordinal),
        s_lists.Keys.Order(StringComparer.Ordinal));

    [Fact]
    public void A_list_is_read_to_the_last_field() => Assert.Equal(
        [new("pv1", 13, DataSize.FromMiB(192), 1, new(XlDomainActivity.Shutdown, XlShutdownReason.PowerOff, true), TimeSpan.FromSeconds(8.2))],
        XlListEntry.Parse(Recorded.Read("xl/175").Output).Where(row => row.Domain > 0));

    [Theory]
    [InlineData("r-----", nameof(XlDomainActivity.Running), nameof(XlShutdownReason.None))]
    [InlineData("-b----", nameof(XlDomainActivity.Running), nameof(XlShutdownReason.None))]
    [InlineData("------", nameof(XlDomainActivity.Running), nameof(XlShutdownReason.None))]
    [InlineData("rb----", nameof(XlDomainActivity.Running), nameof(XlShutdownReason.None))]
    [InlineData("--p---", nameof(XlDomainActivity.Paused), nameof(XlShutdownReason.None))]
    [InlineData("-bp---", nameof(XlDomainActivity.Paused), nameof(XlShutdownReason.None))]
    [InlineData("---s--", nameof(XlDomainActivity.Shutdown), nameof(XlShutdownReason.PowerOff))]
    [InlineData("---sr-", nameof(XlDomainActivity.Shutdown), nameof(XlShutdownReason.Reboot))]
    [InlineData("---ss-", nameof(XlDomainActivity.Shutdown), nameof(XlShutdownReason.Suspend))]
    [InlineData("--psc-", nameof(XlDomainActivity.Crashed), nameof(XlShutdownReason.Crash))]
    [InlineData("---sw-", nameof(XlDomainActivity.Crashed), nameof(XlShutdownReason.Watchdog))]
    [InlineData("---sS-", nameof(XlDomainActivity.Shutdown), nameof(XlShutdownReason.SoftReset))]
    [InlineData("---s?-", nameof(XlDomainActivity.Shutdown), nameof(XlShutdownReason.Unknown))]
    [InlineData("--p--d", nameof(XlDomainActivity.Dying), nameof(XlShutdownReason.None))]
    [InlineData("--pscd", nameof(XlDomainActivity.Dying), nameof(XlShutdownReason.Crash))]
    public void A_state(string letters, string activity, string reason)
    {
        Assert.True(XlDomainState.TryParse(letters, out var state));
        Assert.Equal((activity, reason, letters[2] == 'p'), (state.Activity.ToString(), state.Reason.ToString(), state.IsPaused));
    }

    [Theory]
    [InlineData("")]
    [InlineData("r----")]
    [InlineData("r------")]
    [InlineData("x-----")]
    [InlineData("----x-")]
    public void No_state(string letters) => Assert.False(XlDomainState.TryParse(letters, out _));

    [Theory]
    [InlineData("")]
    [InlineData("Nome ID\n")]
    [InlineData("Name ID Mem VCPUs State Time(s)\npv1 1 192 1 r-----\n")]
    [InlineData("Name ID Mem VCPUs State Time(s)\npv1 1 192 one r----- 1.0\n")]
    [InlineData("Name ID Mem VCPUs State Time(s)\npv1 1 192 1 zzzzzz 1.0\n")]
    public void No_list(string output) => Assert.Throws<HypervisorException>(() => XlListEntry.Parse(output));

    // xl itself prints what is read here: names with blanks, digits and no name at all, every state.
    [Fact]
    public async Task Whatever_the_domains_xl_lists_them_and_they_are_read()
    {
        XenTools.Require();
        using var folder = new TestFolder();
        var number = 0;
        var name = Gen.Frequency((3, Hostile.Pick("pv1", "a b  c", "x 12", "1 2 3", "r-----", "é漢 🦀", "(nul)", "-", "long-" + new string('n', 60))), (1, Gen.Const((string)null!)));
        var domain = Gen.Select(name, Hostile.Pick("r", "b", "p", "-", "ps", "s", "pd", "psd"), Gen.Int[0, 6], Gen.Int[0, 4_000_000], Gen.Int[0, 64], Gen.Long[0, 1_000_000_000_000_000]);
        await domain.Array[1, 12].SampleAsync(
            async domains =>
            {
                var rows = domains.Select((row, index) => (Row: row, Number: index + 1, Id: DomainId.New())).ToArray();
                var file = folder.Write(
                    $"domains-{Interlocked.Increment(ref number)}",
                    string.Concat(rows.Select(row => string.Create(
                        CultureInfo.InvariantCulture,
                        $"{row.Number} {row.Row.Item2} {row.Row.Item3} 0 {row.Row.Item4} {row.Row.Item5} {row.Row.Item6} {row.Id.Value:N}{(row.Row.Item1 is { } text ? " " + text : "")}\n"))));

                var list = XlListEntry.Parse((await RealXl.RunAsync(XlCommand.List().Arguments, domains: file)).Output);
                var vms = XlVmListEntry.Parse((await RealXl.RunAsync(XlCommand.ListVms().Arguments, domains: file)).Output);

                Assert.Equal(
                    rows.Select(row => (row.Row.Item1, row.Number, DataSize.FromMiB(row.Row.Item4 / 1024), row.Row.Item5, State(row.Row.Item2, row.Row.Item3))),
                    list.Select(row => (row.Name, row.Domain, row.Memory, row.Cpus, row.State))!);
                Assert.All(rows.Zip(list), pair => Assert.Equal(pair.First.Row.Item6 / 1e9, pair.Second.CpuTime.TotalSeconds, (pair.First.Row.Item6 / 1e9 * 1e-6) + 0.051));
                Assert.Equal(rows.Select(row => (row.Id, row.Number, row.Row.Item1)), vms.Select(row => (row.Id, row.Domain, row.Name))!);
            },
            iter: 40);
    }

    [Fact]
    public void The_host_is_described()
    {
        var info = XlInfo.Parse(Recorded.Read("xl/002").Output);

        Assert.Equal("xenhost1", info.Host);
        Assert.Equal("4.17.7", info.XenVersion);
        Assert.Equal(new HostFacts { Cpus = 2, ThreadsPerCore = 1, Memory = DataSize.FromMiB(6143), FreeMemory = DataSize.FromMiB(4032) }, info.ToFacts());
        Assert.Equal(DataSize.Zero, info.ClaimedMemory);
        Assert.Equal("dom0_mem=2048M,max:2048M dom0_max_vcpus=2 com1=115200,8n1 console=com1 loglvl=info guest_loglvl=info spec-ctrl=no xpti=no pv-l1tf=no watchdog=0 ucode=no", info.Values["xen_commandline"]);
        Assert.True(info.Supports(XlGuestKind.Pv) && info.Supports(XlGuestKind.Hvm) && info.Supports(XlGuestKind.Pvh));
        Assert.Equal(info.ToFacts(), XlInfo.Parse(Recorded.Read("xl/003").Output).ToFacts());
    }

    [Fact]
    public void A_host_without_hardware_virtualization_runs_PV_only()
    {
        var info = XlInfo.Parse(Recorded.Read("xl/002").Output.Replace("pv hvm hap gnttab-v1", "pv", StringComparison.Ordinal));

        Assert.Equal((true, false, false), (info.Supports(XlGuestKind.Pv), info.Supports(XlGuestKind.Hvm), info.Supports(XlGuestKind.Pvh)));
    }

    [Theory]
    [InlineData("total_memory")]
    [InlineData("nr_cpus")]
    [InlineData("xen_version")]
    public void A_description_without_what_is_needed_is_none(string key) => Assert.Contains(
        key,
        Assert.Throws<HypervisorException>(() => XlInfo.Parse(Recorded.Read("xl/002").Output.Replace(key, "other", StringComparison.Ordinal))).Message,
        StringComparison.Ordinal);

    [Fact]
    public void Uptimes_are_read()
    {
        Assert.Equal([new("Domain-0", 0, TimeSpan.FromSeconds(34))], XlUptimeEntry.Parse(Recorded.Read("xl/007").Output));
        Assert.Equal([new("Domain-0", 0, TimeSpan.FromSeconds(65)), new("pv1", 1, TimeSpan.FromSeconds(25))], XlUptimeEntry.Parse(Recorded.Read("xl/034").Output));
        Assert.Equal([new("pv1", 1, TimeSpan.FromSeconds(26))], XlUptimeEntry.Parse(Recorded.Read("xl/035").Output));
        Assert.Equal(
            [new("a b", 3, new TimeSpan(1, 2, 3, 4)), new(null, 4, new TimeSpan(20, 19, 58, 46))],
            XlUptimeEntry.Parse("Name                                ID Uptime\na b                                  3 1 day,  2:03:04\n(null)                               4 20 days, 19:58:46\n"));
    }

    [Fact]
    public void Disks_are_listed()
    {
        Assert.Equal([new(51712, 4, "/local/domain/0/backend/qdisk/1/51712")], XlBlockEntry.Parse(Recorded.Read("xl/060").Output));
        Assert.Equal(
            [(51712, "qdisk"), (51728, "qdisk"), (51744, "vbd"), (51760, "qdisk")],
            XlBlockEntry.Parse(Recorded.Read("xl/066").Output).Select(row => (row.Device, row.BackendPath.Split('/')[5])));
        Assert.Equal([51712, 51728], XlBlockEntry.Parse(Recorded.Read("xl/062").Output).Select(row => row.Device));
        Assert.Equal([51712], XlBlockEntry.Parse(Recorded.Read("xl/075").Output).Select(row => row.Device));
        Assert.Equal([51728, 51744, 768], XlBlockEntry.Parse(Recorded.Read("hvm/block-list").Output).Select(row => row.Device));

        // An unknown domain: exit code 0, and the complaint on standard error only.
        var unknown = Recorded.Read("xl/076");
        Assert.Equal(0, unknown.ExitCode);
        Assert.Empty(XlBlockEntry.Parse(unknown.Output));
        Assert.True(XlError.IsHidden(unknown.Error));
    }

    [Fact]
    public void Interfaces_are_listed()
    {
        Assert.Equal([new(0, MacAddress.Parse("00:16:3e:00:00:51"), 4, "/local/domain/0/backend/vif/1/0")], XlNicEntry.Parse(Recorded.Read("xl/080").Output));
        Assert.Equal(
            [new(0, MacAddress.Parse("00:16:3e:00:00:51"), 4, "/local/domain/0/backend/vif/1/0"), new(1, MacAddress.Parse("00:16:3e:00:01:51"), 4, "/local/domain/0/backend/vif/1/1")],
            XlNicEntry.Parse(Recorded.Read("xl/082").Output));
    }

    [Fact]
    public void Details_are_read()
    {
        var dom0 = Assert.Single(XlDomainDetails.ParseList(Recorded.Read("xl/005").Output));
        Assert.Equal(("Domain-0", 0, XlGuestKind.Pv, (DomainId?)null), (dom0.Name, dom0.Domain, dom0.Kind, dom0.Id));

        foreach (var name in (string[])["xl/022", "xl/024", "xl/053"])
        {
            var pv = XlDomainDetails.ParseList(Recorded.Read(name).Output)[^1];
            Assert.Equal(("pv1", 1, XlGuestKind.Pv, 2), (pv.Name, pv.Domain, pv.Kind, pv.MaxCpus));
            Assert.Equal("b459634c-1768-4082-b67b-4d578a9b6eeb", pv.Id.ToString());
            Assert.Equal((DataSize.FromMiB(256), DataSize.FromMiB(192)), (pv.MaxMemory, pv.TargetMemory));
            Assert.Equal([new XlDisk { Vdev = "xvda", Format = "qcow2", Target = "/srv/guest/pv1.qcow2" }], pv.Disks);
            Assert.Equal([new XlVif { Mac = MacAddress.Parse("00:16:3e:00:00:51"), Bridge = "xenbr0" }], pv.Vifs);
        }

        var hvm = Assert.Single(XlDomainDetails.ParseList(Recorded.Read("hvm/list-l").Output));
        Assert.Equal((XlGuestKind.Hvm, 2, DataSize.FromMiB(256)), (hvm.Kind, hvm.MaxCpus, hvm.MaxMemory));
        Assert.Equal(["hda", "xvdb"], hvm.Disks.Select(disk => disk.Vdev));
        Assert.Equal("e1000", Assert.Single(hvm.Vifs).Model);

        var three = XlDomainDetails.ParseList(Recorded.ReadText("qmp/xl-list-l-3guests.json"));
        Assert.Equal([("Domain-0", XlGuestKind.Pv), ("pv1", XlGuestKind.Pv), ("pvh1", XlGuestKind.Pvh)], three.Take(3).Select(domain => (domain.Name, domain.Kind)));
        Assert.Empty(XlDomainDetails.ParseList(""));
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[{}]")]
    [InlineData("[{\"domid\": 1, \"config\": {\"c_info\": {\"type\": \"arm\", \"name\": \"x\"}, \"b_info\": {}}}]")]
    [InlineData("[")]
    public void No_details(string output) => Assert.Throws<HypervisorException>(() => XlDomainDetails.ParseList(output));

    private static string Describe(XlListEntry row) => string.Create(
        CultureInfo.InvariantCulture,
        $"{row.Name} {row.Domain} {row.Memory.MiB} {row.Cpus} {(row.State == s_running ? "Running" : row.State == s_paused ? "Paused" : $"{row.State.Activity}:{row.State.Reason}")} {row.CpuTime.TotalSeconds:0.0}");

    private static XlDomainState State(string flags, int reason)
    {
        var ended = flags.Contains('s', StringComparison.Ordinal);
        XlShutdownReason why = !ended ? XlShutdownReason.None : reason switch
        {
            0 => XlShutdownReason.PowerOff,
            1 => XlShutdownReason.Reboot,
            2 => XlShutdownReason.Suspend,
            3 => XlShutdownReason.Crash,
            4 => XlShutdownReason.Watchdog,
            5 => XlShutdownReason.SoftReset,
            _ => XlShutdownReason.Unknown,
        };
        var paused = flags.Contains('p', StringComparison.Ordinal);
        var activity = flags.Contains('d', StringComparison.Ordinal) ? XlDomainActivity.Dying
            : why is XlShutdownReason.Crash or XlShutdownReason.Watchdog ? XlDomainActivity.Crashed
            : ended ? XlDomainActivity.Shutdown
            : paused ? XlDomainActivity.Paused : XlDomainActivity.Running;
        return new(activity, why, paused);
    }
}
