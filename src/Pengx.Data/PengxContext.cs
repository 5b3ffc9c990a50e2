using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.ChangeTracking;
using Microsoft.EntityFrameworkCore.Design;

namespace Pengx.Data;

/// <summary>The tables. Their names and columns are written in snake_case; sizes are bytes, times UTC ticks, enumerations
/// the texts of <see cref="Stored"/>.</summary>
internal sealed class PengxContext(DbContextOptions<PengxContext> options) : DbContext(options)
{
    public const string PhysicalMachinesTable = "physical_machines";
    public const string StorlinksTable = "storlinks";
    public const string VirtualMachinesTable = "virtual_machines";
    public const string VmInterfacesTable = "vm_interfaces";
    public const string TemplatesTable = "templates";
    public const string DisksTable = "disks";
    public const string SnapshotsTable = "snapshots";
    public const string BackupsTable = "backups";
    public const string NetworksTable = "networks";
    public const string DnsTable = "dns";
    public const string SriovTable = "sriov_cards";
    public const string StorageLayersTable = "storage_layers";
    public const string Ocfs2NodesTable = "ocfs2_nodes";

    // The one that EF Core makes of an array by itself builds a delegate each time it compares or copies one.
    private static readonly ValueComparer<string[]> s_texts =
        new((one, other) => AreEqual(one, other), texts => HashOf(texts), texts => (string[])texts.Clone());

    public DbSet<PhysicalMachineRow> PhysicalMachines => Set<PhysicalMachineRow>();

    public DbSet<StorlinkRow> Storlinks => Set<StorlinkRow>();

    public DbSet<VirtualMachineRow> VirtualMachines => Set<VirtualMachineRow>();

    public DbSet<VmInterfaceRow> VmInterfaces => Set<VmInterfaceRow>();

    public DbSet<TemplateRow> Templates => Set<TemplateRow>();

    public DbSet<DiskRow> Disks => Set<DiskRow>();

    public DbSet<SnapshotRow> Snapshots => Set<SnapshotRow>();

    public DbSet<BackupRow> Backups => Set<BackupRow>();

    public DbSet<NetworkRow> Networks => Set<NetworkRow>();

    public DbSet<DnsRow> Dns => Set<DnsRow>();

    public DbSet<SriovRow> SriovCards => Set<SriovRow>();

    public DbSet<StorageLayerRow> StorageLayers => Set<StorageLayerRow>();

    public DbSet<Ocfs2NodeRow> Ocfs2Nodes => Set<Ocfs2NodeRow>();

    public DbSet<NumberRow> Numbers => Set<NumberRow>();

    public DbSet<OperationRow> Operations => Set<OperationRow>();

    public DbSet<OperationLockRow> OperationLocks => Set<OperationLockRow>();

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<PhysicalMachineRow>().ToTable(PhysicalMachinesTable);

        modelBuilder.Entity<StorlinkRow>(table =>
        {
            table.ToTable(StorlinksTable);
            table.Property(row => row.Id).ValueGeneratedNever();
            References<StorlinkRow, PhysicalMachineRow>(modelBuilder, nameof(StorlinkRow.Pm));
            table.HasIndex(row => new { row.Pm, row.Name }).IsUnique();
        });

        modelBuilder.Entity<TemplateRow>(table =>
        {
            table.ToTable(TemplatesTable);
            References<TemplateRow, PhysicalMachineRow>(modelBuilder, nameof(TemplateRow.Pm));
            table.HasIndex(row => new { row.Pm, row.Name }).IsUnique();
        });

        modelBuilder.Entity<VirtualMachineRow>(table =>
        {
            table.ToTable(VirtualMachinesTable);
            References<VirtualMachineRow, PhysicalMachineRow>(modelBuilder, nameof(VirtualMachineRow.Pm));
            References<VirtualMachineRow, TemplateRow>(modelBuilder, nameof(VirtualMachineRow.Template));
            table.HasIndex(row => new { row.Pm, row.Name }).IsUnique();
            table.HasIndex(row => new { row.CreatedAt, row.Id });
        });

        modelBuilder.Entity<VmInterfaceRow>(table =>
        {
            table.ToTable(VmInterfacesTable);
            table.Property(row => row.Id).ValueGeneratedNever();
            References<VmInterfaceRow, VirtualMachineRow>(modelBuilder, nameof(VmInterfaceRow.Vm));
            table.HasIndex(row => row.Mac).IsUnique();
        });

        modelBuilder.Entity<DiskRow>(table =>
        {
            table.ToTable(DisksTable);
            table.Property(row => row.Order).HasColumnName("position");
            References<DiskRow, StorlinkRow>(modelBuilder, nameof(DiskRow.Storlink));
            References<DiskRow, DiskRow>(modelBuilder, nameof(DiskRow.Backing));
            table.HasIndex(row => new { row.OwnerKind, row.OwnerId, row.Order });
        });

        modelBuilder.Entity<SnapshotRow>(table =>
        {
            table.ToTable(SnapshotsTable);
            References<SnapshotRow, VirtualMachineRow>(modelBuilder, nameof(SnapshotRow.Vm));
            References<SnapshotRow, SnapshotRow>(modelBuilder, nameof(SnapshotRow.Parent));
            // The run snapshot is hidden from users, so its name must not take one from them.
            table.HasIndex(row => new { row.Vm, row.Name }).IsUnique().HasFilter("kind = 'S'");
            table.HasIndex(row => row.Vm);
        });

        modelBuilder.Entity<BackupRow>(table =>
        {
            table.ToTable(BackupsTable);
            References<BackupRow, VirtualMachineRow>(modelBuilder, nameof(BackupRow.Vm));
            References<BackupRow, StorlinkRow>(modelBuilder, nameof(BackupRow.Storlink));
        });

        modelBuilder.Entity<NetworkRow>(table =>
        {
            table.ToTable(NetworksTable);
            table.Property(row => row.Id).ValueGeneratedNever();
            References<NetworkRow, PhysicalMachineRow>(modelBuilder, nameof(NetworkRow.Pm));
            table.HasIndex(row => new { row.Pm, row.Name }).IsUnique();
        });

        modelBuilder.Entity<DnsRow>(table =>
        {
            table.ToTable(DnsTable);
            table.Property(row => row.Id).ValueGeneratedNever();
            References<DnsRow, PhysicalMachineRow>(modelBuilder, nameof(DnsRow.Pm));
            table.HasIndex(row => row.Pm).IsUnique();
        });

        modelBuilder.Entity<SriovRow>(table =>
        {
            table.ToTable(SriovTable);
            table.Property(row => row.Id).ValueGeneratedNever();
            References<SriovRow, PhysicalMachineRow>(modelBuilder, nameof(SriovRow.Pm));
            table.HasIndex(row => new { row.Pm, row.PhysicalFunction }).IsUnique();
        });

        modelBuilder.Entity<StorageLayerRow>(table =>
        {
            table.ToTable(StorageLayersTable);
            table.Property(row => row.Id).ValueGeneratedNever();
            References<StorageLayerRow, PhysicalMachineRow>(modelBuilder, nameof(StorageLayerRow.Pm));
            table.HasIndex(row => new { row.Pm, row.MountPoint }).IsUnique().HasFilter("mount_point IS NOT NULL");
        });

        modelBuilder.Entity<Ocfs2NodeRow>(table =>
        {
            table.ToTable(Ocfs2NodesTable);
            table.Property(row => row.Id).ValueGeneratedNever();
            References<Ocfs2NodeRow, StorageLayerRow>(modelBuilder, nameof(Ocfs2NodeRow.Storage));
            table.HasIndex(row => new { row.Storage, row.Number }).IsUnique();
        });

        modelBuilder.Entity<NumberRow>().ToTable("numbers").HasKey(row => row.Name);

        modelBuilder.Entity<OperationRow>(table =>
        {
            table.ToTable("operations");
            table.HasKey(row => row.Sequence);
            table.HasAlternateKey(row => row.Id);
            table.HasIndex(row => row.IdempotencyKey).IsUnique();
            table.HasIndex(row => new { row.CreatedAt, row.Sequence });
            table.HasIndex(row => new { row.Target, row.CreatedAt });
            table.HasIndex(row => row.FinishedAt);
            // The few that are under way, among the many that have ended.
            table.HasIndex(row => row.State).HasFilter("state < 2");
        });

        modelBuilder.Entity<OperationLockRow>(table =>
        {
            table.ToTable("operation_locks");
            table.HasKey(row => new { row.Resource, row.Operation });
            table.HasOne<OperationRow>().WithMany().HasForeignKey(row => row.Operation).HasPrincipalKey(row => row.Id).OnDelete(DeleteBehavior.ClientNoAction);
            // The journal looks before it adds; this makes sure that no mistake there ever lets two in.
            table.HasIndex(row => row.Resource).IsUnique().HasFilter("shared = 0");
        });

        foreach (var property in modelBuilder.Model.GetEntityTypes().SelectMany(type => type.GetProperties()))
        {
            if (property.FindAnnotation("Relational:ColumnName") is null)
            {
                property.SetColumnName(SnakeCase(property.Name));
            }

            if (property.ClrType == typeof(string[]))
            {
                property.SetValueComparer(s_texts);
            }
        }
    }

    // A reference without navigations: rows are flat. Nothing is ever deleted along with something else by surprise.
    private static void References<TRow, TPrincipal>(ModelBuilder model, string property)
        where TRow : class
        where TPrincipal : class =>
        model.Entity<TRow>().HasOne<TPrincipal>().WithMany().HasForeignKey(property).OnDelete(DeleteBehavior.ClientNoAction);

    private static bool AreEqual(string[]? one, string[]? other) =>
        ReferenceEquals(one, other) || (one is not null && other is not null && one.AsSpan().SequenceEqual(other));

    private static int HashOf(string[] texts)
    {
        HashCode hash = default;
        foreach (var text in texts)
        {
            hash.Add(text);
        }

        return hash.ToHashCode();
    }

    private static string SnakeCase(string name)
    {
        var text = new StringBuilder(name.Length + 4);
        foreach (var letter in name)
        {
            if (char.IsUpper(letter) && text.Length > 0)
            {
                text.Append('_');
            }

            text.Append(char.ToLowerInvariant(letter));
        }

        return text.ToString();
    }
}

/// <summary>Makes the context for <c>dotnet ef migrations add</c>, which never opens the file.</summary>
internal sealed class PengxContextDesign : IDesignTimeDbContextFactory<PengxContext>
{
    public PengxContext CreateDbContext(string[] args) =>
        new(new DbContextOptionsBuilder<PengxContext>().UseSqlite("Data Source=design.db").Options);
}
