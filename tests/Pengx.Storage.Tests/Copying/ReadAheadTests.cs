using System.Globalization;
using Pengx.Testing;
using static Pengx.Storage.Tests.TestImages;

namespace Pengx.Storage.Tests;

public sealed class ReadAheadTests
{
    private const int MiB = 1024 * 1024;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_comes_next_is_asked_for_across_holes_and_no_more_than_that()
    {
        Requires.Tool("fincore", "linux");
        await using var place = await LoopFileSystem.MountAsync("ext4", DataSize.FromMiB(256));
        var path = place.PathOf("scattered");
        await using (var file = File.Create(path))
        {
            // 4 MiB in each 12.
            for (var at = 0; at < 16; at++)
            {
                file.Position = at * 12L * MiB;
                await file.WriteAsync(Enumerable.Repeat((byte)(at + 1), 4 * MiB).ToArray(), Token);
            }
        }

        await RunAsync("sync", "-f", path);
        await RunAsync("dd", $"if={path}", "iflag=nocache", "count=0", "status=none");
        Assert.Equal(0, await CachedAsync(path));

        using var source = Posix.OpenRead(path);
        ReadAhead ahead = new(source, path, 192L * MiB);
        ahead.Reading(0, MiB);
        var asked = await ArrivedAsync(path);
        Assert.InRange(asked, 16 * MiB, 18 * MiB);

        // As much again as is read, and not more.
        ahead.Reading(MiB, 3 * MiB);
        Assert.InRange(await ArrivedAsync(path) - asked, 2 * MiB, 4 * MiB);

        // A reader that overtakes it is ahead: what lies in between is not asked for any more.
        asked = await ArrivedAsync(path);
        ahead.Reading(180L * MiB, MiB);
        Assert.Equal(3 * MiB, await ArrivedAsync(path) - asked);
    }

    // The kernel reads what was asked for while the caller goes on, and counts a page when it is read.
    private static async Task<long> ArrivedAsync(string path)
    {
        var (cached, before) = (await CachedAsync(path), -1L);
        while (cached != before)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(300), Token);
            (cached, before) = (await CachedAsync(path), cached);
        }

        return cached;
    }

    private static async Task<long> CachedAsync(string path) =>
        long.Parse(await RunAsync("fincore", "--bytes", "--noheadings", "--output", "RES", path), CultureInfo.InvariantCulture);
}
