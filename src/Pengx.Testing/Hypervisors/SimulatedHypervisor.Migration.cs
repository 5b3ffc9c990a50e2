namespace Pengx.Testing;

// Moves of running guests between simulated hosts.
public sealed partial class SimulatedHypervisor : ILiveMigration
{
    async Task ILiveMigration.CheckMigrationAsync(DomainId id, string host, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.CheckMigration, id, cancellationToken);
        PeerOf(host);
        Host.Locked(() => Host.Alive(id));
    }

    async Task ILiveMigration.MigrateAsync(DomainId id, string host, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.Migrate, id, cancellationToken);
        var peer = PeerOf(host);
        var running = Host.Leave(id);
        peer.Arrive(id, running);
    }

    async Task<bool> ILiveMigration.IsHereAsync(DomainId id, CancellationToken cancellationToken)
    {
        await EnterAsync(SimulatedVerb.IsHere, id, cancellationToken);
        return Host.WithRunning(id, _ => true, false);
    }

    private SimulatedHost PeerOf(string host) => Host.Peers.TryGetValue(host, out var peer)
        ? peer
        : throw new InvalidFieldException("host", host, "no such host is known here");
}
