using System.Collections.Frozen;

namespace Pengx.Data;

/// <summary>The texts under which an enumeration's values are stored. They are fixed here, so that renaming or reordering
/// the enumeration never changes what a database says.</summary>
internal sealed class StoredEnum<T>
    where T : struct, Enum
{
    private readonly FrozenDictionary<T, string> _texts;
    private readonly FrozenDictionary<string, T> _values;

    public StoredEnum(params (T Value, string Text)[] names)
    {
        _texts = names.ToFrozenDictionary(name => name.Value, name => name.Text);
        _values = names.ToFrozenDictionary(name => name.Text, name => name.Value, StringComparer.Ordinal);
    }

    public string this[T value] => _texts[value];

    public string? Text(T? value) => value is { } known ? _texts[known] : null;

    public T Parse(string text) => _values.TryGetValue(text, out var value)
        ? value
        : throw new UnavailableException($"The database holds '{text}' as a {typeof(T).Name}, which this version of Pengx does not know: it was written by a newer one. Upgrade Pengx.");

    public T? ParseOptional(string? text) => text is null ? null : Parse(text);
}

/// <summary>The stored texts of the domain's enumerations.</summary>
internal static class Stored
{
    public static readonly StoredEnum<VmState> States = new(
        (VmState.Shutdown, "SHUTDOWN"), (VmState.Running, "RUNNING"), (VmState.Paused, "PAUSED"), (VmState.Crashed, "CRASHED"));

    public static readonly StoredEnum<GuestOs> Systems = new(
        (GuestOs.Other, "OTHER"), (GuestOs.Arch, "ARCH"), (GuestOs.CentOs, "CENTOS"), (GuestOs.CoreOs, "COREOS"), (GuestOs.Debian, "DEBIAN"),
        (GuestOs.Fedora, "FEDORA"), (GuestOs.Gentoo, "GENTOO"), (GuestOs.Rhel, "RHEL"), (GuestOs.Ubuntu, "UBUNTU"), (GuestOs.Windows, "WINDOWS"));

    public static readonly StoredEnum<OsArchitecture> Architectures = new((OsArchitecture.X64, "X64"), (OsArchitecture.X86, "X86"));

    public static readonly StoredEnum<DiskFormat> DiskFormats = new((DiskFormat.Raw, "raw"), (DiskFormat.Qcow2, "qcow2"));

    public static readonly StoredEnum<DiskOwnerKind> DiskOwners = new(
        (DiskOwnerKind.Vm, "vm"), (DiskOwnerKind.Snapshot, "snapshot"), (DiskOwnerKind.Backup, "backup"), (DiskOwnerKind.Template, "template"),
        (DiskOwnerKind.Memory, "memory"));

    public static readonly StoredEnum<SnapshotKind> SnapshotKinds = new((SnapshotKind.Saved, "S"), (SnapshotKind.Run, "R"), (SnapshotKind.Deleted, "D"), (SnapshotKind.Partial, "P"));

    public static readonly StoredEnum<StorlinkType> StorlinkTypes = new(
        (StorlinkType.Local, "LO"), (StorlinkType.FibreChannel, "FC"), (StorlinkType.Iscsi, "ISC"), (StorlinkType.Nfs, "NFS"), (StorlinkType.Ceph, "CEP"));

    public static readonly StoredEnum<StorlinkLevel> StorlinkLevels = new(
        (StorlinkLevel.File, "FL"), (StorlinkLevel.Block, "BL"), (StorlinkLevel.Object, "OB"));

    public static readonly StoredEnum<StorageCategory> StorageCategories = new(
        (StorageCategory.Local, "local"), (StorageCategory.FibreChannel, "fc"), (StorageCategory.Iscsi, "iscsi"), (StorageCategory.Nfs, "nfs"),
        (StorageCategory.Ocfs2, "ocfs2"), (StorageCategory.Drbd, "drbd"), (StorageCategory.PhysicalVolume, "pv"), (StorageCategory.VolumeGroup, "vg"),
        (StorageCategory.LogicalVolume, "lv"));

    public static readonly StoredEnum<NetworkCategory> NetworkCategories = new(
        (NetworkCategory.Nic, "nic"), (NetworkCategory.Bridge, "bridge"), (NetworkCategory.Bond, "bond"));

    public static readonly StoredEnum<AddressMethod> AddressMethods = new(
        (AddressMethod.Manual, "manual"), (AddressMethod.Static, "static"), (AddressMethod.Dhcp, "dhcp"), (AddressMethod.None, "none"));

    public static readonly StoredEnum<BridgeType> BridgeTypes = new((BridgeType.Linux, "bridge"), (BridgeType.OpenVSwitch, "ovs"));

    public static readonly StoredEnum<BondMode> BondModes = new(
        (BondMode.BalanceRoundRobin, "balance-rr"), (BondMode.ActiveBackup, "active-backup"), (BondMode.BalanceXor, "balance-xor"),
        (BondMode.Broadcast, "broadcast"), (BondMode.LinkAggregation, "802.3ad"), (BondMode.BalanceTransmit, "balance-tlb"), (BondMode.BalanceAdaptive, "balance-alb"));
}
