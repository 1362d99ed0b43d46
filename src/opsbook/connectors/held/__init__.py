"""What holds a secret that workloads read: a file, or a key of a Kubernetes Secret."""
