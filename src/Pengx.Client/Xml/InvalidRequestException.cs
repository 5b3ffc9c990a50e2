namespace Pengx.Client;

/// <summary>Fields of a request are missing or not of their kind. The message is one sentence that names them all.</summary>
public sealed class InvalidRequestException : PengxException
{
    /// <summary>Creates the error.</summary>
    /// <param name="errors">The refused fields, at least one.</param>
    public InvalidRequestException(IReadOnlyList<RequestFieldError> errors)
        : base(PengxErrorCode.InvalidField, Describe(errors)) => Errors = errors;

    /// <summary>The refused fields.</summary>
    public IReadOnlyList<RequestFieldError> Errors { get; }

    private static string Describe(IReadOnlyList<RequestFieldError> errors)
    {
        ArgumentNullException.ThrowIfNull(errors);
        return string.Join("; ", errors.Select(error =>
            error.Value is null ? $"Field '{error.Field}' {error.Rule}" : $"Field '{error.Field}' is '{error.Value}' and {error.Rule}")) + ".";
    }
}
