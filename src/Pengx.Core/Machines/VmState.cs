namespace Pengx;

/// <summary>The state of a virtual machine or template, as the API names it (reference: <c>get_state()</c>).</summary>
public enum VmState
{
    /// <summary>No domain runs: <c>SHUTDOWN</c>.</summary>
    Shutdown,

    /// <summary>The guest runs: <c>RUNNING</c>.</summary>
    Running,

    /// <summary>The guest exists and its processors stand still: <c>PAUSED</c>.</summary>
    Paused,

    /// <summary>The guest ended by a fault: <c>CRASHED</c>. It can be started, deleted, powered off.</summary>
    Crashed,
}
