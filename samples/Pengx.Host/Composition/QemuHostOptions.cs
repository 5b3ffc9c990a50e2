using Pengx.Qemu;

namespace Pengx.Host;

/// <summary>The section <c>Pengx:Qemu</c>: how guests run, and are moved between hosts. See <see cref="QemuOptions"/> for what each means.</summary>
internal sealed class QemuHostOptions
{
    public QemuAccelerator Accelerator { get; set; }

    public string Ssh { get; set; } = "ssh";

    public IList<string> SshOptions { get; init; } = [];

    public string? MigrationSocket { get; set; }

    public string? PeerMigrationSocket { get; set; }

    /// <summary>How many MiB of a moving guest's memory are sent in a second at most; 0 for QEMU's own limit.</summary>
    public int MigrationMiBPerSecond { get; set; }

    /// <exception cref="InvalidOperationException">A setting is none.</exception>
    public void ApplyTo(QemuOptions qemu)
    {
        qemu.Accelerator = Accelerator;
        qemu.Ssh = Ssh;
        foreach (var option in SshOptions)
        {
            qemu.SshOptions.Add(option);
        }

        qemu.MigrationSocket = MigrationSocket;
        qemu.PeerMigrationSocket = PeerMigrationSocket;
        qemu.MigrationBytesPerSecond = MigrationMiBPerSecond switch
        {
            < 0 => throw new InvalidOperationException($"Pengx:Qemu:MigrationMiBPerSecond '{MigrationMiBPerSecond}' is refused: use 0 for QEMU's own limit, or MiB a second."),
            0 => null,
            _ => DataSize.FromMiB(MigrationMiBPerSecond).Bytes,
        };
    }
}
