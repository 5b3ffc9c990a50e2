namespace Pengx.Client;

/// <summary>
/// Every request body of the reference, with the root elements that a server accepts for it. A creation is written with every element that
/// the reference shows, empty where nothing is given; a change only with what changes.
/// </summary>
public static partial class PengxRequests
{
    /// <summary><c>POST /storlinks/create/</c>.</summary>
    public static RequestShape<StorlinkCreateRequest> StorlinkCreate { get; } = new(
        ["storlink"],
        (writer, value) =>
        {
            writer.Text("name", value.Name);
            writer.Text("link", value.Link);
            writer.Text("desc", value.Description);
            writer.Text("type", value.Type);
            writer.Text("level", value.Level);
            writer.Boolean("shared", value.Shared);
        },
        fields => new StorlinkCreateRequest
        {
            Name = fields.RequiredText("name"),
            Link = fields.RequiredText("link"),
            Description = fields.Text("desc"),
            Type = fields.RequiredText("type"),
            Level = fields.RequiredText("level"),
            Shared = fields.Boolean("shared"),
        });

    /// <summary><c>PUT /storlinks/{id}/</c>.</summary>
    public static RequestShape<StorlinkUpdateRequest> StorlinkUpdate { get; } = new(
        ["storlink"],
        (writer, value) =>
        {
            writer.OptionalText("name", value.Name);
            writer.OptionalText("link", value.Link);
            writer.OptionalText("desc", value.Description);
            writer.OptionalText("type", value.Type);
            writer.OptionalText("level", value.Level);
            writer.OptionalBoolean("shared", value.Shared);
        },
        fields => new StorlinkUpdateRequest
        {
            Name = fields.Text("name"),
            Link = fields.Text("link"),
            Description = fields.Text("desc"),
            Type = fields.Text("type"),
            Level = fields.Text("level"),
            Shared = fields.Boolean("shared"),
        });

    /// <summary><c>POST /templates/add/</c>.</summary>
    public static RequestShape<TemplateAddRequest> TemplateAdd { get; } = new(
        ["template"],
        (writer, value) =>
        {
            writer.Text("name", value.Name);
            writer.Text("os", value.Os);
            writer.Text("os_arch", value.OsArch);
            writer.Text("desc", value.Description);
            foreach (var disk in value.Disks)
            {
                writer.Begin("disk");
                writer.Number("storlink", disk.Storlink);
                writer.Uuid("uuid", disk.Id);
                writer.Text("format", disk.Format);
                writer.End();
            }
        },
        fields => new TemplateAddRequest
        {
            Name = fields.RequiredText("name"),
            Os = fields.RequiredText("os"),
            OsArch = fields.RequiredText("os_arch"),
            Description = fields.Text("desc"),
            Disks = fields.RequiredElements("disk", disk => new ExistingTemplateDisk
            {
                Storlink = disk.RequiredInteger("storlink"),
                Id = disk.RequiredUuid("uuid"),
                Format = disk.RequiredText("format"),
            }),
        });

    /// <summary><c>POST /templates/add_new/</c>.</summary>
    public static RequestShape<TemplateAddNewRequest> TemplateAddNewImage { get; } = new(
        ["template"],
        (writer, value) =>
        {
            writer.Text("name", value.Name);
            writer.Text("os", value.Os);
            writer.Text("os_arch", value.OsArch);
            writer.Text("desc", value.Description);
            foreach (var disk in value.Disks)
            {
                writer.Begin("disk");
                writer.Number("storlink", disk.Storlink);
                writer.Number("size", disk.Size);
                writer.Text("format", disk.Format);
                writer.End();
            }
        },
        fields => new TemplateAddNewRequest
        {
            Name = fields.RequiredText("name"),
            Os = fields.RequiredText("os"),
            OsArch = fields.RequiredText("os_arch"),
            Description = fields.Text("desc"),
            Disks = fields.RequiredElements("disk", disk => new NewTemplateDisk
            {
                Storlink = disk.RequiredInteger("storlink"),
                Size = disk.RequiredNumber("size"),
                Format = disk.RequiredText("format"),
            }),
        });

    /// <summary><c>POST /templates/create/vms/{id}/</c>.</summary>
    public static RequestShape<TemplateCreateRequest> TemplateCreate { get; } = new(
        ["template"],
        (writer, value) =>
        {
            writer.Text("name", value.Name);
            writer.Number("storlink", value.Storlink);
            writer.Text("desc", value.Description);
        },
        fields => new TemplateCreateRequest
        {
            Name = fields.RequiredText("name"),
            Storlink = fields.RequiredInteger("storlink"),
            Description = fields.Text("desc"),
        });

    /// <summary><c>PUT /templates/{id}/</c>.</summary>
    public static RequestShape<TemplateUpdateRequest> TemplateUpdate { get; } = new(
        ["template"],
        (writer, value) =>
        {
            writer.OptionalText("name", value.Name);
            writer.OptionalText("os", value.Os);
            writer.OptionalText("os_arch", value.OsArch);
            writer.OptionalText("desc", value.Description);
        },
        fields => new TemplateUpdateRequest
        {
            Name = fields.Text("name"),
            Os = fields.Text("os"),
            OsArch = fields.Text("os_arch"),
            Description = fields.Text("desc"),
        });

    /// <summary><c>POST /templates/{id}/start/</c>, an addition to the reference.</summary>
    public static RequestShape<TemplateStartRequest> TemplateStart { get; } = new(
        ["template"],
        (writer, value) => writer.OptionalText("iso", value.Iso),
        fields => new TemplateStartRequest { Iso = fields.Text("iso") });

    /// <summary><c>POST /vms/</c>.</summary>
    public static RequestShape<MachineCreateRequest> MachineCreate { get; } = new(
        ["vm"],
        (writer, value) =>
        {
            writer.Text("name", value.Name);
            writer.Uuid("template", value.Template);
            writer.Number("storlink", value.Storlink);
            writer.Number("cpu_core", value.CpuCores);
            writer.Number("memory", value.Memory);
            writer.Number("maxmem", value.MaxMemory);
            writer.Number("os_disk_size", value.OsDiskSize);
            writer.Number("extra_disk_size", value.ExtraDiskSize);
            writer.Text("disk_format", value.DiskFormat);
            writer.Begin("network");
            foreach (var network in value.Networks)
            {
                writer.Text("list-item", network);
            }

            writer.End();
            writer.Text("desc", value.Description);
            writer.OptionalText("os", value.Os);
            writer.OptionalText("os_arch", value.OsArch);
        },
        fields => new MachineCreateRequest
        {
            Name = fields.RequiredText("name"),
            Template = fields.Uuid("template"),
            Storlink = fields.RequiredInteger("storlink"),
            CpuCores = fields.RequiredInteger("cpu_core"),
            Memory = fields.RequiredNumber("memory"),
            MaxMemory = fields.Number("maxmem"),
            OsDiskSize = fields.Number("os_disk_size"),
            ExtraDiskSize = fields.Number("extra_disk_size"),
            DiskFormat = fields.Text("disk_format"),
            Networks = fields.Items("network"),
            Description = fields.Text("desc"),
            Os = fields.Text("os"),
            OsArch = fields.Text("os_arch"),
        });

    /// <summary><c>POST /vms/{id}/copy/</c>.</summary>
    public static RequestShape<MachineCopyRequest> MachineCopy { get; } = new(
        ["vm"],
        (writer, value) =>
        {
            writer.Text("name", value.Name);
            writer.Number("storlink", value.Storlink);
        },
        fields => new MachineCopyRequest
        {
            Name = fields.RequiredText("name"),
            Storlink = fields.RequiredInteger("storlink"),
        });

    /// <summary><c>POST /vms/{id}/smigrate/</c>.</summary>
    public static RequestShape<MachineStorageMigrateRequest> MachineStorageMigrate { get; } = new(
        ["vm"],
        (writer, value) => writer.Number("storlink", value.Storlink),
        fields => new MachineStorageMigrateRequest { Storlink = fields.RequiredInteger("storlink") });

    /// <summary><c>PUT /vms/{id}/update/</c> and <c>POST /vms/{id}/resize/</c>.</summary>
    public static RequestShape<MachineUpdateRequest> MachineUpdate { get; } = new(
        ["vm"],
        (writer, value) =>
        {
            writer.OptionalNumber("cpu_core", value.CpuCores);
            writer.OptionalNumber("memory", value.Memory);
            writer.OptionalNumber("maxmem", value.MaxMemory);
        },
        fields => new MachineUpdateRequest
        {
            CpuCores = fields.Integer("cpu_core"),
            Memory = fields.Number("memory"),
            MaxMemory = fields.Number("maxmem"),
        });

    /// <summary><c>PUT /vms/{id}/edit/</c>.</summary>
    public static RequestShape<MachineEditRequest> MachineEdit { get; } = new(
        ["vm"],
        (writer, value) =>
        {
            writer.OptionalText("name", value.Name);
            writer.OptionalText("desc", value.Description);
        },
        fields => new MachineEditRequest { Name = fields.Text("name"), Description = fields.Text("desc") });

    /// <summary><c>POST /vms/{id}/migrate/</c>.</summary>
    public static RequestShape<MachineMigrateRequest> MachineMigrate { get; } = new(
        ["vm"],
        (writer, value) => writer.Uuid("pm_id", value.Pm),
        fields => new MachineMigrateRequest { Pm = fields.RequiredUuid("pm_id") });

    /// <summary><c>POST /vms/{id}/snapshots/</c>.</summary>
    public static RequestShape<SnapshotCreateRequest> SnapshotCreate { get; } = new(
        ["snapshot"],
        (writer, value) =>
        {
            writer.Text("name", value.Name);
            writer.Number("storlink", value.Storlink);
            writer.Text("desc", value.Description);
            writer.OptionalBoolean("quiesce", value.Quiesce);
            writer.OptionalBoolean("memory", value.Memory);
        },
        fields => new SnapshotCreateRequest
        {
            Name = fields.RequiredText("name"),
            Storlink = fields.RequiredInteger("storlink"),
            Description = fields.Text("desc"),
            Quiesce = fields.Boolean("quiesce"),
            Memory = fields.Boolean("memory"),
        });

    /// <summary><c>POST /vms/{id}/backups/</c>: the reference's root is <c>&lt;vm&gt;</c>.</summary>
    public static RequestShape<BackupCreateRequest> BackupCreate { get; } = new(
        ["vm", "backup"],
        (writer, value) =>
        {
            writer.Text("backup_name", value.Name);
            writer.Number("storlink", value.Storlink);
            writer.Text("desc", value.Description);
            writer.OptionalText("type", value.Type);
        },
        fields => new BackupCreateRequest
        {
            Name = fields.RequiredText("backup_name"),
            Storlink = fields.RequiredInteger("storlink"),
            Description = fields.Text("desc"),
            Type = fields.Text("type"),
        });

    /// <summary><c>POST /vms/{id}/disks/</c>.</summary>
    public static RequestShape<DiskCreateRequest> DiskCreate { get; } = new(
        ["disk"],
        (writer, value) =>
        {
            writer.Number("size", value.Size);
            writer.Number("storlink", value.Storlink);
            writer.Text("desc", value.Description);
        },
        fields => new DiskCreateRequest
        {
            Size = fields.RequiredNumber("size"),
            Storlink = fields.RequiredInteger("storlink"),
            Description = fields.Text("desc"),
        });

    /// <summary><c>POST /vms/{id}/interfaces/</c>: the reference's root is <c>&lt;vms&gt;</c>.</summary>
    public static RequestShape<InterfaceCreateRequest> InterfaceCreate { get; } = new(
        ["vms", "interface"],
        (writer, value) =>
        {
            writer.Text("interface_name", value.InterfaceName);
            writer.OptionalText("ipaddress", value.IpAddress);
        },
        fields => new InterfaceCreateRequest
        {
            InterfaceName = fields.RequiredText("interface_name"),
            IpAddress = fields.Text("ipaddress"),
        });

    /// <summary><c>PUT /vms/{id}/interface/{n}/update/</c>: the reference's root is <c>&lt;vms&gt;</c>.</summary>
    public static RequestShape<InterfaceUpdateRequest> InterfaceUpdate { get; } = new(
        ["vms", "interface"],
        (writer, value) => writer.Text("ipaddress", value.IpAddress),
        fields => new InterfaceUpdateRequest { IpAddress = fields.RequiredText("ipaddress") });

    /// <summary>The optional body of <c>DELETE /vms/{id}/interface/{n}/</c>: the reference's root is <c>&lt;vms&gt;</c>.</summary>
    public static RequestShape<InterfaceDeleteRequest> InterfaceDelete { get; } = new(
        ["vms", "interface"],
        (writer, value) => writer.OptionalText("interface_name", value.InterfaceName),
        fields => new InterfaceDeleteRequest { InterfaceName = fields.Text("interface_name") });
}
