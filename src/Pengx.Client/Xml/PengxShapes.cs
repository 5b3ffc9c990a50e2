namespace Pengx.Client;

/// <summary>Every element that a pengx3 server answers, with the reference's names in the reference's order.</summary>
public static partial class PengxShapes
{
    /// <summary><c>&lt;pm&gt;</c> of <c>/pms/</c> and, in <c>&lt;pms&gt;</c>, of <c>/pms/all/</c>.</summary>
    public static XmlShape<PmResource> Pm { get; } = new("pm", "pms", WritePm, ReadPm);

    /// <summary><c>&lt;pmperf&gt;</c> of <c>/pmperf/</c>.</summary>
    public static XmlShape<PmPerformanceResource> PmPerformance { get; } =
        new("pmperf", null, WritePmPerformance, ReadPmPerformance);

    /// <summary><c>&lt;storlink&gt;</c> of version 1's <c>/storlinks/</c>: without the host's name.</summary>
    public static XmlShape<StorlinkResource> Storlink { get; } =
        new("storlink", "storlinks", (writer, value) => WriteStorlink(writer, value, withPmName: false), ReadStorlink);

    /// <summary><c>&lt;storlink&gt;</c> of version 2's <c>/storlinks/all/</c>: with the host's name.</summary>
    public static XmlShape<StorlinkResource> StorlinkWithPmName { get; } =
        new("storlink", "storlinks", (writer, value) => WriteStorlink(writer, value, withPmName: true), ReadStorlink);

    /// <summary><c>&lt;template&gt;</c> of version 1's list.</summary>
    public static XmlShape<TemplateResource> Template { get; } =
        new("template", "templates", (writer, value) => WriteTemplate(writer, value, TemplateParts.System), ReadTemplate);

    /// <summary><c>&lt;template&gt;</c> of version 2's list: with lock, host, state and last boot.</summary>
    public static XmlShape<TemplateResource> TemplateWithState { get; } =
        new("template", "templates", (writer, value) => WriteTemplate(writer, value, TemplateParts.State), ReadTemplate);

    /// <summary><c>&lt;template&gt;</c> of version 2's retrieval: with VNC port and password besides.</summary>
    public static XmlShape<TemplateResource> TemplateDetail { get; } =
        new("template", null, (writer, value) => WriteTemplate(writer, value, TemplateParts.Console), ReadTemplate);

    /// <summary><c>&lt;template&gt;</c> that answers a template's creation from a VM: id, name, size and description.</summary>
    public static XmlShape<TemplateResource> TemplateCreated { get; } =
        new("template", null, (writer, value) => WriteTemplate(writer, value, TemplateParts.Basic), ReadTemplate);

    /// <summary><c>&lt;disk&gt;</c> of every list of disks and of a disk's creation.</summary>
    public static XmlShape<DiskResource> Disk { get; } = new("disk", "disks", WriteDisk, ReadDisk);

    /// <summary><c>&lt;vm&gt;</c> of the list: without VNC port and password.</summary>
    public static XmlShape<MachineResource> Machine { get; } =
        new("vm", "vms", (writer, value) => WriteMachine(writer, value, withConsole: false), ReadMachine);

    /// <summary><c>&lt;vm&gt;</c> of the retrieval: with VNC port and password.</summary>
    public static XmlShape<MachineResource> MachineDetail { get; } =
        new("vm", null, (writer, value) => WriteMachine(writer, value, withConsole: true), ReadMachine);

    /// <summary><c>&lt;interface&gt;</c> of a VM's list of interfaces.</summary>
    public static XmlShape<InterfaceResource> Interface { get; } = new("interface", "interfaces", WriteInterface, ReadInterface);

    /// <summary><c>&lt;snapshot&gt;</c> of the list: with <c>&lt;description&gt;</c>, and <c>&lt;desc&gt;</c>, <c>&lt;type&gt;</c>, <c>&lt;parent&gt;</c> after it.</summary>
    public static XmlShape<SnapshotResource> Snapshot { get; } = new("snapshot", "snapshots", WriteSnapshot, ReadSnapshot);

    /// <summary><c>&lt;snapshot&gt;</c> that answers a snapshot's creation: its date is <c>yyyy-MM-dd HH:mm:ss</c>.</summary>
    public static XmlShape<SnapshotResource> SnapshotCreated { get; } = new("snapshot", null, WriteSnapshotCreated, ReadSnapshot);

    /// <summary><c>&lt;vmbackup&gt;</c> of the list of backups.</summary>
    public static XmlShape<BackupResource> Backup { get; } = new("vmbackup", "vmbackups", WriteBackup, ReadBackup);

    /// <summary><c>&lt;root&gt;</c>: the answer to most changes, and to every failure.</summary>
    public static XmlShape<ResultBody> Result { get; } = new("root", null, WriteResult, ReadResult);

    /// <summary><c>&lt;operation&gt;</c> of <c>/operations/</c>, of every 202 and of <c>operation</c> events.</summary>
    public static XmlShape<OperationResource> Operation { get; } = new("operation", "operations", WriteOperation, ReadOperation);

    /// <summary><c>&lt;vm&gt;</c> of <c>vm</c> events.</summary>
    public static XmlShape<MachineStatusResource> MachineStatus { get; } = new("vm", null, WriteMachineStatus, ReadMachineStatus);

    /// <summary><c>&lt;inconsistency&gt;</c> of <c>/consistency/</c>.</summary>
    public static XmlShape<InconsistencyResource> Inconsistency { get; } = new("inconsistency", "consistency", WriteInconsistency, ReadInconsistency);

    private enum TemplateParts
    {
        Basic,
        System,
        State,
        Console,
    }

    private static void WritePm(WireWriter writer, PmResource value)
    {
        writer.Begin("pm", value.Id);
        writer.Text("name", value.Name);
        writer.Text("status", value.Status);
        writer.Number("cpu_core", value.CpuCores);
        writer.Number("memory", value.Memory);
        writer.Begin("interfaces");
        foreach (var network in value.Interfaces)
        {
            writer.Begin("interface");
            writer.Text("name", network.Name);
            writer.Text("mac", network.Mac);
            writer.Text("ip", network.Ip);
            writer.End();
        }

        writer.End();
        writer.End();
    }

    private static PmResource ReadPm(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Name = element.Required("name"),
        Status = element.Optional("status"),
        CpuCores = element.Integer("cpu_core") ?? 0,
        Memory = element.Number("memory") ?? 0,
        Interfaces = element.Items("interfaces", "interface", static network => new PmInterfaceResource
        {
            Name = network.Required("name"),
            Mac = network.Optional("mac"),
            Ip = network.Optional("ip"),
        }),
    };

    private static void WritePmPerformance(WireWriter writer, PmPerformanceResource value)
    {
        writer.Begin("pmperf", value.Id);
        writer.Text("status", value.Status);
        writer.Number("vm_count", value.VmCount);
        writer.Number("smt", value.Smt);
        writer.Number("total_cpu_cores", value.TotalCpuCores);
        writer.Number("used_cpu_cores", value.UsedCpuCores);
        writer.Real("cpu_util", value.CpuUtilization);
        writer.Number("total_memory", value.TotalMemory);
        writer.Number("used_memory", value.UsedMemory);
        writer.Real("memory_util", value.MemoryUtilization);
        writer.Number("iface_rx_sum", value.ReceivedBytes);
        writer.Number("iface_tx_sum", value.SentBytes);
        writer.End();
    }

    private static PmPerformanceResource ReadPmPerformance(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Status = element.Optional("status"),
        VmCount = element.Integer("vm_count") ?? 0,
        Smt = element.Integer("smt")
            ?? (WireReading.TryBoolean(element.Find("smt")?.Text, out var threaded) ? (threaded ? 2 : 1) : 0),
        TotalCpuCores = element.Integer("total_cpu_cores") ?? 0,
        UsedCpuCores = element.Integer("used_cpu_cores") ?? 0,
        CpuUtilization = element.Real("cpu_util"),
        TotalMemory = element.Number("total_memory") ?? 0,
        UsedMemory = element.Number("used_memory") ?? 0,
        MemoryUtilization = element.Real("memory_util"),
        ReceivedBytes = element.Number("iface_rx_sum") ?? 0,
        SentBytes = element.Number("iface_tx_sum") ?? 0,
    };

    private static void WriteStorlink(WireWriter writer, StorlinkResource value, bool withPmName)
    {
        writer.Begin("storlink", value.Id);
        writer.Uuid("pm", value.Pm);
        if (withPmName)
        {
            writer.Text("pm_name", value.PmName);
        }

        writer.Text("name", value.Name);
        writer.Text("link", value.Link);
        writer.Text("type", value.Type);
        writer.Text("level", value.Level);
        writer.Number("size", value.Size);
        writer.Number("free", value.Free);
        writer.Text("desc", value.Description);
        writer.Boolean("shared", value.Shared);
        writer.End();
    }

    private static StorlinkResource ReadStorlink(WireElement element) => new()
    {
        Id = element.RequiredInteger(),
        Pm = element.Reference("pm"),
        PmName = element.Optional("pm_name"),
        Name = element.Required("name"),
        Link = element.Required("link"),
        Type = element.Required("type"),
        Level = element.Required("level"),
        Size = element.Number("size"),
        Free = element.Number("free"),
        Description = element.Optional("desc"),
        Shared = element.Boolean("shared"),
    };

    private static void WriteTemplate(WireWriter writer, TemplateResource value, TemplateParts parts)
    {
        writer.Begin("template", value.Id);
        writer.Text("name", value.Name);
        writer.Number("size", value.Size);
        if (parts >= TemplateParts.System)
        {
            writer.Text("os", value.Os);
            writer.Text("os_arch", value.OsArch);
        }

        writer.Text("desc", value.Description);
        if (parts >= TemplateParts.State)
        {
            writer.Boolean("lock_status", value.Locked);
            writer.Uuid("pm", value.Pm);
            writer.Text("state", value.State);
            writer.Date("recent_booted_at", value.LastBootTime);
        }

        if (parts >= TemplateParts.Console)
        {
            writer.Number("vnc_port", value.VncPort);
            writer.Text("vnc_password", value.VncPassword);
        }

        writer.End();
    }

    private static TemplateResource ReadTemplate(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Name = element.Required("name"),
        Size = element.Number("size") ?? 0,
        Os = element.Optional("os"),
        OsArch = element.Optional("os_arch") ?? element.Optional("os_type"),
        Description = element.Optional("desc"),
        Locked = element.Boolean("lock_status"),
        Pm = element.Reference("pm"),
        State = element.Optional("state"),
        LastBootTime = element.Date("recent_booted_at"),
        VncPort = element.Integer("vnc_port"),
        VncPassword = element.Optional("vnc_password"),
    };

    private static void WriteDisk(WireWriter writer, DiskResource value)
    {
        writer.Begin("disk", value.Id);
        writer.Uuid("name", value.Id);
        writer.Number("order", value.Order);
        writer.Number("size", value.Size);
        if (value.Machine is not null)
        {
            writer.Reference("vm", value.Machine);
        }
        else if (value.Snapshot is not null)
        {
            writer.Reference("snapshot", value.Snapshot);
        }
        else if (value.Backup is not null)
        {
            writer.Reference("backup", value.Backup);
        }
        else if (value.Template is not null)
        {
            writer.Reference("template", value.Template);
        }

        writer.Text("desc", value.Description);
        writer.Date("created", value.Created);
        writer.Text("format", value.Format);
        writer.Text("type", value.Type);
        writer.Number("storlink", value.Storlink);
        writer.End();
    }

    private static DiskResource ReadDisk(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Order = element.Integer("order"),
        Size = element.Number("size") ?? 0,
        Machine = element.Reference("vm"),
        Snapshot = element.Reference("snapshot"),
        Backup = element.Reference("backup"),
        Template = element.Reference("template"),
        Description = element.Optional("desc"),
        Created = element.Date("created"),
        Format = element.Optional("format"),
        Type = element.Optional("type"),
        Storlink = element.Integer("storlink"),
    };

    private static void WriteMachine(WireWriter writer, MachineResource value, bool withConsole)
    {
        writer.Begin("vm", value.Id);
        writer.Text("name", value.Name);
        writer.Text("status", value.Status);
        writer.Number("cpu_core", value.CpuCores);
        writer.Number("memory", value.Memory);
        writer.Number("maxmem", value.MaxMemory);
        writer.Number("disk_size", value.DiskSize);
        writer.Reference("pm", value.Pm);
        writer.Begin("nics");
        foreach (var nic in value.Nics)
        {
            writer.Begin("nic");
            writer.Text("name", nic.Name);
            writer.Text("mac", nic.Mac);
            writer.Text("network", nic.Network);
            writer.End();
        }

        writer.End();
        writer.Text("os", value.Os);
        writer.Text("os_arch", value.OsArch);
        writer.Text("os_type", value.OsArch);
        writer.Date("create_date", value.Created);
        writer.Date("last_boot_time", value.LastBootTime);
        if (withConsole)
        {
            writer.Number("vnc_port", value.VncPort);
            writer.Text("vnc_password", value.VncPassword);
        }

        writer.End();
    }

    private static MachineResource ReadMachine(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Name = element.Required("name"),
        Status = element.Optional("status"),
        CpuCores = element.Integer("cpu_core") ?? 0,
        Memory = element.Number("memory") ?? 0,
        MaxMemory = element.Number("maxmem") ?? 0,
        DiskSize = element.Number("disk_size") ?? 0,
        Pm = element.Reference("pm"),
        Nics = element.Items("nics", "nic", static nic => new MachineNicResource
        {
            Name = nic.Optional("name"),
            Mac = nic.Optional("mac"),
            Network = nic.Optional("network"),
        }),
        Os = element.Optional("os"),
        OsArch = element.Optional("os_arch") ?? element.Optional("os_type"),
        Created = element.Date("create_date"),
        LastBootTime = element.Date("last_boot_time"),
        VncPort = element.Integer("vnc_port"),
        VncPassword = element.Optional("vnc_password"),
    };

    private static void WriteInterface(WireWriter writer, InterfaceResource value)
    {
        writer.Begin("interface", value.Id);
        writer.Text("mac", value.Mac);
        writer.Text("name", value.Name);
        writer.Text("ip", value.Ip);
        writer.Reference("vm", value.Machine);
        writer.End();
    }

    private static InterfaceResource ReadInterface(WireElement element) => new()
    {
        Id = element.RequiredInteger(),
        Mac = element.Optional("mac"),
        Name = element.Optional("name"),
        Ip = element.Optional("ip"),
        Machine = element.Reference("vm"),
    };

    private static void WriteSnapshot(WireWriter writer, SnapshotResource value)
    {
        writer.Begin("snapshot", value.Id);
        writer.Text("name", value.Name);
        writer.Date("date", value.Created);
        writer.Text("description", value.Description);
        writer.Text("desc", value.Description);
        writer.Text("type", value.Type);
        writer.Uuid("parent", value.Parent);
        writer.OptionalBoolean("memory", value.HasMemory ? true : null);
        writer.End();
    }

    private static void WriteSnapshotCreated(WireWriter writer, SnapshotResource value)
    {
        writer.Begin("snapshot", value.Id);
        writer.Text("name", value.Name);
        writer.Text("type", value.Type);
        writer.Uuid("parent", value.Parent);
        writer.PlainDate("date", value.Created);
        writer.Text("desc", value.Description);
        writer.OptionalBoolean("memory", value.HasMemory ? true : null);
        writer.End();
    }

    private static SnapshotResource ReadSnapshot(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Name = element.Required("name"),
        Type = element.Optional("type"),
        Parent = element.Reference("parent"),
        Created = element.Date("date"),
        Description = element.Optional("desc") ?? element.Optional("description"),
        HasMemory = WireReading.TryBoolean(element.Find("memory")?.Text, out var memory) && memory,
    };

    private static void WriteBackup(WireWriter writer, BackupResource value)
    {
        writer.Begin("vmbackup", value.Id);
        writer.Text("name", value.Name);
        writer.Reference("vm", value.Machine);
        writer.Date("date", value.Created);
        writer.Number("size", value.Size);
        if (value.Type is not null || value.Parent is not null)
        {
            writer.Text("type", value.Type);
            writer.Uuid("parent", value.Parent);
        }

        writer.End();
    }

    private static BackupResource ReadBackup(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Name = element.Required("name"),
        Machine = element.Reference("vm"),
        Created = element.Date("date"),
        Size = element.Number("size") ?? 0,
        Type = element.Optional("type"),
        Parent = element.Reference("parent"),
    };

    private static void WriteResult(WireWriter writer, ResultBody value)
    {
        writer.Begin("root");
        writer.Boolean("result", value.Result);
        writer.Text("message", value.Message);
        writer.End();
    }

    private static ResultBody ReadResult(WireElement element) => new(element.Boolean("result"), element.Find("message")?.Text);

    private static void WriteOperation(WireWriter writer, OperationResource value)
    {
        writer.Begin("operation", value.Id);
        writer.Text("kind", value.Kind);
        writer.Text("target", value.Target);
        writer.Text("state", value.State);
        writer.Number("progress", value.Progress);
        writer.Text("step", value.Step);
        writer.Number("bytes_done", value.BytesDone);
        writer.Number("bytes_total", value.BytesTotal);
        writer.Text("message", value.Message);
        writer.Date("created", value.Created);
        writer.Date("finished", value.Finished);
        writer.End();
    }

    private static OperationResource ReadOperation(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Kind = element.Optional("kind"),
        Target = element.Optional("target"),
        State = element.Required("state"),
        Progress = element.Integer("progress") ?? 0,
        Step = element.Optional("step"),
        BytesDone = element.Number("bytes_done"),
        BytesTotal = element.Number("bytes_total"),
        Message = element.Optional("message"),
        Created = element.Date("created"),
        Finished = element.Date("finished"),
    };

    private static void WriteInconsistency(WireWriter writer, InconsistencyResource value)
    {
        writer.Begin("inconsistency");
        writer.Text("kind", value.Kind);
        writer.Text("subject", value.Subject);
        writer.Text("message", value.Message);
        writer.End();
    }

    private static InconsistencyResource ReadInconsistency(WireElement element) => new()
    {
        Kind = element.Required("kind"),
        Subject = element.Required("subject"),
        Message = element.Optional("message"),
    };

    private static void WriteMachineStatus(WireWriter writer, MachineStatusResource value)
    {
        writer.Begin("vm", value.Id);
        writer.Text("name", value.Name);
        writer.Text("status", value.Status);
        writer.End();
    }

    private static MachineStatusResource ReadMachineStatus(WireElement element) => new()
    {
        Id = element.RequiredUuid(),
        Name = element.Find("name")?.Text,
        Status = element.Optional("status"),
    };
}
