using Pengx.Testing;

namespace Pengx.Data.Tests;

public sealed class SqliteStoreTests : StoreContract, IAsyncDisposable
{
    private readonly TemporaryDatabase _database = new();

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    protected override async Task<IPengxStore> CreateAsync() => await _database.ReadyStoreAsync();
}
