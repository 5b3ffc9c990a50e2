using Pengx.Qapi;

namespace Pengx.Qmp.Tests;

/// <summary>The schema, the facts and the generated code as they lie in the repository.</summary>
internal static class StoredFiles
{
    public static string Folder { get; } = Path.Combine(FindRoot(), "src", "Pengx.Qmp", "Schema");

    public static string SchemaText { get; } = File.ReadAllText(Path.Combine(Folder, "qemu-schema.json"));

    public static StoredSchema Schema { get; } = StoredSchema.Parse(SchemaText);

    public static Generator Generator() => new(Schema, Facts.Parse(File.ReadAllText(Path.Combine(Folder, "qapi-facts.json"))));

    /// <summary>The reply alone, as QEMU would send it.</summary>
    public static byte[] Reply()
    {
        using var document = System.Text.Json.JsonDocument.Parse(SchemaText);
        return System.Text.Encoding.UTF8.GetBytes(document.RootElement.GetProperty("schema").GetRawText());
    }

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Directory.Packages.props")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException("The tests do not run inside the repository.");
    }
}
