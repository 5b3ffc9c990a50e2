using System.Net.Sockets;
using System.Xml;
using Microsoft.Data.Sqlite;
using Pengx.Data;
using Pengx.Data.Tests;
using Pengx.Testing;

namespace Pengx.Host.Tests;

/// <summary>The list of 10 000 machines over HTTP.</summary>
public sealed class ManyMachinesTests
{
    private const int Machines = 10_000;
    private const int DisksEach = 3;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// The client stops reading after the first bytes, and the answer is far too long for what lies between it and the service: so the service
    /// stands still in the midst of its list. A log of SQLite that cannot be emptied then shows that it still reads, and one that can be emptied
    /// afterwards shows that nothing else did.
    /// </summary>
    [Fact]
    public async Task The_first_bytes_leave_before_the_last_row_is_read()
    {
        await using var host = await HostProcess.StartAsync("simulator");
        var pm = Guid.Parse((await host.GetXmlAsync("/pms/")).Attribute("id")!.Value);
        var file = Path.Combine(host.DataDirectory, "pengx.db");
        await FillAsync(file, new PmId(pm));

        // Whatever was written until now is in the database itself: only a reader of this moment can hold the log later.
        await ServedMachines.EventuallyAsync(async () => !await IsReadAsync(file), "the log of the database is emptied");
        using var client = new HttpClient(new SocketsHttpHandler { ConnectCallback = ConnectAsync }) { BaseAddress = host.Address };
        using var answer = await client.GetAsync("/vms/", HttpCompletionOption.ResponseHeadersRead, Token);
        answer.EnsureSuccessStatusCode();
        await using var body = await answer.Content.ReadAsStreamAsync(Token);
        using var reader = XmlReader.Create(body, new XmlReaderSettings { Async = true });
        Assert.True(await ReadMachineAsync(reader));
        await host.AddStorlinkAsync(Directory.CreateDirectory(Path.Combine(host.DataDirectory, "meanwhile")).FullName, "meanwhile");
        for (var round = 0; round < 10; round++)
        {
            Assert.True(await IsReadAsync(file), "No one reads the database any more, though almost nothing of the list has been taken.");
        }

        // The rest is whole, and then the database is not read any more.
        var listed = 1;
        while (await ReadMachineAsync(reader))
        {
            listed++;
        }

        Assert.Equal(Machines, listed);
        await ServedMachines.EventuallyAsync(async () => !await IsReadAsync(file), "the log of the database is emptied after the list");
    }

    /// <summary>Goes on to the next machine of the list; false at its end.</summary>
    private static async Task<bool> ReadMachineAsync(XmlReader reader)
    {
        while (await reader.ReadAsync())
        {
            if (reader is { NodeType: XmlNodeType.Element, Name: "vm" })
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Whether a reader keeps SQLite's log from being emptied.</summary>
    private static async Task<bool> IsReadAsync(string file)
    {
        await using var connection = new SqliteConnection($"Data Source={file};Pooling=False;Default Timeout=1");
        await connection.OpenAsync(Token);
        await using var checkpoint = connection.CreateCommand();
        checkpoint.CommandText = "PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE)";
        await using var reader = await checkpoint.ExecuteReaderAsync(Token);
        Assert.True(await reader.NextResultAsync(Token));
        Assert.True(await reader.ReadAsync(Token));
        return reader.GetInt32(0) != 0;
    }

    /// <summary>A connection that takes little in at once.</summary>
    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 16 * 1024 };
        await socket.ConnectAsync(context.DnsEndPoint, cancellationToken);
        return new NetworkStream(socket, ownsSocket: true);
    }

    /// <summary>Makes one machine, and the others as copies of its rows. Their names are long on the wire, so that the list is.</summary>
    private static async Task FillAsync(string file, PmId pm)
    {
        var seed = SampleRows.Vm(pm, new string('&', 200));
        await using (var store = SqlitePengxStore.Open(file))
        await using (var session = await store.OpenAsync(Token))
        {
            var storlink = SampleRows.Storlink(pm, 77);
            session.Storlinks.Add(storlink);
            session.VirtualMachines.Add(seed);
            session.VmInterfaces.Add(SampleRows.Interface(seed.Id, 77));
            for (var order = 0; order < DisksEach; order++)
            {
                session.Disks.Add(SampleRows.Disk(DiskOwner.Of(seed.Id), storlink.Id, order));
            }

            await session.SaveAsync(Token);
        }

        await CopiedMachines.AddAsync(file, seed.Name, nic: 77, DisksEach, from: 1, count: Machines);
    }
}
