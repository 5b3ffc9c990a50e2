using System.Text.Json.Nodes;

namespace Pengx.Qapi;

/// <summary>What QEMU's QAPI files say and its introspection hides: names, modules, versions, widths; see <c>eng/qapi-names.py</c>.</summary>
public sealed class Facts
{
    private Facts(JsonObject root)
    {
        Types = root["types"]!.AsObject().ToDictionary(entry => entry.Key, entry => (string)entry.Value!, StringComparer.Ordinal);
        Since = root["since"]!.AsObject().ToDictionary(entry => entry.Key, entry => (string)entry.Value!, StringComparer.Ordinal);
        Modules = root["modules"]!.AsObject().SelectMany(module => module.Value!.AsArray().Select(name => (Name: (string)name!, Module: module.Key)))
            .ToDictionary(entry => entry.Name, entry => entry.Module, StringComparer.Ordinal);
        FullWidth = Members(root["unsigned"]!);
        Varying = Members(root["varying"]!);
        Open = root["open"]!.AsArray().Select(name => (string)name!).ToHashSet(StringComparer.Ordinal);
    }

    /// <summary>QAPI's name of the type at the end of a path.</summary>
    public IReadOnlyDictionary<string, string> Types { get; }

    /// <summary>The QEMU that brought a definition.</summary>
    public IReadOnlyDictionary<string, string> Since { get; }

    /// <summary>The chapter that a definition stands in.</summary>
    public IReadOnlyDictionary<string, string> Modules { get; }

    /// <summary><c>owner.member</c> of numbers that use all 64 bits.</summary>
    public IReadOnlySet<string> FullWidth { get; }

    /// <summary><c>owner.member</c> that this QEMU always sends and another one does not.</summary>
    public IReadOnlySet<string> Varying { get; }

    /// <summary>Commands that take more arguments than their schema tells.</summary>
    public IReadOnlySet<string> Open { get; }

    /// <summary>Reads the file.</summary>
    public static Facts Parse(string text) => new(JsonNode.Parse(text)!.AsObject());

    private static HashSet<string> Members(JsonNode owners) =>
        owners.AsObject().SelectMany(owner => owner.Value!.AsArray().Select(member => $"{owner.Key}.{(string)member!}")).ToHashSet(StringComparer.Ordinal);
}
