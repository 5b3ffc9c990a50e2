using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Pengx.Data.Migrations
{
    /// <inheritdoc />
    internal sealed partial class Objects : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "numbers",
                columns: table => new
                {
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    last = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_numbers", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "physical_machines",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    cpus = table.Column<int>(type: "INTEGER", nullable: false),
                    memory = table.Column<long>(type: "INTEGER", nullable: false),
                    ssh_public_key = table.Column<string>(type: "TEXT", nullable: true),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    updated_at = table.Column<long>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_physical_machines", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "networks",
                columns: table => new
                {
                    id = table.Column<int>(type: "INTEGER", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    category = table.Column<string>(type: "TEXT", nullable: false),
                    method = table.Column<string>(type: "TEXT", nullable: false),
                    mac = table.Column<string>(type: "TEXT", nullable: true),
                    ip_address = table.Column<string>(type: "TEXT", nullable: true),
                    prefix_length = table.Column<int>(type: "INTEGER", nullable: true),
                    gateway = table.Column<string>(type: "TEXT", nullable: true),
                    bridge_type = table.Column<string>(type: "TEXT", nullable: true),
                    bridge_ports = table.Column<string>(type: "TEXT", nullable: false),
                    bond_slaves = table.Column<string>(type: "TEXT", nullable: false),
                    bond_mode = table.Column<string>(type: "TEXT", nullable: true),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_networks", x => x.id);
                    table.ForeignKey(
                        name: "FK_networks_physical_machines_pm",
                        column: x => x.pm,
                        principalTable: "physical_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "storlinks",
                columns: table => new
                {
                    id = table.Column<int>(type: "INTEGER", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    link = table.Column<string>(type: "TEXT", nullable: false),
                    type = table.Column<string>(type: "TEXT", nullable: false),
                    level = table.Column<string>(type: "TEXT", nullable: false),
                    shared = table.Column<bool>(type: "INTEGER", nullable: false),
                    description = table.Column<string>(type: "TEXT", nullable: true),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_storlinks", x => x.id);
                    table.ForeignKey(
                        name: "FK_storlinks_physical_machines_pm",
                        column: x => x.pm,
                        principalTable: "physical_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "templates",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    description = table.Column<string>(type: "TEXT", nullable: true),
                    os = table.Column<string>(type: "TEXT", nullable: false),
                    architecture = table.Column<string>(type: "TEXT", nullable: false),
                    vnc_port = table.Column<int>(type: "INTEGER", nullable: true),
                    vnc_password = table.Column<string>(type: "TEXT", nullable: true),
                    state = table.Column<string>(type: "TEXT", nullable: false),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    recent_booted_at = table.Column<long>(type: "INTEGER", nullable: true),
                    updated_at = table.Column<long>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_templates", x => x.id);
                    table.ForeignKey(
                        name: "FK_templates_physical_machines_pm",
                        column: x => x.pm,
                        principalTable: "physical_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "disks",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    owner_kind = table.Column<string>(type: "TEXT", nullable: false),
                    owner_id = table.Column<Guid>(type: "TEXT", nullable: false),
                    position = table.Column<int>(type: "INTEGER", nullable: false),
                    size = table.Column<long>(type: "INTEGER", nullable: false),
                    format = table.Column<string>(type: "TEXT", nullable: false),
                    storlink = table.Column<int>(type: "INTEGER", nullable: false),
                    backing = table.Column<Guid>(type: "TEXT", nullable: true),
                    type = table.Column<string>(type: "TEXT", nullable: true),
                    description = table.Column<string>(type: "TEXT", nullable: true),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_disks", x => x.id);
                    table.ForeignKey(
                        name: "FK_disks_disks_backing",
                        column: x => x.backing,
                        principalTable: "disks",
                        principalColumn: "id");
                    table.ForeignKey(
                        name: "FK_disks_storlinks_storlink",
                        column: x => x.storlink,
                        principalTable: "storlinks",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "virtual_machines",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    template = table.Column<Guid>(type: "TEXT", nullable: true),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    description = table.Column<string>(type: "TEXT", nullable: true),
                    os = table.Column<string>(type: "TEXT", nullable: false),
                    architecture = table.Column<string>(type: "TEXT", nullable: false),
                    cpus = table.Column<int>(type: "INTEGER", nullable: false),
                    memory = table.Column<long>(type: "INTEGER", nullable: false),
                    max_memory = table.Column<long>(type: "INTEGER", nullable: false),
                    virtual_functions = table.Column<string>(type: "TEXT", nullable: false),
                    vnc_port = table.Column<int>(type: "INTEGER", nullable: true),
                    vnc_password = table.Column<string>(type: "TEXT", nullable: true),
                    state = table.Column<string>(type: "TEXT", nullable: false),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    recent_booted_at = table.Column<long>(type: "INTEGER", nullable: true),
                    updated_at = table.Column<long>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_virtual_machines", x => x.id);
                    table.ForeignKey(
                        name: "FK_virtual_machines_physical_machines_pm",
                        column: x => x.pm,
                        principalTable: "physical_machines",
                        principalColumn: "id");
                    table.ForeignKey(
                        name: "FK_virtual_machines_templates_template",
                        column: x => x.template,
                        principalTable: "templates",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "backups",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    vm = table.Column<Guid>(type: "TEXT", nullable: false),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    description = table.Column<string>(type: "TEXT", nullable: true),
                    storlink = table.Column<int>(type: "INTEGER", nullable: false),
                    size = table.Column<long>(type: "INTEGER", nullable: false),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_backups", x => x.id);
                    table.ForeignKey(
                        name: "FK_backups_storlinks_storlink",
                        column: x => x.storlink,
                        principalTable: "storlinks",
                        principalColumn: "id");
                    table.ForeignKey(
                        name: "FK_backups_virtual_machines_vm",
                        column: x => x.vm,
                        principalTable: "virtual_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "snapshots",
                columns: table => new
                {
                    id = table.Column<Guid>(type: "TEXT", nullable: false),
                    vm = table.Column<Guid>(type: "TEXT", nullable: false),
                    kind = table.Column<string>(type: "TEXT", nullable: false),
                    parent = table.Column<Guid>(type: "TEXT", nullable: true),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    description = table.Column<string>(type: "TEXT", nullable: true),
                    created_at = table.Column<long>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_snapshots", x => x.id);
                    table.ForeignKey(
                        name: "FK_snapshots_snapshots_parent",
                        column: x => x.parent,
                        principalTable: "snapshots",
                        principalColumn: "id");
                    table.ForeignKey(
                        name: "FK_snapshots_virtual_machines_vm",
                        column: x => x.vm,
                        principalTable: "virtual_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "vm_interfaces",
                columns: table => new
                {
                    id = table.Column<int>(type: "INTEGER", nullable: false),
                    vm = table.Column<Guid>(type: "TEXT", nullable: false),
                    name = table.Column<string>(type: "TEXT", nullable: false),
                    @switch = table.Column<string>(name: "switch", type: "TEXT", nullable: false),
                    mac = table.Column<string>(type: "TEXT", nullable: false),
                    ip_address = table.Column<string>(type: "TEXT", nullable: true),
                    method = table.Column<string>(type: "TEXT", nullable: false),
                    retired = table.Column<bool>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_vm_interfaces", x => x.id);
                    table.ForeignKey(
                        name: "FK_vm_interfaces_virtual_machines_vm",
                        column: x => x.vm,
                        principalTable: "virtual_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateIndex(
                name: "IX_backups_storlink",
                table: "backups",
                column: "storlink");

            migrationBuilder.CreateIndex(
                name: "IX_backups_vm",
                table: "backups",
                column: "vm");

            migrationBuilder.CreateIndex(
                name: "IX_disks_backing",
                table: "disks",
                column: "backing");

            migrationBuilder.CreateIndex(
                name: "IX_disks_owner_kind_owner_id_position",
                table: "disks",
                columns: new[] { "owner_kind", "owner_id", "position" });

            migrationBuilder.CreateIndex(
                name: "IX_disks_storlink",
                table: "disks",
                column: "storlink");

            migrationBuilder.CreateIndex(
                name: "IX_networks_pm",
                table: "networks",
                column: "pm");

            migrationBuilder.CreateIndex(
                name: "IX_snapshots_parent",
                table: "snapshots",
                column: "parent");

            migrationBuilder.CreateIndex(
                name: "IX_snapshots_vm",
                table: "snapshots",
                column: "vm");

            migrationBuilder.CreateIndex(
                name: "IX_snapshots_vm_name",
                table: "snapshots",
                columns: new[] { "vm", "name" },
                unique: true,
                filter: "kind = 'S'");

            migrationBuilder.CreateIndex(
                name: "IX_storlinks_pm_name",
                table: "storlinks",
                columns: new[] { "pm", "name" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_templates_pm_name",
                table: "templates",
                columns: new[] { "pm", "name" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_virtual_machines_created_at_id",
                table: "virtual_machines",
                columns: new[] { "created_at", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_virtual_machines_pm_name",
                table: "virtual_machines",
                columns: new[] { "pm", "name" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_virtual_machines_template",
                table: "virtual_machines",
                column: "template");

            migrationBuilder.CreateIndex(
                name: "IX_vm_interfaces_mac",
                table: "vm_interfaces",
                column: "mac",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_vm_interfaces_vm",
                table: "vm_interfaces",
                column: "vm");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "backups");

            migrationBuilder.DropTable(
                name: "disks");

            migrationBuilder.DropTable(
                name: "networks");

            migrationBuilder.DropTable(
                name: "numbers");

            migrationBuilder.DropTable(
                name: "snapshots");

            migrationBuilder.DropTable(
                name: "vm_interfaces");

            migrationBuilder.DropTable(
                name: "storlinks");

            migrationBuilder.DropTable(
                name: "virtual_machines");

            migrationBuilder.DropTable(
                name: "templates");

            migrationBuilder.DropTable(
                name: "physical_machines");
        }
    }
}
