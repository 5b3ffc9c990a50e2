using System.Diagnostics.CodeAnalysis;

namespace Pengx;

/// <summary>Identifies a domain of a hypervisor: a virtual machine or a template that can run.</summary>
/// <param name="Value">The UUID.</param>
public readonly record struct DomainId(Guid Value)
{
    /// <summary>Makes a fresh random identifier.</summary>
    public static DomainId New() => new(Guid.NewGuid());

    /// <summary>Reads a UUID in any case, with or without hyphens; <see langword="false"/> for anything else.</summary>
    /// <param name="text">The text to read.</param>
    /// <param name="id">The identifier read.</param>
    public static bool TryParse([NotNullWhen(true)] string? text, out DomainId id)
    {
        var valid = Identifier.TryParse(text, out var value);
        id = new(value);
        return valid;
    }

    /// <summary>The UUID in lower case with hyphens, as every answer of the API writes it.</summary>
    public override string ToString() => Value.ToString("D");

    /// <summary>The domain of a virtual machine.</summary>
    /// <param name="id">The virtual machine.</param>
    public static implicit operator DomainId(VmId id) => new(id.Value);

    /// <summary>The domain of a template.</summary>
    /// <param name="id">The template.</param>
    public static implicit operator DomainId(TemplateId id) => new(id.Value);
}
