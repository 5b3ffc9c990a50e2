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

    /// <summary>Makes a template of a copy of the test guest's disk.</summary>
    /// <returns>The template's id.</returns>
    public static async Task<string> AddGuestTemplateAsync(this HostProcess host, string store, string storlink, string image)
    {
        var disk = Guid.NewGuid();
        File.Copy(image, Path.Combine(store, $"{disk}.raw"));
        return (await host.ChangeAsync(
            HttpMethod.Post,
            "/templates/add/",
            $"<template><name>guest</name><os>OTHER</os><os_arch>X64</os_arch><disk><storlink>{storlink}</storlink><uuid>{disk}</uuid><format>raw</format></disk></template>",
            HttpStatusCode.Created)).Split('/', StringSplitOptions.RemoveEmptyEntries)[^1];
    }

    /// <summary>What the guest on QEMU printed on its serial console since its last start.</summary>
    public static string Serial(this HostProcess host, string vm)
    {
        var log = Directory.GetFiles(Path.Combine(host.DataDirectory, "qemu"), "serial.log", SearchOption.AllDirectories).SingleOrDefault(path => path.Contains(vm, StringComparison.Ordinal));
        if (log is null)
        {
            return "";
        }

        using var stream = new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    /// <summary>Waits until the guest on QEMU has printed something; nothing before <paramref name="from"/> counts unless it has been started since.</summary>
    public static Task PrintsAsync(this HostProcess host, string vm, string text, int from = 0) => EventuallyAsync(
        () =>
        {
            var printed = host.Serial(vm);
            return Task.FromResult(printed[(printed.Length < from ? 0 : from)..].Contains(text, StringComparison.Ordinal));
        },
        $"the guest prints '{text}'; it printed:\n{host.Serial(vm)}\n{host.Log}",
        120);

    public static async Task<bool> IsServedAsync(this HostProcess host, string path) => (await host.SendAsync(HttpMethod.Get, path)).Status == HttpStatusCode.OK;

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
