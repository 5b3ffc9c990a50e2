using System.Diagnostics;
using System.Runtime.Versioning;
using System.Text;
using Pengx.Testing;

namespace Pengx.Orchestration.Tests;

[SupportedOSPlatform("linux")]
public sealed class AuthorizedKeysTests
{
    private const UnixFileMode OwnersFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const UnixFileMode OwnersDirectory = OwnersFile | UnixFileMode.UserExecute;

    private static readonly string s_first = SshKeys.Make("ssh-ed25519", "root@pm2");
    private static readonly string s_second = SshKeys.Make("ssh-rsa", "root@pm3 in a rack");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static string Block(params string[] keys) => $"# BEGIN pengx\n{string.Join('\n', keys)}\n# END pengx\n";

    [Fact]
    public async Task Every_key_is_written_into_a_file_of_the_owner_alone()
    {
        await using var world = new World();
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        await world.AddPeerAsync("pm3", s_second);
        await world.AddPeerAsync("pm4", s_second);
        await world.AddPeerAsync("pm5", null);
        var done = await UpdateAsync(world);
        Assert.Equal(Block(s_first, s_second), await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
        Assert.Equal(OwnersFile, File.GetUnixFileMode(world.AuthorizedKeys));
        Assert.Equal(OwnersDirectory, File.GetUnixFileMode(world.SshDirectory));
        Assert.Contains("2 keys", done.Message, StringComparison.Ordinal);
        Assert.Equal(["authorized_keys"], Directory.GetFileSystemEntries(world.SshDirectory).Select(path => Path.GetFileName(path)));
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("ssh-rsa AAAA other\n", "")]
    [InlineData("ssh-rsa AAAA other", "\n")]
    [InlineData("# kept\r\n\r\nssh-rsa AAAA other\r\n  \r\n", "")]
    [InlineData("ssh-rsa AAAA other\r\nlast", "\n")]
    public async Task Other_lines_stay_byte_for_byte(string others, string separator)
    {
        await using var world = new World();
        Lay(world, others);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        await UpdateAsync(world);
        Assert.Equal($"{others}{separator}{Block(s_first)}", await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
    }

    [Fact]
    public async Task The_block_is_replaced_where_it_is_and_bytes_that_are_no_text_stay()
    {
        await using var world = new World();
        var before = Encoding.Latin1.GetBytes("\u00ff\u00fe\r\nmine\n");
        var after = Encoding.Latin1.GetBytes("\tlater\r\nno newline \u00c3");
        Lay(world, "");
        await File.WriteAllBytesAsync(world.AuthorizedKeys, [.. before, .. Encoding.ASCII.GetBytes("# BEGIN pengx\r\nssh-rsa AAAA old\r\n# END pengx\r\n"), .. after], Token);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        await UpdateAsync(world);
        byte[] expected = [.. before, .. Encoding.UTF8.GetBytes(Block(s_first)), .. after];
        Assert.Equal(expected, await File.ReadAllBytesAsync(world.AuthorizedKeys, Token));
    }

    [Fact]
    public async Task A_file_that_is_right_is_not_written_again()
    {
        await using var world = new World();
        Lay(world, "mine\n");
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        await UpdateAsync(world);
        File.SetLastWriteTimeUtc(world.AuthorizedKeys, DateTime.UnixEpoch);
        Assert.Contains("up to date", (await UpdateAsync(world)).Message, StringComparison.Ordinal);
        Assert.Equal(DateTime.UnixEpoch, File.GetLastWriteTimeUtc(world.AuthorizedKeys));
    }

    [Fact]
    public async Task A_right_file_that_others_can_read_or_write_is_its_owners_alone_again()
    {
        await using var world = new World();
        Lay(world, $"mine\n{Block(s_first)}");
        File.SetUnixFileMode(world.AuthorizedKeys, OwnersFile | UnixFileMode.GroupRead | UnixFileMode.OtherRead | UnixFileMode.OtherWrite);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        Assert.DoesNotContain("up to date", (await UpdateAsync(world)).Message, StringComparison.Ordinal);
        Assert.Equal($"mine\n{Block(s_first)}", await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
        Assert.Equal(OwnersFile, File.GetUnixFileMode(world.AuthorizedKeys));
    }

    [Fact]
    public async Task Without_keys_there_is_no_block_and_no_file_is_made()
    {
        await using var world = new World();
        await world.StartAsync();
        await UpdateAsync(world);
        Assert.False(Directory.Exists(world.SshDirectory));
        Lay(world, $"mine\n{Block(s_first)}yours");
        await UpdateAsync(world);
        Assert.Equal("mine\nyours", await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
    }

    [Fact]
    public async Task Keys_that_are_more_or_less_than_a_key_are_left_out_and_their_machines_named()
    {
        string[] bad =
        [
            $"command=\"reboot\" {s_first}",
            $"no-pty {s_first}",
            $"{s_first}\n{s_second}",
            $"{s_first}\r",
            $"{s_first}\0",
            $"{s_first}\u0085x",
            $"# {s_first}",
            "ssh-ed25519",
            "ssh-ed25519 !!!!",
            "ssh-ed25519 AAAA",
            SshKeys.Make("ssh-rsa", inner: "ssh-ed25519"),
            SshKeys.Make("ssh-dss"),
            SshKeys.Make("ssh-ed25519-cert-v01@openssh.com"),
            SshKeys.Make("ssh-ed25519").Replace(' ', '\t'),
            $"ssh-ed25519 {new string('A', 20_000)}",
        ];
        await using var world = new World();
        await world.StartAsync();
        for (var number = 0; number < bad.Length; number++)
        {
            await world.AddPeerAsync($"bad{number:00}", bad[number]);
        }

        await world.AddPeerAsync("good", s_second);
        var message = (await UpdateAsync(world)).Message!;
        Assert.Equal(Block(s_second), await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
        Assert.All(bad.Select((_, number) => $"'bad{number:00}'"), name => Assert.Contains(name, message, StringComparison.Ordinal));
        Assert.DoesNotContain("'good'", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("# BEGIN pengx\nssh-rsa AAAA\n")]
    [InlineData("# END pengx\n")]
    [InlineData("# END pengx\n# BEGIN pengx\n")]
    [InlineData("# BEGIN pengx\n# BEGIN pengx\n# END pengx\n")]
    [InlineData("# BEGIN pengx\n# END pengx\n# BEGIN pengx\n# END pengx\n")]
    public async Task A_damaged_block_is_left_to_a_person(string content)
    {
        await using var world = new World();
        Lay(world, content);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        Assert.Contains(world.AuthorizedKeys, await RefusedAsync(world), StringComparison.Ordinal);
        Assert.Equal(content, await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
    }

    [Fact]
    public async Task Symbolic_links_are_not_followed()
    {
        await using var world = new World();
        Lay(world, "");
        File.Delete(world.AuthorizedKeys);
        var elsewhere = Path.Combine(world.Home, "elsewhere");
        await File.WriteAllTextAsync(elsewhere, "not ours\n", Token);
        File.CreateSymbolicLink(world.AuthorizedKeys, elsewhere);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        Assert.Contains("symbolic link", await RefusedAsync(world), StringComparison.Ordinal);

        File.Delete(world.AuthorizedKeys);
        Directory.Move(world.SshDirectory, Path.Combine(world.Home, "other"));
        Directory.CreateSymbolicLink(world.SshDirectory, Path.Combine(world.Home, "other"));
        Assert.Contains("symbolic link", await RefusedAsync(world), StringComparison.Ordinal);
        Assert.Equal("not ours\n", await File.ReadAllTextAsync(elsewhere, Token));
        Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(world.Home, "other")));
    }

    [Fact]
    public async Task A_link_in_the_place_of_the_temporary_file_is_not_written_through()
    {
        await using var world = new World();
        Lay(world, "");
        var elsewhere = Path.Combine(world.Home, "elsewhere");
        await File.WriteAllTextAsync(elsewhere, "not ours\n", Token);
        File.CreateSymbolicLink(Path.Combine(world.SshDirectory, ".authorized_keys.pengx"), elsewhere);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        await UpdateAsync(world);
        Assert.Equal("not ours\n", await File.ReadAllTextAsync(elsewhere, Token));
        Assert.Equal(Block(s_first), await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
        Assert.Single(Directory.GetFileSystemEntries(world.SshDirectory));
    }

    [Fact]
    public async Task A_directory_that_others_can_write_is_refused()
    {
        await using var world = new World();
        Lay(world, "");
        File.SetUnixFileMode(world.SshDirectory, OwnersDirectory | UnixFileMode.OtherWrite);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        Assert.Contains("chmod", await RefusedAsync(world), StringComparison.Ordinal);
        Assert.Equal("", await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
    }

    [Fact]
    public async Task The_file_keeps_its_owner()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Assert.Skip("Only root can give files away.");
        }

        await using var world = new World();
        Lay(world, "mine\n");
        await RunAsync("chown", "65534:65533", world.AuthorizedKeys);
        await world.StartAsync();
        await world.AddPeerAsync("pm2", s_first);
        await UpdateAsync(world);
        Assert.Equal($"mine\n{Block(s_first)}", await File.ReadAllTextAsync(world.AuthorizedKeys, Token));
        Assert.Equal("65534:65533 600", (await RunAsync("stat", "-c", "%u:%g %a", world.AuthorizedKeys)).Trim());
    }

    [Fact]
    public async Task The_own_key_is_the_first_good_one_of_the_user_s()
    {
        await using var world = new World();
        await world.StartAsync();
        Assert.Null(await OwnKeyAsync());

        var (ed25519, ecdsa, rsa) = (SshKeys.Make("ssh-ed25519"), SshKeys.Make("ecdsa-sha2-nistp256", "root@pm1"), SshKeys.Make("ssh-rsa", "old"));
        Lay(world, "");
        await LayKeyAsync("id_rsa.pub", $"{rsa}\n");
        Assert.Equal(rsa, await OwnKeyAsync());
        await LayKeyAsync("id_ecdsa.pub", $"{ecdsa}\r\n");
        Assert.Equal(ecdsa, await OwnKeyAsync());
        await LayKeyAsync("id_ed25519.pub", $"{ed25519}\n{rsa}\n");
        Assert.Equal(ecdsa, await OwnKeyAsync());
        await LayKeyAsync("id_ed25519.pub", ed25519);
        Assert.Equal(ed25519, await OwnKeyAsync());
        await UpdateAsync(world);
        Assert.Equal(Block(ed25519), await File.ReadAllTextAsync(world.AuthorizedKeys, Token));

        Directory.Delete(world.SshDirectory, recursive: true);
        Assert.Null(await OwnKeyAsync());

        Task LayKeyAsync(string name, string text) => File.WriteAllTextAsync(Path.Combine(world.SshDirectory, name), text, Token);

        async Task<string?> OwnKeyAsync()
        {
            await world.Hosts.RegisterAsync(Token);
            return (await world.Hosts.GetOwnAsync(Token)).Machine.SshPublicKey;
        }
    }

    [Fact]
    public async Task A_real_key_is_a_good_one()
    {
        Requires.Tool("ssh-keygen", "openssh-client");
        await using var world = new World();
        Lay(world, "");
        foreach (var (type, name) in new[] { ("rsa", "id_rsa"), ("ecdsa", "id_ecdsa"), ("ed25519", "id_ed25519") })
        {
            await RunAsync("ssh-keygen", "-q", "-t", type, "-N", "", "-f", Path.Combine(world.SshDirectory, name));
            Assert.Equal((await File.ReadAllTextAsync(Path.Combine(world.SshDirectory, $"{name}.pub"), Token)).TrimEnd(), SshPublicKey.Find(world.SshDirectory));
        }
    }

    private static void Lay(World world, string content)
    {
        Directory.CreateDirectory(world.SshDirectory);
        File.WriteAllText(world.AuthorizedKeys, content);
    }

    private static Task<Operation> UpdateAsync(World world) => world.DoneAsync(world.Hosts.UpdateAuthorizedKeysAsync(null, Token));

    private static async Task<string> RefusedAsync(World world)
    {
        var ended = await world.EndedAsync(world.Hosts.UpdateAuthorizedKeysAsync(null, Token));
        Assert.Equal(OperationState.Failed, ended.State);
        return ended.Message!;
    }

    private static async Task<string> RunAsync(string tool, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(tool, arguments) { RedirectStandardOutput = true })!;
        var output = await process.StandardOutput.ReadToEndAsync(Token);
        await process.WaitForExitAsync(Token);
        Assert.Equal(0, process.ExitCode);
        return output;
    }
}
