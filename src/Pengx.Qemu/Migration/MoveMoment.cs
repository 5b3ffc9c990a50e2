namespace Pengx.Qemu;

/// <summary>The moments of a move between two hosts, in their order; "here" is the side that it leaves.</summary>
internal enum MoveMoment
{
    /// <summary>There: QEMU waits for the guest's state.</summary>
    Waiting,

    /// <summary>Here: QEMU sends.</summary>
    Sending,

    /// <summary>Here: the guest stands still, its disks are still this QEMU's.</summary>
    Standing,

    /// <summary>There: all of the guest is loaded.</summary>
    Loaded,

    /// <summary>Here: all is there, and nothing is written down yet.</summary>
    Sent,

    /// <summary>Here: it is written down that it may run there.</summary>
    Left,

    /// <summary>There: it was told to run, and nothing is written down yet.</summary>
    Told,

    /// <summary>There: it is written down that it is there.</summary>
    Owned,

    /// <summary>There: it runs, and nobody has heard.</summary>
    Running,

    /// <summary>Here: it is known to run there.</summary>
    Known,

    /// <summary>The guest stands still, and its memory is about to be written into a volume.</summary>
    Keeping,

    /// <summary>The overlays are laid, and the memory is not whole yet.</summary>
    Laid,
}
