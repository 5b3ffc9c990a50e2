using System.Globalization;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;

namespace Pengx.Orchestration;

/// <summary>The use cases of virtual machines. Verbs judge the request (fields, then objects, then states), start an operation and
/// return it; wait for its end with <see cref="IOperations.WaitAsync"/>.</summary>
/// <remarks>All verbs throw <see cref="InvalidFieldException"/>, <see cref="NotFoundException"/>, <see cref="WrongStateException"/>,
/// <see cref="InsufficientResourceException"/> and <see cref="ResourceLockedException"/> before anything is changed.</remarks>
public sealed partial class VirtualMachines
{
    private const int VncPasswordLength = 8;
    private const string VncPasswordLetters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";

    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;

    internal VirtualMachines(Workplace place, WorkflowCatalog workflows, IOperations operations)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
    }

    /// <summary>All machines, by creation, from a constant number of queries.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<VirtualMachineView>> ListAsync(CancellationToken cancellationToken = default) =>
        await StreamAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false);

    /// <summary>All machines, by creation, read as they are consumed: a constant number of queries, and memory that does not grow with their
    /// number.</summary>
    /// <param name="cancellationToken">Ends the listing.</param>
    public async IAsyncEnumerable<VirtualMachineView> StreamAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var states = (await _place.Driver.Domains.ListAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(status => status.Id, status => status.State);
        var locked = await _operations.ListLockedAsync(cancellationToken).ConfigureAwait(false);
        var session = await _place.Store.OpenAsync(cancellationToken).ConfigureAwait(false);
        await using (session.ConfigureAwait(false))
        {
            await foreach (var row in session.VirtualMachines.ListWithDevicesAsync(cancellationToken).ConfigureAwait(false))
            {
                yield return new VirtualMachineView
                {
                    Machine = row.Machine,
                    State = row.Machine.Pm == _place.Host.Id ? states.GetValueOrDefault(row.Machine.Id, VmState.Shutdown) : row.Machine.State,
                    Disks = row.Disks,
                    Interfaces = [.. row.Interfaces.Where(nic => !nic.Retired)],
                    Locked = locked.Count > 0 && locked.Contains($"vm/{row.Machine.Id}"),
                };
            }
        }
    }

    /// <summary>One machine.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<VirtualMachineView> GetAsync(VmId id, CancellationToken cancellationToken = default)
    {
        var rows = await RowsAsync(id, cancellationToken).ConfigureAwait(false);
        var own = rows.Machine.Pm == _place.Host.Id;
        var status = own ? await _place.Driver.Domains.FindAsync(id, cancellationToken).ConfigureAwait(false) : null;
        return new VirtualMachineView
        {
            Machine = rows.Machine,
            State = own ? status?.State ?? VmState.Shutdown : rows.Machine.State,
            Disks = rows.Disks,
            Interfaces = [.. rows.Interfaces.Where(nic => !nic.Retired)],
            Vnc = own ? await _place.FindVncAsync(id, cancellationToken).ConfigureAwait(false) : null,
            Locked = (await _operations.ListLockedAsync(cancellationToken).ConfigureAwait(false)).Contains($"vm/{id}"),
        };
    }

    /// <summary>Creates a machine from a template or with an empty disk.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(CreateVirtualMachine request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var name = FieldRules.Name(request.Name);
        var cpus = FieldRules.Cpus(request.Cpus);
        var memory = FieldRules.Memory("memory", request.MemoryMiB);
        var maxMemory = request.MaxMemoryMiB is { } max ? FieldRules.Memory("maxmem", max) : memory;
        FieldRules.MemoryFits(memory, maxMemory);
        var osDiskSize = request.OsDiskSizeMiB is { } osDisk ? FieldRules.DiskSize("os_disk_size", osDisk) : (DataSize?)null;
        var extraDiskSize = request.ExtraDiskSizeMiB is { } extraDisk ? FieldRules.DiskSize("extra_disk_size", extraDisk) : (DataSize?)null;
        if (request.Template is null && osDiskSize is null)
        {
            throw new InvalidFieldException("os_disk_size", null, "a machine without a template needs its size");
        }

        var switches = request.Networks.Select(network => FieldRules.Switch("network", network)).ToList();
        var description = FieldRules.Description(request.Description);

        var (template, templateDisks, storlink) = await _place.Store.ReadAsync(
            async session =>
            {
                var found = request.Template is { } id
                    ? await session.Templates.FindAsync(id, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("template", id.ToString())
                    : null;
                return (
                    found,
                    found is null ? [] : await session.Disks.ListByOwnerAsync(DiskOwner.Of(found.Id), cancellationToken).ConfigureAwait(false),
                    await session.Storlinks.FindAsync(request.Storlink, cancellationToken).ConfigureAwait(false) ?? throw new NotFoundException("storlink", request.Storlink.ToString()));
            },
            cancellationToken).ConfigureAwait(false);
        if (templateDisks is [var boot, ..] && osDiskSize < boot.Size)
        {
            throw new InvalidFieldException("os_disk_size", osDiskSize.Value.MiB.ToString(CultureInfo.InvariantCulture), $"it is at least that of the template, {boot.Size.MiBCeiling} MiB");
        }

        await RefuseTakenNameAsync(name, null, cancellationToken).ConfigureAwait(false);
        if (template is not null)
        {
            await TemplateRules.GetCopyableAsync(_place, template.Id, cancellationToken).ConfigureAwait(false);
        }

        await RefuseMoreThanThereIsAsync(maxMemory, cancellationToken).ConfigureAwait(false);
        await _place.Storage.Get(storlink).CheckAsync(storlink, cancellationToken).ConfigureAwait(false);

        var now = _place.Now;
        var machine = new VirtualMachine
        {
            Id = VmId.New(),
            Pm = _place.Host.Id,
            Template = template?.Id,
            Name = name,
            Description = description,
            Os = template?.Os ?? request.Os ?? GuestOs.Other,
            Architecture = template?.Architecture ?? request.Architecture ?? OsArchitecture.X64,
            Cpus = cpus,
            Memory = memory,
            MaxMemory = maxMemory,
            VncPassword = NewVncPassword(),
            CreatedAt = now,
            UpdatedAt = now,
        };
        var state = new CreateMachineState
        {
            Machine = machine,
            Disks = PlanDisks(machine, request, templateDisks, osDiskSize, extraDiskSize),
            Interfaces = await NewInterfacesAsync(machine.Id, switches, cancellationToken).ConfigureAwait(false),
        };
        return await _operations.StartAsync(_workflows.CreateMachine, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Changes processors and memory, at once where the running guest goes along, else from its next start; the
    /// operation's message says which.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="request">What it shall have.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> ResizeAsync(VmId id, ResizeVirtualMachine request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request is { Cpus: null, MemoryMiB: null, MaxMemoryMiB: null })
        {
            throw new InvalidFieldException("cpu_core", null, "at least one of cpu_core, memory and maxmem is given");
        }

        int? cpus = request.Cpus is { } wanted ? FieldRules.Cpus(wanted) : null;
        DataSize? memory = request.MemoryMiB is { } mebibytes ? FieldRules.Memory("memory", mebibytes) : null;
        DataSize? maxMemory = request.MaxMemoryMiB is { } max ? FieldRules.Memory("maxmem", max) : null;
        if (memory is { } both && maxMemory is { } limit)
        {
            FieldRules.MemoryFits(both, limit);
        }

        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        FieldRules.MemoryFits(memory ?? machine.Memory, maxMemory ?? machine.MaxMemory);
        var facts = await RefuseMoreThanThereIsAsync(maxMemory ?? machine.MaxMemory, cancellationToken).ConfigureAwait(false);
        if (memory is { } grown && await _place.Driver.Domains.FindAsync(id, cancellationToken).ConfigureAwait(false) is { State: VmState.Running or VmState.Paused } status
            && grown > status.Memory && grown - status.Memory > facts.FreeMemory)
        {
            throw new InsufficientResourceException($"VM '{machine.Name}' would need {(grown - status.Memory).MiBCeiling} MiB more memory; {facts.FreeMemory.MiB} MiB are free on this PM.");
        }

        var state = new ChangeMachineState { Vm = id, Name = machine.Name, NewCpus = cpus, NewMemory = memory, NewMaxMemory = maxMemory };
        return await _operations.StartAsync(_workflows.ResizeMachine, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Changes name and description, whether the machine runs or not.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="request">The new name and description.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> EditAsync(VmId id, EditVirtualMachine request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var name = request.Name is null ? null : FieldRules.Name(request.Name);
        var description = FieldRules.Description(request.Description);
        if (name is null && description is null)
        {
            throw new InvalidFieldException("name", null, "at least one of name and desc is given");
        }

        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        if (name is not null)
        {
            await RefuseTakenNameAsync(name, id, cancellationToken).ConfigureAwait(false);
        }

        var state = new ChangeMachineState { Vm = id, Name = machine.Name, NewName = name, NewDescription = description };
        return await _operations.StartAsync(_workflows.EditMachine, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a machine that does not run, with its disks.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Shutdown, VmState.Crashed).ConfigureAwait(false);
        var state = await _place.Store.ReadAsync(session => DeleteMachine.ReadAsync(session, id, cancellationToken), cancellationToken).ConfigureAwait(false)
            ?? throw new NotFoundException("VM", id.ToString());
        return await _operations.StartAsync(_workflows.DeleteMachine, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Starts a machine that is shut down or crashed.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> StartAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Shutdown, VmState.Crashed).ConfigureAwait(false);
        await DemandMemoryAsync(machine, cancellationToken).ConfigureAwait(false);
        return await RunAsync(_workflows.StartMachine, machine, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Asks the guest of a running machine to shut down and waits for it for <see cref="MachineOptions.ShutdownWait"/>.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> ShutdownAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Running).ConfigureAwait(false);
        return await RunAsync(_workflows.ShutDownMachine, machine, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Ends a machine at once; a shutdown or reboot that waits is cancelled for it.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> PowerOffAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Running, VmState.Paused, VmState.Crashed).ConfigureAwait(false);
        return await RunAsync(_workflows.PowerOffMachine, machine, Forced(options), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Asks the guest of a running machine to reboot and waits for it for <see cref="MachineOptions.RebootWait"/>.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> RebootAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Running).ConfigureAwait(false);
        return await RunAsync(_workflows.RebootMachine, machine, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Ends a machine at once and starts it anew; a shutdown or reboot that waits is cancelled for it.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> ResetAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Running, VmState.Paused, VmState.Crashed).ConfigureAwait(false);
        return await RunAsync(_workflows.ResetMachine, machine, Forced(options), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops the processors of a running machine.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> SuspendAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Running).ConfigureAwait(false);
        return await RunAsync(_workflows.SuspendMachine, machine, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Lets the processors of a paused machine run again.</summary>
    /// <param name="id">The machine.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> ResumeAsync(VmId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var machine = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await StateAsync(machine, cancellationToken, VmState.Paused).ConfigureAwait(false);
        return await RunAsync(_workflows.ResumeMachine, machine, options, cancellationToken).ConfigureAwait(false);
    }

    internal static OperationRequest Forced(OperationRequest? options) =>
        new() { Force = true, IdempotencyKey = options?.IdempotencyKey, Fingerprint = options?.Fingerprint };

    internal static string NewVncPassword() => RandomNumberGenerator.GetString(VncPasswordLetters, VncPasswordLength);

    internal static string Name(VmState state) => state.ToString().ToUpperInvariant();

    /// <summary>The machine, which must be this PM's.</summary>
    internal async Task<VirtualMachine> OwnAsync(VmId id, CancellationToken cancellationToken)
    {
        var machine = await _place.Store.ReadAsync(session => session.VirtualMachines.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
            ?? throw new NotFoundException("VM", id.ToString());
        return _place.DemandOwn(machine);
    }

    internal async Task<MachineRows> RowsAsync(VmId id, CancellationToken cancellationToken) =>
        await _place.Store.ReadAsync(session => MachineRows.FindAsync(session, id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("VM", id.ToString());

    private Task<Operation> RunAsync(PowerWorkflow workflow, VirtualMachine machine, OperationRequest? options, CancellationToken cancellationToken) =>
        _operations.StartAsync(workflow, new GuestState { Guest = GuestRef.Of(machine) }, options, cancellationToken);

    /// <summary>Demands that the memory is free which a machine starts with.</summary>
    internal async Task DemandMemoryAsync(VirtualMachine machine, CancellationToken cancellationToken)
    {
        var facts = await _place.Driver.GetHostFactsAsync(cancellationToken).ConfigureAwait(false);
        if (machine.Memory > facts.FreeMemory)
        {
            throw new InsufficientResourceException($"VM '{machine.Name}' needs {machine.Memory.MiBCeiling} MiB of memory; {facts.FreeMemory.MiB} MiB are free on this PM.");
        }
    }

    internal async Task StateAsync(VirtualMachine machine, CancellationToken cancellationToken, params VmState[] allowed)
    {
        var state = await _place.StateAsync(machine.Id, cancellationToken).ConfigureAwait(false);
        if (allowed.Contains(state))
        {
            return;
        }

        var advice = (state, allowed[0]) switch
        {
            (VmState.Paused, VmState.Running) => "resume it first",
            (VmState.Running or VmState.Paused, VmState.Shutdown) => "stop it first",
            (VmState.Shutdown or VmState.Crashed, VmState.Running) => "start it first",
            (_, VmState.Paused) => "only a suspended machine can be resumed",
            _ => $"it must be {string.Join(" or ", allowed.Select(Name))}",
        };
        throw new WrongStateException($"VM '{machine.Name}' is {Name(state)}; {advice}.");
    }

    private async Task RefuseTakenNameAsync(string name, VmId? except, CancellationToken cancellationToken)
    {
        var taken = await _place.Store.ReadAsync(session => session.VirtualMachines.FindByNameAsync(_place.Host.Id, name, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (taken is not null && taken.Id != except)
        {
            throw new InvalidFieldException("name", name, "it is already taken by another VM of this PM");
        }
    }

    private async Task<HostFacts> RefuseMoreThanThereIsAsync(DataSize memory, CancellationToken cancellationToken)
    {
        var facts = await _place.Driver.GetHostFactsAsync(cancellationToken).ConfigureAwait(false);
        return memory <= facts.Memory
            ? facts
            : throw new InsufficientResourceException($"{memory.MiBCeiling} MiB of memory are asked for; this PM has {facts.Memory.MiB} MiB in all.");
    }

    private List<PlannedDisk> PlanDisks(VirtualMachine machine, CreateVirtualMachine request, IReadOnlyList<Disk> templateDisks, DataSize? osDiskSize, DataSize? extraDiskSize)
    {
        var linked = _place.Options.LinkedClones && request.DiskFormat == DiskFormat.Qcow2;
        List<PlannedDisk> disks = [];
        foreach (var source in templateDisks)
        {
            var disk = NewDisk(source.Order, disks.Count == 0 && osDiskSize is { } size ? size : source.Size);
            disks.Add(linked ? new(disk with { Backing = source.Id }, null) : new(disk, source.Id));
        }

        if (disks.Count == 0)
        {
            disks.Add(new(NewDisk(0, osDiskSize ?? throw new WrongStateException($"Template {request.Template} has no disk; give os_disk_size.")), null));
        }

        if (extraDiskSize is { } extra)
        {
            disks.Add(new(NewDisk(disks.Max(disk => disk.Disk.Order) + 1, extra), null));
        }

        return disks;

        Disk NewDisk(int order, DataSize size) => new()
        {
            Id = DiskId.New(),
            Owner = DiskOwner.Of(machine.Id),
            Order = order,
            Size = size,
            Format = request.DiskFormat,
            Storlink = request.Storlink,
            CreatedAt = machine.CreatedAt,
        };
    }

    private Task<IReadOnlyList<VmInterface>> NewInterfacesAsync(VmId vm, List<string> switches, CancellationToken cancellationToken) => _place.Store.ReadAsync(
        async session =>
        {
            var macs = await InterfaceRules.FreshMacsAsync(session, switches.Count, cancellationToken).ConfigureAwait(false);
            List<VmInterface> nics = [];
            foreach (var (index, name) in switches.Index())
            {
                nics.Add(new VmInterface
                {
                    Id = await session.VmInterfaces.NextIdAsync(cancellationToken).ConfigureAwait(false),
                    Vm = vm,
                    Name = $"eth{index}",
                    Switch = name,
                    Mac = macs[index],
                });
            }

            return (IReadOnlyList<VmInterface>)nics;
        },
        cancellationToken);
}
