namespace Pengx.Xen.Tests;

/// <summary>Processors and memory of a running guest: xl says that the guest was told, not that it listened.</summary>
public sealed class ResizeTests : XenDriverTest
{
    private static readonly DataSize s_64 = DataSize.FromMiB(64);

    [Fact]
    public async Task Guest_that_follows_has_what_it_was_given()
    {
        var driver = await StartPvAsync();
        var id = await RunAsync(driver, Define());
        var outcome = await driver.Domains.ResizeAsync(id, 2, DataSize.FromMiB(100), Stop);
        Assert.Equal(new ResizeOutcome(true, true, null), outcome);
        var status = await driver.Domains.FindAsync(id, Stop);
        Assert.Equal((2, 100), (status!.Cpus, status.Memory.MiB));
        Assert.Contains(Xen.CallsOf("mem-set"), call => call[^1] == "100m");
    }

    [Theory]
    [InlineData(48)]
    [InlineData(64)]
    public async Task Video_memory_of_an_HVM_guest_is_in_what_it_is_given_and_in_no_target(long mebibytes)
    {
        var driver = await StartDriverAsync(options => options.ResizeTimeout = TimeSpan.FromSeconds(2));
        var id = await RunAsync(driver, Define());
        var outcome = await driver.Domains.ResizeAsync(id, 1, DataSize.FromMiB(mebibytes), Stop);
        Assert.Equal(new ResizeOutcome(true, true, null), outcome);
        Assert.Equal(mebibytes == 64 ? [] : ["48m"], Xen.CallsOf("mem-set").Select(call => call[^1]));
    }

    [Fact]
    public async Task Processors_that_the_guest_ignores_are_not_applied_although_xl_says_0()
    {
        Xen.Guests.FollowsCpus = false;
        var driver = await StartPvAsync();
        var id = await RunAsync(driver, Define());
        var outcome = await driver.Domains.ResizeAsync(id, 2, s_64, Stop);
        Assert.False(outcome.CpusApplied);
        Assert.True(outcome.MemoryApplied);
        Assert.Contains("not followed the change of its processors", outcome.Detail, StringComparison.Ordinal);
        Assert.Single(Xen.CallsOf("vcpu-set"));
    }

    [Fact]
    public async Task Memory_that_the_guest_ignores_is_not_applied_although_xl_says_0()
    {
        Xen.Guests.FollowsMemory = false;
        var driver = await StartPvAsync();
        var id = await RunAsync(driver, Define());
        var outcome = await driver.Domains.ResizeAsync(id, 1, DataSize.FromMiB(100), Stop);
        Assert.True(outcome.CpusApplied);
        Assert.False(outcome.MemoryApplied);
        Assert.Contains("balloon driver has not followed", outcome.Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_above_the_ceiling_is_told_without_asking_xl()
    {
        var driver = await StartPvAsync();
        var id = await RunAsync(driver, Define());
        var outcome = await driver.Domains.ResizeAsync(id, 3, DataSize.FromMiB(129), Stop);
        Assert.False(outcome.CpusApplied);
        Assert.False(outcome.MemoryApplied);
        Assert.Contains("room for 2 processors", outcome.Detail, StringComparison.Ordinal);
        Assert.Contains("room for 128 MiB", outcome.Detail, StringComparison.Ordinal);
        Assert.Empty(Xen.CallsOf("vcpu-set"));
        Assert.Empty(Xen.CallsOf("mem-set"));
    }

    [Fact]
    public async Task Memory_that_the_host_does_not_have_is_told_with_what_it_has()
    {
        var driver = await StartPvAsync();
        var id = await RunAsync(driver, Define());
        Xen.FreeMemoryTold.Enqueue(20);
        var outcome = await driver.Domains.ResizeAsync(id, 1, DataSize.FromMiB(100), Stop);
        Assert.False(outcome.MemoryApplied);
        Assert.Contains("20 MiB free", outcome.Detail, StringComparison.Ordinal);
        Assert.Empty(Xen.CallsOf("mem-set"));
    }

    [Fact]
    public async Task Refusals_of_xl_are_told_in_its_words()
    {
        var (cpus, memory) = (Recorded.Read("xl/102"), Recorded.Read("xl/092"));
        Xen.Instead = call => call[0] switch
        {
            "vcpu-set" => (cpus.ExitCode, cpus.Error),
            "mem-set" => (memory.ExitCode, memory.Error),
            _ => null,
        };
        var driver = await StartPvAsync();
        var id = await RunAsync(driver, Define());
        var outcome = await driver.Domains.ResizeAsync(id, 2, DataSize.FromMiB(100), Stop);
        Assert.False(outcome.CpusApplied);
        Assert.False(outcome.MemoryApplied);
        Assert.Contains("You are overcommmitting!", outcome.Detail, StringComparison.Ordinal);
        Assert.Contains("memory_dynamic_max must be less than", outcome.Detail, StringComparison.Ordinal);
    }

    // PV guests can grow while they run.
    private Task<XenHypervisorDriver> StartPvAsync()
    {
        File.WriteAllBytes(Folder.At("kernel"), []);
        return StartDriverAsync(options =>
        {
            options.Guests = new() { Kind = XlGuestKind.Pv, Kernel = Folder.At("kernel") };
            options.ResizeTimeout = TimeSpan.FromSeconds(2);
        });
    }
}
