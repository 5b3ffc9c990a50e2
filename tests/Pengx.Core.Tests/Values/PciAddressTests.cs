namespace Pengx.Core.Tests;

public sealed class PciAddressTests
{
    [Theory]
    [InlineData("03:10.0", "0000:03:10.0")]
    [InlineData("0000:03:10.7", "0000:03:10.7")]
    [InlineData(" FFFF:ff:1F.7 ", "ffff:ff:1f.7")]
    public void Both_forms_are_read_and_the_full_one_written(string text, string expected)
    {
        Assert.True(PciAddress.TryParse(text, out var address));
        Assert.Equal(expected, address.ToString());
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("03:10")]
    [InlineData("03:20.0")]
    [InlineData("03:10.8")]
    [InlineData("03.10:0")]
    [InlineData("0:03:10.0")]
    [InlineData("00000:03:10.0")]
    [InlineData("0000-03:10.0")]
    [InlineData("gg:10.0")]
    [InlineData("03:10.0; reboot")]
    public void Anything_else_is_refused(string? text) => Assert.False(PciAddress.TryParse(text, out _));
}
