using System.Diagnostics;
using System.Net;

namespace Pengx.Host.Tests;

/// <summary>A guest writes whatever it likes into its raw disk: also the header of a qcow2 image whose backing file is a secret of the host.</summary>
public sealed class PlantedHeaderTests
{
    [Fact]
    public async Task No_operation_reads_the_file_that_a_guest_named_in_its_raw_disk()
    {
        await using var guests = await RealGuests.StartAsync();
        var host = guests.Host;
        var secret = $"secret-{Guid.NewGuid():N}";
        var secretFile = Path.Combine(host.DataDirectory, "secret");
        await File.WriteAllTextAsync(secretFile, secret + new string('\n', 4096), TestContext.Current.CancellationToken);

        // The machine's disk is the copy of a raw template; its guest wrote the header of an overlay on the secret into it.
        var vm = await host.AddMachineAsync(guests.Storlink, "planter", rest: "<os_disk_size>8</os_disk_size><disk_format>raw</disk_format>");
        var disk = (await host.GetXmlAsync($"/vms/{vm}/disks/")).Elements("disk").Single().Attribute("id")!.Value;
        var image = Path.Combine(guests.Store, $"{disk}.raw");
        var overlay = Path.Combine(host.DataDirectory, "overlay.qcow2");
        await RunAsync("qemu-img", "create", "-f", "qcow2", "-b", secretFile, "-F", "raw", overlay, "8M");
        var planted = await File.ReadAllBytesAsync(overlay, TestContext.Current.CancellationToken);
        await using (var raw = new FileStream(image, FileMode.Open, FileAccess.Write))
        {
            await raw.WriteAsync(planted, TestContext.Current.CancellationToken);
        }

        // Everything that touches the disk: start, hot-plug beside it, resize, a template of it, a machine of that template.
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/start/", null, HttpStatusCode.OK);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/disks/", $"<disk><size>1</size><storlink>{guests.Storlink}</storlink></disk>", HttpStatusCode.Created);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{vm}/poweroff/", null, HttpStatusCode.OK);
        var template = (await host.ChangeAsync(HttpMethod.Post, $"/templates/create/vms/{vm}/", $"<template><name>planted</name><storlink>{guests.Storlink}</storlink></template>", HttpStatusCode.Created)).Split('/')[2];
        var copy = await host.AddMachineAsync(guests.Storlink, "copy", rest: $"<template>{template}</template><disk_format>raw</disk_format>");
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{copy}/start/", null, HttpStatusCode.OK);
        await host.ChangeAsync(HttpMethod.Post, $"/vms/{copy}/poweroff/", null, HttpStatusCode.OK);
        Assert.NotEmpty((await host.GetXmlAsync("/storlinks/")).Elements());

        var copied = Path.Combine(guests.Store, $"{(await host.GetXmlAsync($"/vms/{copy}/disks/")).Elements("disk").First().Attribute("id")!.Value}.raw");
        Assert.Equal(await File.ReadAllBytesAsync(image, TestContext.Current.CancellationToken), await File.ReadAllBytesAsync(copied, TestContext.Current.CancellationToken));
        foreach (var file in Directory.GetFiles(guests.Store))
        {
            Assert.DoesNotContain(secret, await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken), StringComparison.Ordinal);
        }

        // The same image brought in as what it claims to be is refused.
        var imported = Guid.NewGuid();
        File.Copy(overlay, Path.Combine(guests.Store, $"{imported}.qcow2"));
        var refusal = await host.RefusedAsync(
            HttpMethod.Post, "/templates/add/", $"<template><name>import</name><os>OTHER</os><os_arch>X64</os_arch><disk><storlink>{guests.Storlink}</storlink><uuid>{imported}</uuid><format>qcow2</format></disk></template>", HttpStatusCode.BadRequest);
        Assert.Contains("overlay", refusal, StringComparison.OrdinalIgnoreCase);
    }

    private static async Task RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start)!;
        await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, process.ExitCode);
    }
}
