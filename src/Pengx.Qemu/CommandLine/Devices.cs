using System.Globalization;
using System.Text.Json.Nodes;

namespace Pengx.Qemu;

/// <summary>The devices of a domain as QEMU is told of them, at start and while it runs alike.</summary>
internal static class Devices
{
    public const string DiskPrefix = "disk-";

    public static string DiskId(DiskId disk) => DiskPrefix + BlockNodes.Key(disk);

    public static string NicId(MacAddress mac) => "nic-" + Digits(mac);

    public static string NetdevId(MacAddress mac) => "net-" + Digits(mac);

    /// <summary>The guest's disk device over a disk's top node.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="bootIndex">Its place in the boot order; <see langword="null"/> for a disk that comes later.</param>
    public static JsonObject Disk(DomainDisk disk, int? bootIndex)
    {
        var device = new JsonObject
        {
            ["driver"] = "virtio-blk-pci",
            ["id"] = DiskId(disk.Id),
            ["bus"] = "pci.0",
            ["addr"] = PciSlots.Address(PciSlots.OfDisk(disk.Vdev)),
            ["drive"] = BlockNodes.FormatNode(disk.Id, disk.Layers[0]),

            // The guest finds it as /dev/disk/by-id/virtio-…; 20 characters are all that virtio has.
            ["serial"] = BlockNodes.Key(disk.Id),
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

    private static string Digits(MacAddress mac) => mac.Value.ToString("x12", CultureInfo.InvariantCulture);
}
