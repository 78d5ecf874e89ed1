"""The loop that remembers."""
