using System.Text.Json.Serialization.Metadata;

namespace Pengx.Orchestration;

internal sealed class AuthorizedKeysState
{
    public required PmId Pm { get; init; }

    /// <summary>What was done, for the user.</summary>
    public string? Done { get; set; }
}

/// <summary>Takes every PM's key into the service user's <c>authorized_keys</c>.</summary>
internal sealed class UpdateAuthorizedKeys(Workplace place) : Workflow<AuthorizedKeysState>
{
    public override string Name => "pm.update-authorized-keys";

    public override JsonTypeInfo<AuthorizedKeysState> StateType => JournalJson.Default.AuthorizedKeysState;

    public override IReadOnlyList<Step<AuthorizedKeysState>> Steps =>
    [
        new("write keys", async (context, cancellationToken) => context.State.Done = await WriteAsync(cancellationToken).ConfigureAwait(false)) { IsSwitch = true },
    ];

    public override string Target(AuthorizedKeysState state) => $"pm/{state.Pm}";

    public override string Describe(AuthorizedKeysState state) => $"the update of the authorized keys of PM {state.Pm}";

    public override IReadOnlyList<ResourceLock> Locks(AuthorizedKeysState state) => [ResourceLock.On(state.Pm)];

    public override string Succeeded(AuthorizedKeysState state) => state.Done ?? "The authorized keys are up to date.";

    private async Task<string> WriteAsync(CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new WrongStateException("Authorized keys are kept on Linux only.");
        }

        var path = place.Options.ResolvedAuthorizedKeysPath
            ?? throw new WrongStateException("The service's user has no home directory; configure the path of its authorized keys.");
        if (!Path.IsPathFullyQualified(path))
        {
            throw new WrongStateException($"The configured path of the authorized keys, '{path}', is not an absolute path.");
        }

        var machines = await place.Store.ReadAsync(
            async session => await session.PhysicalMachines.ListAsync(cancellationToken).ToListAsync(cancellationToken).ConfigureAwait(false),
            cancellationToken).ConfigureAwait(false);
        List<string> keys = [];
        List<string> refused = [];
        foreach (var machine in machines.Where(machine => !string.IsNullOrEmpty(machine.SshPublicKey)))
        {
            if (SshPublicKey.Check(machine.SshPublicKey!, out var key) is { } fault)
            {
                refused.Add($"The key of PM '{machine.Name}' is left out: {fault}.");
            }
            else if (!keys.Contains(key, StringComparer.Ordinal))
            {
                keys.Add(key);
            }
        }

        var written = AuthorizedKeysFile.Update(path, keys);
        var count = keys.Count == 1 ? "1 key" : $"{keys.Count} keys";
        return string.Join(' ', [written ? $"{path} was updated, it has {count} of PMs." : $"{path} was up to date with {count} of PMs.", .. refused]);
    }
}
