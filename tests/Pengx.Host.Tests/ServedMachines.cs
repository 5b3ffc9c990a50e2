using System.Net;

namespace Pengx.Host.Tests;

/// <summary>Shortcuts through the API that many tests need.</summary>
internal static class ServedMachines
{
    public static async Task<string> AddStorlinkAsync(this HostProcess host, string link, string name = "store1", string type = "LO", string level = "FL") =>
        (await host.ChangeAsync(
            HttpMethod.Post,
            "/storlinks/create/",
            $"<storlink><name>{name}</name><link>{link}</link><desc>VM store</desc><type>{type}</type><level>{level}</level><shared>False</shared></storlink>",
            HttpStatusCode.Created)).Split('/', StringSplitOptions.RemoveEmptyEntries)[^1];

    /// <returns>The machine's id.</returns>
    public static async Task<string> AddMachineAsync(this HostProcess host, string storlink, string name, int memory = 128, string rest = "<os_disk_size>8</os_disk_size><disk_format>raw</disk_format>") =>
        (await host.ChangeAsync(
            HttpMethod.Post,
            "/vms/",
            $"<vm><name>{name}</name><storlink>{storlink}</storlink><cpu_core>1</cpu_core><memory>{memory}</memory>{rest}</vm>",
            HttpStatusCode.Created)).Split('/', StringSplitOptions.RemoveEmptyEntries)[^1];

    public static async Task<string> StatusAsync(this HostProcess host, string vm) => (await host.GetXmlAsync($"/vms/{vm}/")).Element("status")!.Value;

    /// <summary>Waits for a condition that another process brings about; bounded.</summary>
    public static async Task EventuallyAsync(Func<Task<bool>> condition, string what, int seconds = 60)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (!await condition())
        {
            try
            {
                await timer.WaitForNextTickAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail($"Not within {seconds} s: {what}");
            }
        }
    }
}
