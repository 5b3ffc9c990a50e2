namespace Pengx.Data;

internal sealed class TemplateRepository(SqliteDatabase database, PendingChanges changes) : ITemplateRepository
{
    public Task<Template?> FindAsync(TemplateId id, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Templates.Where(row => row.Id == id.Value), row => row.ToModel(), cancellationToken);

    public IAsyncEnumerable<Template> ListAsync(CancellationToken cancellationToken = default) =>
        database.StreamAsync(context => context.Templates.OrderBy(row => row.CreatedAt).ThenBy(row => row.Id), row => row.ToModel(), cancellationToken);

    public Task<Template?> FindByNameAsync(PmId pm, string name, CancellationToken cancellationToken = default) =>
        database.FindAsync(context => context.Templates.Where(row => row.Pm == pm.Value && row.Name == name), row => row.ToModel(), cancellationToken);

    public void Add(Template row) => changes.Add(TemplateRow.From(row));

    public void Update(Template row) => changes.Update(TemplateRow.From(row));

    public void Delete(Template row) => changes.Delete(TemplateRow.From(row));
}
