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
        return new(host, store, storlink, await host.AddGuestTemplateAsync(store, storlink, image));
    }

    public Task<string> AddAsync(string name, int extraMiB = 4, string format = "raw", string? storlink = null) =>
        Host.AddMachineAsync(storlink ?? Storlink, name, 160, $"<template>{Template}</template><extra_disk_size>{extraMiB}</extra_disk_size><disk_format>{format}</disk_format><network><list-item>0</list-item></network>");

    /// <summary>What the guest printed on its serial console since its last start.</summary>
    public string Serial(string vm) => Host.Serial(vm);

    /// <summary>The newest record that a guest printed as flushed.</summary>
    public static long LastFlushed(string serial)
    {
        const string Mark = "PENGX-GUEST flushed ";
        var complete = serial[..(serial.LastIndexOf('\n') + 1)];
        var at = complete.LastIndexOf(Mark, StringComparison.Ordinal);
        return at < 0 ? 0 : long.Parse(complete[(at + Mark.Length)..complete.IndexOf('\n', at)].Trim(), CultureInfo.InvariantCulture);
    }

    public Task PrintsAsync(string vm, string text) => Host.PrintsAsync(vm, text);

    /// <summary>Waits until a guest has flushed records beyond one: the newest that it has printed, unless another is given.</summary>
    public async Task GoesOnAsync(string vm, long? from = null)
    {
        var flushed = from ?? LastFlushed(Serial(vm));
        await ServedMachines.EventuallyAsync(() => Task.FromResult(LastFlushed(Serial(vm)) > flushed + 1), $"the guest goes on from {flushed}:\n{Host.Log}", 120);
    }

    /// <summary>Every file on the storage link belongs to a disk that the API shows, and every disk has its file.</summary>
    public async Task AssertWholeAsync()
    {
        List<string> expected = [];
        foreach (var vm in (await Host.GetXmlAsync("/vms/")).Elements("vm"))
        {
            expected.AddRange((await Host.GetXmlAsync($"/vms/{vm.Attribute("id")!.Value}/disks/")).Elements("disk").Select(ShownDisks.FileOf));
        }

        foreach (var template in (await Host.GetXmlAsync("/templates/")).Elements("template"))
        {
            expected.AddRange((await Host.GetXmlAsync($"/templates/{template.Attribute("id")!.Value}/disks/")).Elements("disk").Select(ShownDisks.FileOf));
        }

        Assert.Equal(expected.Order(), Directory.GetFileSystemEntries(Store).Select(path => Path.GetFileName(path)!).Order());
        var unfinished = (await Host.GetXmlAsync("/operations/")).Elements().Where(operation => operation.Element("state")!.Value is "PENDING" or "RUNNING").ToList();
        Assert.Empty(unfinished);
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        Directory.Delete(Store, recursive: true);
    }
}
