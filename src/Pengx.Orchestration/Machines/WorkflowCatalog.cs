namespace Pengx.Orchestration;

/// <summary>Every workflow of the use cases, once.</summary>
internal sealed class WorkflowCatalog(Workplace place)
{
    /// <summary>All of them, to be registered so that the engine finds them again after a restart.</summary>
    public static IReadOnlyList<Func<WorkflowCatalog, Workflow>> All { get; } =
    [
        catalog => catalog.CreateMachine, catalog => catalog.DeleteMachine, catalog => catalog.ResizeMachine, catalog => catalog.EditMachine,
        catalog => catalog.StartMachine, catalog => catalog.ShutDownMachine, catalog => catalog.PowerOffMachine, catalog => catalog.RebootMachine,
        catalog => catalog.ResetMachine, catalog => catalog.SuspendMachine, catalog => catalog.ResumeMachine,
        catalog => catalog.CreateDisk, catalog => catalog.DeleteDisk,
        catalog => catalog.CreateSnapshot, catalog => catalog.DeleteSnapshot, catalog => catalog.RestoreSnapshot, catalog => catalog.StartSnapshot,
        catalog => catalog.CreateInterface, catalog => catalog.UpdateInterface, catalog => catalog.DeleteInterface,
        catalog => catalog.AddTemplate, catalog => catalog.AddNewTemplate, catalog => catalog.CreateTemplate, catalog => catalog.UpdateTemplate,
        catalog => catalog.DeleteTemplate, catalog => catalog.StartTemplate, catalog => catalog.ShutDownTemplate, catalog => catalog.PowerOffTemplate,
        catalog => catalog.CreateStorlink, catalog => catalog.UpdateStorlink, catalog => catalog.DeleteStorlink,
        catalog => catalog.UpdateAuthorizedKeys,
        catalog => catalog.CopyMachine, catalog => catalog.MoveDisks, catalog => catalog.MigrateMachine,
        catalog => catalog.CreateBackup, catalog => catalog.RestoreBackup, catalog => catalog.DeleteBackup,
        catalog => catalog.RepairMachine, catalog => catalog.RemoveOrphan,
    ];

    public CreateMachine CreateMachine { get; } = new(place);

    public DeleteMachine DeleteMachine { get; } = new(place);

    public ChangeMachine ResizeMachine { get; } = new(place, isResize: true);

    public ChangeMachine EditMachine { get; } = new(place, isResize: false);

    public StartGuest StartMachine { get; } = new(place, ofTemplates: false);

    public ShutDownGuest ShutDownMachine { get; } = new(place, ofTemplates: false);

    public PowerOffGuest PowerOffMachine { get; } = new(place, ofTemplates: false);

    public RebootMachine RebootMachine { get; } = new(place);

    public ResetMachine ResetMachine { get; } = new(place);

    public SuspendMachine SuspendMachine { get; } = new(place);

    public ResumeMachine ResumeMachine { get; } = new(place);

    public CreateMachineDisk CreateDisk { get; } = new(place);

    public DeleteMachineDisk DeleteDisk { get; } = new(place);

    public CreateMachineSnapshot CreateSnapshot { get; } = new(place);

    public DeleteMachineSnapshot DeleteSnapshot { get; } = new(place);

    public RestoreMachineSnapshot RestoreSnapshot { get; } = new(place, starts: false);

    public RestoreMachineSnapshot StartSnapshot { get; } = new(place, starts: true);

    public CreateMachineInterface CreateInterface { get; } = new(place);

    public UpdateMachineInterface UpdateInterface { get; } = new(place);

    public DeleteMachineInterface DeleteInterface { get; } = new(place);

    public MakeTemplate AddTemplate { get; } = new(place, "add");

    public MakeTemplate AddNewTemplate { get; } = new(place, "add-new");

    public TemplateFromMachine CreateTemplate { get; } = new(place);

    public UpdateTemplateRow UpdateTemplate { get; } = new(place);

    public DeleteTemplate DeleteTemplate { get; } = new(place);

    public StartGuest StartTemplate { get; } = new(place, ofTemplates: true);

    public ShutDownGuest ShutDownTemplate { get; } = new(place, ofTemplates: true);

    public PowerOffGuest PowerOffTemplate { get; } = new(place, ofTemplates: true);

    public CreateStorlinkRow CreateStorlink { get; } = new(place);

    public UpdateStorlinkRow UpdateStorlink { get; } = new(place);

    public DeleteStorlinkRow DeleteStorlink { get; } = new(place);

    public UpdateAuthorizedKeys UpdateAuthorizedKeys { get; } = new(place);

    public CopyMachine CopyMachine { get; } = new(place);

    public MoveDisks MoveDisks { get; } = new(place);

    public MigrateMachine MigrateMachine { get; } = new(place);

    public CreateBackup CreateBackup { get; } = new(place);

    public RestoreBackup RestoreBackup { get; } = new(place);

    public DeleteBackup DeleteBackup { get; } = new(place);

    public RepairMachine RepairMachine { get; } = new(place);

    public RemoveOrphan RemoveOrphan { get; } = new(place);
}
