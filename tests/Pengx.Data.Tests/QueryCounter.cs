using System.Collections.Concurrent;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Pengx.Data.Tests;

/// <summary>Keeps what is logged, and counts the queries among it.</summary>
internal sealed class QueryCounter : ILoggerProvider, ILogger
{
    private int _count;

    public int Count => _count;

    public ConcurrentQueue<string> Messages { get; } = [];

    public ConcurrentQueue<LogLevel> Levels { get; } = [];

    public ILogger CreateLogger(string categoryName) => this;

    public bool IsEnabled(LogLevel logLevel) => true;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (eventId.Id == RelationalEventId.CommandExecuted.Id)
        {
            Interlocked.Increment(ref _count);
        }

        Messages.Enqueue($"{formatter(state, exception)} {exception}");
        Levels.Enqueue(logLevel);
    }

    public void Dispose()
    {
    }
}
