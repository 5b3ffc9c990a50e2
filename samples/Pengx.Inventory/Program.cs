using System.Text.Json;
using Pengx.Client;

// An inventory of a pengx3 server: a table for people, JSON for programs.
//   Pengx.Inventory http://127.0.0.1:8080/ [--json]     (PENGX_API_KEY, where the server asks for a key)
if (args is not [var address, ..] || !Uri.TryCreate(address, UriKind.Absolute, out var server))
{
    Console.Error.WriteLine("usage: Pengx.Inventory ADDRESS [--json]");
    return 2;
}

using var http = new HttpClient(PengxClient.CreateHandler());
var client = new PengxClient(http, new PengxClientOptions { BaseAddress = server, ApiKey = Environment.GetEnvironmentVariable("PENGX_API_KEY") });
try
{
    await (args.Contains("--json") ? WriteJsonAsync() : WriteTableAsync());
    return 0;
}
catch (PengxApiException exception)
{
    Console.Error.WriteLine(exception.Message);
    return 1;
}

// The list is written while it arrives: ten thousand machines need no more memory than ten.
async Task WriteTableAsync()
{
    Console.WriteLine($"{"NAME",-24} {"STATUS",-9} {"CPUS",4} {"MEMORY",8} {"DISKS",9}  INTERFACES");
    await foreach (var machine in client.Machines.ListAsync())
    {
        var nics = string.Join(", ", machine.Nics.Select(nic => $"{nic.Network} {nic.Mac}"));
        Console.WriteLine($"{machine.Name,-24} {machine.Status,-9} {machine.CpuCores,4} {machine.Memory,4} MiB {machine.DiskSize,5} MiB  {nics}");
    }
}

async Task WriteJsonAsync()
{
    await using var output = Console.OpenStandardOutput();
    await using var json = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true });
    json.WriteStartArray();
    await foreach (var machine in client.Machines.ListAsync())
    {
        json.WriteStartObject();
        json.WriteString("id", machine.Id);
        json.WriteString("name", machine.Name);
        json.WriteString("status", machine.Status);
        json.WriteNumber("cpus", machine.CpuCores);
        json.WriteNumber("memoryMiB", machine.Memory);
        json.WriteNumber("disksMiB", machine.DiskSize);
        json.WriteStartArray("interfaces");
        foreach (var nic in machine.Nics)
        {
            json.WriteStartObject();
            json.WriteString("switch", nic.Network);
            json.WriteString("mac", nic.Mac);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteEndObject();
        await json.FlushAsync();
    }

    json.WriteEndArray();
}
