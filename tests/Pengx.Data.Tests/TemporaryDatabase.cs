using Microsoft.Extensions.Logging;

namespace Pengx.Data.Tests;

/// <summary>A directory of its own with one database file; removed with the stores that were opened on it.</summary>
internal sealed class TemporaryDatabase : IAsyncDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("pengx-data-");
    private readonly List<SqlitePengxStore> _stores = [];

    public string File => Path.Combine(_directory.FullName, "pengx.db");

    public SqlitePengxStore Store(ILoggerFactory? loggerFactory = null)
    {
        var store = SqlitePengxStore.Open(File, loggerFactory);
        _stores.Add(store);
        return store;
    }

    public async Task<SqlitePengxStore> ReadyStoreAsync(ILoggerFactory? loggerFactory = null)
    {
        var store = Store(loggerFactory);
        await store.InitializeAsync(TestContext.Current.CancellationToken);
        return store;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var store in _stores)
        {
            await store.DisposeAsync();
        }

        _directory.Delete(recursive: true);
    }
}
