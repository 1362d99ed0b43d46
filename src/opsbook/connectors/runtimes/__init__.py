"""What holds the workloads, behind one interface."""
