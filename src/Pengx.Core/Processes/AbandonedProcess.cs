namespace Pengx;

/// <summary>A program that survives SIGKILL because it hangs in the kernel, on dead storage as a rule.</summary>
/// <param name="Pid">The process that the program was started as; also its process group and session.</param>
/// <param name="Program">The program.</param>
/// <param name="Since">When it was given up.</param>
public sealed record AbandonedProcess(int Pid, string Program, DateTimeOffset Since);
