namespace Pengx;

/// <summary>The guest's device names (vdev) of disks, by their place in the boot order.</summary>
/// <remarks><c>xvdc</c> is never given: on HVM it is the same emulated IDE unit as the CD-ROM <c>hdc</c>.</remarks>
public static class Vdev
{
    /// <summary>How many disks a machine can have: <c>xvda</c> to <c>xvdz</c> without <c>xvdc</c>.</summary>
    public const int MaxDisks = 25;

    /// <summary>The device of the disk at a place: 0 is <c>xvda</c>, 1 <c>xvdb</c>, 2 <c>xvdd</c>, 3 <c>xvde</c> and so on.</summary>
    /// <param name="index">The place, 0 to 24.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such place.</exception>
    public static string At(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, MaxDisks);
        return $"xvd{(char)('a' + (index < 2 ? index : index + 1))}";
    }

    /// <summary>The letter of a disk's device: <c>a</c> for <c>xvda</c>.</summary>
    /// <param name="vdev">The device, <c>xvda</c> to <c>xvdz</c>.</param>
    /// <exception cref="InvalidFieldException">It is another device.</exception>
    internal static char LetterOf(string vdev) =>
        vdev is { Length: 4 } && vdev.StartsWith("xvd", StringComparison.Ordinal) && vdev[3] is >= 'a' and <= 'z'
            ? vdev[3]
            : throw new InvalidFieldException("vdev", vdev, "it must be xvda to xvdz.");
}
