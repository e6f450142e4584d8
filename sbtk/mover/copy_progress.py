"""How far a copy has come, for whoever asks while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class CopyProgress:
    """Kept up to date by the copy; read by status queries.

    Attributes:
        segments_processed: the one in work included.
        transferred_bytes: written, in order.
        residual_bytes: left in the queues when the last segment had ended.
    """

    segments_processed: int = 0
    transferred_bytes: int = 0
    residual_bytes: int = 0
