using System.Globalization;
using Pengx.Testing;

namespace Pengx.Lab;

/// <summary>
/// The guests of one test: a folder for their disks, what they say on their consoles, what they count on their disks. In the end the
/// domains that the test named and the folder are gone, whatever became of the test.
/// </summary>
internal sealed class LabGuests : IAsyncDisposable
{
    /// <summary>A disk of this size has room for the guest's counter.</summary>
    public const long DiskSize = 4 * 1024 * 1024;

    private const string Consoles = "/var/log/xen/console";
    private readonly List<string> _names = [];

    private LabGuests(string folder) => Folder = folder;

    /// <summary>Where the disks are.</summary>
    public string Folder { get; }

    /// <summary>Makes the folder; skips the test anywhere but in the laboratory.</summary>
    /// <param name="parent">Where it is made.</param>
    public static LabGuests Create(string? parent = null)
    {
        LabHost.Require();
        var folder = Path.Combine(parent ?? "/var/lib/pengx-lab", Guid.NewGuid().ToString("N")[..8]);
        Directory.CreateDirectory(folder);
        return new(folder);
    }

    /// <summary>A path in the folder.</summary>
    public string PathOf(string file) => Path.Combine(Folder, file);

    /// <summary>The name for a guest of this test, made from a word; the domain of that name is destroyed in the end.</summary>
    public string Name(string word)
    {
        var name = $"{word}-{Path.GetFileName(Folder)}";
        _names.Add(name);
        return name;
    }

    /// <summary>Destroys the domain of a machine of the service, in the end.</summary>
    public void Own(Guid vm) => _names.Add($"vm-{vm}");

    /// <summary>Makes an empty disk.</summary>
    /// <param name="file">Its file's name.</param>
    /// <param name="format">raw or qcow2.</param>
    /// <param name="size">Its size in bytes.</param>
    /// <returns>Its path.</returns>
    public async Task<string> CreateDiskAsync(string file, string format = "raw", long size = DiskSize)
    {
        var path = PathOf(file);
        await LabHost.OutputAsync("qemu-img", "create", "-q", "-f", format, path, size.ToString(CultureInfo.InvariantCulture));
        return path;
    }

    /// <summary>Copies the boot disk of HVM guests.</summary>
    /// <returns>Its path.</returns>
    public string CopyBootDisk(string file)
    {
        var path = PathOf(file);
        File.Copy(LabHost.BootImage, path);
        return path;
    }

    /// <summary>Writes a file into the folder.</summary>
    /// <returns>Its path.</returns>
    public async Task<string> WriteAsync(string file, string text)
    {
        var path = PathOf(file);
        await File.WriteAllTextAsync(path, text, TestContext.Current.CancellationToken);
        return path;
    }

    /// <summary>The newest record of the guest's counter on a disk; every record before it is whole.</summary>
    /// <param name="path">The disk's image; a running guest may have it open.</param>
    /// <param name="format">raw or qcow2.</param>
    public async Task<long> ReadCounterAsync(string path, string format = "raw")
    {
        if (format == "raw")
        {
            return await GuestCounter.ReadNewestAsync(path, TestContext.Current.CancellationToken);
        }

        var raw = PathOf($"{Guid.NewGuid():N}.raw");
        try
        {
            await LabHost.OutputAsync("qemu-img", "convert", "--force-share", "-f", format, "-O", "raw", path, raw);
            return await GuestCounter.ReadNewestAsync(raw, TestContext.Current.CancellationToken);
        }
        finally
        {
            File.Delete(raw);
        }
    }

    /// <summary>The newest record as a guest that writes meanwhile shows it: the record in flight may be torn, no other.</summary>
    /// <param name="path">A raw image.</param>
    public static async Task<long> PeekCounterAsync(string path)
    {
        await using FileStream image = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        return (await GuestCounter.ReadAsync(image, TestContext.Current.CancellationToken)).Newest;
    }

    /// <summary>Waits until a guest has counted beyond a number.</summary>
    /// <param name="path">Its counter's disk, a raw image.</param>
    /// <param name="number">The number.</param>
    /// <returns>What it has counted to.</returns>
    public static Task<long> WaitForCounterAsync(string path, long number) =>
        LabHost.UntilAsync($"counter beyond {number}", () => PeekCounterAsync(path), newest => newest > number);

    /// <summary>Everything that a PV or PVH guest has said on its console since this host came up.</summary>
    public static string ConsoleOf(string name)
    {
        var log = Path.Combine(Consoles, $"guest-{name}.log");
        return File.Exists(log) ? ReadShared(log) : "";
    }

    /// <summary>Waits until a PV or PVH guest has said something.</summary>
    public static Task<string> WaitForConsoleAsync(string name, string text) =>
        LabHost.UntilAsync(text, () => Task.FromResult(ConsoleOf(name)), said => said.Contains(text, StringComparison.Ordinal));

    /// <summary>Waits until something is written in a file, such as the one that an HVM guest's serial console goes to.</summary>
    public static Task<string> WaitForFileAsync(string path, string text) =>
        LabHost.UntilAsync(text, () => Task.FromResult(File.Exists(path) ? ReadShared(path) : ""), said => said.Contains(text, StringComparison.Ordinal));

    /// <summary>Creates a domain, up to three times: emulated machines do not always come up, and libxl gives a device model
    /// ten seconds for each answer, which a busy machine outside may take away.</summary>
    /// <param name="configuration">The path of its xl.cfg.</param>
    public static async Task StartAsync(string configuration)
    {
        const int Tries = 3;
        for (var attempt = 1; ; attempt++)
        {
            var result = await LabHost.RunAsync("xl", "create", configuration);
            if (result.ExitCode == 0 || attempt == Tries)
            {
                result.EnsureSuccess();
                return;
            }

            TestContext.Current.SendDiagnosticMessage("xl create failed and is tried again: {0}", result.Error);
        }
    }

    /// <summary>Waits until no domain has a name.</summary>
    public static Task WaitUntilGoneAsync(string name) =>
        LabHost.UntilAsync($"end of {name}", () => LabHost.RunAsync("xl", "domid", name), answer => answer.ExitCode != 0);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var name in _names)
        {
            // It fails for a domain that is gone already, and a test that failed before has more to say than this.
            await new ProcessRunner().RunAsync(new() { FileName = "xl", Arguments = ["destroy", name], Timeout = LabHost.Patience });
        }

        Directory.Delete(Folder, recursive: true);
    }

    private static string ReadShared(string path)
    {
        using FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        using StreamReader reader = new(file);
        return reader.ReadToEnd();
    }
}
