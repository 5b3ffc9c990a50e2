using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class InMemoryJournalTests : JournalContract
{
    protected override Task<IOperationJournal> CreateAsync() => Task.FromResult<IOperationJournal>(new InMemoryJournal());
}
