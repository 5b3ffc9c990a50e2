namespace Pengx.Architecture.Tests;

/// <summary>The layer table: which of our assemblies each library may reference. Changing the architecture means changing this.</summary>
internal static class Layers
{
    public static IReadOnlyDictionary<string, string[]> Allowed { get; } = new Dictionary<string, string[]>
    {
        ["Pengx.Core"] = [],
        ["Pengx.Qmp"] = ["Pengx.Core"],
        ["Pengx.Qemu"] = ["Pengx.Core", "Pengx.Qmp"],
        ["Pengx.Xen"] = ["Pengx.Core", "Pengx.Qmp"],
        ["Pengx.Storage"] = ["Pengx.Core"],
        ["Pengx.Orchestration"] = ["Pengx.Core"],
        ["Pengx.Data"] = ["Pengx.Core", "Pengx.Orchestration"],
        ["Pengx.Client"] = ["Pengx.Core"],
        ["Pengx.Testing"] = ["Pengx.Core", "Pengx.Qmp", "Pengx.Orchestration"],
    };

    /// <summary>What each library may bring along from others, by the start of the assembly's name; the runtime itself is free.</summary>
    public static IReadOnlyDictionary<string, string[]> AllowedPackages { get; } = new Dictionary<string, string[]>
    {
        ["Pengx.Core"] = ["Microsoft.Extensions.DependencyInjection.Abstractions", "Microsoft.Extensions.Logging.Abstractions", "Microsoft.Extensions.Options"],
        ["Pengx.Qmp"] = ["Microsoft.Extensions.Logging.Abstractions"],
        ["Pengx.Qemu"] = ["Microsoft.Extensions.DependencyInjection.Abstractions", "Microsoft.Extensions.Logging.Abstractions", "Microsoft.Extensions.Options"],
        ["Pengx.Xen"] = ["Microsoft.Extensions.DependencyInjection.Abstractions", "Microsoft.Extensions.Logging.Abstractions", "Microsoft.Extensions.Options"],
        ["Pengx.Storage"] = ["Microsoft.Extensions.DependencyInjection.Abstractions", "Microsoft.Extensions.Logging.Abstractions", "Microsoft.Extensions.Options"],
        ["Pengx.Orchestration"] = ["Microsoft.Extensions."],
        ["Pengx.Data"] = ["Microsoft.EntityFrameworkCore", "Microsoft.Data.Sqlite", "Microsoft.Extensions.", "SQLitePCLRaw"],
        ["Pengx.Client"] = ["Microsoft.Extensions."],
        ["Pengx.Testing"] = ["Microsoft.Extensions.", "xunit.v3."],
    };

    /// <summary>Repository root, found from the test's own place.</summary>
    public static string Root { get; } = FindRoot();

    private static string FindRoot()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Pengx.Sdk.sln")))
            {
                return directory.FullName;
            }
        }

        throw new InvalidOperationException($"Pengx.Sdk.sln is not above {AppContext.BaseDirectory}.");
    }
}
