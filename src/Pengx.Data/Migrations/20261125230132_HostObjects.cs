using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Pengx.Data.Migrations
{
    /// <inheritdoc />
    internal sealed partial class HostObjects : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_networks_pm",
                table: "networks");

            migrationBuilder.AddColumn<bool>(
                name: "managed",
                table: "networks",
                type: "INTEGER",
                nullable: false,
                defaultValue: false);

            migrationBuilder.AddColumn<int>(
                name: "mtu",
                table: "networks",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "vlan_device",
                table: "networks",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "vlan_id",
                table: "networks",
                type: "INTEGER",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "dns",
                columns: table => new
                {
                    id = table.Column<int>(type: "INTEGER", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    address1 = table.Column<string>(type: "TEXT", nullable: true),
                    address2 = table.Column<string>(type: "TEXT", nullable: true),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_dns", x => x.id);
                    table.ForeignKey(
                        name: "FK_dns_physical_machines_pm",
                        column: x => x.pm,
                        principalTable: "physical_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "sriov_cards",
                columns: table => new
                {
                    id = table.Column<int>(type: "INTEGER", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    physical_function = table.Column<string>(type: "TEXT", nullable: false),
                    virtual_functions = table.Column<string>(type: "TEXT", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_sriov_cards", x => x.id);
                    table.ForeignKey(
                        name: "FK_sriov_cards_physical_machines_pm",
                        column: x => x.pm,
                        principalTable: "physical_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "storage_layers",
                columns: table => new
                {
                    id = table.Column<int>(type: "INTEGER", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    category = table.Column<string>(type: "TEXT", nullable: false),
                    size = table.Column<long>(type: "INTEGER", nullable: false),
                    free = table.Column<long>(type: "INTEGER", nullable: false),
                    name = table.Column<string>(type: "TEXT", nullable: true),
                    uuid = table.Column<string>(type: "TEXT", nullable: true),
                    mount_point = table.Column<string>(type: "TEXT", nullable: true),
                    file_system = table.Column<string>(type: "TEXT", nullable: true),
                    mount_options = table.Column<string>(type: "TEXT", nullable: true),
                    target_port = table.Column<int>(type: "INTEGER", nullable: true),
                    target = table.Column<string>(type: "TEXT", nullable: true),
                    lun = table.Column<int>(type: "INTEGER", nullable: true),
                    chap_user = table.Column<string>(type: "TEXT", nullable: true),
                    logical_volume_count = table.Column<int>(type: "INTEGER", nullable: true),
                    volume_group_id = table.Column<string>(type: "TEXT", nullable: true),
                    device_id = table.Column<string>(type: "TEXT", nullable: true),
                    drbd_resource_name = table.Column<string>(type: "TEXT", nullable: true),
                    drbd_disk = table.Column<string>(type: "TEXT", nullable: true),
                    drbd_minor = table.Column<int>(type: "INTEGER", nullable: true),
                    drbd_port = table.Column<int>(type: "INTEGER", nullable: true),
                    target_ip = table.Column<string>(type: "TEXT", nullable: true),
                    physical_volume_ids = table.Column<string>(type: "TEXT", nullable: false),
                    drbd_peer_ips = table.Column<string>(type: "TEXT", nullable: false),
                    drbd_ip = table.Column<string>(type: "TEXT", nullable: true),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_storage_layers", x => x.id);
                    table.ForeignKey(
                        name: "FK_storage_layers_physical_machines_pm",
                        column: x => x.pm,
                        principalTable: "physical_machines",
                        principalColumn: "id");
                });

            migrationBuilder.CreateTable(
                name: "ocfs2_nodes",
                columns: table => new
                {
                    id = table.Column<int>(type: "INTEGER", nullable: false),
                    storage = table.Column<int>(type: "INTEGER", nullable: false),
                    pm = table.Column<Guid>(type: "TEXT", nullable: false),
                    peer_ip = table.Column<string>(type: "TEXT", nullable: false),
                    peer_name = table.Column<string>(type: "TEXT", nullable: false),
                    number = table.Column<int>(type: "INTEGER", nullable: false),
                    revision = table.Column<int>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_ocfs2_nodes", x => x.id);
                    table.ForeignKey(
                        name: "FK_ocfs2_nodes_storage_layers_storage",
                        column: x => x.storage,
                        principalTable: "storage_layers",
                        principalColumn: "id");
                });

            migrationBuilder.CreateIndex(
                name: "IX_networks_pm_name",
                table: "networks",
                columns: new[] { "pm", "name" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_dns_pm",
                table: "dns",
                column: "pm",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_ocfs2_nodes_storage_number",
                table: "ocfs2_nodes",
                columns: new[] { "storage", "number" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_sriov_cards_pm_physical_function",
                table: "sriov_cards",
                columns: new[] { "pm", "physical_function" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_storage_layers_pm_mount_point",
                table: "storage_layers",
                columns: new[] { "pm", "mount_point" },
                unique: true,
                filter: "mount_point IS NOT NULL");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "dns");

            migrationBuilder.DropTable(
                name: "ocfs2_nodes");

            migrationBuilder.DropTable(
                name: "sriov_cards");

            migrationBuilder.DropTable(
                name: "storage_layers");

            migrationBuilder.DropIndex(
                name: "IX_networks_pm_name",
                table: "networks");

            migrationBuilder.DropColumn(
                name: "managed",
                table: "networks");

            migrationBuilder.DropColumn(
                name: "mtu",
                table: "networks");

            migrationBuilder.DropColumn(
                name: "vlan_device",
                table: "networks");

            migrationBuilder.DropColumn(
                name: "vlan_id",
                table: "networks");

            migrationBuilder.CreateIndex(
                name: "IX_networks_pm",
                table: "networks",
                column: "pm");
        }
    }
}
