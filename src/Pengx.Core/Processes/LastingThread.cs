using System.Collections.Concurrent;

namespace Pengx;

/// <summary>A thread that lives as long as this process. The kernel takes the thread that started a program for its parent
/// (prctl(2), PR_SET_PDEATHSIG): what shall end with the process must not be started by a thread of the pool, which comes and
/// goes.</summary>
internal static class LastingThread
{
    private static readonly BlockingCollection<Action> s_work = [];

    static LastingThread() => new Thread(Work) { IsBackground = true, Name = "Pengx programs" }.Start();

    /// <summary>Has the thread do something, and returns what came of it.</summary>
    /// <typeparam name="T">What comes of it.</typeparam>
    /// <param name="work">What to do; should not take long.</param>
    public static Task<T> RunAsync<T>(Func<T> work)
    {
        TaskCompletionSource<T> done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        s_work.Add(() =>
        {
            try
            {
                done.SetResult(work());
            }
            catch (Exception exception)
            {
                done.SetException(exception);
            }
        });
        return done.Task;
    }

    private static void Work()
    {
        foreach (var work in s_work.GetConsumingEnumerable())
        {
            work();
        }
    }
}
