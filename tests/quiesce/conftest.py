"""Snapshots of these tests are on record in a folder of their own."""

from tests.state import state_dir

__all__ = ["state_dir"]
