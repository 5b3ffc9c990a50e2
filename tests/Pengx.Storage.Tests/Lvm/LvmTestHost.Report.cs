namespace Pengx.Storage.Tests;

public sealed partial class LvmTestHost
{
    /// <summary>The volume group as LVM reports it.</summary>
    internal async Task<LvmVolumeGroup?> ReportAsync() =>
        (await new LvmTool(Runner, Options).ReportAsync(Group, TestContext.Current.CancellationToken)).Find(Group);
}
