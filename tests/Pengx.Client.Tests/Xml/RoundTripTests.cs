using CsCheck;

namespace Pengx.Client.Tests;

/// <summary>What is written is read again as it was, but for what the wire itself cannot say: white space at the ends, empty against absent, parts of a second.</summary>
public sealed class RoundTripTests
{
    private static readonly string[] Nasty =
    [
        "", " ", "\r", "\n", "\t", "]]>", "<![CDATA[", "&amp;", "&#0;", "<!DOCTYPE a>", "\"'<>&", "../", "; $(reboot)", "a\r\nb",
        "\ufeffx", "\u2028", "\u0085", "😀", "\ud800", "\udc00\ud800", "None ", "none", new string('x', 10_000),
    ];

    private static readonly Gen<string> HostileText = Gen.OneOf(
        Gen.String,
        Gen.String[Gen.Char['\0', '\u02ff'], 0, 40],
        Gen.Int[0, Nasty.Length - 1].Select(index => Nasty[index]));

    private static readonly Gen<string?> OptionalText = HostileText.Select(text => Wire(text) is "" or "None" ? null : Wire(text));
    private static readonly Gen<string> RequiredText = HostileText.Select(Wire);
    private static readonly Gen<string?> GivenText = HostileText.Select(text => Wire(text) is "" ? null : Wire(text));
    private static readonly Gen<string> GivenRequired = HostileText.Select(text => Wire(text) is "" ? "x" : Wire(text));
    private static readonly Gen<Guid?> OptionalUuid = Gen.Guid.Nullable();
    private static readonly Gen<long> Size = Gen.Long[0, long.MaxValue];
    private static readonly Gen<int> Whole = Gen.Int[0, int.MaxValue];

    private static readonly Gen<DateTimeOffset?> OptionalDate = Gen.Long[0, 253_402_300_799]
        .Select(DateTimeOffset.FromUnixTimeSeconds).Nullable();

    [Fact]
    public void Pms() => Gen.Select(
        Gen.Guid, RequiredText, OptionalText, Whole, Size,
        Gen.Select(RequiredText, OptionalText, OptionalText, (name, mac, ip) =>
            new PmInterfaceResource { Name = name, Mac = mac, Ip = ip }).List[0, 4],
        (id, name, status, cores, memory, interfaces) =>
            new PmResource { Id = id, Name = name, Status = status, CpuCores = cores, Memory = memory, Interfaces = interfaces }).Sample(pm =>
            {
                var again = Again(PengxShapes.Pm, pm);
                Assert.Equal(pm.Interfaces, again.Interfaces);
                Assert.Equal(pm with { Interfaces = [] }, again with { Interfaces = [] });
            });

    [Fact]
    public Task Performances() => RoundTripsAsync(
        PengxShapes.PmPerformance,
        Gen.Select(Gen.Guid, OptionalText, Whole, Gen.Int[0, 10_000], Size, Size, (id, status, count, percent, memory, bytes) =>
            new PmPerformanceResource
            {
                Id = id,
                Status = status,
                VmCount = count,
                Smt = count,
                TotalCpuCores = count,
                UsedCpuCores = count,
                CpuUtilization = percent / 100.0,
                TotalMemory = memory,
                UsedMemory = memory,
                MemoryUtilization = percent / 100.0,
                ReceivedBytes = bytes,
                SentBytes = memory,
            }));

    [Fact]
    public Task Storlinks() => RoundTripsAsync(
        PengxShapes.StorlinkWithPmName,
        Gen.Select(Whole, OptionalUuid, RequiredText, OptionalText, Size.Nullable(), Gen.Bool, (id, pm, text, optional, size, shared) =>
            new StorlinkResource
            {
                Id = id,
                Pm = pm,
                PmName = optional,
                Name = text,
                Link = text,
                Type = text,
                Level = text,
                Size = size,
                Free = size,
                Description = optional,
                Shared = shared,
            }));

    [Fact]
    public Task Templates() => RoundTripsAsync(
        PengxShapes.TemplateDetail,
        Gen.Select(Gen.Guid, RequiredText, OptionalText, Size, Gen.Bool, OptionalUuid, OptionalDate, Whole.Nullable(),
            (id, name, text, size, locked, pm, date, port) => new TemplateResource
            {
                Id = id,
                Name = name,
                Size = size,
                Os = text,
                OsArch = text,
                Description = text,
                Locked = locked,
                Pm = pm,
                State = text,
                LastBootTime = date,
                VncPort = port,
                VncPassword = text,
            }));

    [Fact]
    public Task Disks() => RoundTripsAsync(
        PengxShapes.Disk,
        Gen.Select(Gen.Guid, Whole.Nullable(), Size, Gen.Int[0, 4], OptionalText, OptionalDate,
            (id, number, size, owner, text, date) => new DiskResource
            {
                Id = id,
                Order = number,
                Size = size,
                Machine = owner == 0 ? id : null,
                Snapshot = owner == 1 ? id : null,
                Backup = owner == 2 ? id : null,
                Template = owner == 3 ? id : null,
                Description = text,
                Created = date,
                Format = text,
                Type = text,
                Storlink = number,
            }));

    [Fact]
    public void Machines() => Gen.Select(
        Gen.Guid, RequiredText, OptionalText, Whole, Size, OptionalDate,
        Gen.Select(OptionalText, OptionalText, (a, b) => new MachineNicResource { Name = a, Mac = b, Network = a }).List[0, 4],
        (id, name, text, number, size, date, nics) => new MachineResource
        {
            Id = id,
            Name = name,
            Status = text,
            CpuCores = number,
            Memory = size,
            MaxMemory = size,
            DiskSize = size,
            Pm = text is null ? null : id,
            Nics = nics,
            Os = text,
            OsArch = text,
            Created = date,
            LastBootTime = date,
            VncPort = text is null ? null : number,
            VncPassword = text,
        }).Sample(machine =>
        {
            var again = Again(PengxShapes.MachineDetail, machine);
            Assert.Equal(machine.Nics, again.Nics);
            Assert.Equal(machine with { Nics = [] }, again with { Nics = [] });
            again = Again(PengxShapes.Machine, machine);
            Assert.Equal(machine with { Nics = [], VncPort = null, VncPassword = null }, again with { Nics = [] });
        });

    [Fact]
    public Task Interfaces() => RoundTripsAsync(
        PengxShapes.Interface,
        Gen.Select(Whole, OptionalText, OptionalUuid, (id, text, machine) =>
            new InterfaceResource { Id = id, Mac = text, Name = text, Ip = text, Machine = machine }));

    [Fact]
    public async Task Snapshots()
    {
        var snapshots = Gen.Select(Gen.Guid, RequiredText, OptionalText, OptionalUuid, OptionalDate, Gen.Bool, (id, name, text, parent, date, memory) =>
            new SnapshotResource { Id = id, Name = name, Type = text, Parent = parent, Created = date, Description = text, HasMemory = memory });
        await RoundTripsAsync(PengxShapes.Snapshot, snapshots);
        await RoundTripsAsync(PengxShapes.SnapshotCreated, snapshots);
    }

    [Fact]
    public Task Backups() => RoundTripsAsync(
        PengxShapes.Backup,
        Gen.Select(Gen.Guid, RequiredText, OptionalUuid, OptionalDate, Size, OptionalText, (id, name, machine, date, size, type) =>
            new BackupResource { Id = id, Name = name, Machine = machine, Created = date, Size = size, Type = type, Parent = machine }));

    [Fact]
    public Task Results() => RoundTripsAsync(
        PengxShapes.Result, Gen.Select(Gen.Bool, GivenText, (result, message) => new ResultBody(result, message)));

    [Fact]
    public Task Operations() => RoundTripsAsync(
        PengxShapes.Operation,
        Gen.Select(Gen.Guid, OptionalText, RequiredText, Gen.Int[0, 100], Size.Nullable(), OptionalDate,
            (id, text, state, progress, bytes, date) => new OperationResource
            {
                Id = id,
                Kind = text,
                Target = text,
                State = state,
                Progress = progress,
                Step = text,
                BytesDone = bytes,
                BytesTotal = bytes,
                Message = text,
                Created = date,
                Finished = date,
            }));

    [Fact]
    public Task Machine_states_on_one_line() => Gen.Select(Gen.Guid, GivenText, OptionalText, (id, name, status) =>
        new MachineStatusResource { Id = id, Name = name, Status = status }).SampleAsync(async value =>
        {
            var line = PengxXml.WriteLine(PengxShapes.MachineStatus, value);
            Assert.DoesNotContain('\n', line);
            Assert.DoesNotContain('\r', line);
            Assert.Equal(value, await PengxXml.ReadAsync(Documents.Stream(line), PengxShapes.MachineStatus));
        });

    [Fact]
    public async Task Requests()
    {
        await RequestRoundTripsAsync(PengxRequests.StorlinkCreate, Gen.Select(GivenRequired, GivenText, Gen.Bool.Nullable(), (text, optional, shared) =>
            new StorlinkCreateRequest { Name = text, Link = text, Description = optional, Type = text, Level = text, Shared = shared }));
        await RequestRoundTripsAsync(PengxRequests.StorlinkUpdate, Gen.Select(GivenText, GivenText, Gen.Bool.Nullable(), (text, other, shared) =>
            new StorlinkUpdateRequest { Name = text, Link = other, Description = text, Type = other, Level = text, Shared = shared }));
        await RequestRoundTripsAsync(PengxRequests.TemplateCreate, Gen.Select(GivenRequired, Whole, GivenText, (name, storlink, text) =>
            new TemplateCreateRequest { Name = name, Storlink = storlink, Description = text }));
        await RequestRoundTripsAsync(PengxRequests.TemplateUpdate, Gen.Select(GivenText, GivenText, (text, other) =>
            new TemplateUpdateRequest { Name = text, Os = other, OsArch = text, Description = other }));
        await RequestRoundTripsAsync(PengxRequests.TemplateStart, GivenText.Select(text => new TemplateStartRequest { Iso = text }));
        await RequestRoundTripsAsync(PengxRequests.MachineCopy, Gen.Select(GivenRequired, Whole, (name, storlink) =>
            new MachineCopyRequest { Name = name, Storlink = storlink }));
        await RequestRoundTripsAsync(PengxRequests.MachineStorageMigrate, Whole.Select(number => new MachineStorageMigrateRequest { Storlink = number }));
        await RequestRoundTripsAsync(PengxRequests.MachineUpdate, Gen.Select(Whole.Nullable(), Size.Nullable(), Size.Nullable(), (cores, memory, most) =>
            new MachineUpdateRequest { CpuCores = cores, Memory = memory, MaxMemory = most }));
        await RequestRoundTripsAsync(PengxRequests.MachineEdit, Gen.Select(GivenText, GivenText, (name, text) =>
            new MachineEditRequest { Name = name, Description = text }));
        await RequestRoundTripsAsync(PengxRequests.MachineMigrate, Gen.Guid.Select(id => new MachineMigrateRequest { Pm = id }));
        await RequestRoundTripsAsync(PengxRequests.SnapshotCreate, Gen.Select(GivenRequired, Whole, GivenText, Gen.Bool.Nullable(), Gen.Bool.Nullable(), (name, storlink, text, quiesce, memory) =>
            new SnapshotCreateRequest { Name = name, Storlink = storlink, Description = text, Quiesce = quiesce, Memory = memory }));
        await RequestRoundTripsAsync(PengxRequests.BackupCreate, Gen.Select(GivenRequired, Whole, GivenText, (name, storlink, text) =>
            new BackupCreateRequest { Name = name, Storlink = storlink, Description = text, Type = text }));
        await RequestRoundTripsAsync(PengxRequests.DiskCreate, Gen.Select(Size, Whole, GivenText, (size, storlink, text) =>
            new DiskCreateRequest { Size = size, Storlink = storlink, Description = text }));
        await RequestRoundTripsAsync(PengxRequests.InterfaceCreate, Gen.Select(GivenRequired, GivenText, (name, text) =>
            new InterfaceCreateRequest { InterfaceName = name, IpAddress = text }));
        await RequestRoundTripsAsync(PengxRequests.InterfaceUpdate, GivenRequired.Select(text => new InterfaceUpdateRequest { IpAddress = text }));
        await RequestRoundTripsAsync(PengxRequests.InterfaceDelete, GivenText.Select(text => new InterfaceDeleteRequest { InterfaceName = text }));
    }

    [Fact]
    public void Requests_with_lists()
    {
        Gen.Select(GivenRequired, OptionalUuid, Whole, Size, Size.Nullable(), GivenText, GivenRequired.List[0, 4],
            (name, template, number, memory, size, text, networks) => new MachineCreateRequest
            {
                Name = name,
                Template = template,
                Storlink = number,
                CpuCores = number,
                Memory = memory,
                MaxMemory = size,
                OsDiskSize = size,
                ExtraDiskSize = size,
                DiskFormat = text,
                Networks = networks,
                Description = text,
                Os = text,
                OsArch = text,
            }).Sample(request =>
            {
                var again = Again(PengxRequests.MachineCreate, request);
                Assert.Equal(request.Networks, again.Networks);
                Assert.Equal(request with { Networks = [] }, again with { Networks = [] });
            });
        Gen.Select(GivenRequired, GivenText, Gen.Select(Whole, Gen.Guid, GivenRequired, (storlink, id, format) =>
            new ExistingTemplateDisk { Storlink = storlink, Id = id, Format = format }).List[1, 3], (text, optional, disks) =>
            new TemplateAddRequest { Name = text, Os = text, OsArch = text, Description = optional, Disks = disks }).Sample(request =>
            {
                var again = Again(PengxRequests.TemplateAdd, request);
                Assert.Equal(request.Disks, again.Disks);
                Assert.Equal(request with { Disks = [] }, again with { Disks = [] });
            });
        Gen.Select(GivenRequired, GivenText, Gen.Select(Whole, Size, GivenRequired, (storlink, size, format) =>
            new NewTemplateDisk { Storlink = storlink, Size = size, Format = format }).List[1, 3], (text, optional, disks) =>
            new TemplateAddNewRequest { Name = text, Os = text, OsArch = text, Description = optional, Disks = disks }).Sample(request =>
            {
                var again = Again(PengxRequests.TemplateAddNewImage, request);
                Assert.Equal(request.Disks, again.Disks);
                Assert.Equal(request with { Disks = [] }, again with { Disks = [] });
            });
    }

    [Fact]
    public void Hostile_text_never_breaks_the_document() => HostileText.Sample(text =>
    {
        var again = Again(PengxShapes.Result, new ResultBody(true, text));
        Assert.Equal(Wire(text) is "" ? null : Wire(text), again.Message);
    });

    /// <summary>A text as it is after a way over the wire.</summary>
    private static string Wire(string text) => WireText.Clean(text).Trim();

    private static T Again<T>(XmlShape<T> shape, T value) =>
        PengxXml.ReadAsync(new MemoryStream(PengxXml.Write(shape, value)), shape).GetAwaiter().GetResult();

    private static T Again<T>(RequestShape<T> shape, T value) =>
        PengxXml.ReadRequestAsync(new MemoryStream(PengxXml.WriteRequest(shape, value)), shape).GetAwaiter().GetResult();

    private static Task RoundTripsAsync<T>(XmlShape<T> shape, Gen<T> values) => values.SampleAsync(async value =>
        Assert.Equal(value, await PengxXml.ReadAsync(new MemoryStream(PengxXml.Write(shape, value)), shape)));

    private static Task RequestRoundTripsAsync<T>(RequestShape<T> shape, Gen<T> values) => values.SampleAsync(async value =>
        Assert.Equal(value, await PengxXml.ReadRequestAsync(new MemoryStream(PengxXml.WriteRequest(shape, value)), shape)));
}
