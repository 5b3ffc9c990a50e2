namespace Pengx.Core.Tests;

public sealed class ErrorTests
{
    [Fact]
    public void A_refused_field_is_named_with_its_value_and_rule() =>
        Assert.Equal("cpu_core '0' is refused: a whole number of 1 or more.", new InvalidFieldException("cpu_core", "0", "a whole number of 1 or more.").Message);

    [Fact]
    public void A_hostile_value_is_cut_and_made_harmless()
    {
        var message = new InvalidFieldException("name", "a\r\nb\u001b[31m\ud800" + new string('x', 10_000), "no.").Message;

        Assert.InRange(message.Length, 1, 150);
        Assert.DoesNotContain(message, char.IsControl);
        Assert.DoesNotContain(message, char.IsSurrogate);
    }

    [Fact]
    public void Only_what_may_pass_by_itself_is_transient()
    {
        Assert.True(new ResourceLockedException("VM x", "its start").IsTransient);
        Assert.True(new UnavailableException("x").IsTransient);
        Assert.True(new ConcurrencyException("x").IsTransient);
        Assert.False(new StorageException("x").IsTransient);
        Assert.False(new InUseException("x").IsTransient);
        Assert.False(new InsufficientResourceException("x").IsTransient);
    }

    [Fact]
    public void A_tool_s_long_error_is_cut_to_its_end()
    {
        ProcessCommand command = new() { FileName = "/usr/bin/tool" };
        var failure = ProcessFailedException.Exited(new(command, 1, "", new string('x', 5000) + "the end"));

        Assert.StartsWith("tool failed with exit code 1: …", failure.Message, StringComparison.Ordinal);
        Assert.EndsWith("the end", failure.Message, StringComparison.Ordinal);
        Assert.InRange(failure.Message.Length, 1, 2100);
        Assert.Contains("it said nothing", ProcessFailedException.Exited(new(command, 1, "", "")).Message, StringComparison.Ordinal);
    }
}
