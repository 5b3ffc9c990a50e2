namespace Pengx.Orchestration;

/// <summary>The use cases of templates. See <see cref="VirtualMachines"/> for how verbs work.</summary>
public sealed class Templates
{
    private const int MaxDisks = Vdev.MaxDisks;

    private readonly Workplace _place;
    private readonly WorkflowCatalog _workflows;
    private readonly IOperations _operations;
    private readonly VirtualMachines _machines;
    private readonly IsoLibrary _isos;

    internal Templates(Workplace place, WorkflowCatalog workflows, IOperations operations, VirtualMachines machines, IsoLibrary isos)
    {
        _place = place;
        _workflows = workflows;
        _operations = operations;
        _machines = machines;
        _isos = isos;
    }

    /// <summary>All templates, by creation, from a constant number of queries.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<TemplateView>> ListAsync(CancellationToken cancellationToken = default)
    {
        var states = (await _place.Driver.Domains.ListAsync(cancellationToken).ConfigureAwait(false)).ToDictionary(status => status.Id, status => status.State);
        var locked = await _operations.ListLockedAsync(cancellationToken).ConfigureAwait(false);
        var (templates, disks) = await _place.Store.ReadAsync(
            async session => (
                await session.Templates.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false),
                (await session.Disks.ListAsync(DiskOwnerKind.Template, cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false)).ToLookup(disk => disk.Owner.Id)),
            cancellationToken).ConfigureAwait(false);
        return
        [
            .. templates.Select(template => new TemplateView
            {
                Template = template,
                State = template.Pm == _place.Host.Id ? states.GetValueOrDefault(template.Id, VmState.Shutdown) : template.State,
                Disks = [.. disks[template.Id.Value].OrderBy(disk => disk.Order)],
                Locked = locked.Contains($"template/{template.Id}"),
            }),
        ];
    }

    /// <summary>One template.</summary>
    /// <param name="id">The template.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<TemplateView> GetAsync(TemplateId id, CancellationToken cancellationToken = default)
    {
        var template = await FindAsync(id, cancellationToken).ConfigureAwait(false);
        var own = template.Pm == _place.Host.Id;
        var status = own ? await _place.Driver.Domains.FindAsync(id, cancellationToken).ConfigureAwait(false) : null;
        return new TemplateView
        {
            Template = template,
            State = own ? status?.State ?? VmState.Shutdown : template.State,
            Disks = await DisksAsync(id, cancellationToken).ConfigureAwait(false),
            Vnc = own ? await _place.FindVncAsync(id, cancellationToken).ConfigureAwait(false) : null,
            Locked = (await _operations.ListLockedAsync(cancellationToken).ConfigureAwait(false)).Contains($"template/{id}"),
        };
    }

    /// <summary>A template's disks, in boot order.</summary>
    /// <param name="id">The template.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    public async Task<IReadOnlyList<Disk>> ListDisksAsync(TemplateId id, CancellationToken cancellationToken = default)
    {
        await FindAsync(id, cancellationToken).ConfigureAwait(false);
        return await DisksAsync(id, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes a template of images that already lie on their storage links.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> AddAsync(AddTemplate request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var (name, description) = (FieldRules.Name(request.Name), FieldRules.Description(request.Description));
        CheckCount(request.Disks.Count);
        if (request.Disks.DistinctBy(image => image.Disk).Count() != request.Disks.Count)
        {
            throw new InvalidFieldException("uuid", null, "each disk of a template is another image");
        }

        var storlinks = await StorlinksAsync(request.Disks.Select(image => image.Storlink), cancellationToken).ConfigureAwait(false);
        await RefuseTakenNameAsync(name, null, cancellationToken).ConfigureAwait(false);
        var template = NewTemplate(name, description, request.Os, request.Architecture);
        List<PlannedDisk> disks = [];
        foreach (var image in request.Disks)
        {
            var known = await _place.Store.ReadAsync(session => session.Disks.FindAsync(image.Disk, cancellationToken), cancellationToken).ConfigureAwait(false);
            if (known is not null)
            {
                throw new InUseException($"Image {image.Disk} already is a disk of {known.Owner.Kind} {known.Owner.Id:D}.");
            }

            var volume = await InspectAsync(storlinks[image.Storlink], image, cancellationToken).ConfigureAwait(false);
            disks.Add(new(NewDisk(template, image.Disk, disks.Count, volume.Size, image.Format, image.Storlink), null));
        }

        var state = new MakeTemplateState { Template = template, Disks = disks, MakesDisks = false };
        return await _operations.StartAsync(_workflows.AddTemplate, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes a template with new, empty images, to be installed from an ISO image.</summary>
    /// <param name="request">What it shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> AddNewAsync(AddNewTemplate request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var (name, description) = (FieldRules.Name(request.Name), FieldRules.Description(request.Description));
        CheckCount(request.Disks.Count);
        var sizes = request.Disks.Select(image => FieldRules.DiskSize("size", image.SizeMiB)).ToList();
        var storlinks = await StorlinksAsync(request.Disks.Select(image => image.Storlink), cancellationToken).ConfigureAwait(false);
        await RefuseTakenNameAsync(name, null, cancellationToken).ConfigureAwait(false);
        await CheckAsync(storlinks.Values, cancellationToken).ConfigureAwait(false);
        var template = NewTemplate(name, description, request.Os, request.Architecture);
        var state = new MakeTemplateState
        {
            Template = template,
            Disks = [.. request.Disks.Select((image, index) => new PlannedDisk(NewDisk(template, DiskId.New(), index, sizes[index], image.Format, image.Storlink), null))],
            MakesDisks = true,
        };
        return await _operations.StartAsync(_workflows.AddNewTemplate, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Makes a template of copies of a machine's disks, as they are at one instant where it runs.</summary>
    /// <param name="vm">The machine.</param>
    /// <param name="request">What the template shall be.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> CreateAsync(VmId vm, CreateTemplate request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var (name, description) = (FieldRules.Name(request.Name), FieldRules.Description(request.Description));
        var machine = await _machines.OwnAsync(vm, cancellationToken).ConfigureAwait(false);
        var storlinks = await StorlinksAsync([request.Storlink], cancellationToken).ConfigureAwait(false);
        await RefuseTakenNameAsync(name, null, cancellationToken).ConfigureAwait(false);
        await Freezing.DemandAsync(_place, vm, machine.Name, cancellationToken).ConfigureAwait(false);
        await CheckAsync(storlinks.Values, cancellationToken).ConfigureAwait(false);
        var state = new TemplateFromMachineState
        {
            Source = FrozenMachine.Of(machine),
            Template = NewTemplate(name, description, machine.Os, machine.Architecture),
            Storlink = request.Storlink,
        };
        return await _operations.StartAsync(_workflows.CreateTemplate, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Changes a template's name, description and operating system.</summary>
    /// <param name="id">The template.</param>
    /// <param name="request">The new fields.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> UpdateAsync(TemplateId id, UpdateTemplate request, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        var name = request.Name is null ? null : FieldRules.Name(request.Name);
        var description = FieldRules.Description(request.Description);
        if (name is null && description is null && request is { Os: null, Architecture: null })
        {
            throw new InvalidFieldException("name", null, "at least one of name, os, os_arch and desc is given");
        }

        var template = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        if (name is not null)
        {
            await RefuseTakenNameAsync(name, id, cancellationToken).ConfigureAwait(false);
        }

        var state = new UpdateTemplateState { Template = id, Name = template.Name, NewName = name, NewDescription = description, NewOs = request.Os, NewArchitecture = request.Architecture };
        return await _operations.StartAsync(_workflows.UpdateTemplate, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes a template that no machine was made from, with its disks.</summary>
    /// <param name="id">The template.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> DeleteAsync(TemplateId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var template = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        await TemplateRules.RefuseWhatIsNeededAsync(_place, template, cancellationToken).ConfigureAwait(false);
        var state = new DeleteTemplateState { Template = template, Disks = await DisksAsync(id, cancellationToken).ConfigureAwait(false) };
        return await _operations.StartAsync(_workflows.DeleteTemplate, state, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Boots a template, to install or to change it. Refused while disks of machines lie on its own.</summary>
    /// <param name="id">The template.</param>
    /// <param name="iso">The name of an ISO image to put into the CD-ROM drive.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> StartAsync(TemplateId id, string? iso = null, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var image = string.IsNullOrWhiteSpace(iso) ? null : FieldRules.IsoName(iso);
        var template = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        var isoPath = image is null ? null : _isos.Get(image).Path;
        var state = await _place.StateAsync(template.Id, cancellationToken).ConfigureAwait(false);
        if (state is VmState.Running or VmState.Paused)
        {
            throw new WrongStateException($"Template '{template.Name}' is {VirtualMachines.Name(state)}; shut it down first.");
        }

        await TemplateRules.RefuseOverlaysAsync(_place, template.Id, template.Name, "it must not be changed while they do", cancellationToken).ConfigureAwait(false);
        var facts = await _place.Driver.GetHostFactsAsync(cancellationToken).ConfigureAwait(false);
        if (_place.Options.TemplateMemoryMiB > facts.FreeMemory.MiB)
        {
            throw new InsufficientResourceException($"Template '{template.Name}' needs {_place.Options.TemplateMemoryMiB} MiB of memory; {facts.FreeMemory.MiB} MiB are free on this PM.");
        }

        return await _operations.StartAsync(_workflows.StartTemplate, new GuestState { Guest = GuestRef.Of(template), IsoPath = isoPath }, options, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Asks the guest of a running template to shut down and waits for it for <see cref="MachineOptions.ShutdownWait"/>.</summary>
    /// <param name="id">The template.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> ShutdownAsync(TemplateId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var template = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        return await _place.StateAsync(template.Id, cancellationToken).ConfigureAwait(false) is VmState.Running
            ? await _operations.StartAsync(_workflows.ShutDownTemplate, new GuestState { Guest = GuestRef.Of(template) }, options, cancellationToken).ConfigureAwait(false)
            : throw new WrongStateException($"Template '{template.Name}' is not RUNNING; start it first.");
    }

    /// <summary>Ends a template's guest at once; a shutdown that waits is cancelled for it.</summary>
    /// <param name="id">The template.</param>
    /// <param name="options">How to start the operation.</param>
    /// <param name="cancellationToken">Ends the call; an operation that was started goes on.</param>
    public async Task<Operation> PowerOffAsync(TemplateId id, OperationRequest? options = null, CancellationToken cancellationToken = default)
    {
        var template = await OwnAsync(id, cancellationToken).ConfigureAwait(false);
        return await _place.StateAsync(template.Id, cancellationToken).ConfigureAwait(false) is not VmState.Shutdown
            ? await _operations.StartAsync(_workflows.PowerOffTemplate, new GuestState { Guest = GuestRef.Of(template) }, VirtualMachines.Forced(options), cancellationToken).ConfigureAwait(false)
            : throw new WrongStateException($"Template '{template.Name}' is SHUTDOWN already.");
    }

    private static void CheckCount(int disks)
    {
        if (disks is 0 or > MaxDisks)
        {
            throw new InvalidFieldException("disk", null, $"a template has 1 to {MaxDisks} disks");
        }
    }

    private async Task<Volume> InspectAsync(Storlink storlink, ExistingImage image, CancellationToken cancellationToken)
    {
        var backend = _place.Storage.Get(storlink);
        if (backend.TryGetFeature<IImageImport>(out var import))
        {
            return await import.InspectImportAsync(storlink, image.Disk, image.Format, cancellationToken).ConfigureAwait(false);
        }

        return await backend.FindAsync(storlink, image.Disk, image.Format, cancellationToken).ConfigureAwait(false)
            ?? throw new StorageException($"There is no image {image.Disk} of format {image.Format.Name} on storlink '{storlink.Name}'.");
    }

    private async Task<Dictionary<StorlinkId, Storlink>> StorlinksAsync(IEnumerable<StorlinkId> ids, CancellationToken cancellationToken)
    {
        Dictionary<StorlinkId, Storlink> found = [];
        foreach (var id in ids.Distinct())
        {
            found[id] = await _place.Store.ReadAsync(session => session.Storlinks.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
                ?? throw new NotFoundException("storlink", id.ToString());
        }

        return found;
    }

    private async Task CheckAsync(IEnumerable<Storlink> storlinks, CancellationToken cancellationToken)
    {
        foreach (var storlink in storlinks)
        {
            await _place.Storage.Get(storlink).CheckAsync(storlink, cancellationToken).ConfigureAwait(false);
        }
    }

    private Template NewTemplate(string name, string? description, GuestOs os, OsArchitecture architecture)
    {
        var now = _place.Now;
        return new Template
        {
            Id = TemplateId.New(),
            Pm = _place.Host.Id,
            Name = name,
            Description = description,
            Os = os,
            Architecture = architecture,
            VncPassword = VirtualMachines.NewVncPassword(),
            CreatedAt = now,
            UpdatedAt = now,
        };
    }

    internal static Disk NewDisk(Template template, DiskId id, int order, DataSize size, DiskFormat format, StorlinkId storlink) => new()
    {
        Id = id,
        Owner = DiskOwner.Of(template.Id),
        Order = order,
        Size = size,
        Format = format,
        Storlink = storlink,
        CreatedAt = template.CreatedAt,
    };

    private async Task<Template> FindAsync(TemplateId id, CancellationToken cancellationToken) =>
        await _place.Store.ReadAsync(session => session.Templates.FindAsync(id, cancellationToken), cancellationToken).ConfigureAwait(false)
        ?? throw new NotFoundException("template", id.ToString());

    private async Task<Template> OwnAsync(TemplateId id, CancellationToken cancellationToken)
    {
        var template = await FindAsync(id, cancellationToken).ConfigureAwait(false);
        return template.Pm == _place.Host.Id
            ? template
            : throw new WrongStateException($"Template '{template.Name}' lives on PM {template.Pm}; ask that one.");
    }

    private Task<IReadOnlyList<Disk>> DisksAsync(TemplateId id, CancellationToken cancellationToken) =>
        _place.Store.ReadAsync(session => session.Disks.ListByOwnerAsync(DiskOwner.Of(id), cancellationToken), cancellationToken);

    private async Task RefuseTakenNameAsync(string name, TemplateId? except, CancellationToken cancellationToken)
    {
        var taken = await _place.Store.ReadAsync(session => session.Templates.FindByNameAsync(_place.Host.Id, name, cancellationToken), cancellationToken).ConfigureAwait(false);
        if (taken is not null && taken.Id != except)
        {
            throw new InvalidFieldException("name", name, "it is already taken by another template of this PM");
        }
    }
}
