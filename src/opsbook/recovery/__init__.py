"""Recovery: what is backed up, kept, restored and proven. The pure choices; mechanisms are operations."""
