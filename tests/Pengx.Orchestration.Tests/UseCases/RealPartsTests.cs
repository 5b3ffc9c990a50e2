using Microsoft.Extensions.DependencyInjection;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

/// <summary>The use cases on the real database and the real storage, with simulated guests.</summary>
public sealed class RealPartsTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Whole_life_on_sqlite_and_files()
    {
        Requires.Tool("qemu-img", "qemu");
        var directory = Directory.CreateTempSubdirectory("pengx-real-");
        try
        {
            var data = directory.CreateSubdirectory("data");
            var services = new ServiceCollection();
            services.AddPengx().AddSimulator().AddLocalStorage().AddSqlite($"Data Source={Path.Combine(directory.FullName, "pengx.db")}")
                .AddOrchestration().AddLocalHost(directory.FullName, "pm1");
            await using (var provider = services.BuildServiceProvider())
            {
                await LiveAsync(provider, data.FullName);
            }

            Assert.Empty(data.EnumerateFileSystemInfos());
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private static async Task LiveAsync(ServiceProvider provider, string data)
    {
        await provider.GetRequiredService<PengxService>().StartAsync(Token);
        var (machines, disks, nics, templates, storlinks) = (
            provider.GetRequiredService<VirtualMachines>(), provider.GetRequiredService<VirtualMachineDisks>(),
            provider.GetRequiredService<VirtualMachineInterfaces>(), provider.GetRequiredService<Templates>(), provider.GetRequiredService<Storlinks>());
        var created = await DoneAsync(storlinks.CreateAsync(new CreateStorlink { Name = "s", Link = data, Type = StorlinkType.Local, Level = StorlinkLevel.File }, null, Token));
        Assert.True(StorlinkId.TryParse(created.Created!.Split('/')[1], out var storlink));
        var template = World.TemplateOf(await DoneAsync(templates.AddNewAsync(
            new AddNewTemplate { Name = "t", Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(storlink, 8, DiskFormat.Raw)] }, null, Token)));
        var vm = World.VmOf(await DoneAsync(machines.CreateAsync(
            World.Request(storlink) with { Template = template, OsDiskSizeMiB = 16, ExtraDiskSizeMiB = 4, DiskFormat = DiskFormat.Raw, Networks = ["0", "1"] }, null, Token)));
        await WholeAsync();
        await DoneAsync(machines.StartAsync(vm, null, Token));
        await DoneAsync(disks.CreateAsync(vm, new CreateDisk { SizeMiB = 4, Storlink = storlink }, null, Token));
        await DoneAsync(nics.CreateAsync(vm, new CreateInterface { Switch = "2", IpAddress = "192.168.0.1" }, null, Token));
        await DoneAsync(nics.DeleteAsync(vm, (await nics.ListAsync(vm, Token))[0].Id, null, Token));
        await DoneAsync(machines.ResizeAsync(vm, new ResizeVirtualMachine { Cpus = 2 }, null, Token));
        await DoneAsync(machines.EditAsync(vm, new EditVirtualMachine { Name = "renamed" }, null, Token));
        await WholeAsync();
        await Assert.ThrowsAsync<InUseException>(() => templates.DeleteAsync(template, null, Token));
        await DoneAsync(disks.DeleteAsync(vm, (await disks.ListAsync(vm, Token))[1].Id, null, Token));
        await DoneAsync(machines.ShutdownAsync(vm, null, Token));
        var golden = World.TemplateOf(await DoneAsync(templates.CreateAsync(vm, new CreateTemplate { Name = "golden", Storlink = storlink }, null, Token)));
        Assert.Equal(2, (await templates.ListDisksAsync(golden, Token)).Count);
        Assert.NotNull((await storlinks.GetAsync(storlink, Token)).Capacity);
        await WholeAsync();
        await DoneAsync(machines.DeleteAsync(vm, null, Token));
        await DoneAsync(templates.DeleteAsync(template, null, Token));
        await DoneAsync(templates.DeleteAsync(golden, null, Token));
        await WholeAsync();
        await DoneAsync(storlinks.DeleteAsync(storlink, null, Token));

        async Task<Operation> DoneAsync(Task<Operation> started) => (await provider.GetRequiredService<IOperations>().WaitAsync((await started).Id, Token)).EnsureSucceeded();

        async Task WholeAsync()
        {
            var found = await provider.GetRequiredService<ConsistencyCheck>().RunAsync(Token);
            Assert.True(found.Count == 0, string.Join('\n', found));
        }
    }
}
