namespace Pengx.Storage;

/// <summary>The names of a copy that is not whole yet.</summary>
internal static class CopyPart
{
    private const string Suffix = ".part";

    /// <summary>How far the copy is, so that another attempt can go on.</summary>
    private const string Journal = ".resume";

    /// <summary>Where the copy grows: hidden, beside its place, and the same at each attempt.</summary>
    public static string PathOf(string target) => Path.Combine(Path.GetDirectoryName(target) ?? "/", $".{Path.GetFileName(target)}{Suffix}");

    /// <summary>Where is written how far a copy is.</summary>
    public static string JournalOf(string part) => part + Journal;

    /// <summary>The part that a name tells the progress of; <see langword="null"/> when it is none.</summary>
    public static string? PartOf(string name) => name.EndsWith(Journal, StringComparison.Ordinal) ? name[..^Journal.Length] : null;
}
