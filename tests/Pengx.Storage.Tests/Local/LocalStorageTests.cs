using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Pengx.Testing;

namespace Pengx.Storage.Tests;

public sealed class LocalStorageTests : IDisposable
{
    private static readonly DataSize Size = DataSize.FromMiB(8);

    private readonly TemporaryStorlink _directory = new();
    private readonly LocalStorage _storage = new(new ProcessRunner());

    public LocalStorageTests() => Requires.Tool("qemu-img", "qemu");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private Storlink Storlink => _directory.Storlink;

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task A_volume_is_named_by_its_uuid_alone_and_belongs_to_its_owner_alone(DiskFormat format)
    {
        var spec = Spec(format);
        await _storage.CreateAsync(Storlink, spec, cancellationToken: Token);

        Assert.Equal([$"{spec.Disk}.{format.Name}"], _directory.Names());
        var mode = await new ProcessRunner().RunAsync(new() { FileName = "stat", Arguments = ["-c", "%a", PathOf(spec)] }, Token);
        Assert.Equal("600\n", mode.Output);
    }

    [Fact]
    public async Task A_raw_volume_is_sparse()
    {
        var volume = await _storage.CreateAsync(Storlink, Spec(DiskFormat.Raw) with { Size = DataSize.FromGiB(2) }, cancellationToken: Token);

        Assert.InRange(volume.Allocated.MiB, 0, 1);
    }

    [Fact]
    public async Task A_copy_of_a_sparse_image_stays_sparse()
    {
        var source = await CreateAsync(Spec(DiskFormat.Raw) with { Size = DataSize.FromGiB(1) });
        var copy = await new LocalStorage(new ProcessRunner()) { Copier = new(new ProcessRunner()) { MayShare = false } }.CreateAsync(
            Storlink, Spec(DiskFormat.Raw) with { Size = DataSize.FromGiB(1), Source = source }, cancellationToken: Token);

        Assert.InRange(copy.Allocated.MiB, 0, 1);
    }

    [Fact]
    public async Task Two_processes_that_make_the_same_volume_both_succeed()
    {
        // Two backends share no lock, as two processes do not.
        var source = await CreateAsync(Spec(DiskFormat.Raw) with { Size = DataSize.FromMiB(32) });
        await File.WriteAllBytesAsync(source.Location.ToString()!, Pattern((int)DataSize.FromMiB(32).Bytes), Token);
        var spec = Spec(DiskFormat.Qcow2) with { Source = source, Size = DataSize.FromMiB(32) };
        var volumes = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => new LocalStorage(new ProcessRunner()).CreateAsync(Storlink, spec, cancellationToken: Token)));

        Assert.All(volumes, volume => Assert.Equal(volumes[0].Size, volume.Size));
        Assert.Equal(2, _directory.Names().Length);
        await CompareAsync(source, new(new FileLocation(PathOf(spec)), DiskFormat.Qcow2));
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task What_a_killed_process_left_is_told_and_cleaned(DiskFormat format)
    {
        var spec = Spec(format);
        var part = _directory.PathOf($".{spec.Disk}.{format.Name}.part-0123456789ab");
        var trash = _directory.PathOf($".{spec.Disk}.raw.trash-0123456789ab");
        await File.WriteAllBytesAsync(part, new byte[5000], Token);
        await File.WriteAllBytesAsync(trash, new byte[5000], Token);

        var entries = await ListAsync();
        Assert.Equal([(spec.Disk, false), (spec.Disk, false)], entries.Select(entry => (entry.Disk, entry.Complete)));
        Assert.Null(await _storage.FindAsync(Storlink, spec.Disk, format, Token));

        await _storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        Assert.Equal([$"{spec.Disk}.{format.Name}"], _directory.Names());

        await File.WriteAllBytesAsync(part, new byte[5000], Token);
        await _storage.DeleteAsync(Storlink, spec.Disk, Token);
        Assert.Empty(_directory.Names());
    }

    [Fact]
    public async Task A_part_that_a_killed_service_s_tool_still_writes_is_cleaned()
    {
        var spec = Spec(DiskFormat.Raw);
        var part = _directory.PathOf($".{spec.Disk}.raw.part-0123456789ab");
        await File.WriteAllBytesAsync(part, new byte[1_000_000], Token);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var opened = new TaskCompletionSource();
        var orphan = new ProcessRunner().RunAsync(
            new() { FileName = "qemu-io", Arguments = ["-f", "raw", "-c", "read -v 0 16384", "-c", "sleep 50000", part], OnOutputLine = _ => opened.TrySetResult() }, stop.Token);
        await opened.Task;

        await _storage.CreateAsync(Storlink, spec, cancellationToken: Token);

        Assert.Equal([$"{spec.Disk}.raw"], _directory.Names());
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => orphan);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_copy_that_a_killed_process_began_goes_on_or_is_removed(bool again)
    {
        var source = await TestImages.CreateFullAsync(_directory.PathOf("source"), DataSize.FromMiB(96));
        var spec = Spec(DiskFormat.Raw) with { Source = source, Size = DataSize.FromMiB(100) };
        ImageCopier copier = new(new ProcessRunner()) { MayShare = false };

        // As the killed one leaves it: the hidden file, owned by nobody, and how far it is.
        var part = _directory.PathOf($".{spec.Disk}.raw.part-0123456789ab");
        using (var cancel = CancellationTokenSource.CreateLinkedTokenSource(Token))
        using (var handle = Posix.CreateNew(part))
        {
            var plan = await copier.PlanAsync(
                new() { Source = source, Target = new(new FileLocation(PathOf(spec)), DiskFormat.Raw), RateLimit = DataSize.FromMiB(128), KeepWhenInterrupted = true }, Token);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => copier.FillAsync(
                plan, part, handle, new Reports(done => Stop(cancel, done)), cancel.Token));
        }

        Assert.All(await ListAsync(), entry => Assert.Equal((spec.Disk, false), (entry.Disk, entry.Complete)));
        Assert.Equal(2, (await ListAsync()).Count);
        if (!again)
        {
            await _storage.DeleteAsync(Storlink, spec.Disk, Token);
            Assert.Equal(["source"], _directory.Names());
            return;
        }

        // Another file would take its place if it began anew.
        var inode = await TestImages.RunAsync("stat", "-c", "%i", part);
        List<long> reports = [];
        LocalStorage storage = new(new ProcessRunner()) { Copier = copier };
        await storage.CreateAsync(Storlink, spec, new Reports(reports.Add), Token);

        Assert.Equal(["source", $"{spec.Disk}.raw"], _directory.Names().OrderDescending());
        Assert.Equal(inode, await TestImages.RunAsync("stat", "-c", "%i", PathOf(spec)));
        Assert.True(reports[0] > DataSize.FromMiB(40).Bytes, $"It began anew: {reports[0]}");
        Assert.Equal(DataSize.FromMiB(100), (await storage.FindAsync(Storlink, spec.Disk, DiskFormat.Raw, Token))?.Size);
        await CompareAsync(source, new(new FileLocation(PathOf(spec)), DiskFormat.Raw));

        static void Stop(CancellationTokenSource cancel, long done)
        {
            if (done >= DataSize.FromMiB(48).Bytes)
            {
                cancel.Cancel();
            }
        }
    }

    [Fact]
    public async Task What_a_living_process_makes_is_not_cleaned_away()
    {
        var source = await CreateAsync(Spec(DiskFormat.Raw) with { Size = DataSize.FromMiB(64) });
        await File.WriteAllBytesAsync(source.Location.ToString()!, Pattern((int)DataSize.FromMiB(64).Bytes), Token);
        var spec = Spec(DiskFormat.Qcow2) with { Source = source, Size = DataSize.FromMiB(64) };
        LocalStorage other = new(new ProcessRunner());
        Task? deletion = null;

        // The deletion comes while the copy is under way.
        SynchronousProgress progress = new(() => deletion ??= other.DeleteAsync(Storlink, spec.Disk, Token));
        await _storage.CreateAsync(Storlink, spec, progress, Token);

        Assert.NotNull(deletion);
        await Assert.ThrowsAsync<InUseException>(() => deletion);
        await CompareAsync(source, new(new FileLocation(PathOf(spec)), DiskFormat.Qcow2));
    }

    [Fact]
    public async Task Strangers_files_are_neither_told_nor_touched()
    {
        var disk = DiskId.New();
        string[] strangers =
        [
            "notes.txt", ".hidden", $"{disk.ToString().ToUpperInvariant()}.raw", $"{disk}.vmdk", $"{disk}.raw.bak", $"x{disk}.raw", $".{disk}.raw", $"{disk:N}x",
        ];
        foreach (var name in strangers)
        {
            await File.WriteAllTextAsync(_directory.PathOf(name), "mine", Token);
        }

        Directory.CreateDirectory(_directory.PathOf(DiskId.New().ToString()));

        Assert.Empty(await ListAsync());
        await _storage.DeleteAsync(Storlink, disk, Token);
        Assert.Equal(strangers.Length + 1, _directory.Names().Length);
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task An_image_under_the_bare_uuid_is_found_attached_and_deleted(DiskFormat format)
    {
        var disk = DiskId.New();
        var path = _directory.PathOf(disk.ToString());
        await QemuImgAsync("create", "-q", "-f", format.Name, path, "8M");

        Assert.Equal(Size, (await _storage.FindAsync(Storlink, disk, format, Token))?.Size);
        Assert.Equal(new FileLocation(path), await _storage.AttachAsync(Storlink, disk, format, Token));
        Assert.Equal(Size, (await _storage.InspectImportAsync(Storlink, disk, format, Token)).Size);
        Assert.Equal(new(disk, disk.ToString(), Complete: true), Assert.Single(await ListAsync()));
        await _storage.GrowAsync(Storlink, disk, format, DataSize.FromMiB(9), Token);
        Assert.Equal(DataSize.FromMiB(9), (await _storage.FindAsync(Storlink, disk, format, Token))?.Size);
        await _storage.DeleteAsync(Storlink, disk, Token);
        Assert.Empty(_directory.Names());
    }

    [Theory]
    [InlineData("overlay", "overlay of another file")]
    [InlineData("data-file", "keeps its data in another file")]
    [InlineData("encrypted", "is encrypted")]
    [InlineData("raw", "does not begin with the mark")]
    [InlineData("odd", "multiple of 512")]
    [InlineData("link", "is not a plain file")]
    [InlineData("none", "There is no")]
    public async Task An_image_that_cannot_stand_alone_is_not_imported(string kind, string words)
    {
        var disk = DiskId.New();
        var path = _directory.PathOf(disk.ToString());
        var format = kind == "odd" ? DiskFormat.Raw : DiskFormat.Qcow2;
        using TemporaryStorlink elsewhere = new();
        var other = elsewhere.PathOf("other");
        switch (kind)
        {
            case "overlay":
                await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", path, "8M");
                break;
            case "data-file":
                await QemuImgAsync("create", "-q", "-f", "qcow2", "-o", $"data_file={other}", path, "8M");
                break;
            case "encrypted":
                await QemuImgAsync("create", "-q", "-f", "qcow2", path, "8M");
                await using (var file = File.OpenWrite(path))
                {
                    // The encryption method LUKS; making a real one measures the processor for seconds.
                    file.Position = 32;
                    await file.WriteAsync(new byte[] { 0, 0, 0, 2 }, Token);
                }

                break;
            case "link":
                await QemuImgAsync("create", "-q", "-f", "qcow2", other, "8M");
                File.CreateSymbolicLink(path, other);
                break;
            case "raw" or "odd":
                await File.WriteAllBytesAsync(path, new byte[1_000_001], Token);
                break;
        }

        var failure = await Assert.ThrowsAsync<StorageException>(() => _storage.InspectImportAsync(Storlink, disk, format, Token));

        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("root:", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Importing_is_an_ability_that_can_be_asked_for()
    {
        Assert.True(_storage.TryGetFeature<IImageImport>(out var import));
        Assert.False(_storage.TryGetFeature<IDisposable>(out _));
        await Assert.ThrowsAsync<StorageException>(() => import.InspectImportAsync(Storlink, DiskId.New(), DiskFormat.Raw, Token));
    }

    [Fact]
    public async Task Bytes_of_a_planted_header_come_through_every_verb_unchanged()
    {
        var planted = await CreateAsync(Spec(DiskFormat.Raw));
        var path = planted.Location.ToString()!;
        var header = _directory.PathOf("header");
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", header, "8M");
        using (var file = File.OpenWrite(path))
        {
            await file.WriteAsync(await File.ReadAllBytesAsync(header, Token), Token);
        }

        var expected = await File.ReadAllBytesAsync(path, Token);
        foreach (var mayClone in new[] { true, false })
        {
            var raw = Spec(DiskFormat.Raw) with { Source = planted };
            await new LocalStorage(new ProcessRunner()) { Copier = new(new ProcessRunner()) { MayShare = mayClone } }.CreateAsync(Storlink, raw, cancellationToken: Token);
            Assert.Equal(expected, await File.ReadAllBytesAsync(PathOf(raw), Token));
        }

        var qcow2 = Spec(DiskFormat.Qcow2) with { Source = planted };
        await _storage.CreateAsync(Storlink, qcow2, cancellationToken: Token);
        await CompareAsync(planted, new(new FileLocation(PathOf(qcow2)), DiskFormat.Qcow2));
        var overlay = Spec(DiskFormat.Qcow2) with { Backing = planted };
        await _storage.CreateAsync(Storlink, overlay, cancellationToken: Token);
        await CompareAsync(planted, new(new FileLocation(PathOf(overlay)), DiskFormat.Qcow2));

        var disk = (await ListAsync()).Single(entry => path.EndsWith(entry.Name, StringComparison.Ordinal)).Disk;
        await _storage.GrowAsync(Storlink, disk, DiskFormat.Raw, DataSize.FromMiB(16), Token);
        Assert.Equal(expected, (await File.ReadAllBytesAsync(path, Token))[..expected.Length]);

        var users = (await File.ReadAllTextAsync("/etc/passwd", Token)).Split('\n')[0];
        foreach (var name in _directory.Names())
        {
            Assert.DoesNotContain(users, Encoding.Latin1.GetString(await File.ReadAllBytesAsync(_directory.PathOf(name), Token)), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_qcow2_source_whose_backing_file_has_no_format_is_not_opened()
    {
        var source = Spec(DiskFormat.Qcow2);
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", "relative.raw", PathOf(source), "8M");
        var failure = await Assert.ThrowsAsync<StorageException>(() => _storage.CreateAsync(
            Storlink, Spec(DiskFormat.Raw) with { Source = new(new FileLocation(PathOf(source)), DiskFormat.Qcow2) }, cancellationToken: Token));

        Assert.Contains("without an absolute path", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_chain_that_bites_its_tail_is_refused()
    {
        var loop = Spec(DiskFormat.Qcow2);
        var path = PathOf(loop);
        await QemuImgAsync("create", "-q", "-f", "qcow2", "-u", "-F", "qcow2", "-b", path, path + ".new", "8M");
        File.Move(path + ".new", path);
        var failure = await Assert.ThrowsAsync<StorageException>(() => _storage.CreateAsync(
            Storlink, Spec(DiskFormat.Qcow2) with { Backing = new(new FileLocation(path), DiskFormat.Qcow2) }, cancellationToken: Token));

        Assert.Contains("more than 64 layers", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("relative/path", "absolute path")]
    [InlineData("/tmp/../etc", "absolute path")]
    [InlineData("/no/such/directory", "does not exist")]
    [InlineData("/etc/passwd", "is not a directory")]
    [InlineData("/proc", "nothing can be written")]
    public async Task A_link_that_cannot_be_used_is_refused_with_the_reason(string link, string words)
    {
        var failure = await Assert.ThrowsAsync<StorageException>(() => _storage.CheckAsync(TemporaryStorlink.For(link), Token));
        Assert.Contains(words, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_check_leaves_nothing_and_cleans_what_a_killed_one_left()
    {
        await File.WriteAllTextAsync(_directory.PathOf(".pengx-probe-0123"), "", Token);
        await _storage.CheckAsync(Storlink, Token);
        Assert.Empty(_directory.Names());
    }

    [Fact]
    public async Task A_link_of_another_type_must_be_mounted()
    {
        var failure = await Assert.ThrowsAsync<StorageException>(() => _storage.CheckAsync(TemporaryStorlink.For("/etc", StorlinkType.Nfs), Token));
        Assert.Contains("nothing is mounted at /etc", failure.Message, StringComparison.Ordinal);
        Assert.True(_storage.Serves(TemporaryStorlink.For("/x", StorlinkType.Nfs)));
        Assert.False(_storage.Serves(TemporaryStorlink.For("/dev/vg", StorlinkType.Local, StorlinkLevel.Block)));
    }

    [Fact]
    public async Task A_mount_point_with_nothing_mounted_is_not_written_to()
    {
        File.SetUnixFileMode(Storlink.Link, UnixFileMode.None);
        var disk = DiskId.New();
        Func<Task>[] uses =
        [
            () => _storage.CheckAsync(Storlink, Token),
            () => _storage.MeasureAsync(Storlink, Token),
            () => _storage.CreateAsync(Storlink, new() { Disk = disk, Format = DiskFormat.Raw, Size = DataSize.FromMiB(1) }, cancellationToken: Token),
            () => _storage.DeleteAsync(Storlink, disk, Token),
        ];
        foreach (var use in uses)
        {
            Assert.Contains("nothing is mounted at", (await Assert.ThrowsAsync<StorageException>(use)).Message, StringComparison.Ordinal);
        }

        File.SetUnixFileMode(Storlink.Link, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        Assert.Empty(_directory.Names());
    }

    [Fact]
    public async Task A_link_of_type_NFS_lies_on_NFS()
    {
        // Another file system above it, mounted or not, is not the server's.
        var there = MountTable.Read(File.ReadLines("/proc/self/mountinfo")).First(mount => mount is { Type: "tmpfs" or "proc" or "sysfs", Point: not "/" });
        var failure = await Assert.ThrowsAsync<StorageException>(() => _storage.CheckAsync(TemporaryStorlink.For(there.Point, StorlinkType.Nfs), Token));
        Assert.Contains($"no NFS is mounted at {there.Point}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_system_that_stands_still_is_told_in_time()
    {
        await using var there = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(64));
        LocalStorage storage = new(new ProcessRunner()) { Patience = TimeSpan.FromSeconds(1) };
        var link = TemporaryStorlink.For(there.Directory);
        await storage.CheckAsync(link, Token);
        await LoopDevice.RunAsync("fsfreeze", "--freeze", there.Directory);
        try
        {
            // What is written there waits in the kernel, as on a server that is away.
            Assert.Contains("does not answer", (await Assert.ThrowsAsync<UnavailableException>(() => storage.CheckAsync(link, Token))).Message, StringComparison.Ordinal);

            // The next does not hang another thread, though it would be answered.
            await Assert.ThrowsAsync<UnavailableException>(() => storage.MeasureAsync(link, Token));
            using CancellationTokenSource brief = new(TimeSpan.FromMilliseconds(100));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => storage.MeasureAsync(link, brief.Token));
        }
        finally
        {
            await LoopDevice.RunAsync("fsfreeze", "--unfreeze", there.Directory);
        }

        await storage.CheckAsync(link, Token);
        Assert.Empty(there.Names());
    }

    /// <summary>Looking is answered, and the change begins: as when a server goes away in that very moment.</summary>
    [Theory]
    [InlineData("create")]
    [InlineData("delete")]
    [InlineData("grow")]
    [InlineData("write description")]
    [InlineData("delete description")]
    public async Task A_change_that_a_file_system_does_not_take_ends_in_time_and_is_done_when_ordered_again(string change)
    {
        await using var there = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(64));
        LocalStorage storage = new(new ProcessRunner(), new() { StallTimeout = TimeSpan.FromSeconds(1) }) { Patience = TimeSpan.FromSeconds(1) };
        var link = TemporaryStorlink.For(there.Directory);
        var (old, made, backup) = (Spec(DiskFormat.Raw), Spec(DiskFormat.Raw), BackupId.New());
        await storage.CreateAsync(link, old, cancellationToken: Token);
        await storage.WriteDescriptionAsync(link, backup, "old"u8.ToArray(), Token);
        var (image, description) = ($"{old.Disk}.raw", $"{backup}.backup.json");
        (Func<Task> Work, string[] Left) order = change switch
        {
            "create" => (() => storage.CreateAsync(link, made, cancellationToken: Token), [image, $"{made.Disk}.raw", description]),
            "delete" => (() => storage.DeleteAsync(link, old.Disk, Token), [description]),
            "grow" => (() => storage.GrowAsync(link, old.Disk, DiskFormat.Raw, Size + Size, Token), [image, description]),
            "write description" => (() => storage.WriteDescriptionAsync(link, backup, "new"u8.ToArray(), Token), [image, description]),
            _ => (() => storage.DeleteDescriptionAsync(link, backup, Token), [image]),
        };
        await LoopDevice.RunAsync("fsfreeze", "--freeze", there.Directory);
        try
        {
            await Assert.ThrowsAsync<UnavailableException>(() => order.Work().WaitAsync(TimeSpan.FromSeconds(30), Token));
        }
        finally
        {
            await LoopDevice.RunAsync("fsfreeze", "--unfreeze", there.Directory);
        }

        await order.Work();
        Assert.Equal(order.Left.Order(), there.Names());
        if (change == "grow")
        {
            Assert.Equal(Size + Size, (await storage.FindAsync(link, old.Disk, DiskFormat.Raw, Token))!.Size);
        }
    }

    /// <summary>What ends late would meet the work of whoever came after it.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task All_that_hangs_is_waited_for(int first)
    {
        await using var there = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(64));
        await using var elsewhere = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(64));
        LocalStorage storage = new(new ProcessRunner()) { Patience = TimeSpan.FromSeconds(1) };
        var link = TemporaryStorlink.For(there.Directory);
        VolumeSpec[] specs = [Spec(DiskFormat.Raw), Spec(DiskFormat.Raw)];
        foreach (var spec in specs)
        {
            await storage.CreateAsync(link, spec, cancellationToken: Token);
        }

        // One of the two disks is answered for by another file system.
        var image = there.PathOf($"{specs[1].Disk}.raw");
        File.Copy(image, elsewhere.PathOf("image"));
        await LoopDevice.RunAsync("mount", "--bind", elsewhere.PathOf("image"), image);
        string[] frozen = [there.Directory, elsewhere.Directory];
        HashSet<string> still = [];
        try
        {
            foreach (var directory in frozen)
            {
                await LoopDevice.RunAsync("fsfreeze", "--freeze", directory);
                still.Add(directory);
            }

            Task[] both = [.. new[] { first, 1 - first }.Select(i => storage.GrowAsync(link, specs[i].Disk, DiskFormat.Raw, Size + Size, Token))];
            foreach (var one in both)
            {
                await Assert.ThrowsAsync<UnavailableException>(() => one.WaitAsync(TimeSpan.FromSeconds(30), Token));
            }

            await LoopDevice.RunAsync("fsfreeze", "--unfreeze", frozen[first]);
            still.Remove(frozen[first]);
            await Assert.ThrowsAsync<UnavailableException>(() => storage.MeasureAsync(link, Token));
        }
        finally
        {
            foreach (var directory in still)
            {
                await LoopDevice.RunAsync("fsfreeze", "--unfreeze", directory);
            }
        }

        await storage.MeasureAsync(link, Token);
        await LoopDevice.RunAsync("umount", image);
    }

    [Fact]
    public async Task The_capacity_is_the_file_system_s()
    {
        var capacity = await _storage.MeasureAsync(Storlink, Token);
        var result = await new ProcessRunner().RunAsync(new() { FileName = "df", Arguments = ["-B1", "--output=size", _directory.Directory] }, Token);

        Assert.Equal(result.Output.Split('\n')[1].Trim(), $"{capacity.Size.Bytes}");
    }

    [Fact]
    public async Task A_full_file_system_is_told_with_figures_and_leaves_nothing()
    {
        var mounts = Directory.CreateTempSubdirectory("pengx-full-").FullName;
        ProcessRunner runner = new();
        var mounted = await runner.RunAsync(new() { FileName = "mount", Arguments = ["-t", "tmpfs", "-o", "size=20m", "tmpfs", mounts] }, Token);
        try
        {
            Requires.That(mounted.ExitCode == 0, "root", "no file system can be mounted");
            var source = await CreateAsync(Spec(DiskFormat.Raw) with { Size = DataSize.FromMiB(16) });
            await File.WriteAllBytesAsync(source.Location.ToString()!, Pattern((int)DataSize.FromMiB(16).Bytes), Token);
            var full = TemporaryStorlink.For(mounts);
            await File.WriteAllBytesAsync(Path.Combine(mounts, "other"), new byte[10_000_000], Token);
            var failure = await Assert.ThrowsAsync<InsufficientResourceException>(() => _storage.CreateAsync(
                full, Spec(DiskFormat.Qcow2) with { Source = source, Size = DataSize.FromMiB(16) }, cancellationToken: Token));

            Assert.Matches("Storlink 3 has 10 MiB free, and 1[67] MiB are needed", failure.Message);
            Assert.Equal(["other"], Directory.GetFileSystemEntries(mounts).Select(path => Path.GetFileName(path)));

            // This file system knows no direct writes on older kernels: the copy goes through the page cache then.
            File.Delete(Path.Combine(mounts, "other"));
            await _storage.CreateAsync(full, Spec(DiskFormat.Raw) with { Source = source, Size = DataSize.FromMiB(16) }, cancellationToken: Token);
        }
        finally
        {
            await runner.RunAsync(new() { FileName = "umount", Arguments = [mounts] }, CancellationToken.None);
            Directory.Delete(mounts);
        }
    }

    [Fact]
    public async Task A_missing_tool_is_named_and_nothing_is_left()
    {
        LocalStorage storage = new(new ProcessRunner(), new() { QemuImg = "no-such-qemu-img" });
        var failure = await Assert.ThrowsAsync<ProcessFailedException>(() => storage.CreateAsync(Storlink, Spec(DiskFormat.Qcow2), cancellationToken: Token));

        Assert.Contains("no-such-qemu-img", failure.Message, StringComparison.Ordinal);
        Assert.Empty(_directory.Names());
    }

    [Fact]
    public async Task A_copy_that_stands_still_is_stopped_and_leaves_nothing()
    {
        var source = await CreateAsync(Spec(DiskFormat.Raw));
        LocalStorage storage = new(new StuckRunner(new ProcessRunner()), new() { StallTimeout = TimeSpan.FromMilliseconds(200) });
        var failure = await Assert.ThrowsAsync<UnavailableException>(() => storage.CreateAsync(Storlink, Spec(DiskFormat.Qcow2) with { Source = source }, cancellationToken: Token));

        Assert.Contains("stood still", failure.Message, StringComparison.Ordinal);
        Assert.Single(_directory.Names());
    }

    [Fact]
    public void Registration_gives_one_backend_however_often_it_is_asked_for()
    {
        ServiceCollection services = new();
        services.AddPengx().AddLocalStorage(options => options.QemuImg = "/usr/bin/qemu-img").AddLocalStorage();
        using var provider = services.BuildServiceProvider();

        Assert.IsType<LocalStorage>(Assert.Single(provider.GetServices<IStorageBackend>()));
        Assert.NotNull(provider.GetRequiredService<ImageTool>());
    }

    [Fact]
    public void Block_level_is_a_backend_and_a_driver_of_layers_beside_it()
    {
        ServiceCollection services = new();
        services.AddPengx().AddLocalStorage().AddLvmStorage(options => options.ThinWatermark = 80).AddLvmStorage();
        using var provider = services.BuildServiceProvider();

        var backends = provider.GetServices<IStorageBackend>().ToList();
        Assert.Equal(2, backends.Count);
        Assert.IsType<LvmStorage>(Assert.Single(backends, backend => backend.Serves(TemporaryStorlink.For("/dev/vg", level: StorlinkLevel.Block))));
        Assert.Equal([typeof(LocalLayers), typeof(LvmLayers)], provider.GetServices<IStorageLayerDriver>().Select(driver => driver.GetType()));

        ServiceCollection wrong = new();
        wrong.AddPengx().AddLvmStorage(options => options.ThinWatermark = 0);
        using var refusing = wrong.BuildServiceProvider();
        Assert.Throws<Microsoft.Extensions.Options.OptionsValidationException>(() => refusing.GetServices<IStorageBackend>().ToList());
    }

    [Theory]
    [InlineData(DiskFormat.Raw)]
    [InlineData(DiskFormat.Qcow2)]
    public async Task An_overlay_that_names_what_lies_beside_it_can_be_taken_elsewhere_with_it(DiskFormat format)
    {
        var beneath = await CreateAsync(Spec(format));
        var spec = Spec(DiskFormat.Qcow2) with { Backing = beneath, IsBackingBeside = true };
        var overlay = await CreateAsync(spec);
        Assert.Equal([overlay, beneath], ImageChain.Read(overlay).Layers.Select(layer => layer.Image));
        Assert.Equal([overlay, beneath], await new ImageChains(new ProcessRunner()).ReadAsync(overlay, Token));
        using var elsewhere = new TemporaryStorlink();
        foreach (var name in _directory.Names())
        {
            File.Move(_directory.PathOf(name), elsewhere.PathOf(name));
        }

        var moved = new DiskLayer(new FileLocation(elsewhere.PathOf($"{spec.Disk}.qcow2")), DiskFormat.Qcow2);
        Assert.All(ImageChain.Read(moved).Layers, layer => Assert.Equal(elsewhere.Directory, Path.GetDirectoryName(((FileLocation)layer.Image.Location).Path)));
        var compared = await new ProcessRunner().RunAsync(
            new() { FileName = "qemu-img", Arguments = ["compare", "-f", "qcow2", "-F", format.Name, elsewhere.PathOf($"{spec.Disk}.qcow2"), ImageChain.Read(moved).Layers[1].Image.Location.ToString()!] }, Token);
        Assert.Equal(0, compared.ExitCode);
        await Assert.ThrowsAsync<ArgumentException>(() => _storage.CreateAsync(Storlink, Spec(DiskFormat.Qcow2) with { IsBackingBeside = true }, cancellationToken: Token));
    }

    [Theory]
    [InlineData("other.qcow2")]
    [InlineData("./{0}.raw")]
    [InlineData("../{0}.raw")]
    [InlineData(".{0}.raw.part-1")]
    [InlineData("nbd:{0}.raw")]
    public async Task A_backing_file_that_is_not_a_volume_beside_is_refused(string name)
    {
        var spec = Spec(DiskFormat.Qcow2);
        var overlay = await CreateAsync(spec);
        (await new ProcessRunner().RunAsync(
            new() { FileName = "qemu-img", Arguments = ["rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", string.Format(System.Globalization.CultureInfo.InvariantCulture, name, DiskId.New()), PathOf(spec)] }, Token)).EnsureSuccess();
        Assert.Contains("without an absolute path", Assert.Throws<StorageException>(() => ImageChain.Read(overlay)).Message, StringComparison.Ordinal);
    }

    private static VolumeSpec Spec(DiskFormat format) => new() { Disk = DiskId.New(), Format = format, Size = Size };

    private static byte[] Pattern(int length)
    {
        var bytes = new byte[length];
        new Random(7).NextBytes(bytes);
        return bytes;
    }

    private static async Task QemuImgAsync(params string[] arguments) =>
        (await new ProcessRunner().RunAsync(new() { FileName = "qemu-img", Arguments = arguments }, Token)).EnsureSuccess();

    private static Task CompareAsync(DiskLayer one, DiskLayer other) =>
        QemuImgAsync("compare", "-f", one.Format.Name, "-F", other.Format.Name, one.Location.ToString()!, other.Location.ToString()!);

    private string PathOf(VolumeSpec spec) => _directory.PathOf($"{spec.Disk}.{spec.Format.Name}");

    private async Task<DiskLayer> CreateAsync(VolumeSpec spec)
    {
        await _storage.CreateAsync(Storlink, spec, cancellationToken: Token);
        return new(await _storage.AttachAsync(Storlink, spec.Disk, spec.Format, Token), spec.Format);
    }

    private async Task<List<VolumeEntry>> ListAsync()
    {
        List<VolumeEntry> entries = [];
        await foreach (var entry in _storage.ListAsync(Storlink, Token))
        {
            entries.Add(entry);
        }

        return entries;
    }

    private sealed class Reports(Action<long> report) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value) => report(value.Done);
    }

    private sealed class SynchronousProgress(Action report) : IProgress<ByteProgress>
    {
        public void Report(ByteProgress value)
        {
            if (value.Done < value.Total)
            {
                report();
            }
        }
    }

    /// <summary>Runs everything but a conversion, which never ends.</summary>
    private sealed class StuckRunner(IProcessRunner inner) : IProcessRunner
    {
        public Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default) =>
            inner.RunAsync(command.Arguments[0] == "convert" ? command with { FileName = "sleep", Arguments = ["60"] } : command, cancellationToken);
    }
}
