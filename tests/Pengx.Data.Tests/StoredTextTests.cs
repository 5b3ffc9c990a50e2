namespace Pengx.Data.Tests;

public sealed class StoredTextTests
{
    // What databases hold: these texts are never changed, only added to.
    private const string Fixed = """
        VmState: SHUTDOWN RUNNING PAUSED CRASHED
        GuestOs: OTHER ARCH CENTOS COREOS DEBIAN FEDORA GENTOO RHEL UBUNTU WINDOWS
        OsArchitecture: X64 X86
        DiskFormat: raw qcow2
        DiskOwnerKind: vm snapshot backup template memory
        SnapshotKind: S R D P
        StorlinkType: LO FC ISC NFS CEP
        StorlinkLevel: FL BL OB
        StorageCategory: local fc iscsi nfs ocfs2 drbd pv vg lv
        NetworkCategory: nic bridge bond
        AddressMethod: manual static dhcp none
        BridgeType: bridge ovs
        BondMode: balance-rr active-backup balance-xor broadcast 802.3ad balance-tlb balance-alb
        """;

    [Fact]
    public void Texts_of_enumerations_never_change() => Assert.Equal(
        Fixed,
        string.Join('\n',
            Line(Stored.States), Line(Stored.Systems), Line(Stored.Architectures), Line(Stored.DiskFormats), Line(Stored.DiskOwners), Line(Stored.SnapshotKinds),
            Line(Stored.StorlinkTypes), Line(Stored.StorlinkLevels), Line(Stored.StorageCategories), Line(Stored.NetworkCategories), Line(Stored.AddressMethods), Line(Stored.BridgeTypes),
            Line(Stored.BondModes)));

    [Fact]
    public void A_text_of_a_newer_version_is_told_as_such()
    {
        var error = Assert.Throws<UnavailableException>(() => Stored.States.Parse("HIBERNATED"));
        Assert.Contains("HIBERNATED", error.Message, StringComparison.Ordinal);
    }

    private static string Line<T>(StoredEnum<T> texts)
        where T : struct, Enum
    {
        Assert.All(Enum.GetValues<T>(), value => Assert.Equal(value, texts.Parse(texts[value])));
        return $"{typeof(T).Name}: {string.Join(' ', Enum.GetValues<T>().Select(value => texts[value]))}";
    }
}
