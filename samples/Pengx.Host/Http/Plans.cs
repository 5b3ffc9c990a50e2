using Pengx.Client;

namespace Pengx.Host;

/// <summary>Plans as answers: what would be done, without any of it done.</summary>
internal static class Plans
{
    /// <summary>Whether a request asks for the plan only: <c>?plan=true</c>.</summary>
    public static bool Asked(HttpContext http)
    {
        var text = http.Request.Query["plan"].ToString();
        return text.ToUpperInvariant() switch
        {
            "" or "FALSE" or "0" or "NO" => false,
            "TRUE" or "1" or "YES" => true,
            _ => throw new InvalidFieldException("plan", text, "use true or false."),
        };
    }

    public static Task WriteAsync(HttpContext http, StoragePlan plan) => http.WriteXmlAsync(PengxShapes.Plan, new PlanResource
    {
        Title = plan.Title,
        Risk = WireNames.Of(plan.Risk),
        Warnings = plan.Warnings,
        Steps =
        [
            .. plan.Steps.Select(step => new PlanStepResource
            {
                Description = step.Description,
                Risk = WireNames.Of(step.Risk),
                Before = [.. step.Before.Select(condition => condition.Text)],
                Run = step.Action.ToString()!,
                After = step.After.Text,
                Undo = step.Undo?.Action.ToString(),
            }),
        ],
    });
}
