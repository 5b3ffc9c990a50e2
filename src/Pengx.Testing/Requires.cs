using Xunit;

namespace Pengx.Testing;

/// <summary>
/// What a test needs from the machine. A missing part skips the test with a reason, unless the environment variable
/// <c>PENGX_REQUIRE</c> (comma separated names, or <c>all</c>) demands it: then the test fails.
/// </summary>
public static class Requires
{
    /// <summary>The environment variable that turns skips into failures.</summary>
    public const string Variable = "PENGX_REQUIRE";

    /// <summary>Skips or fails the running test unless a program can be found.</summary>
    /// <param name="executable">A file name to look up in <c>PATH</c>, or an absolute path.</param>
    /// <param name="requirement">The name under which <c>PENGX_REQUIRE</c> demands it, such as <c>qemu</c>.</param>
    public static void Tool(string executable, string requirement)
    {
        ArgumentException.ThrowIfNullOrEmpty(executable);
        That(Find(executable) is not null, requirement, $"'{executable}' is not installed");
    }

    /// <summary>Skips or fails the running test unless a condition holds.</summary>
    /// <param name="available">Whether the machine has what the test needs.</param>
    /// <param name="requirement">The name under which <c>PENGX_REQUIRE</c> demands it.</param>
    /// <param name="reason">What is missing, for the test report.</param>
    public static void That(bool available, string requirement, string reason)
    {
        ArgumentException.ThrowIfNullOrEmpty(requirement);
        ArgumentException.ThrowIfNullOrEmpty(reason);
        if (available)
        {
            return;
        }

        if (IsDemanded(requirement))
        {
            Assert.Fail($"{Variable} demands '{requirement}', but {reason}.");
        }

        Assert.SkipUnless(available, $"needs '{requirement}': {reason}");
    }

    /// <summary>The full path of a program in <c>PATH</c>, or null.</summary>
    /// <param name="executable">A file name, or an absolute path.</param>
    public static string? Find(string executable)
    {
        ArgumentException.ThrowIfNullOrEmpty(executable);
        if (Path.IsPathRooted(executable))
        {
            return File.Exists(executable) ? executable : null;
        }

        // System tools live in sbin, which an ordinary user's PATH leaves out.
        string[] system = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
        return (Environment.GetEnvironmentVariable("PATH") ?? string.Empty)
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Concat(system)
            .Select(directory => Path.Combine(directory, executable))
            .FirstOrDefault(File.Exists);
    }

    private static bool IsDemanded(string requirement) =>
        (Environment.GetEnvironmentVariable(Variable) ?? string.Empty)
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Any(name => name.Equals(requirement, StringComparison.OrdinalIgnoreCase) || name.Equals("all", StringComparison.OrdinalIgnoreCase));
}
