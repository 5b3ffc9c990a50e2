using System.Globalization;

namespace Pengx.Qemu;

/// <summary>Where devices sit, fixed by what they are, so that a guest finds the same devices under the same names after each
/// start, and where a hot-added one will also be found.</summary>
/// <remarks>Bus 0: 1 the chipset, 2 graphics, 3 balloon, 4 to 29 the disks by the letter of their vdev, 30 the bridge to the
/// network interfaces' bus, which has the slots 1 to 31 (interfaces fill it from below, PCI functions of the host from above),
/// 31 the guest agent's channel.</remarks>
internal static class PciSlots
{
    public const int Graphics = 2;
    public const int Balloon = 3;
    public const int NicBridge = 30;
    public const int AgentChannel = 31;
    public const int LastOnBridge = 31;
    public const string NicBus = "nics";

    private const int FirstDisk = 4;

    /// <summary>The slot of a disk.</summary>
    /// <param name="vdev">Its vdev, <c>xvda</c> to <c>xvdz</c>.</param>
    /// <exception cref="InvalidFieldException">It is another vdev.</exception>
    public static int OfDisk(string vdev) => FirstDisk + (Vdev.LetterOf(vdev) - 'a');

    /// <summary>A slot as QEMU writes it.</summary>
    /// <param name="slot">The slot.</param>
    public static string Address(int slot) => string.Create(CultureInfo.InvariantCulture, $"0x{slot:x}");
}
