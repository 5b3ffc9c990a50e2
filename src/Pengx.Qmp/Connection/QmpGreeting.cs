using System.Text.Json.Serialization;

namespace Pengx.Qmp;

/// <summary>What QEMU says first on a monitor connection.</summary>
public sealed record QmpGreeting
{
    /// <summary>The version of the QEMU at the other end.</summary>
    public required QmpVersion Version { get; init; }

    /// <summary>The optional abilities that it offers, such as <c>oob</c>.</summary>
    public IReadOnlyList<string> Capabilities { get; init => field = value ?? []; } = [];
}

/// <summary>A QEMU version: the upstream number and the packager's addition (<c>VersionInfo</c> in <c>qapi/control.json</c>).</summary>
public sealed record QmpVersion
{
    /// <summary>The upstream version.</summary>
    public required QmpVersionNumber Qemu { get; init; }

    /// <summary>The packager's own version text; often empty.</summary>
    public string Package { get; init => field = value ?? string.Empty; } = string.Empty;

    /// <summary>The version as people write it, such as <c>7.2.22</c>.</summary>
    public override string ToString() => $"{Qemu.Major}.{Qemu.Minor}.{Qemu.Micro}";
}

/// <summary>The three numbers of an upstream QEMU version.</summary>
/// <param name="Major">The first number.</param>
/// <param name="Minor">The second number.</param>
/// <param name="Micro">The third number.</param>
public sealed record QmpVersionNumber(
    [property: JsonRequired] int Major,
    [property: JsonRequired] int Minor,
    [property: JsonRequired] int Micro)
{
    /// <summary>Whether this version is at least the given one.</summary>
    /// <param name="major">The first number.</param>
    /// <param name="minor">The second number.</param>
    public bool IsAtLeast(int major, int minor) => (Major, Minor).CompareTo((major, minor)) >= 0;
}
