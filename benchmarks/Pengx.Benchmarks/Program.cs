using BenchmarkDotNet.Running;
using Pengx.Benchmarks.Qmp;

if (args is ["qmp-real"])
{
    await RealMonitorComparison.RunAsync();
    return;
}

BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
