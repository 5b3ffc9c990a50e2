using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class LocalStorageContractTests : StorageBackendContract, IDisposable
{
    private readonly TemporaryStorlink _directory = new();

    public LocalStorageContractTests() => Requires.Tool("qemu-img", "qemu");

    protected override IStorageBackend Backend { get; } = new LocalStorage(new ProcessRunner());

    protected override Storlink Storlink => _directory.Storlink;

    public void Dispose() => _directory.Dispose();
}
