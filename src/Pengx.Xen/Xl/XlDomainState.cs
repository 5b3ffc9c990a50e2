namespace Pengx.Xen;

/// <summary>What a domain does, from the six letters of <c>xl list</c>.</summary>
internal enum XlDomainActivity
{
    /// <summary>Its guest runs, or waits for something.</summary>
    Running,

    /// <summary>Its processors stand still.</summary>
    Paused,

    /// <summary>Its guest ended (<see cref="XlDomainState.Reason"/>); the domain is still there.</summary>
    Shutdown,

    /// <summary>Its guest ended by a fault.</summary>
    Crashed,

    /// <summary>It was destroyed and still holds something (a zombie when it stays so).</summary>
    Dying,
}

/// <summary>Why a guest ended.</summary>
internal enum XlShutdownReason
{
    /// <summary>It did not end.</summary>
    None,

    /// <summary>It powered itself off.</summary>
    PowerOff,

    /// <summary>It wants to be started again.</summary>
    Reboot,

    /// <summary>Its memory was saved.</summary>
    Suspend,

    /// <summary>It crashed.</summary>
    Crash,

    /// <summary>Its watchdog ended it.</summary>
    Watchdog,

    /// <summary>It wants its devices anew, as a crash kernel does.</summary>
    SoftReset,

    /// <summary>A reason that this version does not know.</summary>
    Unknown,
}

/// <summary>The state of a domain as <c>xl list</c> shows it.</summary>
/// <param name="Activity">What it does.</param>
/// <param name="Reason">Why its guest ended.</param>
/// <param name="IsPaused">Whether its processors are stopped, which they also are in a domain that ended.</param>
internal readonly record struct XlDomainState(XlDomainActivity Activity, XlShutdownReason Reason, bool IsPaused)
{
    /// <summary>Reads the six letters: running, blocked, paused, shut down, why, dying.</summary>
    /// <param name="letters">The letters.</param>
    /// <param name="state">The state.</param>
    public static bool TryParse(ReadOnlySpan<char> letters, out XlDomainState state)
    {
        state = default;
        if (letters is not [('r' or '-'), ('b' or '-'), ('p' or '-'), ('s' or '-'), var why, ('d' or '-')])
        {
            return false;
        }

        var ended = letters[3] == 's';
        XlShutdownReason? reason = why switch
        {
            // The letter is '-' for both: no reason, and power-off.
            '-' => ended ? XlShutdownReason.PowerOff : XlShutdownReason.None,
            'r' => XlShutdownReason.Reboot,
            's' => XlShutdownReason.Suspend,
            'c' => XlShutdownReason.Crash,
            'w' => XlShutdownReason.Watchdog,
            'S' => XlShutdownReason.SoftReset,
            '?' => XlShutdownReason.Unknown,
            _ => null,
        };
        if (reason is not { } known)
        {
            return false;
        }

        var paused = letters[2] == 'p';
        var activity = letters[5] == 'd' ? XlDomainActivity.Dying
            : known is XlShutdownReason.Crash or XlShutdownReason.Watchdog ? XlDomainActivity.Crashed
            : ended ? XlDomainActivity.Shutdown
            : paused ? XlDomainActivity.Paused
            : XlDomainActivity.Running;
        state = new(activity, known, paused);
        return true;
    }
}
