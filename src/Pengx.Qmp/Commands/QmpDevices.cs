using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>Names a device or an object.</summary>
public sealed record QmpDeviceId
{
    /// <summary>Its id; for a device without one, its path in the object tree.</summary>
    public required string Id { get; init; }
}

/// <summary>Names a property in QEMU's object tree.</summary>
public sealed record QmpObjectProperty
{
    /// <summary>The object's path, absolute or unambiguous.</summary>
    public required string Path { get; init; }

    /// <summary>The property.</summary>
    public required string Property { get; init; }
}

/// <summary>A property in QEMU's object tree and its new value.</summary>
public sealed record QmpObjectPropertyValue
{
    /// <summary>The object's path, absolute or unambiguous.</summary>
    public required string Path { get; init; }

    /// <summary>The property.</summary>
    public required string Property { get; init; }

    /// <summary>The value, of the property's own type.</summary>
    public required JsonElement Value { get; init; }
}

/// <summary>Names an object in QEMU's object tree.</summary>
public sealed record QmpObjectPath
{
    /// <summary>The object's path.</summary>
    public required string Path { get; init; }
}

/// <summary>A property that an object has (<c>ObjectPropertyInfo</c> in <c>qapi/qom.json</c>).</summary>
public sealed record QmpObjectPropertyInfo
{
    /// <summary>The property.</summary>
    public required string Name { get; init; }

    /// <summary>Its type; <c>child&lt;…&gt;</c> for an object below this one, <c>link&lt;…&gt;</c> for a reference.</summary>
    public required string Type { get; init; }

    /// <summary>What it is for, if QEMU says.</summary>
    public string? Description { get; init; }
}
