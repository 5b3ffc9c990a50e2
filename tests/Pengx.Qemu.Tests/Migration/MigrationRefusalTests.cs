using System.Net.Sockets;

namespace Pengx.Qemu.Tests;

/// <summary>What cannot be moved is refused before anything is done, with the reason, by the check and by the move alike.</summary>
public sealed class MigrationRefusalTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Each_reason_is_told_and_the_guest_goes_on()
    {
        await using var hosts = await MoveTestHosts.StartAsync();
        await using var here = await hosts.Here.StartDriverAsync(Token);
        var (definition, _) = hosts.CreateCounting();
        var id = definition.Id;
        await here.Domains.DefineAsync(definition, Token);
        await RefusedAsync<WrongStateException>("does not run");
        await here.Domains.StartAsync(id, Token);
        await RefusedAsync<InvalidFieldException>("a host must be a name", "pm2; reboot");
        await RefusedAsync<InvalidFieldException>("a host must be a name", "-oProxyCommand=x");

        // Nobody listens there.
        await RefusedAsync<HypervisorException>("does not answer");
        await using (var there = await hosts.There.StartDriverAsync(Token))
        {
            there.Environment.ReadFreeMemory = static () => DataSize.FromMiB(64);
            await RefusedAsync<InsufficientResourceException>("64 MiB free");
            there.Environment.ReadFreeMemory = static () => DataSize.FromMiB(4096);
            await MoveTestHosts.MigrationOf(here).CheckMigrationAsync(id, MoveTestHosts.OtherName, Token);

            // A guest with its UUID runs there.
            var impostor = hosts.There.CreateBootable() with { Id = id };
            await there.Domains.DefineAsync(impostor, Token);
            await there.Domains.StartAsync(id, Token);
            await RefusedAsync<WrongStateException>("runs there already");
            await there.Domains.DestroyAsync(id, Token);
        }

        var another = hosts.There.PathOf("another-qemu");
        await File.WriteAllTextAsync(another, "#!/bin/sh\necho 'QEMU emulator version 9.9.9 (test)'\n", Token);
        File.SetUnixFileMode(another, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        hosts.There.Options.Binary = another;
        await using (await hosts.There.StartDriverAsync(Token))
        {
            await RefusedAsync<WrongStateException>("QEMU 9.9.9 is installed there");
        }

        await here.Domains.PauseAsync(id, Token);
        await RefusedAsync<WrongStateException>("only one that runs");
        await here.Domains.DestroyAsync(id, Token);
        await here.Domains.DefineAsync(definition with { IsoPath = hosts.Here.CreateDisk("xvdz").Layers[0].Location.ToString() }, Token);
        await here.Domains.StartAsync(id, Token);
        await RefusedAsync<WrongStateException>("ISO image of this host");
        Assert.Equal(VmState.Running, (await here.Domains.FindAsync(id, Token))!.State);

        async Task RefusedAsync<T>(string reason, string host = MoveTestHosts.OtherName)
            where T : PengxException
        {
            var migration = MoveTestHosts.MigrationOf(here);
            foreach (var refuse in (Func<Task>[])[() => migration.CheckMigrationAsync(id, host, Token), () => migration.MigrateAsync(id, host, Token)])
            {
                var error = await Assert.ThrowsAsync<T>(refuse);
                Assert.Contains(reason, error.Message, StringComparison.Ordinal);
            }

            Assert.DoesNotContain(ProcessTable.FindByArgument(Path.Combine(hosts.Here.Options.RunDirectory!, "peer-")), _ => true);
        }
    }

    [Fact]
    public async Task A_host_that_ssh_does_not_reach_is_named_with_sshs_own_words()
    {
        QemuTestHost.RequireQemu();
        Pengx.Testing.Requires.Tool("ssh", "openssh");
        await using QemuTestHost host = new();
        foreach (var option in (string[])["-F", "none", "-p", "1", "-o", "HostName=127.0.0.1"])
        {
            host.Options.SshOptions.Add(option);
        }

        await using var driver = await host.StartDriverAsync(Token);
        var definition = host.CreateBootable();
        await driver.Domains.DefineAsync(definition, Token);
        await driver.Domains.StartAsync(definition.Id, Token);
        var error = await Assert.ThrowsAsync<HypervisorException>(() => MoveTestHosts.MigrationOf(driver).MigrateAsync(definition.Id, "pm2", Token));
        Assert.Contains("pm2 cannot be reached by ssh", error.Message, StringComparison.Ordinal);
        Assert.Contains("Connection refused", error.Message, StringComparison.Ordinal);
        Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(definition.Id, Token))!.State);
        await driver.Domains.DestroyAsync(definition.Id, Token);
    }

    /// <summary>What the receiving side alone can see, asked as another host asks it.</summary>
    [Fact]
    public async Task The_receiving_host_looks_at_its_own_side()
    {
        QemuTestHost.RequireQemu();
        await using QemuTestHost host = new();
        await using var driver = await host.StartDriverAsync(Token);
        var binary = driver.Environment.FindBinary();
        var (useKvm, _) = await driver.Environment.Probe.ChooseAsync(binary, Token);
        var disk = host.CreateDisk("xvda");
        var path = ((FileLocation)disk.Layers[0].Location).Path;
        MovingGuest good = new()
        {
            Version = MovingGuest.CurrentVersion,
            Id = Guid.NewGuid(),
            Qemu = await driver.Environment.ReadVersionAsync(binary, Token),
            Machine = "pc-i440fx-7.2",
            HostProcessor = useKvm ? HostProcessor.Read() : null,
            Cpus = 1,
            MaxCpus = 1,
            Processors = [],
            MemoryBytes = DataSize.FromMiB(64).Bytes,
            MaxMemoryBytes = DataSize.FromMiB(64).Bytes,
            Dimms = [],
            Disks = [new(StoredDisk.From(disk), [new(path, FileNumber.Find(path)!.Value)])],
            Nics = [],
            StartedAt = TimeProvider.System.GetUtcNow(),
        };
        Assert.Equal(MoveReply.Ready, (await AskAsync(good)).Status);

        // A copy under the same name is another file; a file that is not there is none.
        var copy = path + ".copy";
        File.Copy(path, copy);
        File.Move(copy, path, overwrite: true);
        await RefusedAsync(good, "is another file there");
        File.Delete(path);
        await RefusedAsync(good, "is not to be seen there");
        var bare = good with { Disks = [] };
        await RefusedAsync(bare with { Disks = [new(StoredDisk.From(disk with { Layers = [new(new BlockLocation("/dev/nosuch/volume"), DiskFormat.Raw)] }), [])] }, "/dev/nosuch/volume is not to be seen");
        await RefusedAsync(bare with { HostProcessor = useKvm ? null : "some processor" }, useKvm ? "without KVM" : "runs with KVM");
        await RefusedAsync(bare with { Nics = [new("00:16:3e:00:00:01", 1, "nosuchbridge")] }, "bridge nosuchbridge");
        await RefusedAsync(bare with { Version = 99 }, "version 99");
        Assert.Equal(MoveReply.Never, (await SendAsync(new() { Verb = MoveRequest.Outcome, Move = Guid.NewGuid(), Domain = good.Id })).Status);
        Assert.Equal(MoveReply.Refused, (await SendAsync(new() { Verb = MoveRequest.Stream, Move = Guid.NewGuid() })).Status);
        Assert.Equal(MoveReply.Refused, (await SendAsync(new() { Verb = "erase" })).Status);

        // A machine that this QEMU does not know fails when it is started, and leaves nothing.
        var unknown = await SendAsync(new() { Verb = MoveRequest.Receive, Move = Guid.NewGuid(), Guest = bare with { Machine = "pc-i440fx-99.9" } });
        Assert.Equal(MoveReply.Refused, unknown.Status);
        Assert.Contains("unsupported machine type", unknown.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateDirectories(host.Options.StateDirectory));
        Assert.Empty(Directory.EnumerateFileSystemEntries(host.Options.RunDirectory!));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(host.Options.ListenSocket));

        async Task RefusedAsync(MovingGuest guest, string reason)
        {
            var reply = await AskAsync(guest);
            Assert.Equal(MoveReply.Refused, reply.Status);
            Assert.Contains(reason, reply.Message, StringComparison.Ordinal);
        }

        Task<MoveReply> AskAsync(MovingGuest guest) => SendAsync(new() { Verb = MoveRequest.Check, Guest = guest });

        async Task<MoveReply> SendAsync(MoveRequest request)
        {
            Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            using MoveConnection connection = new(socket);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(host.Options.ListenSocket), Token);
            await connection.SendAsync(request, Token);
            var reply = await connection.ReadReplyAsync(Token).WaitAsync(QemuTestHost.Patience, Token);
            Assert.NotNull(reply);
            return reply;
        }
    }
}
