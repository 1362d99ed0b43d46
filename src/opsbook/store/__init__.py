"""What opsbook remembers: tables, migrations, the audit chain."""
