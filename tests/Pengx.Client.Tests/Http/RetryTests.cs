using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Pengx.Client.Testing;

namespace Pengx.Client.Tests;

public sealed class RetryTests
{
    private static readonly Guid A = Guid.Parse("aaaaaaaa-0000-4000-8000-00000000000a");
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(200);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_read_that_is_put_off_is_sent_again_and_its_result_is_whole()
    {
        var count = 0;
        using var server = new FakePengxServer();
        server.Shows($"vms/{A}/", PengxShapes.MachineDetail, new MachineResource { Id = A, Name = "a" });
        server.On(HttpMethod.Get, "vms/", () => Task.FromResult(new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent($"<vms><vm id='{A}'><name>b</name></vm></vms>") }));
        var client = server.CreateClient(options => options.Retries = 2, new SkippingClock(First, 2 * First));
        using var flaky = new FakePengxServer();
        flaky.On(HttpMethod.Get, "vms/", () => Task.FromResult(++count < 3
            ? new HttpResponseMessage(HttpStatusCode.ServiceUnavailable)
            : new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent($"<vms><vm id='{A}'><name>b</name></vm></vms>") }));
        Assert.Equal("a", (await client.Machines.GetAsync(A, Token)).Name);
        Assert.Equal("b", Assert.Single(await Clients.AllAsync(flaky.CreateClient(options => options.Retries = 2, new SkippingClock(First, 2 * First)).Machines.ListAsync(Token))).Name);
        Assert.Equal(3, flaky.Requests.Count);
    }

    [Fact]
    public async Task A_change_of_a_server_that_honours_keys_is_sent_again_with_the_same_key()
    {
        var count = 0;
        using var server = new FakePengxServer();
        server.On(HttpMethod.Post, $"vms/{A}/start/", () => Task.FromResult(++count == 1
            ? new HttpResponseMessage(HttpStatusCode.BadGateway)
            : new HttpResponseMessage(HttpStatusCode.OK) { Content = new ByteArrayContent(PengxXml.Write(PengxShapes.Result, new ResultBody(true, "started"))) }));
        Assert.Equal("started", (await server.CreateClient(options => options.Retries = 1, new SkippingClock(First)).Machines.StartAsync(A, null, Token)).Message);
        Assert.Equal(2, server.Requests.Count);
        Assert.NotNull(server.Requests[0].IdempotencyKey);
        Assert.Single(server.Requests.Select(request => request.IdempotencyKey).Distinct());
    }

    [Fact]
    public async Task A_change_that_may_have_arrived_at_another_server_is_not_sent_again()
    {
        await using var server = new RawServer((_, answer) =>
        {
            answer.Closed = true;
            return Task.CompletedTask;
        });
        var client = Clients.Of(server, options => options.Retries = 3);
        var error = await Assert.ThrowsAsync<PengxApiException>(() => client.Machines.StartAsync(A, null, Token));
        Assert.Equal(PengxApiFailure.Unreachable, error.Failure);
        Assert.Single(server.Requests);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_change_that_found_no_connection_is_sent_again_to_any_server(bool isLostAtOnce)
    {
        using var server = new FakePengxServer();
        _ = isLostAtOnce
            ? server.On(HttpMethod.Post, $"vms/{A}/start/", () => Task.FromException<HttpResponseMessage>(new SocketException((int)SocketError.NotConnected)))
            : server.CannotBeReached(HttpMethod.Post, $"vms/{A}/start/");
        var error = await Assert.ThrowsAsync<PengxApiException>(() =>
            server.CreateClient(options => options.Retries = 2, new SkippingClock(First, 2 * First)).Machines.StartAsync(A, null, Token));
        Assert.Equal(PengxApiFailure.Unreachable, error.Failure);
        Assert.Equal(3, server.Requests.Count);
    }

    [Fact]
    public async Task A_refusal_and_a_time_out_are_not_sent_again()
    {
        using var server = new FakePengxServer();
        server.Refuses(HttpMethod.Get, $"vms/{A}/", HttpStatusCode.BadRequest, "no");
        await Assert.ThrowsAsync<PengxApiException>(() => server.CreateClient(options => options.Retries = 5).Machines.GetAsync(A, Token));
        Assert.Single(server.Requests);
        await using var silent = new RawServer((_, answer) => answer.HangAsync());
        var error = await Assert.ThrowsAsync<PengxApiException>(() => Clients.Of(silent, options => (options.Retries, options.Timeout) = (5, TimeSpan.FromMilliseconds(100))).Machines.GetAsync(A, Token));
        Assert.Equal(PengxApiFailure.TimedOut, error.Failure);
        Assert.Single(silent.Requests);
    }

    [Fact]
    public async Task Progress_is_told_and_the_call_ends_with_the_changes_own_answer()
    {
        var operation = new OperationResource { Id = A, State = OperationStates.Running, Progress = 10 };
        var polls = 0;
        using var server = new FakePengxServer();
        var posts = 0;
        server.On(HttpMethod.Post, "vms/", () =>
        {
            var response = new HttpResponseMessage(++posts == 1 ? HttpStatusCode.Accepted : HttpStatusCode.Created)
            {
                Content = new ByteArrayContent(posts == 1 ? PengxXml.Write(PengxShapes.Operation, operation) : PengxXml.Write(PengxShapes.Result, new ResultBody(true, "made"))),
            };
            response.Headers.Location = new Uri(posts == 1 ? $"/operations/{A}/" : $"/vms/{A}/", UriKind.Relative);
            return Task.FromResult(response);
        });
        server.On(HttpMethod.Get, $"operations/{A}/", () => Task.FromResult(new HttpResponseMessage(HttpStatusCode.OK)
        {
            Content = new ByteArrayContent(PengxXml.Write(PengxShapes.Operation, operation with { Progress = 50 * ++polls, State = polls < 2 ? OperationStates.Running : OperationStates.Succeeded })),
        }));
        var told = new List<int>();
        var client = server.CreateClient(null, new SkippingClock(TimeSpan.FromSeconds(1)));
        var created = await client.Machines.CreateAsync(
            new() { Name = "a", Storlink = 1, CpuCores = 1, Memory = 64 }, new ChangeOptions { Progress = new Told(told) }, Token);
        Assert.Equal((A, "made", false), (created.Id, created.Message, created.IsPending));
        Assert.Equal([50, 100], told);
        var keys = server.Requests.Where(request => request.Method == HttpMethod.Post).Select(request => request.IdempotencyKey).ToList();
        Assert.Equal(2, keys.Count);
        Assert.NotNull(keys[0]);
        Assert.Equal(keys[0], keys[1]);
        await Assert.ThrowsAsync<ArgumentException>(() => client.Machines.StartAsync(A, new ChangeOptions { Progress = new Told(told), RespondAsync = true }, Token));
    }

    [Fact]
    public async Task Progress_of_a_server_without_operations_is_none_and_the_change_is_made_once()
    {
        using var server = new FakePengxServer();
        server.Does(HttpMethod.Post, $"vms/{A}/start/", "started");
        var told = new List<int>();
        Assert.Equal("started", (await server.CreateClient().Machines.StartAsync(A, new ChangeOptions { Progress = new Told(told) }, Token)).Message);
        Assert.Empty(told);
        Assert.Single(server.Requests);
    }

    [Fact]
    public async Task Requests_are_traced_and_measured_without_ids()
    {
        var (spans, measured) = (new List<Activity>(), new List<string>());
        using var activities = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Pengx.Client",
            Sample = (ref _) => ActivitySamplingResult.AllData,
            ActivityStopped = span =>
            {
                lock (spans)
                {
                    spans.Add(span);
                }
            },
        };
        ActivitySource.AddActivityListener(activities);
        using var meters = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "Pengx.Client")
                {
                    listener.EnableMeasurementEvents(instrument);
                }
            },
        };
        meters.SetMeasurementEventCallback<double>((instrument, _, tags, _) =>
        {
            var text = $"{instrument.Name} {string.Join(' ', tags.ToArray().Select(tag => tag.Value))}";
            lock (measured)
            {
                measured.Add(text);
            }
        });
        meters.Start();
        using var server = new FakePengxServer();
        server.Does(HttpMethod.Post, $"vms/{A}/suspend/");
        server.Refuses(HttpMethod.Post, $"vms/{A}/resume/", HttpStatusCode.BadRequest, "no");
        var client = server.CreateClient();
        await client.Machines.SuspendAsync(A, null, Token);
        await Assert.ThrowsAsync<PengxApiException>(() => client.Machines.ResumeAsync(A, null, Token));
        lock (spans)
        {
            Assert.Contains(spans, span => span is { DisplayName: "POST vms/{id}/suspend/", Kind: ActivityKind.Client, Status: ActivityStatusCode.Unset });
            Assert.Contains(spans, span => span is { DisplayName: "POST vms/{id}/resume/", Status: ActivityStatusCode.Error } && (string?)span.GetTagItem("error.type") == "refused");
        }

        lock (measured)
        {
            Assert.Contains("pengx.client.request.duration POST vms/{id}/suspend/ 200", measured);
            Assert.Contains("pengx.client.request.duration POST vms/{id}/resume/ 400 refused", measured);
            Assert.DoesNotContain(measured, text => text.Contains(A.ToString(), StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Several_clients_have_their_own_address_handler_and_tls()
    {
        using var certificate = Certificate();
        await using var secure = await SecureServerAsync(certificate);
        await using var plain = new RawServer(RawServer.Xml($"<vm id='{A}'><name>plain</name></vm>"));
        var services = new ServiceCollection();
        services.AddKeyedPengxClient("secure", options => options.BaseAddress = new Uri(secure.Urls.First()))
            .ConfigurePrimaryHttpMessageHandler(() => PengxClient.CreateHandler(handler =>
            {
                handler.SslOptions.ClientCertificates = [certificate];
                handler.SslOptions.RemoteCertificateValidationCallback = (_, shown, _, _) => shown?.GetCertHashString() == certificate.GetCertHashString();
            }));
        services.AddKeyedPengxClient("plain", options => options.BaseAddress = plain.Address).AddHttpMessageHandler(() => new Signing());
        services.AddKeyedPengxClient("untrusting", options => (options.BaseAddress, options.Retries) = (new Uri(secure.Urls.First()), 0));
        await using var provider = services.BuildServiceProvider();
        Assert.Equal(certificate.GetCertHashString(), (await provider.GetRequiredKeyedService<IPengxClient>("secure").Machines.GetAsync(A, Token)).Name);
        Assert.Equal("plain", (await provider.GetRequiredKeyedService<IPengxClient>("plain").Machines.GetAsync(A, Token)).Name);
        Assert.Equal("Signature abc", plain.Single.Header("Authorization"));
        var error = await Assert.ThrowsAsync<PengxApiException>(() => provider.GetRequiredKeyedService<IPengxClient>("untrusting").Machines.GetAsync(A, Token));
        Assert.Equal(PengxApiFailure.Unreachable, error.Failure);
        Assert.Null(provider.GetService<IPengxClient>());
    }

    private static X509Certificate2 Certificate()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using var made = request.CreateSelfSigned(new DateTimeOffset(2020, 1, 1, 0, 0, 0, TimeSpan.Zero), new DateTimeOffset(2090, 1, 1, 0, 0, 0, TimeSpan.Zero));
        return X509CertificateLoader.LoadPkcs12(made.Export(X509ContentType.Pfx), null);
    }

    /// <summary>Asks for the client's certificate and answers with its hash as the machine's name.</summary>
    private static async Task<WebApplication> SecureServerAsync(X509Certificate2 certificate)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.UseHttps(https =>
        {
            https.ServerCertificate = certificate;
            https.ClientCertificateMode = ClientCertificateMode.RequireCertificate;
            https.ClientCertificateValidation = (shown, _, _) => shown.GetCertHashString() == certificate.GetCertHashString();
        })));
        var app = builder.Build();
        app.Run(http => http.Response.WriteAsync($"<vm id='{A}'><name>{http.Connection.ClientCertificate!.GetCertHashString()}</name></vm>", http.RequestAborted));
        await app.StartAsync(Token);
        return app;
    }

    private sealed class Signing : DelegatingHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            request.Headers.TryAddWithoutValidation("Authorization", "Signature abc");
            return base.SendAsync(request, cancellationToken);
        }
    }

    private sealed class Told(List<int> told) : IProgress<OperationResource>
    {
        public void Report(OperationResource value) => told.Add(value.Progress);
    }
}
