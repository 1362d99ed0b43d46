"""The routes, a module per subject. Each defines `router`, made by `doors.subject`."""
