using System.Text;

namespace Pengx.Xen;

/// <summary>Whether the QEMU of Xen can keep a console behind a password. VNC's own scheme needs the DES cipher, which a QEMU can be
/// built without (Debian's <c>qemu-system-xen</c> is); with a password it then does not start at all.</summary>
internal static class XenVncProbe
{
    // Where the builds of Xen and the distributions put it (libxl knows one of them by heart).
    private static readonly string[] s_places =
    [
        "/usr/libexec/xen-qemu-system-i386", "/usr/lib/xen/bin/qemu-system-i386", "/usr/libexec/xen/bin/qemu-system-i386",
        "/usr/local/lib/xen/bin/qemu-system-i386", "/usr/lib64/xen/bin/qemu-system-i386",
    ];

    /// <summary>Starts it for a moment, without a machine.</summary>
    /// <param name="processes">Runs it.</param>
    /// <param name="deviceModel">The QEMU; <see langword="null"/> to look where it usually is.</param>
    /// <param name="runDirectory">Where its socket may lie for the moment.</param>
    /// <param name="cancellationToken">Ends the probe.</param>
    /// <returns>What it says against passwords; <see langword="null"/> when they work, or when there is no QEMU to ask.</returns>
    public static async Task<string?> FindObstacleAsync(IProcessRunner processes, string? deviceModel, string runDirectory, CancellationToken cancellationToken)
    {
        var program = deviceModel ?? Array.Find(s_places, File.Exists);
        if (program is null)
        {
            return null;
        }

        var socket = Path.Combine(runDirectory, $"probe-{Guid.NewGuid():N}"[..16]);
        try
        {
            var result = await processes.RunAsync(
                new()
                {
                    FileName = program,
                    Arguments = ["-machine", "none", "-accel", "qtest", "-nodefaults", "-display", "none", "-vnc", $"unix:{socket},password=on", "-qmp", "stdio"],
                    Input = Encoding.ASCII.GetBytes("{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\"}\n"),
                },
                cancellationToken).ConfigureAwait(false);

            // Another failure is none of ours to judge: the start of a guest will tell.
            return result.ExitCode != 0 && result.Error.Contains("DES", StringComparison.Ordinal) ? result.Error.Trim().Split('\n')[^1] : null;
        }
        catch (ProcessFailedException)
        {
            return null;
        }
        finally
        {
            File.Delete(socket);
        }
    }
}
