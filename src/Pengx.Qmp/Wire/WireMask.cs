using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Pengx.Qmp;

/// <summary>Writes messages for the wire log without what is or may be secret.</summary>
internal static class WireMask
{
    private const int MaxCharacters = 8 * 1024;
    private const string Hidden = "***";

    private static readonly JsonWriterOptions s_writing = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>A command as it was sent.</summary>
    internal static string Command(ReadOnlySpan<byte> line)
    {
        string? name = null;
        Utf8JsonReader reader = new(line, new JsonReaderOptions { MaxDepth = 1024 });
        reader.Read();
        if (reader.Read() && reader.TokenType == JsonTokenType.PropertyName && reader.Read())
        {
            name = reader.GetString();
        }

        return Copy(line, name, isReply: false);
    }

    /// <summary>What was received; the command is known for a reply.</summary>
    internal static string Message(ReadOnlySpan<byte> line, string? command) => Copy(line, command, isReply: command is not null);

    private static string Copy(ReadOnlySpan<byte> line, string? command, bool isReply)
    {
        ArrayBufferWriter<byte> output = new(Math.Min(line.Length + 16, MaxCharacters));
        using (Utf8JsonWriter writer = new(output, s_writing))
        {
            Utf8JsonReader reader = new(line, new JsonReaderOptions { MaxDepth = 1024 });
            bool isHidden = false;
            while (writer.BytesCommitted + writer.BytesPending <= MaxCharacters && reader.Read())
            {
                if (isHidden)
                {
                    reader.Skip();
                    writer.WriteStringValue(Hidden);
                    isHidden = false;
                    continue;
                }

                switch (reader.TokenType)
                {
                    case JsonTokenType.StartObject:
                        writer.WriteStartObject();
                        break;
                    case JsonTokenType.EndObject:
                        writer.WriteEndObject();
                        break;
                    case JsonTokenType.StartArray:
                        writer.WriteStartArray();
                        break;
                    case JsonTokenType.EndArray:
                        writer.WriteEndArray();
                        break;
                    case JsonTokenType.PropertyName:
                        string name = reader.GetString()!;
                        writer.WritePropertyName(name);
                        isHidden = isReply ? IsSecretResult(command, name, reader.CurrentDepth) : IsSecretArgument(command, name);
                        break;
                    case JsonTokenType.String:
                        writer.WriteStringValue(reader.GetString());
                        break;
                    default:
                        writer.WriteRawValue(reader.ValueSpan, skipInputValidation: true);
                        break;
                }
            }
        }

        string text = Encoding.UTF8.GetString(output.WrittenSpan);
        return text.Length <= MaxCharacters ? text : $"{text.AsSpan(0, MaxCharacters)}... ({line.Length} bytes)";
    }

    private static bool IsSecretArgument(string? command, string name) =>
        name.Contains("password", StringComparison.OrdinalIgnoreCase) && !name.EndsWith("-secret", StringComparison.Ordinal)
        || name.Contains("passphrase", StringComparison.OrdinalIgnoreCase)
        || name is "cookie" or "input-data" or "buf-b64" or "env" or "key-data"
        || (command, name) switch
        {
            // An id, "secret0", is no secret; the object behind it is.
            ("object-add", "data" or "props") => true,
            ("qom-set", "value") => true,
            ("send-key", "keys") => true,
            ("input-send-event", "events") => true,
            ("human-monitor-command", "command-line") => true,
            ("ringbuf-write", "data") => true,
            ("guest-exec", "arg") => true,
            ("guest-ssh-add-authorized-keys", "keys") => true,
            _ => false,
        };

    /// <summary>Replies are told by what was asked: at the top of these everything is hidden.</summary>
    private static bool IsSecretResult(string? command, string name, int depth) =>
        (depth == 1 && name == "return" && command is "qom-get" or "human-monitor-command" or "ringbuf-read" or "guest-file-read" or "guest-exec-status" && name == "return")
        || (name.Contains("password", StringComparison.OrdinalIgnoreCase) && !name.EndsWith("-secret", StringComparison.Ordinal));
}
