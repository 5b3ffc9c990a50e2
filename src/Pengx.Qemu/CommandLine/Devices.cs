using System.Globalization;
using System.Text.Json.Nodes;

namespace Pengx.Qemu;

/// <summary>The devices of a domain as QEMU is told of them, at start and while it runs alike.</summary>
internal static class Devices
{
    public const string DiskPrefix = "disk-";

    private const int SerialDigits = 15;

    public static string DiskId(DiskId disk) => DiskPrefix + BlockNodes.Key(disk);

    public static string NicId(MacAddress mac) => "nic-" + Digits(mac);

    public static string NetdevId(MacAddress mac) => "net-" + Digits(mac);

    /// <summary>The guest's disk device over a disk's top node.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="disk">The disk.</param>
    /// <param name="bootIndex">Its place in the boot order; <see langword="null"/> for a disk that comes later.</param>
    public static JsonObject Disk(DomainId domain, DomainDisk disk, int? bootIndex)
    {
        var device = new JsonObject
        {
            ["driver"] = "virtio-blk-pci",
            ["id"] = DiskId(disk.Id),
            ["bus"] = "pci.0",
            ["addr"] = PciSlots.Address(PciSlots.OfDisk(disk.Vdev)),
            ["drive"] = BlockNodes.FormatNode(disk.Id, disk.Layers[0]),

            ["serial"] = Serial(domain, disk.Vdev),
        };
        if (bootIndex is { } index)
        {
            device["bootindex"] = index;
        }

        return device;
    }

    /// <summary>The guest's network device.</summary>
    /// <param name="mac">Its address.</param>
    /// <param name="slot">Its slot.</param>
    public static JsonObject Nic(MacAddress mac, int slot) => new()
    {
        ["driver"] = "virtio-net-pci",
        ["id"] = NicId(mac),
        ["bus"] = PciSlots.NicBus,
        ["addr"] = PciSlots.Address(slot),
        ["netdev"] = NetdevId(mac),
        ["mac"] = mac.ToString(),

        // No boot from the network, no firmware for it.
        ["romfile"] = "",
    };

    /// <summary>The host's end of a network interface.</summary>
    /// <param name="mac">Its address.</param>
    /// <param name="tap">The host's device; <see langword="null"/> for user networking.</param>
    public static JsonObject Netdev(MacAddress mac, string? tap) => tap is null
        ? new() { ["type"] = "user", ["id"] = NetdevId(mac) }
        : new() { ["type"] = "tap", ["id"] = NetdevId(mac), ["ifname"] = tap, ["script"] = "no", ["downscript"] = "no" };

    /// <summary>The serial number by which the guest knows a disk (<c>/dev/disk/by-id/virtio-…</c>): its place in the machine and
    /// not its image, which snapshots and merges change. 20 characters are all that virtio has.</summary>
    /// <param name="domain">The domain.</param>
    /// <param name="vdev">The guest's device.</param>
    public static string Serial(DomainId domain, string vdev) => $"{domain.Value:N}"[..SerialDigits] + "-" + vdev;

    private static string Digits(MacAddress mac) => mac.Value.ToString("x12", CultureInfo.InvariantCulture);
}
