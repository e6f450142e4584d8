"""Static views of a source."""
