using Pengx.Testing;

namespace Pengx.Xen.Tests;

/// <summary>Debian's own Xen tools as <c>eng/xen-tools.sh</c> unpacked them, and the stand-ins that let them run without a hypervisor.</summary>
internal static class XenTools
{
    private static readonly string? s_folder = Find();

    /// <summary>xl of Xen 4.17.</summary>
    public static string Xl => At("tree/usr/lib/xen-4.17/bin/xl");

    /// <summary>The C xenstored of Xen 4.17.</summary>
    public static string Xenstored => At("tree/usr/lib/xen-4.17/bin/xenstored");

    /// <summary>Where the tools' libraries are: the value of <c>LD_LIBRARY_PATH</c> that they need.</summary>
    public static string Libraries => At("tree/usr/lib/x86_64-linux-gnu");

    /// <summary>Skips the running test, or fails it where <c>PENGX_REQUIRE</c> demands <c>xen-tools</c>, when they are not there.</summary>
    public static void Require() =>
        Requires.That(s_folder is not null, "xen-tools", "artifacts/xen-tools is missing; eng/xen-tools.sh makes it");

    /// <summary>A tool of the package xenstore-utils, such as <c>xenstore-ls</c>.</summary>
    public static string XenstoreTool(string name) => At($"tree/usr/bin/{name}");

    /// <summary>A stand-in to preload: <c>eng/xen-tools/NAME.c</c>, compiled.</summary>
    public static string StandIn(string name) => At($"{name}.so");

    private static string At(string path)
    {
        Require();
        var full = Path.Combine(s_folder!, path);
        Requires.That(Path.Exists(full), "xen-tools", $"{full} is missing; eng/xen-tools.sh makes it");
        return full;
    }

    private static string? Find()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            var folder = Path.Combine(directory.FullName, "xen-tools");
            if (directory.Name == "artifacts" && File.Exists(Path.Combine(folder, "tree.key")))
            {
                return folder;
            }
        }

        return null;
    }
}
