"""The page that shows the figures of the API."""
