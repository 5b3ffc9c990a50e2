using System.Text.Json.Nodes;

namespace Pengx.Qmp;

public sealed partial class QmpBlockOperations
{
    /// <summary>
    /// Begins to mirror disks to their targets: the guest goes on with its own, and everything it writes goes to both. Wait until it is
    /// ready, then change over (<see cref="QmpMirror.PivotAsync"/>) or keep the copies (<see cref="QmpMirror.FinishAsync"/>).
    /// If this fails, the targets are gone from QEMU and nothing is mirrored.
    /// </summary>
    /// <param name="disks">The disks and their targets.</param>
    /// <param name="settings">What is copied and how; null for everything, in the background.</param>
    /// <param name="options">How the jobs run; null for the defaults.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="QmpBlockOperationException">QEMU refused, or the connection broke.</exception>
    public async Task<QmpMirror> StartMirrorAsync(
        IReadOnlyList<QmpMirrorDisk> disks, QmpMirrorSettings? settings = null, QmpBlockJobOptions? options = null, CancellationToken cancellationToken = default)
    {
        RequireAny(disks);
        QmpBlockJobOptions jobOptions = (options ?? new QmpBlockJobOptions()).Validate(disks.Count == 1);
        QmpMirrorSettings mirror = settings ?? new QmpMirrorSettings();
        Attempt attempt = new(this, "The mirror");
        try
        {
            QmpBlockGraph before = await QueryGraphAsync(cancellationToken).ConfigureAwait(false);
            foreach (QmpMirrorDisk disk in disks)
            {
                string jobId = jobOptions.JobId ?? QmpJobId.Create("mirror", disk.Node);
                if (jobOptions.AdoptExisting && await _jobs.FindAsync(jobId, cancellationToken).ConfigureAwait(false) is { } existing)
                {
                    attempt.OwnNode(disk.Target);
                    attempt.OwnJob(existing);
                    continue;
                }

                await attempt.AddNodeAsync(disk.Target, cancellationToken).ConfigureAwait(false);
                JsonObject arguments = new()
                {
                    ["device"] = disk.Node,
                    ["target"] = disk.Target.NodeName,
                    ["sync"] = mirror.TopOnly ? "top" : "full",
                    ["copy-mode"] = mirror.WriteBlocking ? "write-blocking" : "background",
                    ["on-source-error"] = "report",
                    ["on-target-error"] = "report",
                };
                await attempt.StartAsync(jobId, "blockdev-mirror", arguments, jobOptions, cancellationToken).ConfigureAwait(false);
            }

            return new QmpMirror(this, attempt, before, disks, mirror.TopOnly, jobOptions);
        }
        catch (Exception exception) when (IsFailure(exception))
        {
            throw await attempt.UndoAsync(exception).ConfigureAwait(false);
        }
    }
}

/// <summary>What a mirror copies, and how.</summary>
public sealed class QmpMirrorSettings
{
    /// <summary>Whether only the topmost image is copied: the target has the images beneath it already.</summary>
    public bool TopOnly { get; set; }

    /// <summary>Whether each write of the guest waits until it is on the target too: slower for the guest, but sure to get done under any load.</summary>
    public bool WriteBlocking { get; set; }
}
