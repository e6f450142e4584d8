"""Jobs keep their journals and the catalog in a state folder of each test."""

from tests.state import state_dir

__all__ = ["state_dir"]
