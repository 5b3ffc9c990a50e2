namespace Pengx.Testing;

/// <summary>The process is dead: nothing it still tries reaches the journal.</summary>
public sealed class SimulatedCrashException() : Exception("The process crashed here, as the test wants it.");
