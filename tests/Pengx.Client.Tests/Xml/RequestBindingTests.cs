namespace Pengx.Client.Tests;

public sealed class RequestBindingTests
{
    private static readonly Guid A = Guid.Parse("bed05d84-7c44-4720-9588-57cbd8ecef8c");

    [Fact]
    public async Task The_references_storlink()
    {
        var request = await Documents.BindAsync(PengxRequests.StorlinkCreate, """
            <storlink>
            <name>store1</name>
            <link>/data1</link>
            <desc>VM store1</desc>
            <type>LO</type>
            <level>FL</level>
            <shared>True</shared>

            </storlink>
            """);
        Assert.Equal(
            new StorlinkCreateRequest { Name = "store1", Link = "/data1", Description = "VM store1", Type = "LO", Level = "FL", Shared = true },
            request);
    }

    [Fact]
    public async Task The_references_template_to_add()
    {
        var request = await Documents.BindAsync(PengxRequests.TemplateAdd, """
            <template>
            <name>debian 8 64bit template</name>
            <os>DEBIAN</os>
            <os_arch>X64</os_arch>
            <desc>Debian 8 jessie 64bit template</desc>
            <disk>
            <storlink>11</storlink>
            <uuid>BED05D847C4447209588-57cbd8ecef8c</uuid>
            <format>qcow2</format>
            </disk>
            </template>
            """.Replace("BED05D847C4447209588-57cbd8ecef8c", "BED05D847C444720958857cbd8ecef8c", StringComparison.Ordinal));
        Assert.Equal("debian 8 64bit template", request.Name);
        Assert.Equal([new ExistingTemplateDisk { Storlink = 11, Id = A, Format = "qcow2" }], request.Disks);
    }

    [Fact]
    public async Task The_references_template_to_add_with_a_new_image()
    {
        var request = await Documents.BindAsync(PengxRequests.TemplateAddNewImage, """
            <template><name>t</name><os>DEBIAN</os><os_arch>X64</os_arch><disk>
            <storlink>11</storlink>
            <size>102400</size> <!-- unit: MB -->
            <format>qcow2</format></disk><disk><storlink>1</storlink><size>1<!-- MB --></size><format>raw</format></disk></template>
            """);
        Assert.Null(request.Description);
        Assert.Equal(
            [new NewTemplateDisk { Storlink = 11, Size = 102400, Format = "qcow2" }, new NewTemplateDisk { Storlink = 1, Size = 1, Format = "raw" }],
            request.Disks);
    }

    [Fact]
    public async Task The_references_vm()
    {
        var request = await Documents.BindAsync(PengxRequests.MachineCreate, """
            <vm>
            <name>test_vm</name>
            <template>bed05d84-7c44-4720-9588-57cbd8ecef8c</template>
            <storlink>2</storlink>
            <cpu_core>1</cpu_core>
            <memory>512</memory>
            <maxmem>512</maxmem>
            <os_disk_size></os_disk_size>
            <extra_disk_size></extra_disk_size>
            <disk_format>qcow2</disk_format>
            <network>
            <list-item>0</list-item>
            <list-item>1</list-item>

            </network>
            <desc>VM for something</desc>

            </vm>
            """);
        Assert.Equal("test_vm", request.Name);
        Assert.Equal(A, request.Template);
        Assert.Equal(2, request.Storlink);
        Assert.Equal(1, request.CpuCores);
        Assert.Equal(512, request.Memory);
        Assert.Equal(512, request.MaxMemory);
        Assert.Null(request.OsDiskSize);
        Assert.Null(request.ExtraDiskSize);
        Assert.Equal("qcow2", request.DiskFormat);
        Assert.Equal(["0", "1"], request.Networks);
        Assert.Equal("VM for something", request.Description);
        Assert.Null(request.Os);
    }

    [Theory]
    [InlineData("<network>xenbr1</network><network>2</network>", new[] { "xenbr1", "2" })]
    [InlineData("<network><list-item>0</list-item></network><network><list-item>lan</list-item></network>", new[] { "0", "lan" })]
    [InlineData("<network></network>", new string[0])]
    [InlineData("<network><list-item> </list-item></network>", new string[0])]
    [InlineData("", new string[0])]
    public async Task Networks_are_read_in_every_spelling(string xml, string[] expected)
    {
        var request = await Documents.BindAsync(
            PengxRequests.MachineCreate, $"<vm>{xml}<memory>1</memory><cpu_core>1</cpu_core><storlink>1</storlink><name>n</name></vm>");
        Assert.Equal(expected, request.Networks);
    }

    [Fact]
    public async Task Order_is_free_unknown_is_ignored_text_is_trimmed_and_empty_is_not_given()
    {
        var request = await Documents.BindAsync(PengxRequests.StorlinkUpdate, """
            <?xml version="1.0"?><!-- c --><?pi x?>
            <storlink id="7"><shared> FALSE </shared><colour>red<shade><deep/></shade></colour><desc/><level>  </level>
            <name>
              a <![CDATA[<b> & c]]>
            </name></storlink>
            """);
        Assert.Equal(new StorlinkUpdateRequest { Name = "a <b> & c", Shared = false }, request);
    }

    [Theory]
    [InlineData("True", true)]
    [InlineData("true", true)]
    [InlineData("TRUE", true)]
    [InlineData("1", true)]
    [InlineData("Yes", true)]
    [InlineData("False", false)]
    [InlineData("0", false)]
    [InlineData("no", false)]
    public async Task Booleans_are_read_in_every_spelling(string text, bool expected) =>
        Assert.Equal(expected, (await Documents.BindAsync(PengxRequests.StorlinkUpdate, $"<storlink><shared>{text}</shared></storlink>")).Shared);

    [Fact]
    public async Task Every_wrong_field_is_named_at_once()
    {
        var error = await Assert.ThrowsAsync<InvalidRequestException>(() => Documents.BindAsync(PengxRequests.MachineCreate, """
            <vm><template>../etc</template><storlink>-1</storlink><cpu_core>99999999999</cpu_core><memory>12.5</memory><maxmem>lots</maxmem></vm>
            """));
        Assert.Equal(["name", "template", "storlink", "cpu_core", "memory", "maxmem"], error.Errors.Select(field => field.Field));
        Assert.Equal(PengxErrorCode.InvalidField, error.Code);
        Assert.Equal(
            "Field 'name' is required; Field 'template' is '../etc' and must be a UUID; "
            + "Field 'storlink' is '-1' and must be a whole number from 0 to 2147483647; "
            + "Field 'cpu_core' is '99999999999' and must be a whole number from 0 to 2147483647; "
            + "Field 'memory' is '12.5' and must be a whole number from 0 to 9223372036854775807; "
            + "Field 'maxmem' is 'lots' and must be a whole number from 0 to 9223372036854775807.",
            error.Message);
    }

    [Fact]
    public async Task A_nested_field_is_named_with_its_path()
    {
        var error = await Assert.ThrowsAsync<InvalidRequestException>(() => Documents.BindAsync(
            PengxRequests.TemplateAddNewImage,
            "<template><name>n</name><os>X</os><os_arch>Y</os_arch><disk><size>x</size><format>raw</format></disk></template>"));
        Assert.Equal(["disk/storlink", "disk/size"], error.Errors.Select(field => field.Field));
        error = await Assert.ThrowsAsync<InvalidRequestException>(() => Documents.BindAsync(
            PengxRequests.TemplateAdd, "<template><name>n</name><os>X</os><os_arch>Y</os_arch></template>"));
        Assert.Equal("Field 'disk' is required.", error.Message);
    }

    [Fact]
    public async Task A_refused_value_is_shown_short_and_printable()
    {
        var error = await Assert.ThrowsAsync<InvalidRequestException>(() => Documents.BindAsync(
            PengxRequests.StorlinkUpdate, $"<storlink><shared>a\nb\u202e{string.Concat(Enumerable.Repeat("😀", 10_000))}</shared></storlink>"));
        var shown = Assert.Single(error.Errors).Value!;
        Assert.StartsWith("a\ufffdb\ufffd😀", shown, StringComparison.Ordinal);
        Assert.EndsWith("😀…", shown, StringComparison.Ordinal);
        Assert.InRange(shown.Length, 10, 90);
    }

    [Theory]
    [InlineData("vms")]
    [InlineData("interface")]
    public async Task A_nic_is_accepted_under_each_root(string root)
    {
        var created = await Documents.BindAsync(
            PengxRequests.InterfaceCreate, $"<{root}><interface_name>xenbr0</interface_name><ipaddress>192.168.0.1</ipaddress></{root}>");
        Assert.Equal(new InterfaceCreateRequest { InterfaceName = "xenbr0", IpAddress = "192.168.0.1" }, created);
        var updated = await Documents.BindAsync(PengxRequests.InterfaceUpdate, $"<{root}><ipaddress>192.168.0.1</ipaddress></{root}>");
        Assert.Equal("192.168.0.1", updated.IpAddress);
    }

    [Theory]
    [InlineData("vm")]
    [InlineData("backup")]
    public async Task A_backup_is_accepted_under_each_root(string root)
    {
        var request = await Documents.BindAsync(
            PengxRequests.BackupCreate, $"<{root}><backup_name>b</backup_name><storlink>2</storlink><desc>d</desc></{root}>");
        Assert.Equal(new BackupCreateRequest { Name = "b", Storlink = 2, Description = "d" }, request);
    }

    [Fact]
    public async Task What_the_reference_does_not_know_is_read_where_it_is_sent()
    {
        Assert.Equal(
            new BackupCreateRequest { Name = "b", Storlink = 2, Type = "incremental" },
            await Documents.BindAsync(PengxRequests.BackupCreate, "<vm><backup_name>b</backup_name><storlink>2</storlink><type> incremental </type></vm>"));
        Assert.Equal(
            new SnapshotCreateRequest { Name = "n", Storlink = 2, Quiesce = true, Memory = false },
            await Documents.BindAsync(PengxRequests.SnapshotCreate, "<snapshot><name>n</name><storlink>2</storlink><quiesce>true</quiesce><memory>false</memory></snapshot>"));
    }

    [Fact]
    public async Task The_other_requests_of_the_reference()
    {
        Assert.Equal(
            new TemplateCreateRequest { Name = "n", Storlink = 2, Description = "d" },
            await Documents.BindAsync(PengxRequests.TemplateCreate, "<template><name>n</name><storlink>2</storlink><desc>d</desc></template>"));
        Assert.Equal(
            new TemplateUpdateRequest { Name = "n", Os = "DEBIAN", OsArch = "X64", Description = "d" },
            await Documents.BindAsync(
                PengxRequests.TemplateUpdate, "<template><name>n</name><os>DEBIAN</os><os_arch>X64</os_arch><desc>d</desc></template>"));
        Assert.Equal(
            new TemplateStartRequest { Iso = "debian.iso" },
            await Documents.BindAsync(PengxRequests.TemplateStart, "<template><iso>debian.iso</iso></template>"));
        Assert.Equal(
            new MachineCopyRequest { Name = "copied_vm", Storlink = 2 },
            await Documents.BindAsync(PengxRequests.MachineCopy, "<vm><name>copied_vm</name><storlink>2</storlink></vm>"));
        Assert.Equal(
            new MachineStorageMigrateRequest { Storlink = 2 },
            await Documents.BindAsync(PengxRequests.MachineStorageMigrate, "<vm><storlink>2</storlink></vm>"));
        Assert.Equal(
            new MachineUpdateRequest { CpuCores = 2, Memory = 1024, MaxMemory = 2048 },
            await Documents.BindAsync(
                PengxRequests.MachineUpdate, "<vm id='x'><cpu_core>2</cpu_core><memory>1024</memory><maxmem>2048</maxmem></vm>"));
        Assert.Equal(
            new MachineEditRequest { Name = "test", Description = "1024" },
            await Documents.BindAsync(PengxRequests.MachineEdit, "<vm id='x'><name>test</name><desc>1024</desc></vm>"));
        Assert.Equal(
            new MachineMigrateRequest { Pm = A },
            await Documents.BindAsync(PengxRequests.MachineMigrate, $"<vm><pm_id>{A}</pm_id></vm>"));
        Assert.Equal(
            new SnapshotCreateRequest { Name = "n", Storlink = 2, Description = "d" },
            await Documents.BindAsync(PengxRequests.SnapshotCreate, "<snapshot><name>n</name><storlink>2</storlink><desc>d</desc></snapshot>"));
        Assert.Equal(
            new DiskCreateRequest { Size = 1024, Storlink = 2, Description = "d" },
            await Documents.BindAsync(
                PengxRequests.DiskCreate, "<disk><size>1024</size><!-- in MiB --><storlink>2</storlink><desc>d</desc></disk>"));
        Assert.Equal(
            new InterfaceDeleteRequest { InterfaceName = "xenbr0" },
            await Documents.BindAsync(PengxRequests.InterfaceDelete, "<vms><interface_name>xenbr0</interface_name></vms>"));
    }

    [Fact]
    public void The_client_writes_what_the_reference_shows()
    {
        Assert.Equal(
            Documents.Flat("""
                <vm>
                <name>test_vm</name>
                <template>bed05d84-7c44-4720-9588-57cbd8ecef8c</template>
                <storlink>2</storlink>
                <cpu_core>1</cpu_core>
                <memory>512</memory>
                <maxmem>512</maxmem>
                <os_disk_size></os_disk_size>
                <extra_disk_size></extra_disk_size>
                <disk_format>qcow2</disk_format>
                <network>
                <list-item>0</list-item>
                <list-item>1</list-item>
                </network>
                <desc>VM for something</desc>
                </vm>
                """),
            Documents.Text(PengxXml.WriteRequest(PengxRequests.MachineCreate, new MachineCreateRequest
            {
                Name = "test_vm",
                Template = A,
                Storlink = 2,
                CpuCores = 1,
                Memory = 512,
                MaxMemory = 512,
                DiskFormat = "qcow2",
                Networks = ["0", "1"],
                Description = "VM for something",
            })));
        Assert.Equal(
            Documents.Flat("<vms><interface_name>xenbr0</interface_name></vms>"),
            Documents.Text(PengxXml.WriteRequest(PengxRequests.InterfaceCreate, new InterfaceCreateRequest { InterfaceName = "xenbr0" })));
        Assert.Equal(
            Documents.Flat("<vm><backup_name>b</backup_name><storlink>2</storlink><desc></desc></vm>"),
            Documents.Text(PengxXml.WriteRequest(PengxRequests.BackupCreate, new BackupCreateRequest { Name = "b", Storlink = 2 })));
        Assert.Equal(
            Documents.Flat("<storlink><name>store2</name><link>/data2</link><desc>VM store2</desc><type>LO</type><level>BL</level><shared>False</shared></storlink>"),
            Documents.Text(PengxXml.WriteRequest(
                PengxRequests.StorlinkUpdate,
                new StorlinkUpdateRequest { Name = "store2", Link = "/data2", Description = "VM store2", Type = "LO", Level = "BL", Shared = false })));
    }

    [Fact]
    public void What_xml_cannot_carry_is_refused_in_requests()
    {
        foreach (var (name, said) in new[] { ("a\0", "U+0000 at index 1"), ("\u001b[31m", "U+001B at index 0"), ("\ud800x", "U+D800 at index 0") })
        {
            var error = Assert.Throws<ArgumentException>(
                () => PengxXml.WriteRequest(PengxRequests.MachineEdit, new MachineEditRequest { Name = name }));
            Assert.Contains("Field 'name'", error.Message, StringComparison.Ordinal);
            Assert.Contains(said, error.Message, StringComparison.Ordinal);
        }
    }
}
