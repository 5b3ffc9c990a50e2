using System.Net.Sockets;
using System.Xml;
using Microsoft.Data.Sqlite;
using Pengx.Data;
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
        var first = new byte[4096];
        await body.ReadExactlyAsync(first, Token);
        await host.AddStorlinkAsync(Directory.CreateDirectory(Path.Combine(host.DataDirectory, "meanwhile")).FullName, "meanwhile");
        for (var round = 0; round < 10; round++)
        {
            Assert.True(await IsReadAsync(file), "No one reads the database any more, though almost nothing of the list has been taken.");
        }

        // The rest is whole, and then the database is not read any more.
        await using var whole = new PrefixStream(first, body);
        using var reader = XmlReader.Create(whole, new XmlReaderSettings { Async = true });
        var listed = 0;
        while (await reader.ReadAsync())
        {
            listed += reader is { NodeType: XmlNodeType.Element, Name: "vm" } ? 1 : 0;
        }

        Assert.Equal(Machines, listed);
        await ServedMachines.EventuallyAsync(async () => !await IsReadAsync(file), "the log of the database is emptied after the list");
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

        await using var connection = new SqliteConnection($"Data Source={file};Pooling=False");
        await connection.OpenAsync(Token);
        await CopyAsync("virtual_machines", new() { ["id"] = Uuid("n"), ["name"] = "s.name || n", ["created_at"] = "s.created_at + n % 100" }, "true");
        await CopyAsync("vm_interfaces", new() { ["id"] = "1000 + n", ["vm"] = Uuid("n"), ["mac"] = "printf('00:16:3e:01:%02x:%02x', n / 256, n % 256)" }, "s.id = 77");
        for (var order = 0; order < DisksEach; order++)
        {
            await CopyAsync("disks", new() { ["id"] = Uuid($"n + {(order + 1) * 1_000_000}"), ["owner_id"] = Uuid("n") }, $"s.position = {order} and s.owner_id = (select id from virtual_machines where name = '{seed.Name}')");
        }

        async Task CopyAsync(string table, Dictionary<string, string> changed, string which)
        {
            await using var columns = connection.CreateCommand();
            columns.CommandText = $"select name from pragma_table_info('{table}')";
            List<string> names = [];
            await using (var reader = await columns.ExecuteReaderAsync(Token))
            {
                while (await reader.ReadAsync(Token))
                {
                    names.Add(reader.GetString(0));
                }
            }

            await using var copy = connection.CreateCommand();
            copy.CommandText =
                $"""
                with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {Machines - 1})
                insert into {table} ({string.Join(", ", names.Select(name => $"\"{name}\""))})
                select {string.Join(", ", names.Select(name => changed.GetValueOrDefault(name, $"s.\"{name}\"")))} from {table} s, numbers where {which}
                """;
            Assert.Equal(Machines - 1, await copy.ExecuteNonQueryAsync(Token));
        }

        static string Uuid(string number) => $"printf('%08X-0000-4000-8000-000000000000', {number})";
    }

    /// <summary>Bytes that were read already, and then the rest.</summary>
    private sealed class PrefixStream(byte[] first, Stream rest) : Stream
    {
        private int _given;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_given == first.Length)
            {
                return await rest.ReadAsync(buffer, cancellationToken);
            }

            var count = Math.Min(buffer.Length, first.Length - _given);
            first.AsMemory(_given, count).CopyTo(buffer);
            _given += count;
            return count;
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
