using System.Text.Json.Nodes;

namespace Pengx.Qmp;

/// <summary>
/// Actions that QEMU carries out together or not at all, at one moment between two writes of the guest. QEMU undoes what it has
/// prepared if a later action is refused. Jobs started in it run on by themselves, unless grouped: then the failure of one cancels all.
/// </summary>
public sealed class QmpTransaction
{
    private readonly List<(string Type, JsonObject Data)> _actions = [];

    /// <summary>Whether its jobs succeed or fail together. QEMU refuses it beside actions that are not jobs, such as <c>block-dirty-bitmap-add</c>.</summary>
    public bool IsGrouped { get; set; }

    /// <summary>How many actions it has.</summary>
    public int Count => _actions.Count;

    /// <summary>Adds an action.</summary>
    /// <param name="type">Its kind, such as <c>blockdev-snapshot</c>.</param>
    /// <param name="data">Its arguments; copied.</param>
    public QmpTransaction Add(string type, JsonObject data)
    {
        ArgumentException.ThrowIfNullOrEmpty(type);
        ArgumentNullException.ThrowIfNull(data);
        _actions.Add((type, (JsonObject)data.DeepClone()));
        return this;
    }

    /// <summary>Adds the start of a job; see <see cref="QmpJobEngine.StartAsync"/>.</summary>
    /// <param name="jobId">The job's id.</param>
    /// <param name="command">The command that starts it.</param>
    /// <param name="arguments">Its other arguments.</param>
    public QmpTransaction AddJob(string jobId, string command, JsonObject arguments) => Add(command, QmpJobEngine.Complete(jobId, command, arguments));

    /// <summary>Carries it out.</summary>
    /// <param name="client">The session.</param>
    /// <param name="cancellationToken">Gives up the wait.</param>
    /// <exception cref="InvalidOperationException">It has no actions.</exception>
    /// <exception cref="QmpCommandException">QEMU refused an action; none took effect.</exception>
    public Task ExecuteAsync(IQmpClient client, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        if (_actions.Count == 0)
        {
            throw new InvalidOperationException("A transaction needs at least one action.");
        }

        JsonObject arguments = new()
        {
            ["actions"] = new JsonArray([.. _actions.Select(action => new JsonObject { ["type"] = action.Type, ["data"] = action.Data.DeepClone() })]),
        };
        if (IsGrouped)
        {
            arguments["properties"] = new JsonObject { ["completion-mode"] = "grouped" };
        }

        return client.ExecuteRawAsync("transaction", QmpArguments.Create(arguments), cancellationToken);
    }
}
