using System.Diagnostics;

namespace Pengx.Xen.Tests;

/// <summary>A real process with a program's name and arguments that does nothing but wait: xl's monitor or a guest's QEMU, as the process table shows
/// them. It ends with the test's own process, whatever becomes of that.</summary>
internal sealed class StandInProcess : IDisposable
{
    private readonly Process _process;
    private bool _isDisposed;

    private StandInProcess(Process process) => _process = process;

    public int Pid => _process.Id;

    /// <summary>Whether it runs, as the system knows it: .NET learns of an end a little later.</summary>
    public bool IsAlive
    {
        get
        {
            try
            {
                // "pid (name) state ...": one that ended and nobody has asked for is Z.
                return !_isDisposed && File.ReadAllText($"/proc/{Pid}/stat").Split(')')[^1].TrimStart()[0] is not ('Z' or 'X');
            }
            catch (IOException)
            {
                return false;
            }
        }
    }

    /// <summary>Starts one.</summary>
    /// <param name="folder">Where a link of the program's name may lie.</param>
    /// <param name="program">The program's name.</param>
    /// <param name="arguments">Its arguments.</param>
    public static StandInProcess Start(TemporaryFolder folder, string program, params IEnumerable<string> arguments)
    {
        // A shell of that name that waits for the end of its input, which is the end of this process at the latest.
        var link = folder.At(program);
        if (!File.Exists(link))
        {
            File.CreateSymbolicLink(link, "/bin/sh");
        }

        ProcessStartInfo start = new(link) { RedirectStandardInput = true, UseShellExecute = false };
        foreach (var argument in (string[])["-c", "read line", .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        return new(Process.Start(start)!);
    }

    public void End()
    {
        if (_isDisposed)
        {
            return;
        }

        if (IsAlive)
        {
            _process.Kill();
        }

        _process.WaitForExit();
    }

    public void Dispose()
    {
        End();
        _isDisposed = true;
        _process.Dispose();
    }
}
