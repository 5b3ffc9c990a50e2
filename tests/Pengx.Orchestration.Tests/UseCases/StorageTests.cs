using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

public sealed class StorlinkAndTemplateTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(StorlinkType.Nfs, StorlinkLevel.Block, "/x", "level")]
    [InlineData(StorlinkType.Ceph, StorlinkLevel.File, "/x", "level")]
    [InlineData(StorlinkType.Local, StorlinkLevel.Object, "pool", "level")]
    [InlineData(StorlinkType.Local, StorlinkLevel.File, "data", "link")]
    [InlineData(StorlinkType.Local, StorlinkLevel.File, "/data/../etc", "link")]
    [InlineData(StorlinkType.Local, StorlinkLevel.File, "/data,readonly=off", "link")]
    [InlineData(StorlinkType.Local, StorlinkLevel.File, "/da\nta", "link")]
    [InlineData(StorlinkType.Local, StorlinkLevel.File, "/data; $(reboot)", "link")]
    [InlineData(StorlinkType.Ceph, StorlinkLevel.Object, "po/ol", "link")]
    public async Task Storlink_that_breaks_a_rule_is_refused(StorlinkType type, StorlinkLevel level, string link, string field)
    {
        await using var world = await World.StartedAsync();
        var refused = await Assert.ThrowsAsync<InvalidFieldException>(
            () => world.Storlinks.CreateAsync(new CreateStorlink { Name = "s", Link = link, Type = type, Level = level }, null, Token));
        Assert.Equal(field, refused.Field);
        Assert.Empty(await world.Storlinks.ListAllAsync(Token));
    }

    [Fact]
    public async Task Storlink_lives_and_is_refused_to_die_while_it_is_used()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddStorlinkAsync();
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.AddStorlinkAsync());
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Storlinks.UpdateAsync(id, new UpdateStorlink(), null, Token));
        // A directory at block level is taken as written; using it says what is wrong.
        await world.DoneAsync(world.Storlinks.UpdateAsync(id, new UpdateStorlink { Level = StorlinkLevel.Block, Link = "/data2", Shared = true }, null, Token));
        var view = await world.Storlinks.GetAsync(id, Token);
        Assert.Equal(("/data2", StorlinkLevel.Block, true, "pm1"), (view.Storlink.Link, view.Storlink.Level, view.Storlink.Shared, view.PmName));
        var vm = await world.AddMachineAsync(id);
        await world.AddTemplateAsync(id);
        var used = await Assert.ThrowsAsync<InUseException>(() => world.Storlinks.DeleteAsync(id, null, Token));
        Assert.Contains("1 disk, 1 template", used.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InUseException>(() => world.Storlinks.UpdateAsync(id, new UpdateStorlink { Link = "/elsewhere" }, null, Token));
        await world.DoneAsync(world.Storlinks.UpdateAsync(id, new UpdateStorlink { Description = "used" }, null, Token));
        await world.DoneAsync(world.Machines.DeleteAsync(vm, null, Token));
        await Assert.ThrowsAsync<NotFoundException>(() => world.Storlinks.DeleteAsync(new(77), null, Token));
    }

    [Theory]
    [InlineData("machine")]
    [InlineData("backup")]
    [InlineData("template")]
    public async Task What_another_PM_has_disks_on_stays_shared(string what)
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddStorlinkAsync();
        await world.DoneAsync(world.Storlinks.UpdateAsync(id, new UpdateStorlink { Shared = true }, null, Token));
        var vm = await world.AddMachineAsync(what == "backup" ? await world.AddStorlinkAsync("own") : id);
        if (what == "backup")
        {
            await world.AddBackupAsync(vm, id);
        }

        var template = what == "template" ? await world.AddTemplateAsync(id) : (TemplateId?)null;
        await world.DoneAsync(world.Storlinks.UpdateAsync(id, new UpdateStorlink { Shared = false }, null, Token));
        await world.DoneAsync(world.Storlinks.UpdateAsync(id, new UpdateStorlink { Shared = true }, null, Token));
        await using (var session = await world.Store.OpenAsync(Token))
        {
            var other = PmId.New();
            if (template is { } moved)
            {
                session.Templates.Update((await session.Templates.FindAsync(moved, Token))! with { Pm = other });
            }
            else
            {
                session.VirtualMachines.Update((await session.VirtualMachines.FindAsync(vm, Token))! with { Pm = other });
            }

            await session.SaveAsync(Token);
        }

        var refused = await Assert.ThrowsAsync<InUseException>(() => world.Storlinks.UpdateAsync(id, new UpdateStorlink { Shared = false }, null, Token));
        Assert.Contains(what == "template" ? "template debian of PM" : "VM web1 of PM", refused.Message, StringComparison.Ordinal);
        await world.DoneAsync(world.Storlinks.UpdateAsync(id, new UpdateStorlink { Description = "for all" }, null, Token));
        Assert.True((await world.Storlinks.GetAsync(id, Token)).Storlink.Shared);
    }

    [Fact]
    public async Task Sizes_are_measured_and_kept_for_seconds()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddStorlinkAsync();
        await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => world.Storlinks.ListAsync(Token)));
        Assert.Equal(1, world.Storage.Measurements);
        Assert.Equal(world.Storage.Capacity, (await world.Storlinks.GetAsync(id, Token)).Capacity!.Free);
        world.Configure = options => options.CapacityLifetime = TimeSpan.Zero;
        await world.StartAsync();
        world.Storage.FailNext(nameof(IStorageBackend.MeasureAsync), new StorageException("gone"));
        Assert.Null(Assert.Single(await world.Storlinks.ListAsync(Token)).Capacity);
        Assert.NotNull(Assert.Single(await world.Storlinks.ListAsync(Token)).Capacity);
    }

    [Fact]
    public async Task A_storlink_that_hangs_holds_no_list_up_and_is_asked_once()
    {
        await using var world = await World.StartedAsync(options => (options.CapacityLifetime, options.MeasureTimeout) = (TimeSpan.Zero, TimeSpan.FromMilliseconds(200)));
        await world.AddStorlinkAsync();
        using ManualResetEventSlim back = new();
        var asked = 0;
        world.Storage.BeforeNext(
            nameof(IStorageBackend.MeasureAsync),
            () =>
            {
                asked++;
                back.Wait(Token);
            },
            times: 3);
        for (var list = 0; list < 3; list++)
        {
            Assert.Null(Assert.Single(await world.Storlinks.ListAsync(Token)).Capacity);
        }

        Assert.Equal(1, asked);
        back.Set();
        while (Assert.Single(await world.Storlinks.ListAsync(Token)).Capacity is null)
        {
            await Task.Delay(10, Token);
        }
    }

    [Fact]
    public async Task Own_and_shared_storlinks_are_listed_and_all_on_demand()
    {
        await using var world = await World.StartedAsync();
        await world.AddStorlinkAsync("own");
        await using (var session = await world.Store.OpenAsync(Token))
        {
            var other = PmId.New();
            session.Storlinks.Add(new Storlink { Id = new(50), Pm = other, Name = "theirs", Link = "/t", Type = StorlinkType.Local, Level = StorlinkLevel.File });
            session.Storlinks.Add(new Storlink { Id = new(51), Pm = other, Name = "nfs", Link = "/n", Type = StorlinkType.Nfs, Level = StorlinkLevel.File, Shared = true });
            await session.SaveAsync(Token);
        }

        Assert.Equal(["own", "nfs"], (await world.Storlinks.ListAsync(Token)).Select(view => view.Storlink.Name));
        Assert.Equal(["own", "theirs", "nfs"], (await world.Storlinks.ListAllAsync(Token)).Select(view => view.Storlink.Name));
        await Assert.ThrowsAsync<WrongStateException>(() => world.Machines.CreateAsync(World.Request(new(50)), null, Token));
    }

    [Fact]
    public async Task Template_is_made_of_an_image_that_lies_there()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddStorlinkAsync();
        var image = DiskId.New();
        var request = new AddTemplate { Name = "debian", Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(id, image, DiskFormat.Qcow2)] };
        await Assert.ThrowsAsync<StorageException>(() => world.Templates.AddAsync(request, null, Token));
        world.Storage.Lay((await world.Storlinks.GetAsync(id, Token)).Storlink, image, DiskFormat.Qcow2, DataSize.FromMiB(123));
        var template = World.TemplateOf(await world.DoneAsync(world.Templates.AddAsync(request, null, Token)));
        Assert.Equal(123, (await world.Templates.GetAsync(template, Token)).Size.MiB);
        await Assert.ThrowsAsync<InUseException>(() => world.Templates.AddAsync(request with { Name = "again" }, null, Token));
        await Assert.ThrowsAsync<InvalidFieldException>(() => world.Templates.AddAsync(request with { Disks = [] }, null, Token));
        await world.DoneAsync(world.Templates.DeleteAsync(template, null, Token));
        Assert.Empty(world.Storage.Volumes(id));
    }

    [Fact]
    public async Task An_image_that_two_templates_want_is_the_first_ones()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddStorlinkAsync();
        var image = DiskId.New();
        world.Storage.Lay((await world.Storlinks.GetAsync(id, Token)).Storlink, image, DiskFormat.Qcow2, DataSize.FromMiB(123));
        var request = new AddTemplate { Name = "first", Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(id, image, DiskFormat.Qcow2)] };
        TemplateId first = default;
        world.Storage.BeforeNext(nameof(IImageImport.InspectImportAsync), () => first = World.TemplateOf(world.DoneAsync(world.Templates.AddAsync(request, null, Token)).GetAwaiter().GetResult()));
        var second = await world.EndedAsync(world.Templates.AddAsync(request with { Name = "second" }, null, Token));
        Assert.Equal((OperationState.Failed, PengxErrorCode.InUse), (second.State, second.Error));
        Assert.Equal(image, Assert.Single(await world.Templates.ListDisksAsync(first, Token)).Id);
        Assert.Single(await world.Templates.ListAsync(Token));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Machines_are_made_only_from_a_template_that_has_nothing_open()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddStorlinkAsync();
        var template = await world.AddTemplateAsync(id);
        await world.DoneAsync(world.Templates.StartAsync(template, null, null, Token));
        await RefusedAsync("is RUNNING; shut it down");
        world.Host.Guest(template).Crash();
        await RefusedAsync("is CRASHED; power it off");
        await world.DoneAsync(world.Templates.PowerOffAsync(template, null, Token));
        await world.AddMachineAsync(id, change: request => request with { Template = template, OsDiskSizeMiB = null });

        async Task RefusedAsync(string reason) => Assert.Contains(
            reason,
            (await Assert.ThrowsAsync<WrongStateException>(() => world.AddMachineAsync(id, change: request => request with { Template = template, OsDiskSizeMiB = null }))).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Machines_are_made_from_another_host_s_template_only_while_it_is_recorded_as_shut_down()
    {
        await using var world = await World.StartedAsync();
        var id = await world.AddStorlinkAsync();
        var template = await world.AddTemplateAsync(id);
        await ChangeAsync(row => row with { Pm = PmId.New(), State = VmState.Running });
        await Assert.ThrowsAsync<WrongStateException>(() => world.AddMachineAsync(id, change: request => request with { Template = template, OsDiskSizeMiB = null }));
        await ChangeAsync(row => row with { State = VmState.Shutdown });
        await world.AddMachineAsync(id, change: request => request with { Template = template, OsDiskSizeMiB = null });

        async Task ChangeAsync(Func<Template, Template> change)
        {
            await using var session = await world.Store.OpenAsync(Token);
            session.Templates.Update(change((await session.Templates.FindAsync(template, Token))!));
            await session.SaveAsync(Token);
        }
    }

    [Fact]
    public async Task A_template_does_not_start_when_a_machine_was_made_upon_it_meanwhile()
    {
        await using var world = await World.StartedAsync();
        world.Configure = options => options.LinkedClones = true;
        await world.StartAsync();
        var id = await world.AddStorlinkAsync();
        var image = DiskId.New();
        world.Storage.Lay((await world.Storlinks.GetAsync(id, Token)).Storlink, image, DiskFormat.Qcow2, DataSize.FromMiB(123));
        var template = World.TemplateOf(await world.DoneAsync(world.Templates.AddAsync(
            new AddTemplate { Name = "golden", Os = GuestOs.Debian, Architecture = OsArchitecture.X64, Disks = [new(id, image, DiskFormat.Qcow2)] }, null, Token)));
        world.Host.Before(SimulatedVerb.HostFacts, async (_, _) =>
        {
            world.Host.Before(SimulatedVerb.HostFacts, null);
            await world.AddMachineAsync(id, change: request => request with { Template = template, OsDiskSizeMiB = null });
        });
        var ended = await world.EndedAsync(world.Templates.StartAsync(template, null, null, Token));
        Assert.Equal((OperationState.Failed, PengxErrorCode.InUse), (ended.State, ended.Error));
        Assert.Equal(VmState.Shutdown, (await world.Templates.GetAsync(template, Token)).State);
    }

    [Fact]
    public async Task Template_is_made_of_a_stopped_machine()
    {
        await using var world = await World.StartedAsync();
        var storlink = await world.AddStorlinkAsync();
        var vm = await world.AddMachineAsync(storlink);
        var request = new CreateTemplate { Name = "golden", Storlink = storlink };
        var template = World.TemplateOf(await world.DoneAsync(world.Templates.CreateAsync(vm, request, null, Token)));
        var (source, copy) = ((await world.Disks.ListAsync(vm, Token))[0], (await world.Templates.ListDisksAsync(template, Token))[0]);
        Assert.Equal(world.Storage.ContentOf(source.Id), world.Storage.ContentOf(copy.Id));
        await world.AssertWholeAsync();
    }

    [Fact]
    public async Task Template_boots_with_an_iso_and_is_not_copied_meanwhile()
    {
        var directory = Directory.CreateTempSubdirectory("pengx-iso-");
        try
        {
            await File.WriteAllTextAsync(Path.Combine(directory.FullName, "debian.iso"), "iso", Token);
            await using var world = await World.StartedAsync(options => options.IsoDirectories.Add(directory.FullName));
            var storlink = await world.AddStorlinkAsync();
            var template = await world.AddTemplateAsync(storlink);
            await Assert.ThrowsAsync<NotFoundException>(() => world.Templates.StartAsync(template, "other.iso", null, Token));
            await Assert.ThrowsAsync<InvalidFieldException>(() => world.Templates.StartAsync(template, "../debian.iso", null, Token));
            await world.DoneAsync(world.Templates.StartAsync(template, "debian.iso", null, Token));
            Assert.Equal(Path.Combine(directory.FullName, "debian.iso"), world.Host.Guest(template).IsoPath);
            Assert.Equal(VmState.Running, Assert.Single(await world.Templates.ListAsync(Token)).State);
            await Assert.ThrowsAsync<WrongStateException>(() => world.Machines.CreateAsync(World.Request(storlink) with { Template = template }, null, Token));
            await Assert.ThrowsAsync<WrongStateException>(() => world.Templates.DeleteAsync(template, null, Token));
            await world.DoneAsync(world.Templates.ShutdownAsync(template, null, Token));
            await world.AssertWholeAsync();
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }
}
