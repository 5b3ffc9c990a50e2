using System.Diagnostics;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Pengx.Storage;

/// <summary>Carries storage plans out: before each step its conditions are verified again, after it the postcondition is read
/// back, and when a step fails what was done before is taken back in reverse order. Safe to use from many threads.</summary>
/// <param name="runner">Runs the programs.</param>
/// <param name="timeProvider">The clock; the system's when not given.</param>
/// <param name="logger">Told of every step.</param>
public sealed class StoragePlanExecutor(IProcessRunner runner, TimeProvider? timeProvider = null, ILogger<StoragePlanExecutor>? logger = null) : IPlanExecutor
{
    /// <summary>How long a check may take; reading a report is quick, and on dead storage it must not hang.</summary>
    private static readonly TimeSpan s_checkTimeout = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan s_pollInterval = TimeSpan.FromMilliseconds(50);

    private readonly TimeProvider _time = timeProvider ?? TimeProvider.System;
    private readonly ILogger _logger = logger ?? NullLogger<StoragePlanExecutor>.Instance;

    /// <summary>Carries a plan out.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="cancellationToken">Stops the plan; what was done is taken back, unless a step without return had begun.</param>
    /// <returns>The steps that were done.</returns>
    /// <exception cref="StoragePlanFailedException">A step failed; the message has its own words and tells what was taken back.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled, and everything done was taken back.</exception>
    public async Task<StoragePlanOutcome> ExecuteAsync(StoragePlan plan, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(plan);
        List<StorageStep> done = [];
        var committed = false;
        foreach (var step in plan.Steps)
        {
            var began = false;
            try
            {
                cancellationToken.ThrowIfCancellationRequested();
                foreach (var condition in step.Before)
                {
                    await DemandAsync(condition, "cannot be done safely", cancellationToken).ConfigureAwait(false);
                }

                cancellationToken.ThrowIfCancellationRequested();
                began = true;
                committed |= step.NoReturn;
                var started = _time.GetTimestamp();
                await PerformAsync(step.Action, cancellationToken).ConfigureAwait(false);
                await DemandAsync(step.After, "reported success, but it is not so", cancellationToken).ConfigureAwait(false);
                done.Add(step);
                _logger.StorageStepDone(plan.Title, step.Description, _time.GetElapsedTime(started));
            }
            catch (Exception exception)
            {
                // A defect of a step leaves things half done, too.
                var (undone, notUndone) = committed ? ([], []) : await UndoAsync(plan, done, began ? step : null).ConfigureAwait(false);
                var expected = exception is PengxException or OperationCanceledException or IOException or UnauthorizedAccessException;
                if (!expected || (exception is OperationCanceledException && cancellationToken.IsCancellationRequested && !committed && notUndone.Count == 0))
                {
                    throw;
                }

                StoragePlanOutcome outcome = new([.. done], step, undone, notUndone);
                throw new StoragePlanFailedException(Describe(plan, outcome, committed, exception), outcome, exception);
            }
        }

        return new([.. done], null, [], []);
    }

    /// <summary>Whether a condition holds, within its time.</summary>
    /// <param name="condition">The condition.</param>
    /// <param name="cancellationToken">Ends the check.</param>
    /// <returns><see langword="null"/> when it holds, otherwise what was found instead.</returns>
    /// <exception cref="UnavailableException">The check itself did not end in time.</exception>
    public async Task<string?> VerifyAsync(StorageCondition condition, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(condition);
        var started = _time.GetTimestamp();
        while (true)
        {
            var found = await BoundedAsync(condition.VerifyAsync, s_checkTimeout, $"The check whether {condition.Text}", cancellationToken).ConfigureAwait(false);
            if (found is null || _time.GetElapsedTime(started) >= condition.Within)
            {
                return found;
            }

            await Task.Delay(s_pollInterval, _time, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task DemandAsync(StorageCondition condition, string because, CancellationToken cancellationToken)
    {
        if (await VerifyAsync(condition, cancellationToken).ConfigureAwait(false) is { } found)
        {
            throw new StorageException($"It {because}: it must be that {condition.Text}, but {found}.");
        }
    }

    private async Task PerformAsync(StorageAction action, CancellationToken cancellationToken)
    {
        switch (action)
        {
            case ToolAction tool:
                var result = await runner.RunAsync(tool.Command, cancellationToken).ConfigureAwait(false);
                if (!tool.AlsoAccepted.Contains(result.ExitCode))
                {
                    result.EnsureSuccess();
                }

                break;
            case NativeAction native:
                await BoundedAsync<bool>(
                    async token =>
                    {
                        await native.PerformAsync(token).ConfigureAwait(false);
                        return true;
                    },
                    native.Timeout,
                    $"'{native.Text}'",
                    cancellationToken).ConfigureAwait(false);
                break;
            default:
                throw new UnreachableException();
        }
    }

    // A call that hangs in the kernel keeps its thread; the caller is let go.
    private async Task<T> BoundedAsync<T>(Func<CancellationToken, Task<T>> work, TimeSpan timeout, string what, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(timeout, _time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        try
        {
            return await Task.Run(() => work(stop.Token), stop.Token).WaitAsync(stop.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new UnavailableException(string.Create(CultureInfo.InvariantCulture, $"{what} did not end within {timeout.TotalSeconds:0.#} s."));
        }
    }

    private async Task<(IReadOnlyList<StorageStep> Undone, IReadOnlyList<(StorageStep, string)> NotUndone)> UndoAsync(StoragePlan plan, List<StorageStep> done, StorageStep? failed)
    {
        List<StorageStep> undone = [];
        List<(StorageStep, string)> notUndone = [];
        IEnumerable<StorageStep> candidates = failed is { Undo.Needed: not null } ? done.Append(failed) : done;
        foreach (var step in candidates.Reverse())
        {
            if (step.Undo is not { } undo)
            {
                continue;
            }

            try
            {
                // Undoing is not cancelled: each of its calls has its own end.
                if (undo.Needed is { } needed && await VerifyAsync(needed, CancellationToken.None).ConfigureAwait(false) is not null)
                {
                    continue;
                }

                await PerformAsync(undo.Action, CancellationToken.None).ConfigureAwait(false);
                if (undo.Needed is { } still && await VerifyAsync(still with { Within = default }, CancellationToken.None).ConfigureAwait(false) is null)
                {
                    throw new StorageException($"After '{undo.Action}' it is still so that {still.Text}.");
                }

                undone.Add(step);
                _logger.StorageStepUndone(plan.Title, step.Description);
            }
            catch (Exception exception)
            {
                notUndone.Add((step, exception.Message));
                _logger.StorageStepNotUndone(plan.Title, step.Description, exception);
            }
        }

        return (undone, notUndone);
    }

    private static string Describe(StoragePlan plan, StoragePlanOutcome outcome, bool committed, Exception exception)
    {
        StringBuilder text = new();
        text.Append(plan.Title).Append(" failed at '").Append(outcome.Failed?.Description).Append("': ").Append(exception.Message);
        if (committed)
        {
            text.Append(" There was no way back any more; order it again to finish it.");
        }

        if (outcome.Undone.Count > 0)
        {
            text.Append(" Taken back: ").AppendJoin(", ", outcome.Undone.Select(step => $"'{step.Description}'")).Append('.');
        }

        foreach (var (step, reason) in outcome.NotUndone)
        {
            text.Append(" '").Append(step.Description).Append("' could not be taken back (").Append(step.Undo?.Action).Append("): ").Append(reason);
        }

        return text.ToString();
    }
}
