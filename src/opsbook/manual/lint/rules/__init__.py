"""The rules, by subject. A module registers its rules when it is imported; a new one needs nothing else."""
