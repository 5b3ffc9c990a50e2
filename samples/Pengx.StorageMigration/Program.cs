using System.Net.Http.Headers;
using Pengx.Client;

// Moves a machine's disks to another storage link while it runs, with a progress bar.
//   Pengx.StorageMigration http://127.0.0.1:8080/ MACHINE STORLINK     (PENGX_API_KEY, where the server asks for a key)
if (args is not [var address, var machine, var target] || !Uri.TryCreate(address, UriKind.Absolute, out var server)
    || !Guid.TryParse(machine, out var id) || !int.TryParse(target, out var storlink))
{
    Console.Error.WriteLine("usage: Pengx.StorageMigration ADDRESS MACHINE-UUID STORLINK-NUMBER");
    return 2;
}

var key = Environment.GetEnvironmentVariable("PENGX_API_KEY");
using var http = new HttpClient(PengxClient.CreateHandler());
var client = new PengxClient(http, new PengxClientOptions { BaseAddress = server, ApiKey = key });
try
{
    // The request by hand, with the codec alone: what the client does for every change. The server answers at once and works on.
    using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(server, $"vms/{id}/smigrate/"))
    {
        Content = new ByteArrayContent(PengxXml.WriteRequest(PengxRequests.MachineStorageMigrate, new MachineStorageMigrateRequest { Storlink = storlink })),
    };
    request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(PengxXml.ContentType);
    request.Headers.Add(PengxHeaders.Prefer, PengxHeaders.RespondAsync);
    request.Headers.Add(PengxHeaders.IdempotencyKey, Guid.NewGuid().ToString());
    request.Headers.Authorization = key is null ? null : new AuthenticationHeaderValue("Bearer", key);
    using var response = await http.SendAsync(request);
    await using var body = await response.Content.ReadAsStreamAsync();
    if (!response.IsSuccessStatusCode)
    {
        Console.Error.WriteLine((await PengxXml.ReadAsync(body, PengxShapes.Result)).Message);
        return 1;
    }

    var begun = await PengxXml.ReadAsync(body, PengxShapes.Operation);
    var done = await client.Operations.WaitAsync(begun.Id, new Bar());
    Console.WriteLine($"\n{done.Message}");
    return 0;
}
catch (Exception exception) when (exception is PengxApiException or XmlRefusedException or HttpRequestException)
{
    Console.Error.WriteLine($"\n{exception.Message}");
    return 1;
}

/// <summary>A bar of forty signs, the step and what was moved.</summary>
internal sealed class Bar : IProgress<OperationResource>
{
    public void Report(OperationResource value)
    {
        var moved = value.BytesTotal is > 0 ? $" {value.BytesDone >> 20} of {value.BytesTotal >> 20} MiB" : "";
        Console.Write($"\r[{new string('#', value.Progress * 2 / 5).PadRight(40, '.')}] {value.Progress,3} % {value.Step}{moved}".PadRight(100));
    }
}
