namespace Pengx.Host.Tests;

internal static class Repository
{
    /// <summary>The repository's root, found from the test's own place.</summary>
    public static string Root { get; } = Find();

    private static string Find()
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
