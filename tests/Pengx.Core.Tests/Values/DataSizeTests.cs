namespace Pengx.Core.Tests;

public sealed class DataSizeTests
{
    [Theory]
    [InlineData(0, 0, 0)]
    [InlineData(1, 0, 1)]
    [InlineData(1048575, 0, 1)]
    [InlineData(1048576, 1, 1)]
    [InlineData(1048577, 1, 2)]
    [InlineData(long.MaxValue, 8796093022207, 8796093022208)]
    public void MiB_are_rounded_down_to_give_and_up_to_need(long bytes, long down, long up) =>
        Assert.Equal((down, up), (new DataSize(bytes).MiB, new DataSize(bytes).MiBCeiling));

    [Fact]
    public void Sizes_add_subtract_and_compare()
    {
        var one = DataSize.FromMiB(1);
        var gib = DataSize.FromGiB(1);

        Assert.Equal(DataSize.FromMiB(1025), gib + one);
        Assert.Equal(DataSize.FromMiB(1023), gib - one);
        Assert.True(one < gib && gib > one && one <= gib && gib >= one && one <= DataSize.FromMiB(1) && one >= DataSize.FromMiB(1));
        Assert.Equal([DataSize.Zero, one, gib], new[] { gib, DataSize.Zero, one }.Order());
    }

    [Fact]
    public void What_does_not_fit_is_an_error_and_never_a_small_size()
    {
        Assert.Throws<OverflowException>(() => DataSize.FromMiB(long.MaxValue));
        Assert.Throws<OverflowException>(() => DataSize.FromGiB(long.MaxValue / 1000));
        Assert.Throws<OverflowException>(() => new DataSize(long.MaxValue) + new DataSize(1));
        Assert.Throws<OverflowException>(() => new DataSize(long.MinValue) - new DataSize(1));
    }

    [Theory]
    [InlineData(0, "0 MiB")]
    [InlineData(10485760, "10 MiB")]
    [InlineData(1000, "1000 bytes")]
    public void A_size_is_written_in_MiB_where_it_is_whole(long bytes, string expected) => Assert.Equal(expected, new DataSize(bytes).ToString());
}
