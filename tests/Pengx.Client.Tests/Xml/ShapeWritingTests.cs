namespace Pengx.Client.Tests;

public sealed class ShapeWritingTests
{
    private static readonly Guid A = Guid.Parse("aaaaaaaa-0000-4000-8000-00000000000a");
    private static readonly Guid B = Guid.Parse("bbbbbbbb-0000-4000-8000-00000000000b");
    private static readonly DateTimeOffset Date = new(2026, 11, 23, 8, 23, 0, 999, TimeSpan.FromHours(2));

    private static readonly MachineResource Machine = new()
    {
        Id = A,
        Name = "test_vm",
        Status = "RUNNING",
        CpuCores = 1,
        Memory = 512,
        MaxMemory = 1024,
        DiskSize = 2048,
        Pm = B,
        Nics = [new MachineNicResource { Name = "eth0", Mac = "00:16:3e:00:00:01", Network = "xenbr0" }, new MachineNicResource { Name = "eth1" }],
        Os = "DEBIAN",
        OsArch = "X64",
        Created = Date,
        VncPort = 5900,
        VncPassword = "secret",
    };

    private static readonly TemplateResource Template = new()
    {
        Id = A,
        Name = "debian",
        Size = 1024,
        Os = "DEBIAN",
        OsArch = "X64",
        Description = "Debian <8>",
        Locked = true,
        Pm = B,
        State = "SHUTDOWN",
        LastBootTime = Date,
        VncPort = 5901,
        VncPassword = "secret",
    };

    private static readonly StorlinkResource Storlink = new()
    {
        Id = 2,
        Pm = B,
        PmName = "host1",
        Name = "store1",
        Link = "/data1",
        Type = "LO",
        Level = "FL",
        Size = 4096,
        Free = 1024,
        Shared = true,
    };

    [Fact]
    public void Pm_is_the_references() => Is(PengxShapes.Pm,
        new PmResource
        {
            Id = A,
            Name = "host1",
            Status = "Up",
            CpuCores = 8,
            Memory = 16384,
            Interfaces = [new PmInterfaceResource { Name = "eth0", Mac = "00:16:3e:00:00:01" }, new PmInterfaceResource { Name = "lo", Ip = "127.0.0.1" }],
        },
        """
        <pm id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>host1</name>
        <status>Up</status>
        <cpu_core>8</cpu_core>
        <memory>16384</memory>
        <interfaces>
        <interface><name>eth0</name><mac>00:16:3e:00:00:01</mac><ip></ip></interface>
        <interface><name>lo</name><mac></mac><ip>127.0.0.1</ip></interface>
        </interfaces>
        </pm>
        """);

    [Fact]
    public void Pm_performance_is_the_references_without_the_space() => Is(PengxShapes.PmPerformance,
        new PmPerformanceResource
        {
            Id = A,
            Status = "Up",
            VmCount = 3,
            Smt = 2,
            TotalCpuCores = 8,
            UsedCpuCores = 4,
            CpuUtilization = 12.345,
            TotalMemory = 16384,
            UsedMemory = 2048,
            MemoryUtilization = 12.5,
            ReceivedBytes = 5_000_000_000,
            SentBytes = 7,
        },
        """
        <pmperf id="aaaaaaaa-0000-4000-8000-00000000000a">
        <status>Up</status>
        <vm_count>3</vm_count>
        <smt>2</smt>
        <total_cpu_cores>8</total_cpu_cores>
        <used_cpu_cores>4</used_cpu_cores>
        <cpu_util>12.35</cpu_util>
        <total_memory>16384</total_memory>
        <used_memory>2048</used_memory>
        <memory_util>12.5</memory_util>
        <iface_rx_sum>5000000000</iface_rx_sum>
        <iface_tx_sum>7</iface_tx_sum>
        </pmperf>
        """);

    [Fact]
    public void Storlink_of_version_1_has_no_host_name() => Is(PengxShapes.Storlink, Storlink,
        """
        <storlink id="2">
        <pm>bbbbbbbb-0000-4000-8000-00000000000b</pm>
        <name>store1</name>
        <link>/data1</link>
        <type>LO</type>
        <level>FL</level>
        <size>4096</size>
        <free>1024</free>
        <desc></desc>
        <shared>True</shared>
        </storlink>
        """);

    [Fact]
    public void Storlink_of_all_has_the_host_name() => Is(PengxShapes.StorlinkWithPmName, Storlink with { Size = null, Free = null, Shared = false },
        """
        <storlink id="2">
        <pm>bbbbbbbb-0000-4000-8000-00000000000b</pm>
        <pm_name>host1</pm_name>
        <name>store1</name>
        <link>/data1</link>
        <type>LO</type>
        <level>FL</level>
        <size></size>
        <free></free>
        <desc></desc>
        <shared>False</shared>
        </storlink>
        """);

    [Fact]
    public void Template_of_version_1() => Is(PengxShapes.Template, Template,
        """
        <template id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>debian</name>
        <size>1024</size>
        <os>DEBIAN</os>
        <os_arch>X64</os_arch>
        <desc>Debian &lt;8&gt;</desc>
        </template>
        """);

    [Fact]
    public void Template_of_version_2_has_its_state() => Is(PengxShapes.TemplateWithState, Template,
        """
        <template id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>debian</name>
        <size>1024</size>
        <os>DEBIAN</os>
        <os_arch>X64</os_arch>
        <desc>Debian &lt;8&gt;</desc>
        <lock_status>True</lock_status>
        <pm>bbbbbbbb-0000-4000-8000-00000000000b</pm>
        <state>SHUTDOWN</state>
        <recent_booted_at>2026-11-23T06:23:00Z</recent_booted_at>
        </template>
        """);

    [Fact]
    public void Template_retrieved_has_its_console() => Is(PengxShapes.TemplateDetail, Template with { LastBootTime = null, Locked = false },
        """
        <template id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>debian</name>
        <size>1024</size>
        <os>DEBIAN</os>
        <os_arch>X64</os_arch>
        <desc>Debian &lt;8&gt;</desc>
        <lock_status>False</lock_status>
        <pm>bbbbbbbb-0000-4000-8000-00000000000b</pm>
        <state>SHUTDOWN</state>
        <recent_booted_at></recent_booted_at>
        <vnc_port>5901</vnc_port>
        <vnc_password>secret</vnc_password>
        </template>
        """);

    [Fact]
    public void Template_created() => Is(PengxShapes.TemplateCreated, Template,
        """
        <template id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>debian</name>
        <size>1024</size>
        <desc>Debian &lt;8&gt;</desc>
        </template>
        """);

    [Theory]
    [InlineData("vm")]
    [InlineData("snapshot")]
    [InlineData("backup")]
    [InlineData("template")]
    public void Disk_names_its_one_owner(string owner) => Is(PengxShapes.Disk,
        new DiskResource
        {
            Id = A,
            Order = 0,
            Size = 1024,
            Machine = owner == "vm" ? B : null,
            Snapshot = owner == "snapshot" ? B : null,
            Backup = owner == "backup" ? B : null,
            Template = owner == "template" ? B : null,
            Created = Date,
            Format = "qcow2",
            Storlink = 2,
        },
        $"""
        <disk id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>aaaaaaaa-0000-4000-8000-00000000000a</name>
        <order>0</order>
        <size>1024</size>
        <{owner} id="bbbbbbbb-0000-4000-8000-00000000000b"></{owner}>
        <desc></desc>
        <created>2026-11-23T06:23:00Z</created>
        <format>qcow2</format>
        <type></type>
        <storlink>2</storlink>
        </disk>
        """);

    [Fact]
    public void Machine_of_the_list() => Is(PengxShapes.Machine, Machine,
        """
        <vm id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>test_vm</name>
        <status>RUNNING</status>
        <cpu_core>1</cpu_core>
        <memory>512</memory>
        <maxmem>1024</maxmem>
        <disk_size>2048</disk_size>
        <pm id="bbbbbbbb-0000-4000-8000-00000000000b"></pm>
        <nics>
        <nic><name>eth0</name><mac>00:16:3e:00:00:01</mac><network>xenbr0</network></nic>
        <nic><name>eth1</name><mac></mac><network></network></nic>
        </nics>
        <os>DEBIAN</os>
        <os_arch>X64</os_arch>
        <os_type>X64</os_type>
        <create_date>2026-11-23T06:23:00Z</create_date>
        <last_boot_time></last_boot_time>
        </vm>
        """);

    [Fact]
    public void Machine_retrieved_has_its_console() => Is(PengxShapes.MachineDetail, Machine with { Nics = [], LastBootTime = Date },
        """
        <vm id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>test_vm</name>
        <status>RUNNING</status>
        <cpu_core>1</cpu_core>
        <memory>512</memory>
        <maxmem>1024</maxmem>
        <disk_size>2048</disk_size>
        <pm id="bbbbbbbb-0000-4000-8000-00000000000b"></pm>
        <nics></nics>
        <os>DEBIAN</os>
        <os_arch>X64</os_arch>
        <os_type>X64</os_type>
        <create_date>2026-11-23T06:23:00Z</create_date>
        <last_boot_time>2026-11-23T06:23:00Z</last_boot_time>
        <vnc_port>5900</vnc_port>
        <vnc_password>secret</vnc_password>
        </vm>
        """);

    [Fact]
    public void Interface_is_the_references() => Is(PengxShapes.Interface,
        new InterfaceResource { Id = 7, Mac = "00:16:3e:00:00:01", Name = "eth0", Machine = A },
        """
        <interface id="7">
        <mac>00:16:3e:00:00:01</mac>
        <name>eth0</name>
        <ip></ip>
        <vm id="aaaaaaaa-0000-4000-8000-00000000000a"></vm>
        </interface>
        """);

    [Fact]
    public void Snapshot_of_the_list_has_both_spellings() => Is(PengxShapes.Snapshot,
        new SnapshotResource { Id = A, Name = "before", Type = "S", Parent = B, Created = Date, Description = "d" },
        """
        <snapshot id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>before</name>
        <date>2026-11-23T06:23:00Z</date>
        <description>d</description>
        <desc>d</desc>
        <type>S</type>
        <parent>bbbbbbbb-0000-4000-8000-00000000000b</parent>
        </snapshot>
        """);

    [Fact]
    public void Snapshot_created_has_the_plain_date() => Is(PengxShapes.SnapshotCreated,
        new SnapshotResource { Id = A, Name = "before", Type = "S", Created = Date, Description = "d" },
        """
        <snapshot id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>before</name>
        <type>S</type>
        <parent></parent>
        <date>2026-11-23 06:23:00</date>
        <desc>d</desc>
        </snapshot>
        """);

    [Fact]
    public void Backup_is_the_references() => Is(PengxShapes.Backup,
        new BackupResource { Id = A, Name = "nightly", Machine = B, Created = Date, Size = 1024 },
        """
        <vmbackup id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>nightly</name>
        <vm id="bbbbbbbb-0000-4000-8000-00000000000b"></vm>
        <date>2026-11-23T06:23:00Z</date>
        <size>1024</size>
        </vmbackup>
        """);

    [Fact]
    public void An_incremental_backup_names_its_parent() => Is(PengxShapes.Backup,
        new BackupResource { Id = A, Name = "nightly", Machine = B, Created = Date, Size = 1024, Type = "incremental", Parent = B },
        """
        <vmbackup id="aaaaaaaa-0000-4000-8000-00000000000a">
        <name>nightly</name>
        <vm id="bbbbbbbb-0000-4000-8000-00000000000b"></vm>
        <date>2026-11-23T06:23:00Z</date>
        <size>1024</size>
        <type>incremental</type>
        <parent>bbbbbbbb-0000-4000-8000-00000000000b</parent>
        </vmbackup>
        """);

    [Fact]
    public void Result_is_the_references()
    {
        Is(PengxShapes.Result, new ResultBody(true, "VM created"), "<root><result>True</result><message>VM created</message></root>");
        Is(PengxShapes.Result, new ResultBody(false, null), "<root><result>False</result><message></message></root>");
    }

    [Fact]
    public void Operation_is_as_settled() => Is(PengxShapes.Operation,
        new OperationResource
        {
            Id = A,
            Kind = "vm.create",
            Target = "VM x",
            State = OperationStates.Running,
            Progress = 42,
            Step = "copy",
            BytesDone = 10,
            BytesTotal = 20,
            Created = Date,
        },
        """
        <operation id="aaaaaaaa-0000-4000-8000-00000000000a">
        <kind>vm.create</kind>
        <target>VM x</target>
        <state>RUNNING</state>
        <progress>42</progress>
        <step>copy</step>
        <bytes_done>10</bytes_done>
        <bytes_total>20</bytes_total>
        <message></message>
        <created>2026-11-23T06:23:00Z</created>
        <finished></finished>
        </operation>
        """);

    [Fact]
    public void Event_data_is_one_line_whatever_the_name()
    {
        var line = PengxXml.WriteLine(PengxShapes.MachineStatus, new MachineStatusResource { Id = A, Name = "a\nb\rc\r\nd", Status = "RUNNING" });
        Assert.Equal(
            """<vm id="aaaaaaaa-0000-4000-8000-00000000000a"><name>a&#xA;b&#xD;c&#xD;&#xA;d</name><status>RUNNING</status></vm>""", line);
    }

    [Fact]
    public void No_byte_order_mark_is_written() =>
        Assert.Equal((byte)'<', PengxXml.Write(PengxShapes.Result, new ResultBody(true, "ä"))[0]);

    [Fact]
    public void What_xml_cannot_carry_is_replaced_in_answers()
    {
        var text = Documents.Text(PengxXml.Write(PengxShapes.Result, new ResultBody(true, "a\0b\u001bc\ud800d\udc00e\uffff😀\t\r\n")));
        Assert.Contains("<message>a\ufffdb\ufffdc\ufffdd\ufffde\ufffd😀\t&#xD;\n</message>", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Secrets_are_not_in_the_text_form()
    {
        Assert.DoesNotContain("secret", Machine.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("secret", Template.ToString(), StringComparison.Ordinal);
    }

    private static void Is<T>(XmlShape<T> shape, T value, string expected) =>
        Assert.Equal(Documents.Flat(expected), Documents.Text(PengxXml.Write(shape, value)));
}
