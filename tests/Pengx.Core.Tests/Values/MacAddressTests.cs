namespace Pengx.Core.Tests;

public sealed class MacAddressTests
{
    [Theory]
    [InlineData("00:16:3e:12:34:56", "00:16:3e:12:34:56")]
    [InlineData("00-16-3E-AB-CD-EF", "00:16:3e:ab:cd:ef")]
    [InlineData("  00:16:3E:00:00:01\n", "00:16:3e:00:00:01")]
    public void An_address_is_read_in_any_case_and_written_in_one(string text, string expected)
    {
        Assert.True(MacAddress.TryParse(text, out var address));
        Assert.Equal(expected, address.ToString());
        Assert.Equal(address, MacAddress.Parse(expected));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("00:16:3e:12:34")]
    [InlineData("00:16:3e:12:34:56:78")]
    [InlineData("00163e123456")]
    [InlineData("00:16-3e:12:34:56")]
    [InlineData("00:16:3e:12:34:5g")]
    [InlineData("00:16:3e:12:34:+5")]
    [InlineData("00:00:00:00:00:00")]
    [InlineData("01:00:5e:00:00:01")]
    [InlineData("ff:ff:ff:ff:ff:ff")]
    public void Anything_else_and_group_addresses_are_refused(string? text) => Assert.False(MacAddress.TryParse(text, out _));

    [Fact]
    public void The_refusal_shows_what_an_address_is() =>
        Assert.Contains("00:16:3e:12:34:56", Assert.Throws<FormatException>(() => MacAddress.Parse("x")).Message, StringComparison.Ordinal);

    [Fact]
    public void New_addresses_are_in_the_lower_half_of_Xens_range_and_differ()
    {
        var addresses = Enumerable.Range(0, 1000).Select(_ => MacAddress.NewXen()).ToList();

        Assert.All(addresses, address => Assert.InRange(address.Value, 0x00163e000000ul, 0x00163e7ffffful));
        Assert.InRange(addresses.Distinct().Count(), 990, 1000);
        Assert.All(addresses, address => Assert.Equal(address, MacAddress.Parse(address.ToString())));
    }
}
