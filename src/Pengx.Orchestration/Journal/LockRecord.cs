namespace Pengx.Orchestration;

/// <summary>A lock that an unfinished operation holds.</summary>
/// <param name="Resource">The object.</param>
/// <param name="Shared">Whether others may hold it in the same way.</param>
/// <param name="Operation">Who holds it.</param>
public sealed record LockRecord(string Resource, bool Shared, OperationId Operation);
