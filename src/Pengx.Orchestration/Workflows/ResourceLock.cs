namespace Pengx.Orchestration;

/// <summary>A claim on an object for as long as an operation lasts.</summary>
/// <param name="Resource">The object, such as <c>vm/7e1…</c>.</param>
/// <param name="Shared">Whether others may hold it in the same way; an exclusive claim suffers no other.</param>
public readonly record struct ResourceLock(string Resource, bool Shared = false)
{
    private static readonly string[] s_order = ["vm/", "template/", "storlink/", "pm/"];

    /// <summary>Claims a virtual machine.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="shared">Whether others may claim it in the same way.</param>
    public static ResourceLock On(VmId id, bool shared = false) => new($"vm/{id}", shared);

    /// <summary>Claims a template.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="shared">Whether others may claim it in the same way.</param>
    public static ResourceLock On(TemplateId id, bool shared = false) => new($"template/{id}", shared);

    /// <summary>Claims a storage link.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="shared">Whether others may claim it in the same way.</param>
    public static ResourceLock On(StorlinkId id, bool shared = false) => new($"storlink/{id}", shared);

    /// <summary>Claims a physical machine.</summary>
    /// <param name="id">Which one.</param>
    /// <param name="shared">Whether others may claim it in the same way.</param>
    public static ResourceLock On(PmId id, bool shared = false) => new($"pm/{id}", shared);

    /// <summary>Claims an image that no row speaks of: to make it somebody's disk, or to remove it.</summary>
    /// <param name="id">Which one.</param>
    internal static ResourceLock On(DiskId id) => new($"disk/{id}");

    /// <summary>Claims the layers of storage of a physical machine.</summary>
    /// <param name="id">Whose.</param>
    /// <param name="shared">Whether others may claim them in the same way.</param>
    internal static ResourceLock OnStorages(PmId id, bool shared = false) => new($"storages/{id}", shared);

    /// <summary>Claims a name, so that two operations at once cannot both take it.</summary>
    /// <param name="kind">Whose name, such as <c>vm</c>.</param>
    /// <param name="name">The name.</param>
    public static ResourceLock OnName(string kind, string name) => new($"name/{kind}/{name}");

    /// <summary>The object as users call it: <c>VM 7e1…</c>, <c>storlink 3</c>.</summary>
    internal static string Describe(string resource)
    {
        var parts = resource.Split('/', 3);
        return parts switch
        {
            ["vm", var id] => $"VM {id}",
            ["pm", var id] => $"PM {id}",
            ["name", var kind, var name] => $"The {(kind is "vm" or "pm" ? kind.ToUpperInvariant() : kind)} name '{name}'",
            [var kind, var id] => $"{kind} {id}",
            _ => resource,
        };
    }

    /// <summary>One claim per object, an exclusive one before a shared one, in the fixed order VM, template, storlink, PM, other:
    /// a journal that takes row locks one after the other then never deadlocks.</summary>
    internal static IReadOnlyList<ResourceLock> Normalize(IReadOnlyList<ResourceLock> locks) =>
    [
        .. locks.GroupBy(claim => claim.Resource, StringComparer.Ordinal)
            .Select(group => new ResourceLock(group.Key, group.All(claim => claim.Shared)))
            .OrderBy(claim => Rank(claim.Resource)).ThenBy(claim => claim.Resource, StringComparer.Ordinal),
    ];

    private static int Rank(string resource)
    {
        var rank = Array.FindIndex(s_order, prefix => resource.StartsWith(prefix, StringComparison.Ordinal));
        return rank < 0 ? s_order.Length : rank;
    }
}
