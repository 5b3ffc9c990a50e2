using Pengx.Client;

namespace Pengx.Host.Tests;

/// <summary>One row per method and path of the reference (<c>reference.txt</c>), in its order.</summary>
internal static class ConformanceTable
{
    private const string Pm = "(name status cpu_core memory interfaces(interface~(name mac ip)))";
    private const string MachineHead = "name status cpu_core memory maxmem disk_size pm@ nics(nic~(name mac network)) os os_arch os_type create_date last_boot_time";
    private const string Storlink = "name link type level size free desc shared";
    private const string TemplateHead = "name size os os_arch desc";
    private const string TemplateState = "lock_status pm state recent_booted_at";
    private const string DiskTail = "desc created format type storlink";

    private static readonly Dictionary<int, string> NothingToRefuse = new() { [400] = "it takes nothing that could be wrong" };
    private static readonly Refusal UnknownVersion = new(404, "v3") { Prefix = "/v3" };

    public static IReadOnlyList<ConformanceRow> Rows { get; } =
    [
        // Physical machines.
        new("PMView.index", "v1", "GET", "/pms/all/")
        {
            Success = 200,
            Answer = $"pms(pm*@{Pm})",
            Refusals = [UnknownVersion],
            Unreachable = NothingToRefuse,
            Client = async (client, _, token) => await client.Hosts.ListAsync(token).ToListAsync(token),
        },
        new("PMView.read", "v1", "GET", "/pms/")
        {
            Success = 200,
            Answer = $"pm@{Pm}",
            Refusals = [UnknownVersion],
            Unreachable = NothingToRefuse,
            Client = async (client, _, token) => await client.Hosts.GetOwnAsync(token),
        },
        new("PMView.read", "v1", "GET", "/pms/{pm_uuid}/")
        {
            Success = 200,
            Answer = $"pm@{Pm}",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Hosts.GetAsync(world.Pm, token),
        },
        new("PMView.update_authorized_keys", "v1", "POST", "/pms/update-authorized-keys/")
        {
            Success = 201,
            Refusals = [UnknownVersion],
            Unreachable = NothingToRefuse,
            Client = async (client, _, token) => await client.Hosts.UpdateAuthorizedKeysAsync(null, token),
        },
        new("PerfView.index", "v1", "GET", "/pmperf/")
        {
            Success = 200,
            Answer = "pmperf@(status vm_count smt total_cpu_cores used_cpu_cores cpu_util total_memory used_memory memory_util iface_rx_sum iface_tx_sum)",
            Refusals = [UnknownVersion],
            Unreachable = NothingToRefuse,
            Client = async (client, _, token) => await client.Hosts.GetPerformanceAsync(token),
        },

        // Storage links.
        new("StorlinkView.create", "v1", "POST", "/storlinks/create/")
        {
            Success = 201,
            Request = "<storlink><name>{name}</name><link>{directory}</link><desc>VM store1</desc><type>LO</type><level>FL</level><shared>True</shared></storlink>",
            Creates = true,
            Refusals =
            [
                UnknownVersion,
                new(400, "level") { Request = "<storlink><name>{name}</name><link>{directory}</link><type>NFS</type><level>BL</level></storlink>" },
                new(400, "name") { Request = "<storlink><link>{directory}</link><type>LO</type><level>FL</level></storlink>" },
            ],
            Then = world => world.IsListedAsync("/storlinks/"),
            Client = async (client, world, token) => await client.Storlinks.CreateAsync(
                new() { Name = world.Name, Link = world.Fill("{directory}"), Type = "LO", Level = "FL", Shared = true }, null, token),
        },
        new("StorlinkView.delete", "v1", "DELETE", "/storlinks/{id}/")
        {
            Success = 204,
            Then = world => world.IsGoneAsync("/storlinks/{id}/"),
            Client = async (client, world, token) => await client.Storlinks.DeleteAsync(world.FreeStorlink, null, token),
        },
        new("StorlinkView.read", "v1", "GET", "/storlinks/")
        {
            Success = 200,
            Answer = $"storlinks(storlink*@(pm {Storlink}))",
            Refusals = [UnknownVersion],
            Client = async (client, _, token) => await client.Storlinks.ListAsync(token).ToListAsync(token),
        },
        new("StorlinkView.update", "v1", "PUT", "/storlinks/{id}/")
        {
            Success = 204,
            Request = "<storlink><name>{name}</name><link>{directory}</link><desc>VM store2</desc><type>LO</type><level>FL</level><shared>False</shared></storlink>",
            Refusals = [new(400, "type") { Request = "<storlink><type>XX</type></storlink>" }],
            Then = world => world.ShowsAsync("/storlinks/{id}/", "name", "{name}"),
            Client = async (client, world, token) => await client.Storlinks.UpdateAsync(world.FreeStorlink, new() { Name = world.Name }, null, token),
        },
        new("StorlinkViewV2.read_all", "v2", "GET", "/storlinks/all/")
        {
            Success = 200,
            OnlyVersion2 = true,
            Answer = $"storlinks(storlink*@(pm pm_name {Storlink}))",
            Refusals = [UnknownVersion],
            Client = async (client, _, token) => await client.Storlinks.ListAllAsync(token).ToListAsync(token),
        },

        // Templates.
        new("GVMView.add", "v1", "POST", "/templates/add/")
        {
            Success = 201,
            Request = "<template><name>{name}</name><os>DEBIAN</os><os_arch>X64</os_arch><desc>Debian 8 jessie 64bit template</desc><disk><storlink>{storlink}</storlink><uuid>{image}</uuid><format>raw</format></disk></template>",
            Creates = true,
            Refusals =
            [
                new(400, "os") { Request = "<template><name>{name}</name><os>PLAN9</os><os_arch>X64</os_arch><disk><storlink>{storlink}</storlink><uuid>{image}</uuid><format>raw</format></disk></template>" },
                new(404, "2000000000") { Request = "<template><name>{name}</name><os>DEBIAN</os><os_arch>X64</os_arch><disk><storlink>2000000000</storlink><uuid>{image}</uuid><format>raw</format></disk></template>" },
            ],
            Then = world => world.IsListedAsync("/templates/"),
            Client = async (client, world, token) => await client.Templates.AddAsync(
                new() { Name = world.Name, Os = "DEBIAN", OsArch = "X64", Disks = [new() { Storlink = world.Storlink, Id = world.Image, Format = "raw" }] }, null, token),
        },
        new("GVMView.create", "v1", "POST", "/templates/create/vms/{vm_uuid}/")
        {
            Success = 201,
            Request = "<template><name>{name}</name><storlink>{storlink}</storlink><desc>from a VM</desc></template>",
            Answer = "template@(name size desc)",
            Creates = true,
            Refusals = [new(400, "name") { Request = "<template><storlink>{storlink}</storlink></template>" }],
            Then = world => world.IsListedAsync("/templates/"),
            Client = async (client, world, token) => await client.Templates.CreateAsync(world.Vm, new() { Name = world.Name, Storlink = world.Storlink }, null, token),
        },
        new("GVMView.delete", "v1", "DELETE", "/template/{gvm_uuid}/")
        {
            Success = 204,
            Refusals = [new(400, "1 VM") { First = MakeFromTemplateAsync }],
            Then = world => world.IsGoneAsync("/v2/templates/{gvm_uuid}/"),
            Client = async (client, world, token) => await client.Templates.DeleteAsync(world.Template, null, token),
        },
        new("GVMView.disk_index", "v1", "GET", "/templates/{gvm_uuid}/disks/")
        {
            Success = 200,
            Answer = $"disks(disk*@(name order size template@ {DiskTail}))",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Templates.ListDisksAsync(world.Template, token).ToListAsync(token),
        },
        new("GVMView.index", "v1", "GET", "/templates/")
        {
            Success = 200,
            Answer = $"templates(template*@({TemplateHead}))",
            Unreachable = NothingToRefuse,
            Client = async (client, _, token) => await client.Templates.ListAsync(token).ToListAsync(token),
        },
        new("GVMView.update", "v1", "PUT", "/templates/{gvm_uuid}/")
        {
            Success = 204,
            Request = "<template><name>{name}</name><os>DEBIAN</os><os_arch>X64</os_arch><desc>Debian 8 jessie 64bit template</desc></template>",
            Refusals = [new(400, "os_arch") { Request = "<template><os_arch>S390</os_arch></template>" }],
            Then = world => world.ShowsAsync("/v2/templates/{gvm_uuid}/", "name", "{name}"),
            Client = async (client, world, token) => await client.Templates.UpdateAsync(world.Template, new() { Name = world.Name }, null, token),
        },
        new("GVMViewV2.add_with_new_image", "v2", "POST", "/templates/add_new/")
        {
            Success = 201,
            OnlyVersion2 = true,
            Request = "<template><name>{name}</name><os>DEBIAN</os><os_arch>X64</os_arch><desc>Debian 8 jessie 64bit template</desc><disk><storlink>{storlink}</storlink><size>2</size><format>qcow2</format></disk></template>",
            Creates = true,
            Refusals =
            [
                new(400, "disk/size") { Request = "<template><name>{name}</name><os>DEBIAN</os><os_arch>X64</os_arch><disk><storlink>{storlink}</storlink><format>qcow2</format></disk></template>" },
                new(404, "2000000000") { Request = "<template><name>{name}</name><os>DEBIAN</os><os_arch>X64</os_arch><disk><storlink>2000000000</storlink><size>2</size><format>qcow2</format></disk></template>" },
            ],
            Then = world => world.IsListedAsync("/templates/"),
            Client = async (client, world, token) => await client.Templates.AddWithNewImageAsync(
                new() { Name = world.Name, Os = "DEBIAN", OsArch = "X64", Disks = [new() { Storlink = world.Storlink, Size = 2, Format = "qcow2" }] }, null, token),
        },
        new("GVMViewV2.index", "v2", "GET", "/templates/")
        {
            Success = 200,
            Answer = $"templates(template*@({TemplateHead} {TemplateState}))",
            Unreachable = NothingToRefuse,
            Client = async (client, _, token) => await client.Templates.ListAsync(token).ToListAsync(token),
        },
        new("GVMViewV2.retrieve", "v2", "GET", "/templates/{gvm_uuid}/")
        {
            Success = 200,
            OnlyVersion2 = true,
            Answer = $"template@({TemplateHead} {TemplateState} vnc_port vnc_password)",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Templates.GetAsync(world.Template, token),
        },

        // Virtual machines.
        new("VMView.copy", "v1", "POST", "/vms/{vm_uuid}/copy/")
        {
            Success = 201,
            Request = "<vm><name>{name}</name><storlink>{storlink}</storlink></vm>",
            Creates = true,
            Refusals =
            [
                new(400, "name") { Request = "<vm><storlink>{storlink}</storlink></vm>" },
                new(404, "2000000000") { Request = "<vm><name>{name}</name><storlink>2000000000</storlink></vm>" },
            ],
            Then = world => world.IsListedAsync("/vms/"),
            Client = async (client, world, token) => await client.Machines.CopyAsync(world.Vm, new() { Name = world.Name, Storlink = world.Storlink }, null, token),
        },
        new("VMView.create", "v1", "POST", "/vms/")
        {
            Success = 201,
            Request = "<vm><name>{name}</name><template>{template}</template><storlink>{storlink}</storlink><cpu_core>1</cpu_core><memory>64</memory><maxmem>128</maxmem><os_disk_size></os_disk_size><extra_disk_size></extra_disk_size><disk_format>qcow2</disk_format><network><list-item>0</list-item><list-item>1</list-item></network><desc>VM for something</desc></vm>",
            Creates = true,
            Refusals =
            [
                new(400, "memory") { Request = "<vm><name>{name}</name><storlink>{storlink}</storlink><cpu_core>1</cpu_core><memory>lots</memory><os_disk_size>1</os_disk_size></vm>" },
                new(404, "2000000000") { Request = "<vm><name>{name}</name><storlink>2000000000</storlink><cpu_core>1</cpu_core><memory>64</memory><os_disk_size>1</os_disk_size></vm>" },
                new(404, "template") { Request = "<vm><name>{name}</name><template>8a3b9a0c-0000-4000-8000-000000000000</template><storlink>{storlink}</storlink><cpu_core>1</cpu_core><memory>64</memory></vm>" },
            ],
            Then = world => world.IsListedAsync("/vms/"),
            Client = async (client, world, token) => await client.Machines.CreateAsync(
                new() { Name = world.Name, Template = Guid.Parse(world.Fill("{template}")), Storlink = world.Storlink, CpuCores = 1, Memory = 64, Networks = ["0", "1"] }, null, token),
        },
        new("VMView.delete", "v1", "DELETE", "/vms/{vm_uuid}/")
        {
            Success = 204,
            Refusals = [new(400, "RUNNING") { State = "RUNNING" }],
            Then = world => world.IsGoneAsync("/vms/{vm_uuid}/"),
            Client = async (client, world, token) => await client.Machines.DeleteAsync(world.Vm, null, token),
        },
        new("VMView.index", "v1", "GET", "/vms/")
        {
            Success = 200,
            Answer = $"vms(vm*@({MachineHead}))",
            Refusals = [UnknownVersion],
            Unreachable = NothingToRefuse,
            Client = async (client, _, token) => await client.Machines.ListAsync(token).ToListAsync(token),
        },
        new("VMView.retrieve", "v1", "GET", "/vms/{vm_uuid}/")
        {
            Success = 200,
            Answer = $"vm@({MachineHead} vnc_port vnc_password)",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Machines.GetAsync(world.Vm, token),
        },
        new("VMView.smigrate", "v1", "POST", "/vms/{vm_uuid}/smigrate/")
        {
            Success = 201,
            Request = "<vm><storlink>{id}</storlink></vm>",
            Refusals =
            [
                new(400, "storlink") { Request = "<vm></vm>" },
                new(404, "2000000000") { Request = "<vm><storlink>2000000000</storlink></vm>" },
            ],
            Then = async world => Assert.Equal(world.Fill("{id}"), Assert.Single((await world.Host.GetXmlAsync(world.Fill("/vms/{vm_uuid}/disks/"))).Elements()).Element("storlink")!.Value),
            Client = async (client, world, token) => await client.Machines.MigrateStorageAsync(world.Vm, new() { Storlink = world.FreeStorlink }, null, token),
        },
        new("VMView.update", "v1", "POST", "/vms/{vm_uuid}/resize/")
        {
            Success = 204,
            Request = "<vm id='{vm_uuid}'><cpu_core>2</cpu_core><memory>96</memory><maxmem>128</maxmem></vm>",
            Refusals = [new(400, "maxmem") { Request = "<vm><memory>256</memory><maxmem>128</maxmem></vm>" }],
            Then = world => world.ShowsAsync("/vms/{vm_uuid}/", "memory", "96"),
            Client = async (client, world, token) => await client.Machines.ResizeAsync(world.Vm, new() { CpuCores = 2, Memory = 96, MaxMemory = 128 }, null, token),
        },
        new("VMView.update", "v1", "PUT", "/vms/{vm_uuid}/update/")
        {
            Success = 204,
            Request = "<vm id='{vm_uuid}'><cpu_core>2</cpu_core><memory>96</memory><maxmem>128</maxmem></vm>",
            Refusals = [new(400, "cpu_core") { Request = "<vm><cpu_core>none</cpu_core></vm>" }],
            Then = world => world.ShowsAsync("/vms/{vm_uuid}/", "cpu_core", "2"),
            Client = async (client, world, token) => await client.Machines.ResizeAsync(world.Vm, new() { CpuCores = 2, Memory = 96, MaxMemory = 128 }, null, token),
        },
        new("VMViewV2.edit", "v2", "PUT", "/vms/{vm_uuid}/edit/")
        {
            Success = 204,
            OnlyVersion2 = true,
            Request = "<vm id='{vm_uuid}'><name>{name}</name><desc>1024</desc></vm>",
            Refusals = [new(400, "name") { Request = "<vm></vm>" }],
            Then = world => world.ShowsAsync("/vms/{vm_uuid}/", "name", "{name}"),
            Client = async (client, world, token) => await client.Machines.EditAsync(world.Vm, new() { Name = world.Name, Description = "1024" }, null, token),
        },

        // Control of virtual machines.
        new("VMControlView.migrate", "v1", "POST", "/vms/{vm_uuid}/migrate/")
        {
            Success = 200,
            Request = "<vm><pm_id>{other_pm}</pm_id></vm>",
            Refusals =
            [
                new(400, "pm_id") { Request = "<vm><pm_id>elsewhere</pm_id></vm>" },
                new(400, "lives on that PM already") { Request = "<vm><pm_id>{pm_uuid}</pm_id></vm>" },
                new(404, "8a3b9a0c") { Request = "<vm><pm_id>8a3b9a0c-0000-4000-8000-000000000000</pm_id></vm>" },
            ],
            Then = async world => Assert.Equal(world.OtherPm, Guid.Parse((await world.MachineAsync()).Element("pm")!.Attribute("id")!.Value)),
            Client = async (client, world, token) => await client.Machines.MigrateAsync(world.Vm, new() { Pm = world.OtherPm }, null, token),
        },
        Control("poweroff", "RUNNING", "SHUTDOWN", "SHUTDOWN", (client, world, token) => client.Machines.PowerOffAsync(world.Vm, null, token)),
        Control("reboot", "RUNNING", "RUNNING", "SHUTDOWN", (client, world, token) => client.Machines.RebootAsync(world.Vm, null, token)),
        Control("reset", "RUNNING", "RUNNING", "SHUTDOWN", (client, world, token) => client.Machines.ResetAsync(world.Vm, null, token)),
        Control("resume", "PAUSED", "RUNNING", "SHUTDOWN", (client, world, token) => client.Machines.ResumeAsync(world.Vm, null, token)),
        Control("shutdown", "RUNNING", "SHUTDOWN", "SHUTDOWN", (client, world, token) => client.Machines.ShutdownAsync(world.Vm, null, token)),
        Control("start", null, "RUNNING", "RUNNING", (client, world, token) => client.Machines.StartAsync(world.Vm, null, token)),
        new("VMControlView.start", "v1", "POST", "/vms/{vm_uuid}/start/snapshots/{snapshot_uuid}/")
        {
            Success = 200,
            Refusals = [new(400, "RUNNING") { State = "RUNNING" }],
            Then = world => world.IsInStateAsync("RUNNING"),
            Client = async (client, world, token) => await client.Snapshots.StartAsync(world.Vm, world.Snapshot, null, token),
        },
        Control("suspend", "RUNNING", "PAUSED", "SHUTDOWN", (client, world, token) => client.Machines.SuspendAsync(world.Vm, null, token)),

        // Snapshots.
        new("SnapshotView.create", "v1", "POST", "/vms/{vm_uuid}/snapshots/")
        {
            Success = 201,
            Request = "<snapshot><name>{name}</name><storlink>{storlink}</storlink><desc>before the upgrade</desc></snapshot>",
            Answer = "snapshot@(name type parent date desc)",
            Creates = true,
            Refusals =
            [
                new(400, "name") { Request = "<snapshot><storlink>{storlink}</storlink></snapshot>" },
                new(404, "2000000000") { Request = "<snapshot><name>{name}</name><storlink>2000000000</storlink></snapshot>" },
            ],
            Then = world => world.IsListedAsync(world.Fill("/vms/{vm_uuid}/snapshots/")),
            Client = async (client, world, token) => await client.Snapshots.CreateAsync(
                world.Vm, new() { Name = world.Name, Storlink = world.Storlink, Description = "before the upgrade" }, null, token),
        },
        new("SnapshotView.delete", "v1", "DELETE", "/vms/{vm_uuid}/snapshots/{snapshot_uuid}/")
        {
            Success = 204,
            Unreachable = new Dictionary<int, string> { [400] = "it may be deleted in every state" },
            Then = async world => Assert.Empty((await world.Host.GetXmlAsync(world.Fill("/vms/{vm_uuid}/snapshots/"))).Elements()),
            Client = async (client, world, token) => await client.Snapshots.DeleteAsync(world.Vm, world.Snapshot, null, token),
        },
        new("SnapshotView.index", "v1", "GET", "/vms/{vm_uuid}/snapshots/")
        {
            Success = 200,
            Answer = "snapshots(snapshot*@(name date description desc type parent))",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Snapshots.ListAsync(world.Vm, token).ToListAsync(token),
        },
        new("SnapshotView.restore", "v1", "POST", "/vms/{vm_uuid}/snapshots/{snapshot_uuid}/")
        {
            Success = 201,
            Refusals = [new(400, "RUNNING") { State = "RUNNING" }],
            Then = world => world.IsRestoredAsync("/vms/{vm_uuid}/snapshots/"),
            Client = async (client, world, token) => await client.Snapshots.RestoreAsync(world.Vm, world.Snapshot, null, token),
        },

        // Backups.
        new("BackupView.backup", "v1", "POST", "/vms/{vm_uuid}/backups/")
        {
            Success = 200,
            Request = "<vm><backup_name>{name}</backup_name><storlink>{storlink}</storlink><desc>backup of vm_uuid</desc></vm>",
            Creates = true,
            Refusals =
            [
                new(400, "backup_name") { Request = "<vm><storlink>{storlink}</storlink></vm>" },
                new(404, "2000000000") { Request = "<vm><backup_name>{name}</backup_name><storlink>2000000000</storlink></vm>" },
            ],
            Then = world => world.IsListedAsync(world.Fill("/vms/{vm_uuid}/backups/")),
            Client = async (client, world, token) => await client.Backups.CreateAsync(
                world.Vm, new() { Name = world.Name, Storlink = world.Storlink, Description = "backup of vm_uuid" }, null, token),
        },
        new("BackupView.delete", "v1", "DELETE", "/vms/{vm_uuid}/backups/{backup_uuid}/")
        {
            Success = 204,
            Unreachable = new Dictionary<int, string> { [400] = "it may be deleted in every state" },
            Then = async world => Assert.Empty((await world.Host.GetXmlAsync(world.Fill("/vms/{vm_uuid}/backups/"))).Elements()),
            Client = async (client, world, token) => await client.Backups.DeleteAsync(world.Vm, world.Backup, null, token),
        },
        new("BackupView.index", "v1", "GET", "/vms/{vm_uuid}/backups/")
        {
            Success = 200,
            Answer = "vmbackups(vmbackup*@(name vm@ date size))",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Backups.ListAsync(world.Vm, token).ToListAsync(token),
        },
        new("BackupView.restore", "v1", "POST", "/vms/{vm_uuid}/backups/{backup_uuid}/")
        {
            Success = 201,
            Refusals = [new(400, "RUNNING") { State = "RUNNING" }],
            Then = world => world.IsRestoredAsync("/vms/{vm_uuid}/backups/"),
            Client = async (client, world, token) => await client.Backups.RestoreAsync(world.Vm, world.Backup, null, token),
        },

        // Disks.
        new("DiskView.create", "v1", "POST", "/vms/{vm_uuid}/disks/")
        {
            Success = 201,
            Request = "<disk><size>2</size><storlink>{storlink}</storlink><desc>data</desc></disk>",
            Answer = $"disk@(name order size vm@ {DiskTail})",
            Creates = true,
            Refusals =
            [
                new(400, "size") { Request = "<disk><size>-1</size><storlink>{storlink}</storlink></disk>" },
                new(404, "2000000000") { Request = "<disk><size>2</size><storlink>2000000000</storlink></disk>" },
            ],
            Then = async world => Assert.Equal(2, (await world.Host.GetXmlAsync(world.Fill("/vms/{vm_uuid}/disks/"))).Elements().Count()),
            Client = async (client, world, token) => await client.Disks.CreateAsync(world.Vm, new() { Size = 2, Storlink = world.Storlink }, null, token),
        },
        new("DiskView.delete", "v1", "DELETE", "/vms/{vm_uuid}/disks/{disk_uuid}/")
        {
            Success = 204,
            Unreachable = new Dictionary<int, string> { [400] = "a guest of the simulator lets every disk go; the hypervisor's own tests refuse" },
            Then = world => world.IsGoneAsync("/vms/{vm_uuid}/disks/{disk_uuid}/"),
            Client = async (client, world, token) => await client.Disks.DeleteAsync(world.Vm, world.Disk, null, token),
        },
        new("DiskView.index", "v1", "GET", "/vms/{vm_uuid}/disks/")
        {
            Success = 200,
            Answer = $"disks(disk*@(name order size vm@ {DiskTail}))",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Disks.ListAsync(world.Vm, token).ToListAsync(token),
        },
        new("DiskView.index", "v1", "GET", "/vms/{vm_uuid}/disks/snapshots/{snapshot_uuid}/")
        {
            Success = 200,
            Answer = $"disks(disk*@(name order size snapshot@ {DiskTail}))",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Snapshots.ListDisksAsync(world.Vm, world.Snapshot, token).ToListAsync(token),
        },
        new("DiskView.index", "v1", "GET", "/vms/{vm_uuid}/disks/backups/{backup_uuid}/")
        {
            Success = 200,
            Answer = $"disks(disk*@(name order size backup@ {DiskTail}))",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Backups.ListDisksAsync(world.Vm, world.Backup, token).ToListAsync(token),
        },

        // Network interfaces.
        new("InterfaceView.create", "v1", "POST", "/vms/{vm_uuid}/interfaces/")
        {
            Success = 201,
            Request = "<vms><interface_name>xenbr0</interface_name></vms>",
            Creates = true,
            Refusals = [new(400, "interface_name") { Request = "<vms></vms>" }],
            Then = async world => Assert.Equal(2, (await world.Host.GetXmlAsync(world.Fill("/vms/{vm_uuid}/interfaces/"))).Elements().Count()),
            Client = async (client, world, token) => await client.Interfaces.CreateAsync(world.Vm, new() { InterfaceName = "xenbr0" }, null, token),
        },
        new("InterfaceView.delete", "v1", "DELETE", "/vms/{vm_uuid}/interface/{interface_id}/")
        {
            Success = 204,
            Request = "<vms><interface_name>xenbr0</interface_name></vms>",
            Unreachable = new Dictionary<int, string> { [400] = "the number in the path decides, in every state" },
            Then = world => world.IsGoneAsync("/vms/{vm_uuid}/interface/{interface_id}/"),
            Client = async (client, world, token) => await client.Interfaces.DeleteAsync(world.Vm, world.Interface, new() { InterfaceName = "xenbr0" }, null, token),
        },
        new("InterfaceView.index", "v1", "GET", "/vms/{vm_uuid}/interfaces/")
        {
            Success = 200,
            Answer = "interfaces(interface*@(mac name ip vm@))",
            Unreachable = NothingToRefuse,
            Client = async (client, world, token) => await client.Interfaces.ListAsync(world.Vm, token).ToListAsync(token),
        },
        new("InterfaceViewV2.create", "v2", "POST", "/vms/{vm_uuid}/interfaces/")
        {
            Success = 201,
            Request = "<vms><interface_name>xenbr0</interface_name><ipaddress>192.168.0.1</ipaddress></vms>",
            Creates = true,
            Refusals = [new(400, "ipaddress") { Request = "<vms><interface_name>xenbr0</interface_name><ipaddress>192.168.0.256</ipaddress></vms>" }],
            Then = async world => Assert.Contains((await world.Host.GetXmlAsync(world.Fill("/vms/{vm_uuid}/interfaces/"))).Elements(), nic => nic.Element("ip")!.Value == "192.168.0.1"),
            Client = async (client, world, token) => await client.Interfaces.CreateAsync(world.Vm, new() { InterfaceName = "xenbr0", IpAddress = "192.168.0.1" }, null, token),
        },
        new("InterfaceViewV2.update", "v2", "PUT", "/vms/{vm_uuid}/interface/{interface_id}/update/")
        {
            Success = 204,
            OnlyVersion2 = true,
            Request = "<vms><ipaddress>192.168.0.1</ipaddress></vms>",
            Refusals = [new(400, "ipaddress") { Request = "<vms><ipaddress>not one</ipaddress></vms>" }],
            Then = world => world.ShowsAsync("/vms/{vm_uuid}/interface/{interface_id}/", "ip", "192.168.0.1"),
            Client = async (client, world, token) => await client.Interfaces.UpdateAsync(world.Vm, world.Interface, new() { IpAddress = "192.168.0.1" }, null, token),
        },
    ];

    private static ConformanceRow Control(
        string verb, string? from, string to, string refusedIn, Func<IPengxClient, ConformanceWorld, CancellationToken, Task<ChangeResult>> client) =>
        new($"VMControlView.{verb}", "v1", "POST", $"/vms/{{vm_uuid}}/{verb}/")
        {
            Success = 200,
            State = from,
            NeedsGuest = verb is "shutdown" or "reboot",
            GuestPrints = verb switch { "start" => "PENGX-GUEST up", "shutdown" or "reboot" => "PENGX-GUEST powering off", _ => null },
            Refusals = [new(400, refusedIn) { State = refusedIn }],
            Then = world => world.IsInStateAsync(to),
            Client = async (api, world, token) => await client(api, world, token),
        };

    private static async Task MakeFromTemplateAsync(ConformanceWorld world) => await world.Host.AddMachineAsync(
        world.Fill("{storlink}"), $"{world.Name}#", 64, $"<template>{world.Template}</template>");
}
