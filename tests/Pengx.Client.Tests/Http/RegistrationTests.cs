using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Pengx.Client.Tests;

public sealed class RegistrationTests
{
    private static readonly Guid A = Guid.Parse("aaaaaaaa-0000-4000-8000-00000000000a");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_application_gets_one_client()
    {
        await using var server = new RawServer(RawServer.Xml($"<vm id='{A}'><name>n</name></vm>", headers: "Set-Cookie: a=b; path=/\r\n"));
        await using var provider = new ServiceCollection()
            .AddPengxClient(options =>
            {
                options.BaseAddress = server.Address;
                options.ApiKey = "key";
            })
            .Services.BuildServiceProvider();
        var client = provider.GetRequiredService<IPengxClient>();
        Assert.Same(client, provider.GetRequiredService<PengxClient>());
        Assert.Equal("n", (await client.Machines.GetAsync(A, Token)).Name);
        Assert.Equal("n", (await client.Machines.GetAsync(A, Token)).Name);
        Assert.All(server.Requests, sent => Assert.Equal("Bearer key", sent.Header("Authorization")));
        Assert.All(server.Requests, sent => Assert.Null(sent.Header("Cookie")));
    }

    [Fact]
    public async Task A_registered_client_follows_no_redirect_and_gives_its_key_to_nobody_else()
    {
        await using var other = new RawServer(RawServer.Xml($"<vm id='{A}'/>"));
        await using var server = new RawServer(RawServer.Whole("301 Moved", $"Location: {other.Address}\r\n", ""));
        await using var provider = new ServiceCollection()
            .AddPengxClient(options =>
            {
                options.BaseAddress = server.Address;
                options.ApiKey = "key";
            })
            .Services.BuildServiceProvider();
        await Assert.ThrowsAsync<PengxApiException>(() => provider.GetRequiredService<IPengxClient>().Machines.GetAsync(A, Token));
        Assert.Empty(other.Requests);
    }

    [Fact]
    public void A_wrong_option_is_named_by_the_container()
    {
        using var provider = new ServiceCollection().AddPengxClient(_ => { }).Services.BuildServiceProvider();
        var error = Assert.Throws<OptionsValidationException>(() => provider.GetRequiredService<IPengxClient>());
        Assert.Contains("BaseAddress", error.Message, StringComparison.Ordinal);
    }

    public static TheoryData<Action<PengxClientOptions>, string> WrongOptions() => new()
    {
        { options => options.BaseAddress = null, "BaseAddress" },
        { options => options.BaseAddress = new Uri("vms/", UriKind.Relative), "BaseAddress" },
        { options => options.BaseAddress = new Uri("file:///etc/passwd"), "BaseAddress" },
        { options => options.BaseAddress = new Uri("http://a/?b=c"), "BaseAddress" },
        { options => options.BaseAddress = new Uri("http://u:p@a/"), "BaseAddress" },
        { options => options.Version = (ApiVersion)3, "Version" },
        { options => options.ApiKey = "", "ApiKey" },
        { options => options.ApiKey = "a b", "ApiKey" },
        { options => options.ApiKey = "a\r\nb", "ApiKey" },
        { options => options.Timeout = TimeSpan.Zero, "Timeout" },
        { options => options.OperationPollInterval = TimeSpan.FromDays(2), "OperationPollInterval" },
        { options => options.EventIdleTimeout = Timeout.InfiniteTimeSpan, "EventIdleTimeout" },
    };

    [Theory]
    [MemberData(nameof(WrongOptions))]
    public void A_wrong_option_is_named(Action<PengxClientOptions> change, string name)
    {
        var options = new PengxClientOptions { BaseAddress = new Uri("http://127.0.0.1:8080") };
        change(options);
        using var http = new HttpClient();
        var error = Assert.Throws<ArgumentException>(() => new PengxClient(http, options));
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
        if (options.ApiKey is { Length: > 0 } key)
        {
            Assert.DoesNotContain(key, error.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("VM x deleted", "VM x deleted")]
    [InlineData("100%", "100%25")]
    [InlineData("a\r\nX: y", "a%0D%0AX: y")]
    [InlineData("Grüße 😀", "Gr%C3%BC%C3%9Fe %F0%9F%98%80")]
    public void A_message_travels_in_a_header(string message, string header)
    {
        Assert.Equal(header, PengxHeaders.EncodeMessage(message));
        Assert.Equal(message, PengxHeaders.DecodeMessage(header));
    }
}
