namespace Pengx;

/// <summary>An optional ability of a driver: moving a running guest to another host of the same kind, which sees the same disks
/// at the same paths (found with <see cref="IHypervisorDriver.TryGetFeature{TFeature}"/>).</summary>
public interface ILiveMigration
{
    /// <summary>Says early what stands in the way, before anything is changed: what this host, the domain's configuration or its
    /// state does not allow, and, where the driver can ask the other host, what that one does not.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="host">The other host's name or address.</param>
    /// <param name="cancellationToken">Ends the check.</param>
    /// <exception cref="InvalidFieldException">The host's name or address breaks its rule.</exception>
    /// <exception cref="WrongStateException">The domain does not run, or cannot be moved; the message says why.</exception>
    /// <exception cref="InsufficientResourceException">The other host has not the memory.</exception>
    /// <exception cref="HypervisorException">The other host was asked and cannot be reached.</exception>
    Task CheckMigrationAsync(DomainId id, string host, CancellationToken cancellationToken = default);

    /// <summary>Moves a running domain with the stored configuration and returns when it runs there and is gone here. The other
    /// host's driver takes it up by itself; whether its stored configuration comes with it depends on the driver, and is the caller's to see to.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="host">The other host's name or address.</param>
    /// <param name="cancellationToken">Gives the move up before it begins; a driver that cannot stop one halfway finishes it.</param>
    /// <exception cref="HypervisorException">The move failed: the message says which side the domain is on. It never runs on both.</exception>
    Task MigrateAsync(DomainId id, string host, CancellationToken cancellationToken = default);

    /// <summary>Whether a domain is still here after a move that was begun, however that ended; a move under way is waited for, and
    /// the other host is asked where only that one can tell.</summary>
    /// <param name="id">The domain.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>Whether it runs or is paused here; else it has left, or has ended.</returns>
    /// <exception cref="HypervisorException">It cannot be known now: the domain stands still here.</exception>
    /// <exception cref="UnavailableException">The move under way does not end.</exception>
    Task<bool> IsHereAsync(DomainId id, CancellationToken cancellationToken = default);
}
