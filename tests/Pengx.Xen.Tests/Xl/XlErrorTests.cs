namespace Pengx.Xen.Tests;

/// <summary>What a real Xen host said when something went wrong: the kind, and the words that reach the user.</summary>
public sealed class XlErrorTests
{
    private static readonly Dictionary<string, (XlErrorKind Kind, string Message)> s_failures = new()
    {
        ["xl/009-xl-unknown-verb"] = (XlErrorKind.BadConfiguration, "command not implemented"),
        ["xl/010-xl-noargs"] = (XlErrorKind.Other, "xl said nothing"),
        ["xl/028-xl-list-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/029-xl-list-byid-nosuch"] = (XlErrorKind.DomainNotFound, "Error: Domain '999' does not exist."),
        ["xl/031-xl-domid-nosuch"] = (XlErrorKind.DomainNotFound, "Can't get domid of domain name 'nosuch', maybe this domain does not exist."),
        ["xl/033-xl-domname-nosuch"] = (XlErrorKind.DomainNotFound, "Can't get domain name of domain id '999', maybe this domain does not exist."),
        ["xl/038-xl-create-duplicate"] = (XlErrorKind.NameExists, "Domain with name \"pv1\" already exists.; cannot make domain: -6"),
        ["xl/039-xl-create-nofile"] = (XlErrorKind.FileNotFound, "Failed to read config file: /nonexistent.cfg: No such file or directory"),
        ["xl/040-xl-create-syntaxerr"] = (XlErrorKind.BadConfiguration, "bad.cfg:1: config parsing error near <newline>: syntax error, unexpected NEWLINE, expecting STRING or NUMBER or '['; bad.cfg:3: config parsing error near `': syntax error, unexpected $end, expecting ']'; Failed to parse config: Invalid argument"),
        ["xl/041-xl-create-nokernel"] = (XlErrorKind.BadConfiguration, "Neither kernel nor bootloader specified"),
        ["xl/042-xl-create-nomem"] = (XlErrorKind.OutOfMemory, "xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory; xc_dom_boot_mem_init failed: Cannot allocate memory; cannot (re-)build domain: -3"),
        ["xl/043-xl-create-badbridge"] = (XlErrorKind.BridgeNotFound, "/etc/xen/scripts/vif-bridge online [953] exited with error status 1; script: Could not find bridge device nobridge9; unable to add vif devices; /etc/xen/scripts/vif-bridge offline [985] exited with error status 1"),
        ["xl/044-xl-create-missingdisk"] = (XlErrorKind.FileNotFound, "Disk vdev=xvda failed to stat: /srv/guest/missing.qcow2: No such file or directory; Unable to set disk defaults for disk 0"),
        ["xl/045-xl-create-missingkernel"] = (XlErrorKind.FileNotFound, "failed to open file '/nonexistent': No such file or directory: Internal error; xc_dom_kernel_file failed: No such file or directory; cannot (re-)build domain: -3"),
        ["xl/046-xl-create-notakernel"] = (XlErrorKind.Other, "xc_dom_find_loader: no loader found: Invalid kernel; xc_dom_parse_image failed; cannot (re-)build domain: -3"),
        ["xl/047-xl-create-badtype"] = (XlErrorKind.BadConfiguration, "Invalid domain type zzz."),
        ["xl/048-xl-create-baddiskspec"] = (XlErrorKind.BadConfiguration, "badd2.cfg: config parsing error in disk specification: unknown value for format: near `zzz' in `format=zzz,vdev=xvda,access=rw,target=/srv/guest/pv1.qcow2'"),
        ["xl/052-xl-config-update-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/063-block-attach-dup"] = (XlErrorKind.DeviceExists, "device already exists in xenstore; unable to add device; libxl_device_disk_add failed."),
        ["xl/067-block-attach-missing"] = (XlErrorKind.FileNotFound, "Disk vdev=xvde failed to stat: /srv/guest/none.qcow2: No such file or directory; unable to add device; libxl_device_disk_add failed."),
        ["xl/068-block-attach-badspec"] = (XlErrorKind.BadConfiguration, "command line: config parsing error in disk specification: no vdev specified in `zzz'"),
        ["xl/069-block-attach-nosuchdom"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier"),
        ["xl/072-block-detach-again"] = (XlErrorKind.DeviceNotFound, "disk /libxl/1/device/vbd/51728 does not exist (no backend path; Error: Device xvdb not connected."),
        ["xl/085-network-detach-nosuch"] = (XlErrorKind.DeviceNotFound, "xenstore read failed: `/libxl/1/device/vif/7': No such file or directory; Unknown device 7."),
        ["xl/086-network-attach-badmac"] = (XlErrorKind.BadConfiguration, "Invalid parameter `mac'."),
        ["xl/092-mem-set-toobig"] = (XlErrorKind.AboveCeiling, "memory_dynamic_max must be less than or equal to memory_static_max; cannot set domid 1 dynamic max memory to : 4096"),
        ["xl/094-mem-max-toosmall"] = (XlErrorKind.Other, "memory_static_max must be greater than or or equal to memory_dynamic_max: Success; cannot set domid 1 static max memory to : 64"),
        ["xl/095-mem-set-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/097-mem-max-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/102-vcpu-set-toomany"] = (XlErrorKind.AboveCeiling, "You are overcommmitting! You have 2 physical CPUs and want 9 vCPUs! Aborting, use --ignore-host to continue"),
        ["xl/103-vcpu-set-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/115-pause-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/116-unpause-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/122-rename-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/123-rename-dup"] = (XlErrorKind.NameExists, "Domain with name \"Domain-0\" already exists.; Can't rename domain 'pv1'."),
        ["xl/147-save-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/148-save-baddir"] = (XlErrorKind.FileNotFound, "Failed to open temp file /nonexistent/x for writing"),
        ["xl/149-restore-nosuch"] = (XlErrorKind.FileNotFound, "Can't open restore file: No such file or directory"),
        ["xl/150-restore-garbage"] = (XlErrorKind.Other, "file/stream truncated reading header from /srv/guest/notkernel; Protocol error: libxl_read_exactly( ctx, restore_fd, &hdr, sizeof(hdr), restore_source, \"header\")"),
        ["xl/151-restore-dupname"] = (XlErrorKind.NameExists, "Domain with name \"pv1\" already exists.; cannot make domain: -6"),
        ["xl/160-migrate-localhost"] = (XlErrorKind.CannotMigrateLive, "Failed to enable logdirty: 95,22,0 (22 = Invalid argument): Internal error; Save failed (22 = Invalid argument): Internal error; saving domain: domain did not respond to suspend request: Invalid argument; migration sender: libxl_domain_suspend failed (rc=-8); Failed to read Record Header from stream (0 = Success): Internal error; Migration failed, failed to suspend at sender."),
        ["xl/162-migrate-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/163-migrate-badhost"] = (XlErrorKind.HostUnreachable, "ssh: Could not resolve hostname 203.0.113.99.invalid: Temporary failure in name resolution; file/stream truncated reading banner from migration receiver stream"),
        ["xl/172-reboot-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/173-shutdown-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/183-destroy-nosuch"] = (XlErrorKind.DomainNotFound, "nosuch is an invalid domain identifier (rc=-6)"),
        ["xl/184-destroy-dom0"] = (XlErrorKind.Other, "Not destroying domain 0; use -f to force.; This can only be done when using a disaggregated hardware domain and toolstack."),
        ["hvm/cd-insert"] = (XlErrorKind.FileNotFound, "Cannot stat file: /srv/guest/none.iso"),
    };

    // Exit code 0, and yet it did not happen.
    private static readonly string[] s_hidden = ["xl/076-block-list-nosuch", "xl/117-pause-dom0", "xl/131-trigger"];

    public static TheoryData<string> Failures => [.. s_failures.Keys];

    [Theory]
    [MemberData(nameof(Failures))]
    public void A_recorded_failure(string name)
    {
        var recorded = Recorded.Read(name);
        var error = XlError.Parse(recorded.Error);

        Assert.NotEqual(0, recorded.ExitCode);
        Assert.Equal(s_failures[name], (error.Kind, error.Message));
    }

    [Fact]
    public void Every_recorded_failure_is_expected() => Assert.Equal(
        ((string[])["xl", "hvm", "migrate"]).SelectMany(Recorded.All).Where(name => Recorded.Read(name).ExitCode != 0).Order(StringComparer.Ordinal),
        s_failures.Keys.Order(StringComparer.Ordinal));

    [Fact]
    public void What_failed_with_exit_code_0_is_found() => Assert.Equal(
        s_hidden,
        ((string[])["xl", "hvm", "migrate"]).SelectMany(Recorded.All)
            .Where(name => Recorded.Read(name) is { ExitCode: 0 } recorded && XlError.IsHidden(recorded.Error)));

    [Fact]
    public void A_success_leaves_nothing_to_tell()
    {
        foreach (var name in ((string[])["xl", "hvm", "migrate"]).SelectMany(Recorded.All))
        {
            var recorded = Recorded.Read(name);
            if (recorded.ExitCode == 0 && !s_hidden.Contains(name) && recorded.Command.StartsWith("xl ", StringComparison.Ordinal))
            {
                Assert.DoesNotContain(XlError.Parse(recorded.Error).Lines, line => !line.Contains("has been shut down, reason code 0", StringComparison.Ordinal));
            }
        }
    }

    [Theory]
    [InlineData("Shutting down domain 7\nlibxl: error: libxl_domain.c:780:pvcontrol_cb: Domain 7:guest didn't acknowledge control request: -9\nshutdown failed (rc=-9)\n", nameof(XlErrorKind.GuestTimedOut))]
    [InlineData("Shutting down domain 7\nPV control interface not available: external graceful shutdown not possible.\nUse \"-F\" to fallback to ACPI power event.\nshutdown failed (rc=-10)\n", nameof(XlErrorKind.NoParavirtualDriver))]
    [InlineData("destroy failed (rc=-21)\n", nameof(XlErrorKind.DomainNotFound))]
    [InlineData("libxl: error: libxl_domain.c:1800:libxl__set_vcpuonline_qmp: Domain 7:Requested 9 VCPUs, however maxcpus is 2!: Invalid argument\n", nameof(XlErrorKind.AboveCeiling))]
    [InlineData("failed to free memory for the domain\n", nameof(XlErrorKind.OutOfMemory))]
    [InlineData("cannot acquire lock /var/lock/xl errno=11\n", nameof(XlErrorKind.Locked))]
    [InlineData("ssh: connect to host h port 22: Connection refused\n", nameof(XlErrorKind.HostUnreachable))]
    [InlineData("libxl: error: libxl_domain.c:1137:domain_destroy_callback: Domain 7:Unable to destroy guest\n", nameof(XlErrorKind.Other))]
    [InlineData("", nameof(XlErrorKind.Other))]
    public void What_was_not_recorded_has_its_kind_too(string error, string kind)
    {
        Assert.Equal(kind, XlError.Parse(error).Kind.ToString());
        Assert.Equal(error.Length == 0, XlError.Parse(error).Message == "xl said nothing");
    }
}
