using System.Globalization;
using System.Text;

namespace Pengx.Storage;

/// <summary>The configuration files that Ceph's clients are given, made from the operator's: Ceph waits for ever by default.</summary>
internal sealed class CephConfiguration(CephOptions options)
{
    private const UnixFileMode DirectoryMode =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    private readonly Lock _gate = new();

    /// <summary>The file for guests: bounded while they connect, patient ever after.</summary>
    public string GuestFile { get; } = Path.Combine(options.StateDirectory, $"{options.User}.guest.conf");

    /// <summary>The file for tools: every wait is bounded, and what they say goes to nobody but their caller.</summary>
    public string ToolFile { get; } = Path.Combine(options.StateDirectory, $"{options.User}.tool.conf");

    /// <summary>Brings both files up to date with the operator's.</summary>
    /// <exception cref="StorageException">One cannot be read or written.</exception>
    public void Refresh()
    {
        var source = options.ConfigurationFile;
        try
        {
            lock (_gate)
            {
                var text = File.ReadAllText(source);
                var mode = File.GetUnixFileMode(source);
                Directory.CreateDirectory(options.StateDirectory, DirectoryMode);
                Write(GuestFile, text, mode, Section());
                Write(ToolFile, text, mode, Section(
                    ("rados_mon_op_timeout", Seconds(options.OperationTimeout)),
                    ("rados_osd_op_timeout", Seconds(options.OperationTimeout)),
                    ("admin_socket", ""),
                    ("log_file", "")));
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new StorageException($"The configuration of the Ceph cluster, {source}, cannot be used: {exception.Message}", exception);
        }
    }

    // A section may come twice; what is said last for the user itself holds.
    private string Section(params ReadOnlySpan<(string Key, string Value)> more)
    {
        StringBuilder section = new();
        section.Append(CultureInfo.InvariantCulture, $"\n\n[client.{options.User}]\n");
        section.Append(CultureInfo.InvariantCulture, $"client_mount_timeout = {Seconds(options.ConnectTimeout)}\n");
        if (options.Keyring is { } keyring)
        {
            section.Append(CultureInfo.InvariantCulture, $"keyring = {keyring}\n");
        }

        foreach (var (key, value) in more)
        {
            section.Append(CultureInfo.InvariantCulture, $"{key} = {value}\n");
        }

        return section.ToString();
    }

    private static string Seconds(TimeSpan time) => Math.Ceiling(time.TotalSeconds).ToString(CultureInfo.InvariantCulture);

    private static void Write(string path, string text, UnixFileMode mode, string section)
    {
        var content = text + section;
        if (File.Exists(path) && File.ReadAllText(path) == content && File.GetUnixFileMode(path) == mode)
        {
            return;
        }

        // Another process may be reading it: it is replaced whole. It may hold a key, so it is as secret as the operator's.
        var fresh = $"{path}.{Guid.NewGuid():N}";
        try
        {
            using (FileStream file = new(fresh, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite }))
            {
                file.Write(Encoding.UTF8.GetBytes(content));
                file.Flush(flushToDisk: true);
            }

            File.SetUnixFileMode(fresh, mode);
            File.Move(fresh, path, overwrite: true);
        }
        finally
        {
            File.Delete(fresh);
        }
    }
}
