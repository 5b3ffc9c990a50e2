namespace Pengx.Core.Tests;

public sealed class NetworkTests
{
    [Theory]
    [InlineData(0, "balance-rr")]
    [InlineData(1, "active-backup")]
    [InlineData(2, "balance-xor")]
    [InlineData(3, "broadcast")]
    [InlineData(4, "802.3ad")]
    [InlineData(5, "balance-tlb")]
    [InlineData(6, "balance-alb")]
    [InlineData(7, null)]
    [InlineData(null, null)]
    public void A_bond_s_mode_has_the_kernel_s_name(int? mode, string? expected)
    {
        Network network = new() { Id = 1, Pm = PmId.New(), Name = "bond0", Category = NetworkCategory.Bond, BondMode = (BondMode?)mode };
        Assert.Equal(expected, network.BondModeName);
    }
}
