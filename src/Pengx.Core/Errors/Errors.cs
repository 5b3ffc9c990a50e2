namespace Pengx;

/// <summary>A field of a request breaks its rule; nothing was changed.</summary>
public sealed class InvalidFieldException : PengxException
{
    private const int MaxQuotedValue = 100;

    /// <summary>Makes an error.</summary>
    /// <param name="field">The field's name, as the request writes it.</param>
    /// <param name="value">The value given; long ones are cut in the message.</param>
    /// <param name="rule">What the field accepts, continuing the sentence "… is refused: ".</param>
    public InvalidFieldException(string field, string? value, string rule)
        : base(PengxErrorCode.InvalidField, $"{field} '{Quote(value)}' is refused: {rule}")
    {
        Field = field;
        Rule = rule;
    }

    /// <summary>The field's name, as the request writes it.</summary>
    public string Field { get; }

    /// <summary>What the field accepts.</summary>
    public string Rule { get; }

    private static string Quote(string? value)
    {
        if (string.IsNullOrEmpty(value))
        {
            return "";
        }

        var shown = value.Length <= MaxQuotedValue ? value : $"{value[..MaxQuotedValue]}…";
        return string.Create(shown.Length, shown, static (span, text) =>
        {
            for (var i = 0; i < span.Length; i++)
            {
                span[i] = char.IsControl(text[i]) || char.IsSurrogate(text[i]) ? '?' : text[i];
            }
        });
    }
}

/// <summary>The object does not exist, or belongs to another one.</summary>
/// <param name="kind">What was looked for, as the user calls it: <c>VM</c>, <c>template</c>, <c>storlink</c>.</param>
/// <param name="id">Its identifier.</param>
public sealed class NotFoundException(string kind, string id) : PengxException(PengxErrorCode.NotFound, $"There is no {kind} {id}.")
{
    /// <summary>What was looked for.</summary>
    public string Kind { get; } = kind;
}

/// <summary>The object's state does not allow the operation.</summary>
/// <param name="message">The sentence for the user: the object, its state, and what would work.</param>
public sealed class WrongStateException(string message) : PengxException(PengxErrorCode.WrongState, message);

/// <summary>Another operation holds the object.</summary>
/// <param name="resource">The object, such as <c>VM 7e1…</c>.</param>
/// <param name="operation">The operation that holds it, named for the user.</param>
public sealed class ResourceLockedException(string resource, string operation)
    : PengxException(PengxErrorCode.Locked, $"{resource} is locked by {operation}; try again when it has ended.")
{
    /// <inheritdoc/>
    public override bool IsTransient => true;
}

/// <summary>Not enough memory, processors or space; the message has the figures.</summary>
/// <param name="message">The sentence for the user.</param>
public sealed class InsufficientResourceException(string message) : PengxException(PengxErrorCode.InsufficientResource, message);

/// <summary>Something still needs the object; the message names what.</summary>
/// <param name="message">The sentence for the user.</param>
public sealed class InUseException(string message) : PengxException(PengxErrorCode.InUse, message);

/// <summary>The hypervisor refused or failed; the message carries its own words.</summary>
/// <param name="message">The sentence for the user.</param>
/// <param name="innerException">What caused it.</param>
public sealed class HypervisorException(string message, Exception? innerException = null)
    : PengxException(PengxErrorCode.HypervisorFailed, message, innerException);

/// <summary>A storage refused or failed; the message carries its own words.</summary>
/// <param name="message">The sentence for the user.</param>
/// <param name="innerException">What caused it.</param>
public sealed class StorageException(string message, Exception? innerException = null)
    : PengxException(PengxErrorCode.StorageFailed, message, innerException);

/// <summary>Something that is needed (hypervisor, database, storage) cannot be reached now.</summary>
/// <param name="message">The sentence for the user.</param>
/// <param name="innerException">What caused it.</param>
public sealed class UnavailableException(string message, Exception? innerException = null)
    : PengxException(PengxErrorCode.Unavailable, message, innerException)
{
    /// <inheritdoc/>
    public override bool IsTransient => true;
}

/// <summary>A row was changed by another in between; read it again and decide anew.</summary>
/// <param name="message">The sentence for the user.</param>
public sealed class ConcurrencyException(string message) : PengxException(PengxErrorCode.Concurrency, message)
{
    /// <inheritdoc/>
    public override bool IsTransient => true;
}
