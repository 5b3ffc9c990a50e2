using System.Text.Json;
using System.Text.Unicode;

namespace Pengx.Qmp;

internal enum QmpMessageKind
{
    Greeting,
    Return,
    Error,
    Event,
}

/// <summary>One line from the peer: checked as a whole, sorted by kind, its parts still in the line's own bytes.</summary>
internal readonly ref struct QmpMessage
{
    /// <summary>Events wait in queues by the thousand, so each is kept small; the largest that QEMU has take a few kilobytes.</summary>
    internal const int MaxEventBytes = 64 * 1024;

    private static readonly JsonElement s_noData = JsonElement.Parse("{}");

    private readonly JsonReaderOptions _options;
    private readonly int _length;

    private QmpMessage(ReadOnlySpan<byte> line, JsonReaderOptions options)
    {
        _options = options;
        _length = line.Length;
        try
        {
            if (!Utf8.IsValid(line))
            {
                throw new QmpProtocolException("The peer sent text that is not UTF-8.");
            }

            Utf8JsonReader reader = new(line, options);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                throw new QmpProtocolException("The peer sent JSON that is not an object.");
            }

            int kinds = 0;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals("return"u8))
                {
                    kinds++;
                    Kind = QmpMessageKind.Return;
                    Payload = ReadValue(ref reader, line);
                }
                else if (reader.ValueTextEquals("id"u8))
                {
                    HasId = true;
                    Id = reader.Read() && reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long id) ? id : -1;
                    reader.Skip();
                }
                else if (reader.ValueTextEquals("event"u8))
                {
                    kinds++;
                    Kind = QmpMessageKind.Event;
                    EventName = ReadText(ref reader, "an event whose name");
                }
                else if (reader.ValueTextEquals("data"u8))
                {
                    Data = ReadValue(ref reader, line);
                }
                else if (reader.ValueTextEquals("timestamp"u8))
                {
                    Timestamp = ReadValue(ref reader, line);
                }
                else if (reader.ValueTextEquals("error"u8))
                {
                    kinds++;
                    Kind = QmpMessageKind.Error;
                    Payload = ReadValue(ref reader, line);
                }
                else if (reader.ValueTextEquals("QMP"u8))
                {
                    kinds++;
                    Kind = QmpMessageKind.Greeting;
                    Payload = ReadValue(ref reader, line);
                }
                else
                {
                    reader.Read();
                    reader.Skip();
                }
            }

            // Anything but white space after the object throws here.
            while (reader.Read())
            {
            }

            if (kinds != 1)
            {
                throw new QmpProtocolException("The peer sent a message that is neither a greeting, nor one reply, nor one event.");
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // The parser's message may quote content, which may be secret: only its position is told.
            throw new QmpProtocolException(
                $"The peer sent a line of {line.Length} bytes that is not valid JSON (nesting up to {options.MaxDepth}).",
                exception);
        }
    }

    internal QmpMessageKind Kind { get; }

    internal bool HasId { get; }

    /// <summary>The id, or -1 for one that this client never gives.</summary>
    internal long Id { get; } = -1;

    /// <summary>What a greeting, a return or an error holds.</summary>
    internal ReadOnlySpan<byte> Payload { get; }

    internal string EventName { get; } = string.Empty;

    private ReadOnlySpan<byte> Data { get; }

    private ReadOnlySpan<byte> Timestamp { get; }

    internal static QmpMessage Parse(ReadOnlySpan<byte> line, JsonReaderOptions options) => new(line, options);

    internal QmpGreeting ReadGreeting()
    {
        try
        {
            Utf8JsonReader reader = new(Payload, _options);
            return JsonSerializer.Deserialize(ref reader, QmpJsonContext.Default.QmpGreeting)
                ?? throw new QmpProtocolException("The peer's greeting is empty.");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new QmpProtocolException("The peer's greeting lacks QEMU's version.", exception);
        }
    }

    internal (string Class, string Description) ReadError()
    {
        string? errorClass = null;
        string? description = null;
        try
        {
            Utf8JsonReader reader = new(Payload, _options);
            if (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
            {
                while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                {
                    if (reader.ValueTextEquals("class"u8))
                    {
                        errorClass = ReadText(ref reader, "an error whose class");
                    }
                    else if (reader.ValueTextEquals("desc"u8))
                    {
                        description = ReadText(ref reader, "an error whose description");
                    }
                    else
                    {
                        reader.Read();
                        reader.Skip();
                    }
                }
            }
        }
        catch (InvalidOperationException exception)
        {
            throw new QmpProtocolException("The peer sent an error whose text is not valid.", exception);
        }

        return errorClass is not null && description is not null
            ? (errorClass, description)
            : throw new QmpProtocolException("The peer sent an error without a class or a description.");
    }

    internal QmpEvent ReadEvent(TimeProvider clock)
    {
        if (_length > MaxEventBytes)
        {
            throw new QmpProtocolException($"The peer sent the event '{EventName}' of {_length} bytes; the limit is {MaxEventBytes}.");
        }

        JsonElement data = s_noData;
        if (!Data.IsEmpty)
        {
            Utf8JsonReader reader = new(Data, _options);
            data = JsonElement.ParseValue(ref reader);
            if (data.ValueKind != JsonValueKind.Object)
            {
                throw new QmpProtocolException($"The peer sent the event '{EventName}' with data that is not an object.");
            }
        }

        return new QmpEvent { Name = EventName, Data = data, Timestamp = ReadTimestamp() ?? clock.GetUtcNow() };
    }

    /// <summary>Null where QEMU could not read its clock (-1), or says nothing that is a time.</summary>
    private DateTimeOffset? ReadTimestamp()
    {
        if (Timestamp.IsEmpty)
        {
            return null;
        }

        long seconds = -1;
        long microseconds = 0;
        Utf8JsonReader reader = new(Timestamp, _options);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return null;
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool isSeconds = reader.ValueTextEquals("seconds"u8);
            bool isMicroseconds = reader.ValueTextEquals("microseconds"u8);
            reader.Read();
            if ((isSeconds || isMicroseconds) && reader.TokenType == JsonTokenType.Number && reader.TryGetInt64(out long value))
            {
                seconds = isSeconds ? value : seconds;
                microseconds = isMicroseconds ? value : microseconds;
            }

            reader.Skip();
        }

        const long LastSecond = 253402300799;
        return seconds is < 0 or > LastSecond || microseconds is < 0 or > 999_999
            ? null
            : DateTimeOffset.UnixEpoch.AddTicks((seconds * TimeSpan.TicksPerSecond) + (microseconds * TimeSpan.TicksPerMicrosecond));
    }

    private static ReadOnlySpan<byte> ReadValue(scoped ref Utf8JsonReader reader, ReadOnlySpan<byte> line)
    {
        reader.Read();
        int start = (int)reader.TokenStartIndex;
        reader.Skip();
        return line[start..(int)reader.BytesConsumed];
    }

    private static string ReadText(scoped ref Utf8JsonReader reader, string what)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.String
            ? reader.GetString()!
            : throw new QmpProtocolException($"The peer sent {what} is not text.");
    }
}
