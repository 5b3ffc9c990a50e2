using System.Text.Json;
using System.Text.Json.Serialization;

namespace Pengx;

/// <summary>One run of a program as a transcript keeps it: one line of JSON.</summary>
public sealed record ProcessTranscriptEntry
{
    /// <summary>The program and its arguments.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    /// <summary>How many bytes it was given on standard input; the bytes themselves may be secret and are never kept.</summary>
    public int InputBytes { get; init; }

    /// <summary>Its exit code; <see langword="null"/> when it could not be started or was stopped.</summary>
    public int? ExitCode { get; init; }

    /// <summary>Its standard output.</summary>
    public string Output { get; init; } = "";

    /// <summary>Its standard error.</summary>
    public string Error { get; init; } = "";

    /// <summary>Why there is no exit code.</summary>
    public string? Failure { get; init; }

    /// <summary>The line of JSON, without its line end.</summary>
    public override string ToString() => JsonSerializer.Serialize(this, ProcessTranscriptJson.Default.ProcessTranscriptEntry);

    /// <summary>Reads one line.</summary>
    /// <param name="line">The line.</param>
    /// <exception cref="FormatException">It is not such a line.</exception>
    public static ProcessTranscriptEntry Parse(string line)
    {
        ArgumentNullException.ThrowIfNull(line);
        try
        {
            return JsonSerializer.Deserialize(line, ProcessTranscriptJson.Default.ProcessTranscriptEntry) ?? throw new JsonException("It is empty.");
        }
        catch (JsonException exception)
        {
            throw new FormatException($"A line of the transcript cannot be read: {exception.Message}", exception);
        }
    }
}

/// <summary>What a transcript does not keep as it is.</summary>
public sealed class ProcessTranscriptOptions
{
    /// <summary>Texts that are kept as <c>***</c> wherever they turn up: passwords that a tool might print back.</summary>
    public IList<string> Secrets { get; } = [];

    /// <summary>Texts that differ from run to run, by the name that is kept in their place: a temporary directory, a device.</summary>
    public IDictionary<string, string> Names { get; } = new Dictionary<string, string>(StringComparer.Ordinal);
}

/// <summary>Runs programs through another runner and keeps what they were asked and answered, one line of JSON each; the
/// lines replay as tests. Safe to use from many threads.</summary>
/// <param name="runner">Runs the programs.</param>
/// <param name="writer">Takes the lines; not closed here.</param>
/// <param name="options">What is masked and named.</param>
public sealed class RecordingProcessRunner(IProcessRunner runner, TextWriter writer, ProcessTranscriptOptions? options = null) : IProcessRunner
{
    private const string Mask = "***";

    private readonly ProcessTranscriptOptions _options = options ?? new();
    private readonly Lock _gate = new();

    /// <inheritdoc/>
    public async Task<ProcessResult> RunAsync(ProcessCommand command, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ProcessTranscriptEntry entry = new()
        {
            Command = [.. command.Arguments.Prepend(command.FileName).Select(Keep)],
            InputBytes = command.Input.Length,
        };
        try
        {
            var result = await runner.RunAsync(command, cancellationToken).ConfigureAwait(false);
            Write(entry with { ExitCode = result.ExitCode, Output = Keep(result.Output), Error = Keep(result.Error) });
            return result;
        }
        catch (Exception exception) when (exception is PengxException or OperationCanceledException)
        {
            Write(entry with { Failure = Keep(exception.Message) });
            throw;
        }
    }

    private string Keep(string text)
    {
        foreach (var secret in _options.Secrets.Where(secret => secret.Length > 0))
        {
            text = text.Replace(secret, Mask, StringComparison.Ordinal);
        }

        // The longest first: /dev/loop1 must not be found in /dev/loop12.
        foreach (var (value, name) in _options.Names.OrderByDescending(pair => pair.Key.Length))
        {
            text = text.Replace(value, name, StringComparison.Ordinal);
        }

        return text;
    }

    private void Write(ProcessTranscriptEntry entry)
    {
        var line = entry.ToString();
        lock (_gate)
        {
            writer.WriteLine(line);
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(ProcessTranscriptEntry))]
internal sealed partial class ProcessTranscriptJson : JsonSerializerContext;
