"""Where backups, bundles and evidence lie: a folder or an S3-compatible bucket, by one interface."""
