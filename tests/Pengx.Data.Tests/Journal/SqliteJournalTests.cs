using Pengx.Orchestration;
using Pengx.Testing;

namespace Pengx.Data.Tests;

public sealed class SqliteJournalTests : JournalContract, IAsyncDisposable
{
    private readonly TemporaryDatabase _database = new();

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    protected override async Task<IOperationJournal> CreateAsync() => (await _database.ReadyStoreAsync()).Journal;
}
