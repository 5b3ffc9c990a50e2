using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Pengx.Storage;

/// <summary>Runs Ceph's tools, each bounded in time twice: by what its configuration says, and by a deadline. What they answer
/// is read as JSON; <c>rbd</c> ends with the number of the system error.</summary>
internal sealed class CephTools(IProcessRunner runner, CephOptions options, CephConfiguration configuration)
{
    /// <summary>There is no such image, or no such pool.</summary>
    public const int NoEntry = 2;

    /// <summary>Somebody has the image open.</summary>
    public const int Busy = 16;

    /// <summary>There is one already.</summary>
    public const int Exists = 17;

    /// <summary>The image has snapshots.</summary>
    public const int NotEmpty = 39;

    private const int NotPermitted = 1;
    private const int AccessDenied = 13;
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;

    // A setting of the operator's shell must not point our tools at another cluster or user.
    private static readonly Dictionary<string, string> s_environment = new(StringComparer.Ordinal) { ["CEPH_ARGS"] = "", ["CEPH_CONF"] = "" };

    /// <summary>Runs <c>rbd</c> and returns what it said, whatever its exit code.</summary>
    /// <exception cref="UnavailableException">The cluster cannot be reached, or did not answer in time.</exception>
    public Task<ProcessResult> TryRbdAsync(IReadOnlyList<string> arguments, CancellationToken cancellationToken, TimeSpan? timeout = null) =>
        RunAsync(options.Rbd, ["-c", configuration.ToolFile, "--id", options.User, .. arguments], timeout ?? options.CommandTimeout, cancellationToken);

    /// <summary>Runs <c>rbd</c>.</summary>
    /// <exception cref="PengxException">It failed; the message has its words.</exception>
    public async Task<ProcessResult> RbdAsync(string what, IReadOnlyList<string> arguments, CancellationToken cancellationToken, TimeSpan? timeout = null)
    {
        var result = await TryRbdAsync(arguments, cancellationToken, timeout).ConfigureAwait(false);
        return result.ExitCode == 0 ? result : throw FailureOf(what, result);
    }

    /// <summary>Runs <c>rbd</c> and reads its answer.</summary>
    /// <exception cref="PengxException">It failed; the message has its words.</exception>
    public async Task<T> RbdAsync<T>(string what, IReadOnlyList<string> arguments, JsonTypeInfo<T> type, CancellationToken cancellationToken) =>
        Read(await RbdAsync(what, [.. arguments, "--format", "json"], cancellationToken).ConfigureAwait(false), type);

    /// <summary>Asks about an image.</summary>
    /// <returns>The answer; <see langword="null"/> when there is no such image.</returns>
    public async Task<T?> FindAsync<T>(string what, string verb, string pool, string image, JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class
    {
        var result = await TryRbdAsync([verb, "--pool", pool, "--image", image, "--format", "json"], cancellationToken).ConfigureAwait(false);
        if (result.ExitCode == 0)
        {
            return Read(result, type);
        }

        // The same number means that there is no pool, or no key: only a pool that can be read and does not have the image lacks it.
        if (result.ExitCode != NoEntry || (await NamesAsync(what, pool, cancellationToken).ConfigureAwait(false)).Contains(image))
        {
            throw FailureOf(what, result);
        }

        return null;
    }

    /// <summary>What was noted of an image.</summary>
    /// <returns>By key; <see langword="null"/> when there is no such image.</returns>
    public async Task<IReadOnlyDictionary<string, string>?> NotesAsync(string what, string pool, string image, CancellationToken cancellationToken)
    {
        var result = await TryRbdAsync(["image-meta", "list", "--pool", pool, "--image", image, "--format", "json"], cancellationToken).ConfigureAwait(false);
        return result.ExitCode switch
        {
            // Of an image that nothing was noted of, it says nothing.
            0 => string.IsNullOrWhiteSpace(result.Output) ? new Dictionary<string, string>() : Read(result, CephJson.Default.IReadOnlyDictionaryStringString),
            NoEntry when !(await NamesAsync(what, pool, cancellationToken).ConfigureAwait(false)).Contains(image) => null,
            _ => throw FailureOf(what, result),
        };
    }

    /// <summary>The names of all images of a pool; opens none of them.</summary>
    public Task<IReadOnlyList<string>> NamesAsync(string what, string pool, CancellationToken cancellationToken) =>
        RbdAsync(what, ["ls", "--pool", pool], CephJson.Default.IReadOnlyListString, cancellationToken);

    /// <summary>What lies in a pool's trash; opens nothing.</summary>
    public Task<IReadOnlyList<RbdTrashEntry>> TrashAsync(string what, string pool, CancellationToken cancellationToken) =>
        RbdAsync(what, ["trash", "ls", "--pool", pool, "--all"], CephJson.Default.IReadOnlyListRbdTrashEntry, cancellationToken);

    /// <summary>How full the cluster and its pools are.</summary>
    public async Task<CephUsage> UsageAsync(string what, CancellationToken cancellationToken)
    {
        var result = await CephAsync(["df", "detail", "--format", "json"], cancellationToken).ConfigureAwait(false);
        return result.ExitCode == 0 ? Read(result, CephJson.Default.CephUsage) : throw FailureOf(what, result);
    }

    /// <summary>Shuts a client that has ended out of the cluster, for a minute, so that what it had open is open no more.</summary>
    public async Task ShutOutAsync(string what, string address, CancellationToken cancellationToken)
    {
        var result = await CephAsync(["osd", "blocklist", "add", address, "60"], cancellationToken).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            throw FailureOf(what, result);
        }
    }

    /// <summary>The failure that an exit code stands for, with the tool's own words.</summary>
    public static PengxException FailureOf(string what, ProcessResult result)
    {
        var cause = ProcessFailedException.Exited(result);
        var message = $"{what}: {cause.Message}";
        return result.ExitCode switch
        {
            Busy => new InUseException(message),
            NotEmpty => new InUseException(message),
            NoSpace or QuotaExceeded => new InsufficientResourceException(message),
            AccessDenied => new StorageException($"{what}: the Ceph user's key is wrong, or its capabilities do not suffice. {cause.Message}", cause),
            _ => new StorageException(message, cause),
        };
    }

    private Task<ProcessResult> CephAsync(IReadOnlyList<string> arguments, CancellationToken cancellationToken) =>
        RunAsync(
            options.Ceph,
            [
                "-c", configuration.ToolFile, "--name", $"client.{options.User}",
                "--connect-timeout", Math.Ceiling(options.ConnectTimeout.TotalSeconds).ToString(CultureInfo.InvariantCulture), .. arguments,
            ],
            options.CommandTimeout,
            cancellationToken);

    private async Task<ProcessResult> RunAsync(string program, IReadOnlyList<string> arguments, TimeSpan timeout, CancellationToken cancellationToken)
    {
        ProcessCommand command = new() { FileName = program, Arguments = arguments, Environment = s_environment, Timeout = timeout, MaxOutputBytes = 64 * 1024 * 1024 };
        ProcessResult result;
        try
        {
            result = await runner.RunAsync(command, cancellationToken).ConfigureAwait(false);
        }
        catch (ProcessFailedException exception) when (exception is { ExitCode: null, InnerException: null })
        {
            throw new UnavailableException($"The Ceph cluster did not answer: {exception.Message}", exception);
        }

        return IsUnreachable(result)
            ? throw new UnavailableException($"The Ceph cluster cannot be reached, or does not answer. {ProcessFailedException.Exited(result).Message}")
            : result;
    }

    // ENETDOWN, ENETUNREACH, ENOTCONN, ESHUTDOWN (blocklisted), ETIMEDOUT, ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH. The program ceph, written
    // in Python, ends with 1 when it gives up connecting.
    private static bool IsUnreachable(ProcessResult result) =>
        result.ExitCode is 100 or 101 or 107 or 108 or 110 or 111 or 112 or 113
        || (result.ExitCode == NotPermitted && result.Error.Contains("timed out", StringComparison.OrdinalIgnoreCase));

    private static T Read<T>(ProcessResult result, JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(result.Output, type) ?? throw new JsonException("It is empty.");
        }
        catch (JsonException exception)
        {
            throw new StorageException($"The answer of {Path.GetFileName(result.Command.FileName)} cannot be understood: {exception.Message}", exception);
        }
    }
}
