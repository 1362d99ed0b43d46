"""The sections of a manual, a subject each. A section without content is left out."""
