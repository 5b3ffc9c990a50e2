using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class InMemoryStoreTests : StoreContract
{
    protected override Task<IPengxStore> CreateAsync() => Task.FromResult<IPengxStore>(new InMemoryStore());
}
