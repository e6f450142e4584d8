"""The whole story on a sample volume: every step does something real and proves it."""
