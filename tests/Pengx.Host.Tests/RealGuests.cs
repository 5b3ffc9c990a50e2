using System.Globalization;
using System.Net;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>A service on QEMU with a storage link that holds the test guest as a template.</summary>
internal sealed class RealGuests : IAsyncDisposable
{
    private RealGuests(HostProcess host, string store, string storlink, string template)
    {
        Host = host;
        Store = store;
        Storlink = storlink;
        Template = template;
    }

    public HostProcess Host { get; }

    public string Store { get; }

    public string Storlink { get; }

    public string Template { get; }

    public static async Task<RealGuests> StartAsync(params string[] arguments)
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        Requires.Tool("qemu-img", "qemu");
        var image = GuestImage.Require();
        var store = Directory.CreateTempSubdirectory("pengx-store-").FullName;
        var host = await HostProcess.StartAsync("qemu", ["--Pengx:Limits:ShutdownWaitSeconds=20", .. arguments]);
        var storlink = await host.AddStorlinkAsync(store);
        var disk = Guid.NewGuid();
        File.Copy(image, Path.Combine(store, $"{disk}.raw"));
        var template = await host.ChangeAsync(
            HttpMethod.Post,
            "/templates/add/",
            $"<template><name>guest</name><os>OTHER</os><os_arch>X64</os_arch><disk><storlink>{storlink}</storlink><uuid>{disk}</uuid><format>raw</format></disk></template>",
            HttpStatusCode.Created);
        return new(host, store, storlink, template.Split('/')[2]);
    }

    public Task<string> AddAsync(string name, int extraMiB = 4, string format = "raw", string? storlink = null) =>
        Host.AddMachineAsync(storlink ?? Storlink, name, 160, $"<template>{Template}</template><extra_disk_size>{extraMiB}</extra_disk_size><disk_format>{format}</disk_format><network><list-item>0</list-item></network>");

    /// <summary>What the guest printed on its serial console since its last start.</summary>
    public string Serial(string vm)
    {
        var log = Directory.GetFiles(Path.Combine(Host.DataDirectory, "qemu"), "serial.log", SearchOption.AllDirectories).SingleOrDefault(path => path.Contains(vm, StringComparison.Ordinal));
        if (log is null)
        {
            return "";
        }

        using var stream = new FileStream(log, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }

    /// <summary>The newest record that a guest printed as flushed.</summary>
    public static long LastFlushed(string serial)
    {
        const string Mark = "PENGX-GUEST flushed ";
        var complete = serial[..(serial.LastIndexOf('\n') + 1)];
        var at = complete.LastIndexOf(Mark, StringComparison.Ordinal);
        return at < 0 ? 0 : long.Parse(complete[(at + Mark.Length)..complete.IndexOf('\n', at)].Trim(), CultureInfo.InvariantCulture);
    }

    public Task PrintsAsync(string vm, string text) =>
        ServedMachines.EventuallyAsync(() => Task.FromResult(Serial(vm).Contains(text, StringComparison.Ordinal)), $"the guest prints '{text}'; it printed:\n{Serial(vm)}\n{Host.Log}", 120);

    /// <summary>Every file on the storage link belongs to a disk that the API shows, and every disk has its file.</summary>
    public async Task AssertWholeAsync()
    {
        List<string> expected = [];
        foreach (var vm in (await Host.GetXmlAsync("/vms/")).Elements("vm"))
        {
            expected.AddRange((await Host.GetXmlAsync($"/vms/{vm.Attribute("id")!.Value}/disks/")).Elements("disk").Select(Name));
        }

        foreach (var template in (await Host.GetXmlAsync("/templates/")).Elements("template"))
        {
            expected.AddRange((await Host.GetXmlAsync($"/templates/{template.Attribute("id")!.Value}/disks/")).Elements("disk").Select(Name));
        }

        Assert.Equal(expected.Order(), Directory.GetFileSystemEntries(Store).Select(path => Path.GetFileName(path)!).Order());
        var unfinished = (await Host.GetXmlAsync("/operations/")).Elements().Where(operation => operation.Element("state")!.Value is "PENDING" or "RUNNING").ToList();
        Assert.Empty(unfinished);

        static string Name(System.Xml.Linq.XElement disk) => $"{disk.Attribute("id")!.Value}.{disk.Element("format")!.Value}";
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        Directory.Delete(Store, recursive: true);
    }
}
