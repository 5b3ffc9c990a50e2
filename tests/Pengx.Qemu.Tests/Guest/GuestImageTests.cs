using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Pengx.Testing;

namespace Pengx.Qemu.Tests;

/// <summary>The test guest itself, on plain QEMU without any part of the product.</summary>
public sealed partial class GuestImageTests : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("pengx-guest-");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task What_it_printed_as_flushed_survives_the_sudden_end_of_the_machine_and_it_goes_on_from_there()
    {
        Requires.Tool("qemu-system-x86_64", "qemu");
        string boot = GuestImage.CopyTo(Path.Combine(_folder.FullName, "boot.raw"));
        string data = Path.Combine(_folder.FullName, "data.raw");
        await using (FileStream empty = File.Create(data))
        {
            empty.SetLength(16 * 1024 * 1024);
        }

        long printed = 0;
        long stored = 0;
        for (int run = 0; run < 2; run++)
        {
            string console = await RunUntilAsync(boot, data, $"flushed {stored + 20}\n");

            Assert.Contains("PENGX-GUEST up ", console, StringComparison.Ordinal);
            Assert.Contains("PENGX-GUEST disk vdb 16777216\n", console, StringComparison.Ordinal);
            Assert.Contains("PENGX-GUEST cpus 1\n", console, StringComparison.Ordinal);
            Assert.Contains($"PENGX-GUEST counter resumes at {stored}\n", console, StringComparison.Ordinal);
            printed = Flushed().Matches(console).Max(match => long.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));
            stored = await GuestCounter.ReadNewestAsync(data, Token);
            Assert.InRange(stored, printed, printed + 1);
        }

        Assert.InRange(printed, 40, long.MaxValue);
    }

    public void Dispose() => _folder.Delete(recursive: true);

    [GeneratedRegex(@"^PENGX-GUEST flushed (\d+)$", RegexOptions.Multiline)]
    private static partial Regex Flushed();

    /// <summary>Boots the guest, kills QEMU as soon as the console shows a text, and returns everything it showed.</summary>
    private static async Task<string> RunUntilAsync(string boot, string data, string text)
    {
        string[] arguments =
        [
            "-machine", "q35", "-accel", "tcg", "-m", "160", "-nodefaults", "-no-user-config", "-display", "none",
            "-blockdev", $"driver=file,node-name=boot-file,filename={boot}", "-blockdev", "driver=raw,node-name=boot,file=boot-file",
            "-device", "virtio-blk-pci,drive=boot,bootindex=0",
            "-blockdev", $"driver=file,node-name=data-file,filename={data}", "-blockdev", "driver=raw,node-name=data,file=data-file",
            "-device", "virtio-blk-pci,drive=data",
            "-serial", "stdio",
        ];
        ProcessStartInfo start = new("qemu-system-x86_64", arguments) { RedirectStandardOutput = true, RedirectStandardInput = true };
        using CancellationTokenSource patience = CancellationTokenSource.CreateLinkedTokenSource(Token);
        patience.CancelAfter(s_patience);
        using Process machine = Process.Start(start)!;
        string console = string.Empty;
        try
        {
            char[] buffer = new char[4096];
            while (!console.Contains(text, StringComparison.Ordinal))
            {
                int count = await machine.StandardOutput.ReadAsync(buffer, patience.Token);
                Assert.True(count > 0, $"QEMU ended early; the console showed:\n{console}");
                console += new string(buffer, 0, count).Replace("\r", string.Empty, StringComparison.Ordinal);
            }
        }
        finally
        {
            machine.Kill();
            await machine.WaitForExitAsync(CancellationToken.None);
        }

        return console + (await machine.StandardOutput.ReadToEndAsync(Token)).Replace("\r", string.Empty, StringComparison.Ordinal);
    }
}
