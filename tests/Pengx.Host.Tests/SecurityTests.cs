using System.Diagnostics;
using System.Net;

namespace Pengx.Host.Tests;

public sealed class SecurityTests
{
    [Theory]
    [InlineData("http://0.0.0.0:0")]
    [InlineData("http://*:0")]
    [InlineData("http://127.0.0.1:0;http://[::]:0")]
    public async Task Without_keys_nothing_but_loopback_is_listened_on(string urls)
    {
        var directory = Directory.CreateTempSubdirectory("pengx-host-");
        var start = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var argument in (string[])[Path.Combine(AppContext.BaseDirectory, "Pengx.Host.dll"), $"--urls={urls}", $"--Pengx:DataDirectory={directory.FullName}", "--Pengx:Hypervisor=simulator"])
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = await process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await process.WaitForExitAsync(limit.Token);
        await output;
        Assert.NotEqual(0, process.ExitCode);
        Assert.Contains("Pengx:Authentication:ApiKeys", errors, StringComparison.Ordinal);
        directory.Delete(recursive: true);
    }

    [Fact]
    public async Task Keys_open_what_their_role_allows()
    {
        const string Reader = "reader-0123456789abcdef";
        const string Operator = "operator-0123456789abcdef";
        const string Admin = "admin-0123456789abcdef";
        await using var host = await HostProcess.StartAsync(
            "simulator",
            $"--Pengx:Authentication:ApiKeys:0:Key={Reader}", "--Pengx:Authentication:ApiKeys:0:Role=reader",
            $"--Pengx:Authentication:ApiKeys:1:Key={Operator}", "--Pengx:Authentication:ApiKeys:1:Role=operator",
            $"--Pengx:Authentication:ApiKeys:2:Key={Admin}", "--Pengx:Authentication:ApiKeys:2:Role=admin");
        await host.GetXmlAsync("/healthz");
        await host.RefusedAsync(HttpMethod.Get, "/vms/", null, HttpStatusCode.Unauthorized);
        await host.RefusedAsync(HttpMethod.Get, "/vms/", null, HttpStatusCode.Unauthorized, ("X-Api-Key", "reader-0123456789abcdeF"));
        await host.RefusedAsync(HttpMethod.Get, "/metrics", null, HttpStatusCode.Unauthorized);
        await host.GetXmlAsync("/vms/", ("X-Api-Key", Reader));
        await host.GetXmlAsync("/vms/", ("Authorization", $"Bearer {Reader}"));

        // Authentication comes before the body's rules and after the method's.
        await host.RefusedAsync(HttpMethod.Post, "/vms/", "<vm/>", HttpStatusCode.Unauthorized);
        await host.RefusedAsync(HttpMethod.Patch, "/vms/", "<vm/>", HttpStatusCode.MethodNotAllowed);
        await host.RefusedAsync(HttpMethod.Post, "/vms/", "<vm/>", HttpStatusCode.Forbidden, ("X-Api-Key", Reader));
        await host.RefusedAsync(HttpMethod.Post, "/vms/", "<vm/>", HttpStatusCode.BadRequest, ("X-Api-Key", Operator));
        await host.RefusedAsync(HttpMethod.Post, "/storlinks/create/", "<storlink/>", HttpStatusCode.Forbidden, ("X-Api-Key", Operator));
        await host.RefusedAsync(HttpMethod.Post, "/storlinks/create/", "<storlink/>", HttpStatusCode.BadRequest, ("X-Api-Key", Admin));
        await host.RefusedAsync(HttpMethod.Get, "/pms/update-authorized-keys/", null, HttpStatusCode.Forbidden, ("X-Api-Key", Operator));
        await host.ChangeAsync(HttpMethod.Get, "/pms/update-authorized-keys/", null, HttpStatusCode.Created, ("X-Api-Key", Admin));
        Assert.DoesNotContain("0123456789abcdef", host.Log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task One_data_directory_serves_one_service_and_is_its_owner_s_alone()
    {
        await using var host = await HostProcess.StartAsync("simulator");
        var start = new ProcessStartInfo("dotnet") { RedirectStandardError = true, RedirectStandardOutput = true };
        foreach (var argument in (string[])[Path.Combine(AppContext.BaseDirectory, "Pengx.Host.dll"), "--urls=http://127.0.0.1:0", $"--Pengx:DataDirectory={host.DataDirectory}", "--Pengx:Hypervisor=simulator"])
        {
            start.ArgumentList.Add(argument);
        }

        using var second = Process.Start(start)!;
        var output = second.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = await second.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await second.WaitForExitAsync(limit.Token);
        await output;
        Assert.NotEqual(0, second.ExitCode);
        Assert.Contains(host.DataDirectory, errors, StringComparison.Ordinal);
        await host.GetXmlAsync("/vms/");
        Assert.Equal(0, await host.StopAsync());
    }
}
