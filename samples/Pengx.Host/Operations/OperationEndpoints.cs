using Pengx.Client;
using Pengx.Orchestration;

namespace Pengx.Host;

/// <summary><c>/operations/</c>: what is being done, and what was.</summary>
internal static class OperationEndpoints
{
    public static void MapOperations(this IEndpointRouteBuilder routes)
    {
        routes.Read("/operations/", "operations", "List operations", (HttpContext http, IOperations operations) =>
            http.WriteXmlListAsync(PengxShapes.Operation, operations.ListAsync(cancellationToken: http.RequestAborted).Select(ToResource)));

        routes.Read("/operations/{id}/", "operation", "Show an operation", async (HttpContext http, string id, IOperations operations) =>
            await http.WriteXmlAsync(PengxShapes.Operation, ToResource(await FindAsync(http, id, operations))));

        routes.Change("/operations/{id}/", [HttpMethods.Delete], StatusCodes.Status202Accepted, "Cancel an operation and undo what it did", async (HttpContext http, string id, IOperations operations) =>
        {
            var operation = await FindAsync(http, id, operations);
            operation = await operations.CancelAsync(operation.Id, http.RequestAborted);
            http.Response.Headers.Location = $"/operations/{operation.Id}/";
            await http.WriteXmlAsync(PengxShapes.Operation, ToResource(operation), StatusCodes.Status202Accepted);
        }, answer: "operation");
    }

    public static OperationResource ToResource(Operation operation) => new()
    {
        Id = operation.Id.Value,
        Kind = operation.Kind,
        Target = operation.Target,
        State = operation.State switch
        {
            // It goes no further without a person: a client that waits must not wait for ever.
            _ when operation.NeedsAttention => OperationStates.Failed,
            OperationState.Pending => OperationStates.Pending,
            OperationState.Running => OperationStates.Running,
            OperationState.Succeeded => OperationStates.Succeeded,
            OperationState.Failed => OperationStates.Failed,
            _ => OperationStates.Cancelled,
        },
        Progress = operation.Progress,
        Step = operation.Step,
        BytesDone = operation.BytesDone,
        BytesTotal = operation.BytesTotal,
        Message = operation.NeedsAttention ? $"Needs attention: {operation.Message}" : operation.Message,
        Created = operation.CreatedAt,
        Finished = operation.FinishedAt,
    };

    private static async Task<Operation> FindAsync(HttpContext http, string id, IOperations operations) =>
        (OperationId.TryParse(id, out var operationId) ? await operations.FindAsync(operationId, http.RequestAborted) : null)
        ?? throw new NotFoundException("operation", ErrorResponse.Shown(id));
}
