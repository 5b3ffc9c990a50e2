using Microsoft.Extensions.Logging;

namespace Pengx.Storage;

/// <summary>Takes away what failed work has made.</summary>
internal static class Leftovers
{
    // The server may be away that the work failed for: then a removal takes until it is back.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    /// <summary>Removes files as far as that can be done, and soon; what stays is told in the log, and goes with the next call for it.</summary>
    public static async Task TryRemoveAsync(ILogger logger, params string[] paths)
    {
        var removing = Task.Run(() =>
        {
            foreach (var path in paths)
            {
                try
                {
                    File.Delete(path);
                }
                catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
                {
                    // The failure that brought us here is the one to tell.
                    logger.LeftoverStays(path, exception);
                }
            }
        });
        try
        {
            await removing.WaitAsync(s_patience).ConfigureAwait(false);
        }
        catch (TimeoutException exception)
        {
            logger.LeftoverStays(string.Join(", ", paths), exception);
        }
    }
}
