using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Pengx.Data;

namespace Pengx;

/// <summary>Registers the SQLite database with Pengx.</summary>
public static class PengxSqliteBuilderExtensions
{
    /// <summary>Keeps everything, the journal of operations too, in one SQLite file.</summary>
    /// <param name="builder">The application's Pengx.</param>
    /// <param name="connectionString">A connection string of Microsoft.Data.Sqlite that names a file, such as <c>Data Source=/var/lib/pengx/pengx.db</c>.</param>
    /// <exception cref="ArgumentException">The connection string is empty.</exception>
    public static IPengxBuilder AddSqlite(this IPengxBuilder builder, string connectionString)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        builder.Services.TryAddSingleton(services => new SqlitePengxStore(connectionString, services.GetService<ILoggerFactory>()));
        builder.Services.TryAddSingleton<IPengxStore>(services => services.GetRequiredService<SqlitePengxStore>());
        builder.Services.TryAddSingleton(services => services.GetRequiredService<SqlitePengxStore>().Journal);
        return builder;
    }
}
