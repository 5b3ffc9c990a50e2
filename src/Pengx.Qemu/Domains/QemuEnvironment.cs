using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Pengx.Qemu;

/// <summary>What all domains of a driver share.</summary>
internal sealed class QemuEnvironment : IDisposable
{
    /// <summary>What a QEMU needs beside its guest's memory.</summary>
    public static readonly DataSize Overhead = DataSize.FromMiB(96);

    private readonly Lazy<QemuUser?> _user;
    private readonly Lazy<string?> _setpriv = new(() => ProgramSearch.Find("setpriv"));

    public QemuEnvironment(QemuOptions options, IProcessRunner processes, TimeProvider time, ILogger logger)
    {
        Options = options;
        Time = time;
        Logger = logger;
        Processes = processes;
        Probe = new(options, processes, logger);
        RunDirectory = options.RunDirectory ?? (IsRoot ? DefaultRunDirectory(options.StateDirectory) : Path.Combine(options.StateDirectory, "run"));
        _user = new(() => options.User is { } name ? QemuUser.Find(name) : null);
    }

    public static bool IsRoot { get; } = NativeMethods.EffectiveUser() == 0;

    public QemuOptions Options { get; }

    public TimeProvider Time { get; }

    public ILogger Logger { get; }

    public IProcessRunner Processes { get; }

    public AcceleratorProbe Probe { get; }

    public DomainEventHub Events { get; } = new();

    public string RunDirectory { get; }

    /// <summary>The user that QEMU runs as; <see langword="null"/> for the service's own.</summary>
    public QemuUser? User => _user.Value;

    /// <summary>What a new guest could get now. Replaced by tests.</summary>
    public Func<DataSize> ReadFreeMemory { get; set; } = static () => HostReadings.ReadMemory().Free;

    /// <summary>Told of each moment of a move at which something may die. Replaced by tests.</summary>
    public Func<MoveMoment, Task> OnMove { get; set; } = static _ => Task.CompletedTask;

    public void Dispose() => Probe.Dispose();

    // Its own for each state directory: guests are told by their paths in it, and those of another service are not ours to take up.
    private static string DefaultRunDirectory(string stateDirectory) =>
        $"/run/pengx-qemu-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.TrimEndingDirectorySeparator(Path.GetFullPath(stateDirectory)))))[..12]}";

    public DomainFiles FilesOf(DomainId id) => new(Options.StateDirectory, RunDirectory, id);

    /// <summary>The QEMU, as an absolute path.</summary>
    /// <exception cref="UnavailableException">It is not installed.</exception>
    public string FindBinary() => ProgramSearch.Find(Options.Binary)
        ?? throw new UnavailableException($"{Options.Binary} is not installed (Debian: qemu-system-x86).");

    /// <summary>The version of an installed QEMU, as three numbers.</summary>
    /// <param name="binary">The QEMU, as an absolute path.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="HypervisorException">It does not say.</exception>
    public async Task<string> ReadVersionAsync(string binary, CancellationToken cancellationToken)
    {
        const string Mark = " version ";
        var said = (await Processes.RunAsync(new() { FileName = binary, Arguments = ["--version"] }, cancellationToken).ConfigureAwait(false)).EnsureSuccess().Output;
        var at = said.IndexOf(Mark, StringComparison.Ordinal);
        return at < 0
            ? throw new HypervisorException($"{binary} does not say its version.")
            : said[(at + Mark.Length)..].Split([' ', '\n'], 2)[0];
    }

    /// <summary>The whole command line: what takes the privileges away, then QEMU.</summary>
    /// <param name="binary">The QEMU.</param>
    /// <param name="arguments">Its arguments.</param>
    /// <exception cref="HypervisorException">The privileges cannot be taken away as configured.</exception>
    public IReadOnlyList<string> Confine(string binary, IReadOnlyList<string> arguments)
    {
        if (_setpriv.Value is not { } setpriv)
        {
            if (User is not null)
            {
                throw new HypervisorException("QEMU cannot run as another user without setpriv (Debian: util-linux).");
            }

            Log.NoSetpriv(Logger);
            return [binary, .. arguments];
        }

        List<string> line = [setpriv, "--no-new-privs"];
        if (IsRoot)
        {
            line.AddRange(["--bounding-set=-all", "--inh-caps=-all"]);
        }

        if (User is { } user)
        {
            line.AddRange([
                "--reuid", user.Uid.ToString(CultureInfo.InvariantCulture), "--regid", user.Gid.ToString(CultureInfo.InvariantCulture), "--init-groups",
            ]);
        }

        return [.. line, "--", binary, .. arguments];
    }

    /// <summary>Hands the images of a disk to QEMU's user. Does nothing where QEMU runs as the service's.</summary>
    /// <param name="disk">The disk.</param>
    /// <exception cref="HypervisorException">The system refused.</exception>
    public void HandOver(DomainDisk disk)
    {
        foreach (var layer in disk.Layers)
        {
            switch (layer.Location)
            {
                case FileLocation file:
                    HandOver(file.Path);
                    break;
                case BlockLocation block:
                    HandOver(block.Path);
                    break;
            }
        }
    }

    /// <summary>Hands a file to QEMU's user. Does nothing where QEMU runs as the service's.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="HypervisorException">The system refused.</exception>
    public void HandOver(string path)
    {
        if (User is { } user && NativeMethods.ChangeOwner(path, user.Uid, user.Gid) < 0)
        {
            throw new HypervisorException($"{path} cannot be handed to user {user.Name}: {NativeMethods.LastError()}");
        }
    }
}

/// <summary>A local user.</summary>
/// <param name="Name">The name.</param>
/// <param name="Uid">The user's number.</param>
/// <param name="Gid">The number of the user's group.</param>
internal sealed record QemuUser(string Name, uint Uid, uint Gid)
{
    /// <summary>Finds a user in <c>/etc/passwd</c>.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="InvalidFieldException">There is none, or the service may not change to it.</exception>
    public static QemuUser Find(string name)
    {
        if (!QemuEnvironment.IsRoot)
        {
            throw new InvalidFieldException(nameof(QemuOptions.User), name, "only a service that runs as root can change to another user.");
        }

        foreach (var line in File.ReadLines("/etc/passwd"))
        {
            var fields = line.Split(':');
            if (fields.Length > 3 && fields[0] == name
                && uint.TryParse(fields[2], NumberStyles.None, CultureInfo.InvariantCulture, out var uid)
                && uint.TryParse(fields[3], NumberStyles.None, CultureInfo.InvariantCulture, out var gid))
            {
                return new(name, uid, gid);
            }
        }

        throw new InvalidFieldException(nameof(QemuOptions.User), name, "there is no such user in /etc/passwd.");
    }
}
