using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Pengx.Data.Migrations
{
    /// <inheritdoc />
    internal sealed partial class Operations : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "operations",
                columns: table => new
                {
                    sequence = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    kind = table.Column<string>(type: "TEXT", nullable: false),
                    target = table.Column<string>(type: "TEXT", nullable: false),
                    description = table.Column<string>(type: "TEXT", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    runs_anywhere = table.Column<bool>(type: "INTEGER", nullable: false),
                    preemptible = table.Column<bool>(type: "INTEGER", nullable: false),
                    idempotency_key = table.Column<string>(type: "TEXT", nullable: true),
                    fingerprint = table.Column<string>(type: "TEXT", nullable: true),
                    key_expires_at = table.Column<long>(type: "INTEGER", nullable: true),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    cancel_requested = table.Column<bool>(type: "INTEGER", nullable: false),
                    lease_owner = table.Column<Guid>(type: "TEXT", nullable: true),
                    lease_token = table.Column<long>(type: "INTEGER", nullable: false),
                    lease_expires_at = table.Column<long>(type: "INTEGER", nullable: true),
                    state = table.Column<int>(type: "INTEGER", nullable: false),
                    state_json = table.Column<string>(type: "TEXT", nullable: false),
                    needs_attention = table.Column<bool>(type: "INTEGER", nullable: false),
                    attention_message = table.Column<string>(type: "TEXT", nullable: true),
                    direction = table.Column<int>(type: "INTEGER", nullable: false),
                    position = table.Column<int>(type: "INTEGER", nullable: false),
                    step_started = table.Column<bool>(type: "INTEGER", nullable: false),
                    step = table.Column<string>(type: "TEXT", nullable: true),
                    progress = table.Column<int>(type: "INTEGER", nullable: false),
                    bytes_done = table.Column<long>(type: "INTEGER", nullable: false),
                    bytes_total = table.Column<long>(type: "INTEGER", nullable: false),
                    message = table.Column<string>(type: "TEXT", nullable: true),
                    error = table.Column<int>(type: "INTEGER", nullable: true),
                    created = table.Column<string>(type: "TEXT", nullable: true),
                    finished_at = table.Column<long>(type: "INTEGER", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_operations", x => x.sequence);
                    table.UniqueConstraint("AK_operations_id", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "operation_locks",
                columns: table => new
                {
                    resource = table.Column<string>(type: "TEXT", nullable: false),
                    operation = table.Column<Guid>(type: "TEXT", nullable: false),
                    shared = table.Column<bool>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_operation_locks", x => new { x.resource, x.operation });
                    table.ForeignKey(
                        name: "FK_operation_locks_operations_operation",
                        column: x => x.operation,
                        principalTable: "operations",
                        principalColumn: "id");
                });

            migrationBuilder.CreateIndex(
                name: "IX_operation_locks_operation",
                table: "operation_locks",
                column: "operation");

            migrationBuilder.CreateIndex(
                name: "IX_operation_locks_resource",
                table: "operation_locks",
                column: "resource",
                unique: true,
                filter: "shared = 0");

            migrationBuilder.CreateIndex(
                name: "IX_operations_created_at_sequence",
                table: "operations",
                columns: new[] { "created_at", "sequence" });

            migrationBuilder.CreateIndex(
                name: "IX_operations_finished_at",
                table: "operations",
                column: "finished_at");

            migrationBuilder.CreateIndex(
                name: "IX_operations_idempotency_key",
                table: "operations",
                column: "idempotency_key",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_operations_state",
                table: "operations",
                column: "state",
                filter: "state < 2");

            migrationBuilder.CreateIndex(
                name: "IX_operations_target_created_at",
                table: "operations",
                columns: new[] { "target", "created_at" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "operation_locks");

            migrationBuilder.DropTable(
                name: "operations");
        }
    }
}
