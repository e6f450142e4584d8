"""Every test has a state folder of its own, which kernels inherit."""

from tests.state import state_dir  # noqa: F401
