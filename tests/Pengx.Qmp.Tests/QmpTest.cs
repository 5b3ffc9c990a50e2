using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Pengx.Testing;

namespace Pengx.Qmp.Tests;

/// <summary>A client and a fake monitor joined in memory, on a clock that only the test moves.</summary>
public abstract class QmpTest : IAsyncDisposable
{
    protected static TimeSpan Limit { get; } = TimeSpan.FromSeconds(20);

    protected FakeTimeProvider Clock { get; } = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    protected FakeQmpServer Server { get; } = FakeQmpServer.InMemory();

    protected static CancellationToken Stop => TestContext.Current.CancellationToken;

    public virtual async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    protected QmpClientOptions Options(Action<QmpClientOptions>? configure = null)
    {
        QmpClientOptions options = new() { TimeProvider = Clock };
        configure?.Invoke(options);
        return options;
    }

    protected async Task<QmpClient> ConnectAsync(Action<QmpClientOptions>? configure = null)
    {
        Task<QmpClient> connecting = QmpClient.AttachAsync(Server.ClientStream!, Options(configure), Stop);
        await Server.NegotiateAsync(Stop);
        return await connecting.WaitAsync(Limit, Stop);
    }

    protected static Task<System.Text.Json.JsonElement> RawAsync(QmpClient client, string command, JsonObject? arguments = null) =>
        client.ExecuteRawAsync(command, arguments is null ? null : QmpArguments.Create(arguments), Stop);

    protected static async Task<TException> FailsAsync<TException>(Task task)
        where TException : Exception =>
        await Assert.ThrowsAsync<TException>(() => task.WaitAsync(Limit, Stop));
}
