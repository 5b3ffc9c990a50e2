namespace Pengx.Storage.Tests;

/// <summary>An image that a QEMU program has open for writing.</summary>
internal sealed class OpenImage : IAsyncDisposable
{
    private readonly CancellationTokenSource _close = new();
    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task _holder = Task.CompletedTask;

    private OpenImage()
    {
    }

    public static async Task<OpenImage> ForWritingAsync(DiskLayer image)
    {
        OpenImage open = new();
        open._holder = new ProcessRunner().RunAsync(
            new()
            {
                FileName = "qemu-io",

                // The dump is larger than the tool's output buffer, so its first lines come while the image stays open.
                Arguments = ["-f", image.Format.Name, "-c", "read -v 0 16384", "-c", "sleep 50000", image.Location.ToString()!],
                OnOutputLine = _ => open._opened.TrySetResult(),
            },
            open._close.Token);
        await Task.WhenAny(open._opened.Task, open._holder);
        Assert.False(open._holder.IsCompleted);
        return open;
    }

    public async ValueTask DisposeAsync()
    {
        await _close.CancelAsync();
        await _holder.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _close.Dispose();
    }
}
