namespace Pengx.Client;

/// <summary>
/// A template (golden VM): <c>&lt;template&gt;</c>. Version 1 lists it with id, name, size, system and description; version 2 adds the
/// lock, the host, the state and the last boot, and its retrieval the VNC port and password. What a shape does not carry reads as null.
/// </summary>
public sealed record TemplateResource
{
    /// <summary>The template's id.</summary>
    public required Guid Id { get; init; }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>The size of its disks in MiB.</summary>
    public long Size { get; init; }

    /// <summary>The operating system, for example <c>DEBIAN</c>.</summary>
    public string? Os { get; init; }

    /// <summary><c>X86</c> or <c>X64</c>.</summary>
    public string? OsArch { get; init; }

    /// <summary>Its description.</summary>
    public string? Description { get; init; }

    /// <summary>Whether an operation holds it now (<c>&lt;lock_status&gt;</c>); empty reads as false.</summary>
    public bool Locked { get; init; }

    /// <summary>The host it belongs to.</summary>
    public Guid? Pm { get; init; }

    /// <summary>Its state: <c>RUNNING</c>, <c>SHUTDOWN</c>, <c>PAUSED</c>, …</summary>
    public string? State { get; init; }

    /// <summary>When it was last booted, or null.</summary>
    public DateTimeOffset? LastBootTime { get; init; }

    /// <summary>Its VNC port, or null.</summary>
    public int? VncPort { get; init; }

    /// <summary>Its VNC password, or null.</summary>
    public string? VncPassword { get; init; }

    /// <summary>Names the template without its VNC password, so that a log never shows it.</summary>
    /// <returns>Its id and name.</returns>
    public override string ToString() => $"template {Id:D} '{Name}'";
}
