using Microsoft.Extensions.Options;

namespace Pengx.Client;

internal sealed class PengxClientOptionsValidator : IValidateOptions<PengxClientOptions>
{
    public ValidateOptionsResult Validate(string? name, PengxClientOptions options) =>
        options.FindFault() is { } fault ? ValidateOptionsResult.Fail(fault) : ValidateOptionsResult.Success;
}
