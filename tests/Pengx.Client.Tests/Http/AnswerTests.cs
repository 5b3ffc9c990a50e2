using System.Net;
using Microsoft.Extensions.Time.Testing;

namespace Pengx.Client.Tests;

/// <summary>What comes back: right answers, wrong ones, and none.</summary>
public sealed class AnswerTests
{
    private static readonly Guid A = Guid.Parse("aaaaaaaa-0000-4000-8000-00000000000a");
    private static readonly Guid B = Guid.Parse("bbbbbbbb-0000-4000-8000-00000000000b");
    private static readonly MachineCreateRequest Creation = new() { Name = "n", Storlink = 1, CpuCores = 1, Memory = 1 };

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("Location: /vms/bbbbbbbb-0000-4000-8000-00000000000b/\r\n")]
    [InlineData("Location: /vms/BBBBBBBB-0000-4000-8000-00000000000B\r\n")]
    [InlineData("Location: http://elsewhere/vms/bbbbbbbb00004000800000000000000b/\r\n")]
    public async Task A_created_vm_is_named_by_its_location(string header)
    {
        await using var server = new RawServer(RawServer.Result(true, "VM created", "201 Created", header));
        var created = await Clients.Of(server).Machines.CreateAsync(Creation, null, Token);
        Assert.Equal(B, created.Id);
        Assert.Equal("VM created", created.Message);
        Assert.NotNull(created.Location);
    }

    [Fact]
    public async Task A_server_that_names_nothing_leaves_the_id_open()
    {
        await using var server = new RawServer(RawServer.Result(true, "VM created", "201 Created"));
        var created = await Clients.Of(server).Machines.CreateAsync(Creation, null, Token);
        Assert.Null(created.Id);
        Assert.Equal("VM created", created.Message);
    }

    [Fact]
    public async Task A_number_is_read_from_the_location_and_an_id_from_the_body()
    {
        await using var server = new RawServer((request, answer) => answer.WriteAsync(request.Path.Contains("disks", StringComparison.Ordinal)
            ? RawServer.Xml($"<disk id='{B}'><name>{B}</name></disk>", "201 Created")
            : RawServer.Result(true, "ok", "201 Created", "Location: /storlinks/12/\r\n")));
        var client = Clients.Of(server);
        var storlink = await client.Storlinks.CreateAsync(
            new StorlinkCreateRequest { Name = "n", Link = "/l", Type = "LO", Level = "FL" }, null, Token);
        Assert.Equal(12, storlink.Id);
        Assert.Equal(B, (await client.Disks.CreateAsync(A, new DiskCreateRequest { Size = 1, Storlink = 1 }, null, Token)).Id);
    }

    [Fact]
    public async Task No_content_carries_its_result_in_headers()
    {
        await using var server = new RawServer(
            $"HTTP/1.1 204 No Content\r\nX-Pengx-Result: True\r\nX-Pengx-Message: {PengxHeaders.EncodeMessage("VM 'Grüße 100%\n' deleted")}\r\n\r\n");
        var client = Clients.Of(server);
        Assert.Equal("VM 'Grüße 100%\n' deleted", (await client.Machines.DeleteAsync(A, null, Token)).Message);

        // A server that sends these headers sends no body: from now on connections are kept.
        Assert.Equal("VM 'Grüße 100%\n' deleted", (await client.Machines.DeleteAsync(A, null, Token)).Message);
        await client.Machines.DeleteAsync(A, null, Token);
        Assert.Equal(["close", null, null], server.Requests.Select(sent => sent.Header("Connection")));
        Assert.Equal([0, 1, 1], server.Requests.Select(sent => sent.Connection));
    }

    [Fact]
    public async Task No_content_with_a_false_result_is_a_refusal()
    {
        await using var server = new RawServer("HTTP/1.1 204 No Content\r\nX-Pengx-Result: False\r\nX-Pengx-Message: no\r\n\r\n");
        var error = await Assert.ThrowsAsync<PengxApiException>(() => Clients.Of(server).Machines.DeleteAsync(A, null, Token));
        Assert.Equal("no", error.Message);
        Assert.Equal(PengxApiFailure.Refused, error.Failure);
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task A_body_after_no_content_on_a_kept_connection_does_no_harm(bool late, bool ownHandler)
    {
        const string Body = "<root><result>True</result><message>deleted</message></root>";
        var second = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new RawServer(async (request, answer) =>
        {
            if (request.Method == "GET")
            {
                second.TrySetResult();
                await answer.WriteAsync(RawServer.Xml($"<vm id='{A}'><name>alive</name></vm>"));
                return;
            }

            const string Head = "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nContent-Type: application/xml\r\n";
            if (!late)
            {
                await answer.WriteAsync($"{Head}Content-Length: {Body.Length}\r\n\r\n{Body}");
                return;
            }

            // The body comes only when the client has already sent its next request, wherever it sent it.
            await answer.WriteAsync($"{Head}Content-Length: {Body.Length}\r\n\r\n");
            await second.Task.WaitAsync(TimeSpan.FromMilliseconds(300), answer.Stopped).ContinueWith(_ => { }, TaskScheduler.Default);
            await answer.WriteAsync(Body);
        });
        var client = Clients.Of(server, handler: ownHandler ? null : new SocketsHttpHandler());
        for (var round = 0; round < 5; round++)
        {
            Assert.Null((await client.Machines.DeleteAsync(A, null, Token)).Message);
            Assert.Equal("alive", (await client.Machines.GetAsync(A, Token)).Name);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_body_soon_after_no_content_spoils_no_change(bool ownHandler)
    {
        const string Body = "<root><result>True</result><message>deleted</message></root>";
        await using var server = new RawServer(async (request, answer) =>
        {
            await answer.WriteAsync($"HTTP/1.1 204 No Content\r\nContent-Type: application/xml\r\nContent-Length: {Body.Length}\r\n\r\n");
            await Task.Yield();
            await answer.WriteAsync(Body);
        });
        var client = Clients.Of(server, handler: ownHandler ? null : new SocketsHttpHandler());
        for (var round = 0; round < 20; round++)
        {
            Assert.False((await client.Machines.DeleteAsync(A, null, Token)).IsPending);
        }

        Assert.Equal(20, server.Requests.Count);
    }

    [Fact]
    public async Task A_representation_in_place_of_no_content_is_read_too()
    {
        await using var server = new RawServer(RawServer.Result(true, "deleted"));
        Assert.Equal("deleted", (await Clients.Of(server).Machines.DeleteAsync(A, null, Token)).Message);
    }

    [Theory]
    [InlineData(400, PengxErrorCode.InvalidField, false)]
    [InlineData(401, PengxErrorCode.InvalidField, false)]
    [InlineData(404, PengxErrorCode.NotFound, false)]
    [InlineData(413, PengxErrorCode.InvalidField, false)]
    [InlineData(429, PengxErrorCode.InvalidField, true)]
    [InlineData(500, PengxErrorCode.Internal, false)]
    [InlineData(503, PengxErrorCode.Unavailable, true)]
    public async Task A_refusal_is_typed_with_the_servers_message(int status, PengxErrorCode code, bool transient)
    {
        await using var server = new RawServer(RawServer.Result(false, "VM x is RUNNING; stop it first", $"{status} Whatever", "Retry-After: 7\r\n"));
        var client = Clients.Of(server);
        foreach (var call in new Func<Task>[]
        {
            () => client.Machines.DeleteAsync(A, null, Token),
            () => client.Machines.GetAsync(A, Token),
            () => Clients.AllAsync(client.Machines.ListAsync(Token)),
            () => client.Machines.CreateAsync(Creation, null, Token),
        })
        {
            var error = await Assert.ThrowsAsync<PengxApiException>(call);
            Assert.Equal("VM x is RUNNING; stop it first", error.Message);
            Assert.Equal(PengxApiFailure.Refused, error.Failure);
            Assert.Equal((HttpStatusCode)status, error.Status);
            Assert.Equal(code, error.Code);
            Assert.Equal(transient, error.IsTransient);
            Assert.Equal(TimeSpan.FromSeconds(7), error.RetryAfter);
            Assert.Contains("vms/", error.Request, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_false_result_is_a_refusal_whatever_the_status()
    {
        await using var server = new RawServer(RawServer.Result(false, "no"));
        var error = await Assert.ThrowsAsync<PengxApiException>(() => Clients.Of(server).Machines.StartAsync(A, null, Token));
        Assert.Equal(("no", PengxApiFailure.Refused), (error.Message, error.Failure));
    }

    [Theory]
    [InlineData("502 Bad Gateway", "<html><body>nginx</body></html>")]
    [InlineData("500 Internal Server Error", "<!DOCTYPE html><html><body><h1>Server Error (500)</h1><br></body></html>")]
    [InlineData("404 Not Found", "")]
    [InlineData("400 Bad Request", "<root><result>False")]
    [InlineData("400 Bad Request", "<root/>")]
    public async Task An_error_page_is_typed_by_its_status(string status, string page)
    {
        await using var server = new RawServer(RawServer.Whole(status, "Content-Type: text/html\r\n", page));
        var error = await Assert.ThrowsAsync<PengxApiException>(() => Clients.Of(server).Machines.StartAsync(A, null, Token));
        Assert.Equal(PengxApiFailure.Refused, error.Failure);
        Assert.Equal($"POST vms/{A}/start/ was answered with HTTP {status} (text/html), without a message.", error.Message);
    }

    [Theory]
    [InlineData("<!DOCTYPE html><html><body><h1>Login</h1></body></html>")]
    [InlineData("<html></html>")]
    [InlineData("<vm id='x'/>")]
    [InlineData("{}")]
    [InlineData("")]
    [InlineData("<root><result>True</result></root>")]
    public async Task A_success_that_is_not_ours_is_unreadable(string body)
    {
        await using var server = new RawServer(RawServer.Whole("200 OK", "Content-Type: text/html\r\n", body));
        var client = Clients.Of(server);
        foreach (var call in new Func<Task>[]
        {
            () => client.Machines.GetAsync(A, Token),
            () => Clients.AllAsync(client.Machines.ListAsync(Token)),
            () => body.StartsWith("<root>", StringComparison.Ordinal) || body.StartsWith("<vm", StringComparison.Ordinal)
                ? client.Machines.GetAsync(A, Token)
                : client.Machines.StartAsync(A, null, Token),
        })
        {
            var error = await Assert.ThrowsAsync<PengxApiException>(call);
            Assert.Equal(PengxApiFailure.Unreadable, error.Failure);
            Assert.False(error.IsTransient);
        }
    }

    [Fact]
    public async Task Accepted_without_an_operation_is_unreadable()
    {
        await using var server = new RawServer(RawServer.Result(true, "ok", "202 Accepted"));
        var error = await Assert.ThrowsAsync<PengxApiException>(() => Clients.Of(server).Machines.StartAsync(A, null, Token));
        Assert.Equal(PengxApiFailure.Unreadable, error.Failure);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_redirect_is_never_taken_for_a_success(bool handlerFollows)
    {
        await using var server = new RawServer((request, answer) => answer.WriteAsync(request.Method == "POST"
            ? RawServer.Whole("302 Found", "Location: /elsewhere/\r\n", "")
            : RawServer.Result(true, "a page")));
        var client = Clients.Of(server, handler: new SocketsHttpHandler { AllowAutoRedirect = handlerFollows });
        var error = await Assert.ThrowsAsync<PengxApiException>(() => client.Machines.StartAsync(A, null, Token));
        Assert.Equal(PengxApiFailure.Unreadable, error.Failure);
        Assert.Contains("elsewhere", error.Message, StringComparison.Ordinal);
        Assert.Contains("BaseAddress", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_list_is_given_out_while_it_arrives()
    {
        var firstSeen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new RawServer(async (_, answer) =>
        {
            await answer.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n");
            await answer.WriteChunkAsync($"<vms><vm id='{A}'><na");
            await answer.WriteChunkAsync("me>a</name></vm><vm");
            await firstSeen.Task.WaitAsync(answer.Stopped);
            await answer.WriteChunkAsync($" id='{B}'><name>b</name></vm></vms>");
            await answer.WriteAsync("0\r\n\r\n");
        });
        var names = new List<string>();
        await foreach (var machine in Clients.Of(server).Machines.ListAsync(Token))
        {
            names.Add(machine.Name);
            firstSeen.TrySetResult();
        }

        Assert.Equal(["a", "b"], names);
    }

    [Theory]
    [InlineData("Content-Length: 1000\r\n\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n")]
    public async Task A_list_that_breaks_off_is_an_error_after_what_came(string headers)
    {
        await using var server = new RawServer(async (_, answer) =>
        {
            answer.Closed = true;
            var part = $"<vms><vm id='{A}'><name>a</name></vm><vm";
            await answer.WriteAsync($"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\n{headers}");
            await (headers.StartsWith('C') ? answer.WriteAsync(part) : answer.WriteChunkAsync(part));
        });
        var names = new List<string>();
        var error = await Assert.ThrowsAsync<PengxApiException>(async () =>
        {
            await foreach (var machine in Clients.Of(server).Machines.ListAsync(Token))
            {
                names.Add(machine.Name);
            }
        });
        Assert.Equal(PengxApiFailure.Unreachable, error.Failure);
        Assert.Equal(["a"], names);
    }

    [Fact]
    public async Task Nobody_there_is_unreachable()
    {
        var server = new RawServer("");
        var client = Clients.Of(server);
        await server.DisposeAsync();
        var error = await Assert.ThrowsAsync<PengxApiException>(() => client.Machines.GetAsync(A, Token));
        Assert.Equal(PengxApiFailure.Unreachable, error.Failure);
        Assert.Equal(PengxErrorCode.Unavailable, error.Code);
        Assert.True(error.IsTransient);
        Assert.Null(error.Status);
    }

    [Theory]
    [InlineData("nonsense\r\n\r\n")]
    [InlineData("")]
    public async Task What_is_not_http_is_unreachable(string bytes)
    {
        await using var server = new RawServer(async (_, answer) =>
        {
            answer.Closed = true;
            await answer.WriteAsync(bytes);
        });
        var error = await Assert.ThrowsAsync<PengxApiException>(() => Clients.Of(server).Machines.StartAsync(A, null, Token));
        Assert.Equal(PengxApiFailure.Unreachable, error.Failure);
    }

    [Theory]
    [InlineData("get")]
    [InlineData("list")]
    [InlineData("change")]
    public async Task Silence_times_out(string call)
    {
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new RawServer(async (_, answer) =>
        {
            if (call != "change")
            {
                await answer.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 1000\r\n\r\n<vm");
            }

            arrived.TrySetResult();
            await answer.HangAsync();
        });
        var time = new FakeTimeProvider();
        var client = Clients.Of(server, options => options.Timeout = TimeSpan.FromSeconds(5), time);
        Task running = call switch
        {
            "get" => client.Machines.GetAsync(A, Token),
            "list" => Clients.AllAsync(client.Machines.ListAsync(Token)),
            _ => client.Machines.StartAsync(A, null, Token),
        };
        await arrived.Task.WaitAsync(Token);
        time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(running.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.2));
        var error = await Assert.ThrowsAsync<PengxApiException>(() => running);
        Assert.Equal(PengxApiFailure.TimedOut, error.Failure);
        Assert.True(error.IsTransient);
        Assert.Contains("5 s", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_slow_list_may_take_longer_than_the_limit_for_a_silence()
    {
        var taken = new SemaphoreSlim(0);
        await using var server = new RawServer(async (_, answer) =>
        {
            await answer.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nTransfer-Encoding: chunked\r\n\r\n");
            await answer.WriteChunkAsync("<vms>");
            for (var number = 0; number < 5; number++)
            {
                await answer.WriteChunkAsync($"<vm id='{A}'><name>{number}");
                await answer.WriteChunkAsync("</name></vm>");
                await taken.WaitAsync(answer.Stopped);
            }

            await answer.WriteChunkAsync("</vms>");
            await answer.WriteAsync("0\r\n\r\n");
        });
        var time = new FakeTimeProvider();
        var names = new List<string>();
        await using var machines = Clients.Of(server, options => options.Timeout = TimeSpan.FromSeconds(5), time).Machines.ListAsync(Token).GetAsyncEnumerator(Token);
        var next = machines.MoveNextAsync().AsTask();
        while (await next)
        {
            names.Add(machines.Current.Name);
            next = machines.MoveNextAsync().AsTask();
            time.Advance(TimeSpan.FromSeconds(4));
            Assert.False(next.IsCompleted);
            taken.Release();
        }

        Assert.Equal(["0", "1", "2", "3", "4"], names);
    }

    [Fact]
    public async Task What_the_caller_does_between_items_is_no_silence()
    {
        await using var server = new RawServer(RawServer.Xml($"<vms><vm id='{A}'/><vm id='{B}'/></vms>"));
        var time = new FakeTimeProvider();
        var count = 0;
        await foreach (var machine in Clients.Of(server, options => options.Timeout = TimeSpan.FromSeconds(5), time).Machines.ListAsync(Token))
        {
            time.Advance(TimeSpan.FromHours(1));
            count++;
        }

        Assert.Equal(2, count);
    }

    [Fact]
    public async Task The_callers_cancellation_is_its_own()
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token);
        await using var server = new RawServer(async (_, answer) =>
        {
            await cancel.CancelAsync();
            await answer.HangAsync();
        });
        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => Clients.Of(server).Machines.StartAsync(A, null, cancel.Token));
        Assert.True(cancel.IsCancellationRequested);
        Assert.IsNotType<PengxApiException>(error, exactMatch: false);
    }

    [Fact]
    public async Task Many_threads_share_one_client()
    {
        await using var server = new RawServer((request, answer) =>
            answer.WriteAsync(RawServer.Xml($"<vm id='{request.Path.Split('/')[2]}'><name>n</name></vm>")));
        var client = Clients.Of(server);
        var ids = Enumerable.Range(0, 200).Select(_ => Guid.NewGuid()).ToArray();
        var machines = await Task.WhenAll(ids.Select(id => client.Machines.GetAsync(id, Token)));
        Assert.Equal(ids, machines.Select(machine => machine.Id));
    }
}
