namespace Pengx.Testing;

/// <summary>
/// The bootable disk of the test guest, which <c>eng/guest.sh</c> builds. Its behaviour is described in
/// <c>eng/guest/README.md</c>: it reports its hardware on the serial console and keeps a <see cref="GuestCounter"/>.
/// </summary>
public static class GuestImage
{
    /// <summary>The environment variable that names an image elsewhere.</summary>
    public const string Variable = "PENGX_GUEST_IMAGE";

    private const string Solution = "Pengx.Sdk.sln";

    /// <summary>The raw image's path, or null when it has not been built.</summary>
    public static string? Find()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
        {
            return File.Exists(named) ? Path.GetFullPath(named) : null;
        }

        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, Solution)))
            {
                string image = Path.Combine(folder.FullName, "artifacts", "guest", "guest.raw");
                return File.Exists(image) ? image : null;
            }
        }

        return null;
    }

    /// <summary>
    /// The raw image's path. Without it the running test is skipped, or fails where <c>PENGX_REQUIRE</c> demands
    /// <c>guest</c>. The file is shared: start guests from a copy, see <see cref="CopyTo"/>.
    /// </summary>
    public static string Require()
    {
        string? image = Find();
        string reason = Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named
            ? $"{Variable} names '{named}', which does not exist"
            : "the test guest's disk has not been built (run eng/guest.sh)";
        Requires.That(image is not null, "guest", reason);
        return image!;
    }

    /// <summary>Copies the image for one test; see <see cref="Require"/> for when there is none.</summary>
    /// <param name="path">The new file, which must not exist.</param>
    /// <returns>The path of the copy.</returns>
    public static string CopyTo(string path)
    {
        File.Copy(Require(), path);
        return path;
    }
}
