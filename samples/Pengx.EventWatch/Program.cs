using Pengx.Client;

// Prints what happens at a server, through its restarts, until Ctrl+C.
//   Pengx.EventWatch http://127.0.0.1:8080/     (PENGX_API_KEY, where the server asks for a key)
if (args is not [var address] || !Uri.TryCreate(address, UriKind.Absolute, out var server))
{
    Console.Error.WriteLine("usage: Pengx.EventWatch ADDRESS");
    return 2;
}

using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true;
    stop.Cancel();
};

using var http = new HttpClient(PengxClient.CreateHandler()) { Timeout = Timeout.InfiniteTimeSpan };
var client = new PengxClient(http, new PengxClientOptions { BaseAddress = server, ApiKey = Environment.GetEnvironmentVariable("PENGX_API_KEY") });
try
{
    await foreach (var happened in client.Events.WatchAsync(cancellationToken: stop.Token))
    {
        Console.WriteLine(happened switch
        {
            PengxEventsOpened { Resumed: false } => "watching; nothing is missed from here on",
            PengxEventsOpened => "the server is back; going on after the last event",
            PengxEventsReset => "events were missed: what is known must be read again",
            PengxMachineChanged(var machine) => $"{machine.Name} ({machine.Id}) is {machine.Status}",
            PengxOperationChanged(var operation) => $"{operation.Kind} of {operation.Target}: {operation.State} {operation.Progress} % {operation.Message}",
            _ => $"something else happened: {happened}",
        });
    }
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    return 0;
}
catch (PengxApiException exception)
{
    Console.Error.WriteLine(exception.Message);
    return 1;
}

return 0;
