using Xunit;

namespace Pengx.Testing;

/// <summary>What every driver with <see cref="ILiveDisks"/> must do, as tests on a guest that goes on writing numbers to one of its
/// disks: no number that it flushed may be lost, whatever becomes of the images beneath it.</summary>
/// <remarks>Real guests take seconds to boot, so each test follows one guest through several verbs.</remarks>
public abstract class LiveDisksContract
{
    /// <summary>Makes a driver on the test's host, not started.</summary>
    protected abstract IHypervisorDriver CreateDriver();

    /// <summary>Makes the definition of a guest that boots from <c>xvda</c>, writes numbers to <c>xvdb</c>, and has some more disks.</summary>
    /// <param name="more">How many more disks.</param>
    /// <param name="cancellationToken">Ends the making.</param>
    protected abstract Task<DomainDefinition> CreateGuestAsync(int more, CancellationToken cancellationToken);

    /// <summary>Makes an empty qcow2 image on another one.</summary>
    /// <param name="backing">What it is backed by.</param>
    /// <param name="id">The disk that it is made for.</param>
    /// <param name="cancellationToken">Ends the making.</param>
    protected abstract Task<DiskLayer> CreateOverlayAsync(DiskLayer backing, DiskId id, CancellationToken cancellationToken);

    /// <summary>Waits until the started guest writes.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="id">The guest.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    protected abstract Task WaitUntilWritingAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken);

    /// <summary>Waits until the guest has flushed a number that it began after the call, and tells it.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="id">The guest.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    protected abstract Task<long> FlushAnotherAsync(IHypervisorDriver driver, DomainId id, CancellationToken cancellationToken);

    /// <summary>The newest number that a chain of images shows.</summary>
    /// <param name="layers">The images, top first, none of them being written to.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    protected abstract Task<long> ReadNewestAsync(IReadOnlyList<DiskLayer> layers, CancellationToken cancellationToken);

    /// <summary>The chain that the images themselves state.</summary>
    /// <param name="top">The top image; a guest may have it open.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    protected abstract Task<IReadOnlyList<DiskLayer>> ReadChainAsync(DiskLayer top, CancellationToken cancellationToken);

    /// <summary>Skips the tests that need a guest where none can run.</summary>
    protected virtual void RequireGuests()
    {
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>All disks get an overlay at once; what was written is frozen beneath; asked again, nothing happens.</summary>
    [Fact]
    public async Task Overlays_of_all_disks_freeze_what_is_beneath()
    {
        await RunAsync(2, async (driver, live, definition) =>
        {
            var id = definition.Id;
            var before = await FlushAnotherAsync(driver, id, Token);
            var all = await ReplaceAllAsync(definition.Disks);
            Assert.False(await live.OverlayAsync(id, all, cancellationToken: Token));
            await ExpectAsync(driver, live, id, [.. all.Select(disk => disk.After)]);
            var after = await FlushAnotherAsync(driver, id, Token);
            Assert.True(after > before);

            // A caller that did not hear the answer asks again.
            await live.OverlayAsync(id, all, cancellationToken: Token);
            await ExpectAsync(driver, live, id, [.. all.Select(disk => disk.After)]);

            var counter = all[1];
            var frozen = await ReadNewestAsync(counter.Before.Layers, Token);
            Assert.InRange(frozen, before, after);
            var last = await FlushAnotherAsync(driver, id, Token);
            Assert.Equal(frozen, await ReadNewestAsync(counter.Before.Layers, Token));
            await driver.Domains.DestroyAsync(id, Token);
            Assert.True(await ReadNewestAsync(counter.After.Layers, Token) >= last);

            // The next start is on the overlays, too.
            await driver.Domains.StartAsync(id, Token);
            await WaitUntilWritingAsync(driver, id, Token);
            await ExpectAsync(driver, live, id, [.. all.Select(disk => disk.After)]);
            Assert.True(await FlushAnotherAsync(driver, id, Token) > last);
        });
    }

    /// <summary>A layer in the middle and then the top one are merged down, and the guest ends where it began.</summary>
    [Fact]
    public async Task Layers_are_merged_down_while_the_guest_writes()
    {
        await RunAsync(0, async (driver, live, definition) =>
        {
            var id = definition.Id;
            var bottom = definition.Disks[1];
            var middle = await ReplaceAsync(bottom);
            await live.OverlayAsync(id, [middle], cancellationToken: Token);
            await FlushAnotherAsync(driver, id, Token);
            var top = await ReplaceAsync(middle.After);
            await live.OverlayAsync(id, [top], cancellationToken: Token);
            await FlushAnotherAsync(driver, id, Token);

            var merged = top.After with { Layers = [top.After.Layers[0], bottom.Layers[0]] };
            var progress = new Told();
            await live.CommitAsync(id, new(top.After, merged), progress: progress, cancellationToken: Token);
            Assert.True(progress.IsWhole);
            await ExpectAsync(driver, live, id, [definition.Disks[0], merged]);
            await live.CommitAsync(id, new(top.After, merged), cancellationToken: Token);
            await FlushAnotherAsync(driver, id, Token);

            await live.CommitAsync(id, new(merged, bottom), cancellationToken: Token);
            await ExpectAsync(driver, live, id, definition.Disks);
            await live.CommitAsync(id, new(merged, bottom), cancellationToken: Token);
            var last = await FlushAnotherAsync(driver, id, Token);
            Assert.Equal(VmState.Running, (await driver.Domains.FindAsync(id, Token))?.State);
            await driver.Domains.DestroyAsync(id, Token);
            Assert.True(await ReadNewestAsync(bottom.Layers, Token) >= last);
        });
    }

    /// <summary>Layers are pulled up into the one above, first some and then all, and the guest's disk then stands alone.</summary>
    [Fact]
    public async Task Layers_are_pulled_up_while_the_guest_writes()
    {
        await RunAsync(0, async (driver, live, definition) =>
        {
            var id = definition.Id;
            var bottom = definition.Disks[1];
            var middle = await ReplaceAsync(bottom);
            await live.OverlayAsync(id, [middle], cancellationToken: Token);
            await FlushAnotherAsync(driver, id, Token);
            var top = await ReplaceAsync(middle.After);
            await live.OverlayAsync(id, [top], cancellationToken: Token);
            await FlushAnotherAsync(driver, id, Token);

            var pulled = top.After with { Layers = [top.After.Layers[0], bottom.Layers[0]] };
            await live.StreamAsync(id, new(top.After, pulled), cancellationToken: Token);
            await ExpectAsync(driver, live, id, [definition.Disks[0], pulled]);
            await FlushAnotherAsync(driver, id, Token);

            var alone = pulled with { Layers = [pulled.Layers[0]] };
            var progress = new Told();
            await live.StreamAsync(id, new(pulled, alone), progress: progress, cancellationToken: Token);
            Assert.True(progress.IsWhole);
            await ExpectAsync(driver, live, id, [definition.Disks[0], alone]);
            await live.StreamAsync(id, new(pulled, alone), cancellationToken: Token);
            var last = await FlushAnotherAsync(driver, id, Token);
            await driver.Domains.DestroyAsync(id, Token);
            Assert.True(await ReadNewestAsync(alone.Layers, Token) >= last);
        });
    }

    /// <summary>A replacement that does not fit is refused with its field's name, and nothing changes.</summary>
    [Fact]
    public async Task Replacements_that_do_not_fit_are_refused()
    {
        await RunAsync(1, async (driver, live, definition) =>
        {
            var id = definition.Id;
            var (boot, data, other) = (definition.Disks[0], definition.Disks[1], definition.Disks[2]);
            var good = await ReplaceAsync(data);
            var overlay = good.After.Layers[0];
            DiskReplacement[] overlays =
            [
                good with { After = good.After with { Vdev = "xvdq" } },
                good with { After = good.After with { ReadOnly = true } },
                good with { After = data },
                good with { After = good.After with { Layers = [overlay, boot.Layers[0]] } },
                good with { After = good.After with { Layers = [overlay, overlay, data.Layers[0]] } },
                good with { After = good.After with { Layers = [new(overlay.Location, DiskFormat.Raw), data.Layers[0]] } },
                good with { After = good.After with { Layers = [new(new FileLocation("relative.qcow2"), DiskFormat.Qcow2), data.Layers[0]] } },
                new(data with { Layers = [overlay] }, data with { Layers = [new(new FileLocation("/nonexistent/x.qcow2"), DiskFormat.Qcow2), overlay] }),
                new(data with { Vdev = "xvdq" }, good.After with { Vdev = "xvdq" }),
            ];
            foreach (var wrong in overlays)
            {
                var refusal = await Assert.ThrowsAsync<InvalidFieldException>(() => live.OverlayAsync(id, [wrong], cancellationToken: Token));
                Assert.Contains(refusal.Field, (string[])["disk", "vdev"]);
            }

            // One that fits does not happen beside one that does not.
            await Assert.ThrowsAsync<InvalidFieldException>(() => live.OverlayAsync(id, [good, overlays[^1]], cancellationToken: Token));
            await Assert.ThrowsAsync<InvalidFieldException>(() => live.OverlayAsync(id, [good, good], cancellationToken: Token));
            var stolen = new DiskReplacement(other, other with { Layers = [overlay, .. other.Layers] });
            await Assert.ThrowsAsync<InvalidFieldException>(() => live.OverlayAsync(id, [good, stolen], cancellationToken: Token));
            var missing = new DiskReplacement(other, other with { Layers = [new(new FileLocation("/nonexistent/x.qcow2"), DiskFormat.Qcow2), .. other.Layers] });
            await Assert.ThrowsAsync<HypervisorException>(() => live.OverlayAsync(id, [good, missing], cancellationToken: Token));
            await ExpectAsync(driver, live, id, definition.Disks);

            await live.OverlayAsync(id, [good], cancellationToken: Token);
            DiskReplacement[] moves =
            [
                new(good.After, good.After),
                new(good.After, good.After with { Layers = [boot.Layers[0]] }),
                new(good.After, data with { Vdev = "xvdq" }),
                new(data, good.After),
            ];
            foreach (var wrong in moves)
            {
                await Assert.ThrowsAsync<InvalidFieldException>(() => live.CommitAsync(id, wrong, cancellationToken: Token));
                await Assert.ThrowsAsync<InvalidFieldException>(() => live.StreamAsync(id, wrong, cancellationToken: Token));
            }

            // Nothing beneath that takes it in, and nothing above.
            await Assert.ThrowsAsync<InvalidFieldException>(() => live.CommitAsync(id, new(good.After, good.After with { Layers = [overlay] }), cancellationToken: Token));
            await Assert.ThrowsAsync<InvalidFieldException>(() => live.StreamAsync(id, new(good.After, data), cancellationToken: Token));
            var speed = await Assert.ThrowsAsync<InvalidFieldException>(() => live.CommitAsync(id, new(good.After, data), new() { BytesPerSecond = 0 }, cancellationToken: Token));
            Assert.Equal("bytes_per_second", speed.Field);
            await ExpectAsync(driver, live, id, [boot, good.After, other]);
        });
    }

    /// <summary>What does not run has no live disks.</summary>
    [Fact]
    public async Task A_domain_that_does_not_run_is_refused()
    {
        RequireGuests();
        await using var driver = CreateDriver();
        await driver.StartAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = await CreateGuestAsync(0, Token);
        await driver.Domains.DefineAsync(definition, Token);
        var replacement = await ReplaceAsync(definition.Disks[1]);
        await Assert.ThrowsAsync<WrongStateException>(() => live.ReadAsync(definition.Id, Token));
        await Assert.ThrowsAsync<WrongStateException>(() => live.OverlayAsync(definition.Id, [replacement], cancellationToken: Token));
        await Assert.ThrowsAsync<WrongStateException>(() => live.CommitAsync(definition.Id, new(replacement.After, replacement.Before), cancellationToken: Token));
        await Assert.ThrowsAsync<WrongStateException>(() => live.StreamAsync(definition.Id, new(replacement.After, replacement.After with { Layers = [replacement.After.Layers[0]] }), cancellationToken: Token));
        Assert.Equal(definition, await driver.Domains.FindDefinitionAsync(definition.Id, Token));
    }

    /// <summary>A disk and itself with one more layer, whose image is made.</summary>
    /// <param name="disk">The disk.</param>
    protected async Task<DiskReplacement> ReplaceAsync(DomainDisk disk)
    {
        ArgumentNullException.ThrowIfNull(disk);
        var id = DiskId.New();
        return new(disk, disk with { Id = id, Layers = [await CreateOverlayAsync(disk.Layers[0], id, Token), .. disk.Layers] });
    }

    /// <summary>Demands that the running domain, its stored definition and the images agree on its disks.</summary>
    /// <param name="driver">The driver.</param>
    /// <param name="live">Its live disks.</param>
    /// <param name="id">The domain.</param>
    /// <param name="disks">What they must be.</param>
    protected async Task ExpectAsync(IHypervisorDriver driver, ILiveDisks live, DomainId id, IReadOnlyList<DomainDisk> disks)
    {
        ArgumentNullException.ThrowIfNull(driver);
        ArgumentNullException.ThrowIfNull(live);
        ArgumentNullException.ThrowIfNull(disks);
        Assert.Equal(disks, (await live.ReadAsync(id, Token)).OrderBy(disk => disk.Vdev, StringComparer.Ordinal));
        Assert.Equal(disks, (await driver.Domains.FindDefinitionAsync(id, Token))?.Disks);
        foreach (var disk in disks)
        {
            Assert.Equal(disk.Layers, await ReadChainAsync(disk.Layers[0], Token));
        }
    }

    private async Task<IReadOnlyList<DiskReplacement>> ReplaceAllAsync(IReadOnlyList<DomainDisk> disks)
    {
        List<DiskReplacement> all = [];
        foreach (var disk in disks)
        {
            all.Add(await ReplaceAsync(disk));
        }

        return all;
    }

    private async Task RunAsync(int more, Func<IHypervisorDriver, ILiveDisks, DomainDefinition, Task> act)
    {
        RequireGuests();
        await using var driver = CreateDriver();
        await driver.StartAsync(Token);
        Assert.True(driver.TryGetFeature<ILiveDisks>(out var live));
        var definition = await CreateGuestAsync(more, Token);
        await driver.Domains.DefineAsync(definition, Token);
        try
        {
            await driver.Domains.StartAsync(definition.Id, Token);
            await WaitUntilWritingAsync(driver, definition.Id, Token);
            await act(driver, live, definition);
        }
        finally
        {
            await driver.Domains.DestroyAsync(definition.Id, CancellationToken.None);
        }
    }

    private sealed class Told : IProgress<ByteProgress>
    {
        private ByteProgress _last;

        public bool IsWhole => _last.Total > 0 && _last.Done == _last.Total;

        public void Report(ByteProgress value) => _last = value;
    }
}
