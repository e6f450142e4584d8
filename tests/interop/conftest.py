"""What tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.network import Network


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Hosts of their own, gone at the end."""
    made = Network()
    try:
        made.up()
        yield made
    finally:
        made.down()
