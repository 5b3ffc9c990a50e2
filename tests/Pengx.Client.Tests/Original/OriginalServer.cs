using System.Collections.Concurrent;
using System.Text;
using System.Xml.Linq;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Pengx.Client.Tests;

/// <summary>How a server's answers arrive.</summary>
public enum Delivery
{
    /// <summary>With a length, at once.</summary>
    Whole,

    /// <summary>In chunks of seven bytes, each sent by itself.</summary>
    Chunked,
}

/// <summary>
/// A pengx3 server that is not ours: real HTTP by Kestrel on loopback, with the reference's own templates rendered as they are printed. It
/// redirects a path without its slash, answers what it does not know with a page of HTML, and knows no header of ours.
/// </summary>
internal sealed class OriginalServer : IAsyncDisposable
{
    private static readonly Dictionary<string, string> Templates = ReadTemplates();
    private readonly WebApplication _app;

    private OriginalServer(WebApplication app) => _app = app;

    public Uri Address => new($"{_app.Urls.First()}/");

    /// <summary>What was asked for, with the body's elements.</summary>
    public ConcurrentQueue<(string Request, string[] Elements)> Requests { get; } = new();

    /// <summary>Replaces text of a template before it is rendered: for servers that have repaired a slip.</summary>
    public Func<string, string> Repair { get; set; } = template => template;

    public static async Task<OriginalServer> StartAsync(Delivery delivery = Delivery.Whole)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var server = new OriginalServer(app);
        app.Run(http => server.AnswerAsync(http, delivery));
        await app.StartAsync(TestContext.Current.CancellationToken);
        return server;
    }

    public async ValueTask DisposeAsync() => await _app.DisposeAsync();

    private async Task AnswerAsync(HttpContext http, Delivery delivery)
    {
        using var reader = new StreamReader(http.Request.Body, Encoding.UTF8);
        var sent = await reader.ReadToEndAsync(http.RequestAborted);
        var path = http.Request.Path.Value!;
        Requests.Enqueue(($"{http.Request.Method} {path}", sent.Length == 0 ? [] : [.. XElement.Parse(sent).DescendantsAndSelf().Select(element => element.Name.LocalName)]));
        if (!path.EndsWith('/'))
        {
            http.Response.StatusCode = http.Request.Method == "GET" ? 301 : 500;
            http.Response.Headers.Location = $"{path}/";
            await WriteAsync(http, delivery, "text/html", "<html><head><title>RuntimeError</title></head></html>");
            return;
        }

        var version2 = http.Request.Headers.Accept.ToString().Contains("version=v2", StringComparison.Ordinal);
        if (Route(http.Request.Method, path, version2) is not var (status, view))
        {
            http.Response.StatusCode = 404;
            await WriteAsync(http, delivery, "text/html", "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Page not found</title></head><body><h1>Not Found<br></body></html>");
            return;
        }

        http.Response.StatusCode = status;
        if (status == 204)
        {
            return;
        }

        var body = view is null
            ? "<root>\n<result>True</result>\n<message>done</message>\n</root>"
            : DjangoTemplate.Render(Repair(Templates[view]), OriginalData.ContextOf(view));
        await WriteAsync(http, delivery, "application/xml", body);
    }

    private static async Task WriteAsync(HttpContext http, Delivery delivery, string type, string text)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        http.Response.ContentType = type;
        if (delivery == Delivery.Whole)
        {
            http.Response.ContentLength = bytes.Length;
            await http.Response.Body.WriteAsync(bytes, http.RequestAborted);
            return;
        }

        foreach (var part in bytes.Chunk(7))
        {
            await http.Response.Body.WriteAsync(part, http.RequestAborted);
            await http.Response.Body.FlushAsync(http.RequestAborted);
        }
    }

    /// <summary>The status and the template of a request; a null template is the result body.</summary>
    private static (int Status, string? View)? Route(string method, string path, bool version2) => (method, path.Trim('/').Split('/')) switch
    {
        ("GET", ["pms", "all"]) => (200, "PMView.index"),
        ("GET", ["pms"] or ["pms", _]) => (200, "PMView.read"),
        ("POST", ["pms", "update-authorized-keys"]) => (201, null),
        ("GET", ["pmperf"]) => (200, "PerfView.index"),
        ("POST", ["storlinks", "create"]) => (201, null),
        ("GET", ["storlinks"]) => (200, "StorlinkView.read"),
        ("GET", ["storlinks", "all"]) when version2 => (200, "StorlinkViewV2.read_all"),
        ("PUT" or "DELETE", ["storlinks", _]) => (204, null),
        ("POST", ["templates", "add"]) => (201, null),
        ("POST", ["templates", "add_new"]) when version2 => (201, null),
        ("POST", ["templates", "create", "vms", _]) => (201, "GVMView.create"),
        ("GET", ["templates"]) => (200, version2 ? "GVMViewV2.index" : "GVMView.index"),
        ("GET", ["templates", _]) when version2 => (200, "GVMViewV2.retrieve"),
        ("GET", ["templates", _, "disks"]) => (200, "GVMView.disk_index"),
        ("PUT", ["templates", _]) or ("DELETE", ["template", _]) => (204, null),
        ("GET", ["vms"]) => (200, "VMView.index"),
        ("POST", ["vms"]) => (201, null),
        ("GET", ["vms", _]) => (200, "VMView.retrieve"),
        ("DELETE", ["vms", _]) or ("PUT", ["vms", _, "update"]) => (204, null),
        ("PUT", ["vms", _, "edit"]) when version2 => (204, null),
        ("POST", ["vms", _, "copy" or "smigrate"]) => (201, null),
        ("POST", ["vms", _, "migrate" or "start" or "shutdown" or "poweroff" or "reboot" or "reset" or "suspend" or "resume"]) => (200, null),
        ("POST", ["vms", _, "start", "snapshots", _]) => (200, null),
        ("GET", ["vms", _, "snapshots"]) => (200, "SnapshotView.index"),
        ("POST", ["vms", _, "snapshots"]) => (201, "SnapshotView.create"),
        ("POST", ["vms", _, "snapshots", _]) => (201, null),
        ("DELETE", ["vms", _, "snapshots" or "backups", _]) => (204, null),
        ("GET", ["vms", _, "backups"]) => (200, "BackupView.index"),
        ("POST", ["vms", _, "backups"]) => (200, null),
        ("POST", ["vms", _, "backups", _]) => (201, null),
        ("GET", ["vms", _, "disks"] or ["vms", _, "disks", "snapshots" or "backups", _]) => (200, "DiskView.index"),
        ("POST", ["vms", _, "disks"]) => (201, "DiskView.create"),
        ("DELETE", ["vms", _, "disks", _]) => (204, null),
        ("GET", ["vms", _, "interfaces"]) => (200, "InterfaceView.index"),
        ("POST", ["vms", _, "interfaces"]) => (201, null),
        ("DELETE", ["vms", _, "interface", _]) => (204, null),
        ("PUT", ["vms", _, "interface", _, "update"]) when version2 => (204, null),
        _ => null,
    };

    private static Dictionary<string, string> ReadTemplates()
    {
        using var stream = typeof(OriginalServer).Assembly.GetManifestResourceStream("answers.txt")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd().Split("\n== ").Skip(1).Select(section => section.Split('\n', 2)).ToDictionary(section => section[0], section => section[1].Trim());
    }
}
