using System.Globalization;
using System.Xml.Linq;
using Microsoft.OpenApi;
using Pengx.Client;

namespace Pengx.Host;

/// <summary>The elements of requests and answers as the OpenAPI document tells them: read off one example of each, which the codec itself
/// writes. A body that stands not here is told by its root alone.</summary>
internal static class DescribedBodies
{
    private static readonly Guid Id = Guid.Parse("bed05d84-7c44-4720-9588-57cbd8ecef8c");
    private static readonly DateTimeOffset Date = new(2026, 11, 23, 6, 23, 0, TimeSpan.Zero);

    // Elements whose children are the items of a list.
    private static readonly HashSet<string> Lists =
        ["pms", "interfaces", "storlinks", "templates", "disks", "vms", "nics", "network", "snapshots", "vmbackups", "operations"];

    private static readonly PmResource Pm = new() { Id = Id, Name = "xen1", Status = "Up", CpuCores = 8, Memory = 65536, Interfaces = [new() { Name = "xenbr0", Mac = "00:16:3e:00:00:01", Ip = "192.168.0.1" }] };

    private static readonly StorlinkResource Storlink = new()
    {
        Id = 2, Pm = Id, PmName = "xen1", Name = "store1", Link = "/data1", Type = "LO", Level = "FL", Size = 102400, Free = 51200, Description = "VM store1", Shared = true,
    };

    private static readonly TemplateResource Template = new()
    {
        Id = Id, Name = "debian 12", Size = 10240, Os = "DEBIAN", OsArch = "X64", Description = "Debian 12", Pm = Id, State = "SHUTDOWN", LastBootTime = Date, VncPort = 5901, VncPassword = "password",
    };

    private static readonly DiskResource Disk = new() { Id = Id, Order = 0, Size = 10240, Machine = Id, Description = "data", Created = Date, Format = "qcow2", Type = "disk", Storlink = 2 };

    private static readonly MachineResource Machine = new()
    {
        Id = Id, Name = "web1", Status = "RUNNING", CpuCores = 2, Memory = 2048, MaxMemory = 4096, DiskSize = 10240, Pm = Id, Nics = [new() { Name = "eth0", Mac = "00:16:3e:00:00:01", Network = "xenbr0" }],
        Os = "DEBIAN", OsArch = "X64", Created = Date, LastBootTime = Date, VncPort = 5901, VncPassword = "password",
    };

    private static readonly InterfaceResource Nic = new() { Id = 7, Mac = "00:16:3e:00:00:01", Name = "eth0", Ip = "192.168.0.1", Machine = Id };

    private static readonly OperationResource Operation = new()
    {
        Id = Id, Kind = "vm.create", Target = $"vm/{Id}", State = OperationStates.Running, Progress = 40, Step = "copy disks", BytesDone = 1, BytesTotal = 2, Message = "copying", Created = Date, Finished = Date,
    };

    private static readonly SnapshotResource Snapshot = new() { Id = Id, Name = "before the upgrade", Type = "S", Parent = Id, Created = Date, Description = "before the upgrade" };

    /// <summary>The failure of every operation, and the success of most changes.</summary>
    public static OpenApiSchema Result { get; } = One(PengxShapes.Result, new ResultBody(true, "done"));

    private static readonly Dictionary<string, OpenApiSchema> Answers = new()
    {
        ["GET /pms/all"] = Many(PengxShapes.Pm, Pm),
        ["GET /pms"] = One(PengxShapes.Pm, Pm),
        ["GET /pms/{}"] = One(PengxShapes.Pm, Pm),
        ["GET /pmperf"] = One(PengxShapes.PmPerformance, new() { Id = Id, Status = "Up", Smt = 2, CpuUtilization = 12.5, MemoryUtilization = 12.5 }),
        ["GET /storlinks"] = Many(PengxShapes.Storlink, Storlink),
        ["GET /storlinks/all"] = Many(PengxShapes.StorlinkWithPmName, Storlink),
        ["GET /storlinks/{}"] = One(PengxShapes.Storlink, Storlink),
        ["GET /templates"] = Many(PengxShapes.TemplateWithState, Template),
        ["GET /templates/{}"] = One(PengxShapes.TemplateDetail, Template),
        ["GET /templates/{}/disks"] = Many(PengxShapes.Disk, Disk with { Machine = null, Template = Id }),
        ["POST /templates/create/vms/{}"] = One(PengxShapes.TemplateCreated, Template),
        ["GET /vms"] = Many(PengxShapes.Machine, Machine),
        ["GET /vms/{}"] = One(PengxShapes.MachineDetail, Machine),
        ["GET /vms/{}/disks"] = Many(PengxShapes.Disk, Disk),
        ["GET /vms/{}/disks/{}"] = One(PengxShapes.Disk, Disk),
        ["GET /vms/{}/disks/snapshots/{}"] = Many(PengxShapes.Disk, Disk with { Machine = null, Snapshot = Id }),
        ["GET /vms/{}/disks/backups/{}"] = Many(PengxShapes.Disk, Disk with { Machine = null, Backup = Id }),
        ["POST /vms/{}/disks"] = One(PengxShapes.Disk, Disk),
        ["GET /vms/{}/interfaces"] = Many(PengxShapes.Interface, Nic),
        ["GET /vms/{}/interfaces/{}"] = One(PengxShapes.Interface, Nic),
        ["GET /vms/{}/snapshots"] = Many(PengxShapes.Snapshot, Snapshot),
        ["POST /vms/{}/snapshots"] = One(PengxShapes.SnapshotCreated, Snapshot),
        ["GET /vms/{}/backups"] = Many(PengxShapes.Backup, new() { Id = Id, Name = "nightly", Machine = Id, Created = Date, Size = 10240, Type = "incremental", Parent = Id }),
        ["GET /operations"] = Many(PengxShapes.Operation, Operation),
        ["GET /operations/{}"] = One(PengxShapes.Operation, Operation),
        ["DELETE /operations/{}"] = One(PengxShapes.Operation, Operation),
    };

    private static readonly Dictionary<string, OpenApiSchema> Requests = new()
    {
        ["POST /storlinks/create"] = Sent(PengxRequests.StorlinkCreate, new() { Name = "store1", Link = "/data1", Description = "VM store1", Type = "LO", Level = "FL", Shared = true }),
        ["PUT /storlinks/{}"] = Sent(PengxRequests.StorlinkUpdate, new() { Name = "store2", Link = "/data2", Description = "VM store2", Type = "LO", Level = "FL", Shared = true }),
        ["POST /templates/add"] = Sent(PengxRequests.TemplateAdd, new() { Name = "debian 12", Os = "DEBIAN", OsArch = "X64", Description = "Debian 12", Disks = [new() { Storlink = 2, Id = Id, Format = "qcow2" }] }),
        ["POST /templates/add_new"] = Sent(PengxRequests.TemplateAddNewImage, new() { Name = "debian 12", Os = "DEBIAN", OsArch = "X64", Description = "Debian 12", Disks = [new() { Storlink = 2, Size = 10240, Format = "qcow2" }] }),
        ["POST /templates/create/vms/{}"] = Sent(PengxRequests.TemplateCreate, new() { Name = "gold", Storlink = 2, Description = "from web1" }),
        ["PUT /templates/{}"] = Sent(PengxRequests.TemplateUpdate, new() { Name = "debian 12", Os = "DEBIAN", OsArch = "X64", Description = "Debian 12" }),
        ["POST /templates/{}/start"] = Sent(PengxRequests.TemplateStart, new() { Iso = "debian-12.iso" }),
        ["POST /vms"] = Sent(PengxRequests.MachineCreate, new()
        {
            Name = "web1", Template = Id, Storlink = 2, CpuCores = 2, Memory = 2048, MaxMemory = 4096, OsDiskSize = 10240, ExtraDiskSize = 1024, DiskFormat = "qcow2", Networks = ["0"], Description = "VM for something", Os = "DEBIAN", OsArch = "X64",
        }),
        ["POST /vms/{}/copy"] = Sent(PengxRequests.MachineCopy, new() { Name = "copied", Storlink = 2 }),
        ["POST /vms/{}/smigrate"] = Sent(PengxRequests.MachineStorageMigrate, new() { Storlink = 2 }),
        ["POST /vms/{}/migrate"] = Sent(PengxRequests.MachineMigrate, new() { Pm = Id }),
        ["POST /vms/{}/resize"] = Sent(PengxRequests.MachineUpdate, new() { CpuCores = 2, Memory = 2048, MaxMemory = 4096 }),
        ["PUT /vms/{}/edit"] = Sent(PengxRequests.MachineEdit, new() { Name = "web2", Description = "renamed" }),
        ["POST /vms/{}/snapshots"] = Sent(PengxRequests.SnapshotCreate, new() { Name = "before the upgrade", Storlink = 2, Description = "before the upgrade", Quiesce = true }),
        ["POST /vms/{}/backups"] = Sent(PengxRequests.BackupCreate, new() { Name = "nightly", Storlink = 2, Description = "nightly", Type = "incremental" }),
        ["POST /vms/{}/disks"] = Sent(PengxRequests.DiskCreate, new() { Size = 1024, Storlink = 2, Description = "data" }),
        ["POST /vms/{}/interfaces"] = Sent(PengxRequests.InterfaceCreate, new() { InterfaceName = "xenbr0", IpAddress = "192.168.0.1" }),
        ["PUT /vms/{}/interfaces/{}"] = Sent(PengxRequests.InterfaceUpdate, new() { IpAddress = "192.168.0.1" }),
    };

    /// <summary>The answer's schema.</summary>
    /// <param name="method">The method.</param>
    /// <param name="pattern">The route's pattern.</param>
    /// <param name="root">The root element, for answers that do not stand here.</param>
    public static OpenApiSchema AnswerOf(string method, string pattern, string root) =>
        Answers.GetValueOrDefault(Key(method, pattern)) ?? (root == "root" ? Result : Bare(root));

    /// <summary>The request's schema.</summary>
    /// <param name="method">The method.</param>
    /// <param name="pattern">The route's pattern.</param>
    /// <param name="root">The root element, for requests that do not stand here.</param>
    public static OpenApiSchema RequestOf(string method, string pattern, string root) => Requests.GetValueOrDefault(Key(method, pattern)) ?? Bare(root);

    // Resizing and changing an interface take two methods and two paths for the same body.
    private static string Key(string method, string pattern)
    {
        var path = string.Join('/', pattern.Trim('/').Split('/').Select(segment => segment.StartsWith('{') ? "{}" : segment));
        return (method, path) switch
        {
            (_, "vms/{}/update" or "vms/{}/resize") => "POST /vms/{}/resize",
            (_, "vms/{}/interfaces/{}/update") => "PUT /vms/{}/interfaces/{}",
            _ => $"{method} /{path}",
        };
    }

    private static OpenApiSchema Bare(string root) => new() { Type = JsonSchemaType.Object, Xml = new OpenApiXml { Name = root } };

    private static OpenApiSchema One<T>(XmlShape<T> shape, T example) => Describe(Read(PengxXml.Write(shape, example)), isRoot: true);

    private static OpenApiSchema Sent<T>(RequestShape<T> shape, T example) => Describe(Read(PengxXml.WriteRequest(shape, example)), isRoot: true);

    private static OpenApiSchema Many<T>(XmlShape<T> shape, T example) =>
        Describe(new XElement(shape.ListName!, Read(PengxXml.Write(shape, example))), isRoot: true);

    private static XElement Read(byte[] document) => XElement.Load(new MemoryStream(document));

    private static OpenApiSchema Describe(XElement element, bool isRoot)
    {
        if (!element.HasElements && !element.HasAttributes)
        {
            return Leaf(element.Value);
        }

        var schema = new OpenApiSchema { Type = JsonSchemaType.Object, Properties = new Dictionary<string, IOpenApiSchema>() };
        if (isRoot)
        {
            schema.Xml = new OpenApiXml { Name = element.Name.LocalName };
        }

        foreach (var attribute in element.Attributes())
        {
            var leaf = Leaf(attribute.Value);
            leaf.Xml = new OpenApiXml { Attribute = true };
            schema.Properties[attribute.Name.LocalName] = leaf;
        }

        foreach (var child in element.Elements())
        {
            var described = Describe(child, isRoot: false);
            var isItem = Lists.Contains(element.Name.LocalName) || (element.Name.LocalName == "template" && child.Name.LocalName == "disk");
            schema.Properties[child.Name.LocalName] = isItem ? new OpenApiSchema { Type = JsonSchemaType.Array, Items = described } : described;
        }

        return schema;
    }

    /// <summary>What kind of text an element holds, as its example shows.</summary>
    private static OpenApiSchema Leaf(string text) => text switch
    {
        "True" or "False" => new() { Type = JsonSchemaType.String, Enum = ["True", "False"] },
        _ when long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _) => new() { Type = JsonSchemaType.Integer, Format = "int64" },
        _ when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out _) => new() { Type = JsonSchemaType.Number },
        _ when Guid.TryParse(text, out _) => new() { Type = JsonSchemaType.String, Format = "uuid" },
        _ when text.EndsWith('Z') && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, out _) => new() { Type = JsonSchemaType.String, Format = "date-time" },
        _ => new() { Type = JsonSchemaType.String },
    };
}
