"""One TCP connection that carries iSCSI PDUs, for either role (RFC 7143 clause 11.1)."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from fcntl import ioctl
from termios import TIOCOUTQ

import crc32c

from sbtk.errors import DigestError, RemoteScsiError, TransportError
from sbtk.scsi.iscsi import BHS_BYTES, Pdu, decode
from sbtk.scsi.iscsi_text import Parameters
from sbtk.settings import settings
from sbtk.transport.base import ByteView
from sbtk.transport.lent import lend

_DIGEST_BYTES = 4
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_LITTLE_BYTES = 32 << 10  # fits into what any system's socket takes at once
_AHEAD_BYTES = 4096  # what is received at once while a header is awaited
_MOST_QUEUED = 256  # parts, of which a PDU has up to five: the system takes 1024 (IOV_MAX)


class Connection:
    """PDUs over a socket. Any thread may send; one thread receives.

    Attributes:
        parameters: what was negotiated; digests and limits follow it from the moment it is set.
        sent_bytes: bytes sent, headers and digests counted.
        received_bytes: bytes received likewise.
    """

    def __init__(self, sock: socket.socket, parameters: Parameters) -> None:
        """Take over a connected socket."""
        with contextlib.suppress(OSError):  # a socket pair has none of these
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _give_up_after(sock, settings().iscsi_silence_s)
        self._socket = sock
        self._send_lock = threading.Lock()
        self._header = bytearray(BHS_BYTES)
        self._header_view = memoryview(self._header)
        self._ahead = memoryview(bytearray(_AHEAD_BYTES))
        self._ahead_from = self._ahead_to = 0  # what of it has been received and not used
        self._queued: list[ByteView] = []
        self._queued_bytes = 0
        self.parameters = parameters
        self.sent_bytes = 0
        self.received_bytes = 0

    @property
    def send_lock(self) -> threading.Lock:
        """Held while sequence numbers are taken and their PDU is sent, so that both keep order."""
        return self._send_lock

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of this end."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def send(self, pdu: Pdu, data: ByteView = b"") -> None:
        """Send one PDU with its data segment.

        Raises:
            TransportError: the connection is gone.
        """
        with self._send_lock:
            self.send_locked(pdu, data)

    def send_locked(self, pdu: Pdu, data: ByteView = b"") -> None:
        """As ``send``, by a caller that holds ``send_lock``; what was queued goes before it."""
        self.queue_locked(pdu, data)
        self.flush_locked()

    def queue_locked(self, pdu: Pdu, data: ByteView = b"") -> None:
        """Send a PDU with those that follow it, at the latest before this end waits for more.

        For a caller that holds ``send_lock``; ``data`` must stay as it is.
        """
        header = pdu if pdu.data_bytes == len(data) else pdu.with_data(len(data))
        self.queue_header_locked(header.encode(), data)

    def queue_header_locked(self, header: bytes, data: ByteView) -> None:
        """As ``queue_locked``, with the bytes of the header, which tell the length of ``data``."""
        parts = self._queued
        self._queued_bytes += len(data)
        parts.append(header)
        if self.parameters.header_digest:
            parts.append(_digest(header))
        if data:
            parts.append(data)
            padding = _PADDING[len(data) % 4]
            if padding:
                parts.append(padding)
            if self.parameters.data_digest:
                parts.append(_digest(data, padding))
        if len(parts) >= _MOST_QUEUED:
            self.flush_locked()

    def flush(self) -> None:
        """Send what is queued."""
        if self._queued:
            with self._send_lock:
                self.flush_locked()

    def flush_locked(self) -> None:
        """As ``flush``, by a caller that holds ``send_lock``."""
        parts, self._queued, self._queued_bytes = self._queued, [], 0
        if parts:
            self._send_all(parts)

    def takes_now(self, length_bytes: int) -> bool:
        """Whether so many bytes can be sent by a thread that must not wait for the other side.

        The one that receives: a side that sends a lot, and receives nothing before it is through,
        would wait for us as we wait for it. Little is taken for granted.
        """
        if self._send_lock.locked():
            return False  # another thread sends, for as long as the other side likes
        length_bytes += self._queued_bytes
        if length_bytes < _LITTLE_BYTES:
            return True
        try:
            unsent = int.from_bytes(ioctl(self._socket, TIOCOUTQ, bytes(4)), sys.byteorder)
            room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        except (OSError, ValueError):
            return False  # closed: who sends next is told
        return unsent + length_bytes <= room * 3 // 4  # the system counts more than the bytes

    def _send_all(self, parts: list[ByteView]) -> None:
        left = sum(map(len, parts))
        try:
            while True:
                sent = self._socket.sendmsg(parts)
                self.sent_bytes += sent
                left -= sent
                if not left:  # nearly always: the socket blocks until all of it is taken
                    return
                parts = _behind(parts, sent)
        except OSError as error:
            raise TransportError(
                f"the connection broke while sending: {error.strerror or error}"
            ) from error

    def receive_header(self) -> Pdu | None:
        """The next header, its digest checked; None when the other side has closed between PDUs.

        Raises:
            TransportError: the connection broke in the middle of a PDU.
            RemoteScsiError: no PDU of ours, or a data segment longer than was agreed.
        """
        header = self.receive_header_bytes()
        return None if header is None else decode(header)

    def receive_header_bytes(self) -> bytearray | None:
        """As ``receive_header``, undecoded; the next call puts its 48 bytes into the same place."""
        header = self._header
        if not self._fill(self._header_view, may_end=True):
            return None
        extra = bytearray(4 * header[4])
        if extra:
            self._fill(memoryview(extra))
        if self.parameters.header_digest:
            self._check(_digest(header, extra))
        data_bytes = header[5] << 16 | header[6] << 8 | header[7]
        if data_bytes > self.parameters.max_receive_bytes:
            raise RemoteScsiError(
                f"a data segment of {data_bytes} bytes, "
                f"{self.parameters.max_receive_bytes} were agreed"
            )
        return header

    def receive_data(self, pdu: Pdu, into: memoryview | None = None) -> memoryview:
        """The data segment that belongs to the header just received, its digest checked.

        Args:
            pdu: that header.
            into: where to put it, at least as long; a new buffer if None.

        Raises:
            TransportError: the connection broke.
            DigestError: the data were changed on the way.
        """
        if pdu.data_bytes == 0:
            return memoryview(b"")
        data = lend(pdu.data_bytes) if into is None else into[: pdu.data_bytes]
        self._fill(data)
        padding = bytearray(pdu.padded_data_bytes - pdu.data_bytes)
        if padding:
            self._fill(memoryview(padding))
        if self.parameters.data_digest:
            self._check(_digest(data, padding))
        return data

    def close(self) -> None:
        """Close the socket; a thread that is receiving from it returns. Safe to call twice."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _check(self, computed: bytes) -> None:
        received = bytearray(_DIGEST_BYTES)
        self._fill(memoryview(received))
        if received != computed:
            raise DigestError("a digest of an iSCSI PDU does not match", hint="Check the network")

    def _fill(self, view: memoryview, *, may_end: bool = False) -> bool:
        total = len(view)
        done = self._take_ahead(view)
        while done < total:
            short = total - done < _AHEAD_BYTES  # more than is asked for saves the next call
            try:
                count = self._receive(self._ahead if short else view[done:], wait=not short)
            except OSError as error:
                raise TransportError(
                    f"the connection broke while receiving: {error.strerror or error}"
                ) from error
            if count == 0:
                if may_end and done == 0:
                    return False
                raise TransportError("the other side closed the connection in mid-PDU")
            if short:
                self._ahead_from, self._ahead_to = 0, count
                count = self._take_ahead(view[done:])
            done += count
        self.received_bytes += total
        return True

    def _receive(self, view: memoryview, *, wait: bool) -> int:
        self.flush()
        return self._socket.recv_into(view, len(view), socket.MSG_WAITALL if wait else 0)

    def _take_ahead(self, view: memoryview) -> int:
        """Move what has been received already into ``view``; how many bytes."""
        start = self._ahead_from
        count = min(len(view), self._ahead_to - start)
        if count:
            view[:count] = self._ahead[start : start + count]
            self._ahead_from = start + count
        return count


def _behind(parts: list[ByteView], sent_bytes: int) -> list[ByteView]:
    """What is left of some parts when so many bytes of them have been sent."""
    for number, part in enumerate(parts):
        if sent_bytes < len(part):
            return [memoryview(part)[sent_bytes:], *parts[number + 1 :]]
        sent_bytes -= len(part)
    return []


def _give_up_after(sock: socket.socket, silence_s: float) -> None:
    """End a connection whose other side has not answered, or taken no data, for so long.

    A link that was cut tells nobody: a side that only waits would wait for ever, and the other's
    session stay open. A target that is at work is no silence: its system answers for it.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(silence_s / 2)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(silence_s / 6)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence_s * 1000))


def _digest(first: ByteView, second: ByteView = b"") -> bytes:
    """CRC32C of two stretches, least significant byte first (RFC 7143 11.2.3, 13.1)."""
    value = crc32c.crc32c(first)
    if len(second):
        value = crc32c.crc32c(second, value)
    return int(value).to_bytes(_DIGEST_BYTES, "little")
