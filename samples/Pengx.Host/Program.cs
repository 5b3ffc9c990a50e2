using Microsoft.Extensions.Options;
using OpenTelemetry.Metrics;
using Pengx;
using Pengx.Host;
using Pengx.Orchestration;

// The settings file lies beside the program, wherever it is started from.
var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = args, ContentRootPath = AppContext.BaseDirectory });
var options = builder.Configuration.GetSection(PengxHostOptions.Section).Get<PengxHostOptions>() ?? new();
var keys = new ApiKeys(options.Authentication.ApiKeys);
ListenAddresses.Check(builder.Configuration, keys.Configured);
if (!ListenAddresses.AnyConfigured(builder.Configuration))
{
    builder.WebHost.UseUrls(ListenAddresses.Default);
}

builder.WebHost.ConfigureKestrel(kestrel =>
{
    kestrel.AddServerHeader = false;
    kestrel.Limits.MaxRequestBodySize = options.Limits.MaxBodyBytes;
});
builder.Services.AddSystemd();
builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = TimeSpan.FromSeconds(30));
builder.Services.AddSingleton(keys);
builder.Services.AddSingleton(new HostLimits(options.Limits.MaxBodyBytes));
builder.Services.AddSingleton<Changes>();
builder.Services.AddSingleton<EventHub>();
builder.Services.AddPengxHost(options, builder.Configuration);
builder.Services.AddHostedService(services => services.GetRequiredService<EventHub>());
builder.Services.AddHostedService<ConsistencyReport>();
builder.Services.AddPengxOpenApi();
builder.Services.AddOpenTelemetry().WithMetrics(metrics => metrics
    .AddAspNetCoreInstrumentation()
    .AddRuntimeInstrumentation()
    .AddMeter("Pengx.*")
    .AddPrometheusExporter());

var app = builder.Build();
app.UseErrorResponses();
app.UseApiVersions();
app.UseRouting();
app.UseV2OnlyRoutes();
app.UseApiKeys();
app.UseRequestBodyRules();

app.MapHealth();
app.MapHosts();
app.MapStorlinks();
app.MapTemplates();
app.MapMachines();
app.MapBackups();
app.MapDisks();
app.MapSnapshots();
app.MapInterfaces();
app.MapOperations();
app.MapConsistency();
app.MapEvents();
app.MapOpenApi("/openapi.json");
app.MapPrometheusScrapingEndpoint("/metrics");
await app.RunAsync();

/// <summary>The service.</summary>
public partial class Program;
