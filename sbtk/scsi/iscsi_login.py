"""The login phase of iSCSI as state machines for both roles (RFC 7143 clauses 6.3 and 12). No I/O.

Each side is fed what came in and says what goes out; the sockets are elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from sbtk.errors import RemoteScsiError, TransportError
from sbtk.scsi import iscsi_text as text
from sbtk.scsi.iscsi import (
    FULL_FEATURE_STAGE,
    OPERATIONAL_STAGE,
    SECURITY_STAGE,
    LoginRequest,
    LoginResponse,
)

# CHAP_A -> hash (12.1.3 and its registry); the strongest that both have is used.
_HASHES: dict[str, str] = {"8": "sha3_256", "7": "sha256", "5": "md5"}
CHALLENGE_BYTES = 32
MAX_EXCHANGES = 32  # a login that takes more than this goes round in circles

# (status class, status detail) of a login response, 11.13.5
SUCCESS = (0, 0)
INITIATOR_ERROR = (2, 0)
AUTHENTICATION_FAILED = (2, 1)
TARGET_NOT_FOUND = (2, 3)
UNSUPPORTED_VERSION = (2, 5)
MISSING_PARAMETER = (2, 7)
NO_SUCH_SESSION = (2, 10)
STATUS_TEXT = {
    INITIATOR_ERROR: "the target refused our login request",
    AUTHENTICATION_FAILED: "authentication failed",
    (2, 2): "this initiator is not allowed",
    TARGET_NOT_FOUND: "no target of this name",
    (2, 4): "the target has been removed",
    UNSUPPORTED_VERSION: "no protocol version in common",
    (2, 6): "too many connections",
    MISSING_PARAMETER: "a parameter is missing",
    NO_SUCH_SESSION: "no such session",
    (3, 0): "the target failed",
    (3, 1): "the service is not available",
    (3, 2): "the target is out of resources",
}


@dataclass(frozen=True)
class Chap:
    """A user and a secret for CHAP (12.1.3)."""

    user: str
    secret: str = field(repr=False)

    def response(self, algorithm: str, identifier: int, challenge: bytes) -> bytes:
        """Hash of identifier, secret and challenge (RFC 1994 4.1).

        Raises:
            RemoteScsiError: an algorithm that neither side may choose.
        """
        if algorithm not in _HASHES:
            raise RemoteScsiError(f"CHAP algorithm {algorithm[:8]!r} is not supported")
        digest = hashlib.new(_HASHES[algorithm], usedforsecurity=False)
        digest.update(bytes([identifier]) + self.secret.encode() + challenge)
        return digest.digest()


@dataclass(frozen=True)
class Access:
    """What a target knows of one initiator that wants in.

    Attributes:
        incoming: whom the initiator must prove to be; None lets it in without proof.
        outgoing: who the target proves to be when it is asked; None refuses to.
    """

    incoming: Chap | None = None
    outgoing: Chap | None = None


class LoginFailure(Exception):  # noqa: N818 - becomes a login response, not an error of ours
    """The login ends with this status class and detail."""

    def __init__(self, status: tuple[int, int], reason: str) -> None:
        super().__init__(reason)
        self.status = status


class TargetLogin:
    """The target's side of one connection's login.

    Attributes:
        complete: the full feature phase has begun.
        initiator: name of the initiator, once told.
        target: name of the target asked for; empty in a discovery session.
        discovery: a discovery session.
        isid: the initiator's session identifier.
        parameters: what holds for the connection.
    """

    def __init__(
        self,
        access: Callable[[str, str], Access | None],
        own: text.Parameters,
        random_bytes: Callable[[int], bytes],
        *,
        portal_group_tag: int = 1,
    ) -> None:
        """Set up.

        Args:
            access: (initiator, target) -> what is known of it, None where there is no such target
                for it; the target is empty for discovery.
            own: what this side would like.
            random_bytes: source of challenges.
            portal_group_tag: told in the first response.
        """
        self._access = access
        self._random_bytes = random_bytes
        self._tag = portal_group_tag
        self._seen: set[str] = set()
        self._text = b""
        self._stage = -1
        self._exchanges = 0
        self._known: Access | None = None
        self._proven = False
        self._algorithm = ""
        self._challenge = b""
        self._identifier = 0
        self.complete = False
        self.initiator = ""
        self.target = ""
        self.discovery = False
        self.isid = 0
        self.parameters = own

    def receive(self, request: LoginRequest, data: bytes) -> tuple[LoginResponse, bytes]:
        """One login request in, one login response and its text out.

        A refusal is a response with a status class other than 0; the connection is closed then.
        """
        try:
            pairs = self._exchange(request, data)
        except LoginFailure as failure:
            return self._response(request, failure.status, transit=False), b""
        except RemoteScsiError:
            return self._response(request, INITIATOR_ERROR, transit=False), b""
        if pairs is None:  # more text is to come
            return self._response(request, SUCCESS, transit=False), b""
        transit = request.transit and self._may_leave(request)
        if transit:
            self._stage = request.next_stage
            self.complete = request.next_stage == FULL_FEATURE_STAGE
        return self._response(request, SUCCESS, transit=transit), text.encode_pairs(pairs)

    def _response(
        self, request: LoginRequest, status: tuple[int, int], *, transit: bool
    ) -> LoginResponse:
        return LoginResponse(
            initiator_task_tag=request.initiator_task_tag,
            transit=transit,
            current_stage=request.current_stage,
            next_stage=request.next_stage if transit else 0,
            isid=request.isid,
            tsih=request.tsih,
            status_class=status[0],
            status_detail=status[1],
        )

    def _exchange(self, request: LoginRequest, data: bytes) -> list[tuple[str, str]] | None:
        self._exchanges += 1
        if self._exchanges > MAX_EXCHANGES or len(self._text) + len(data) > text.MAX_TEXT_BYTES:
            raise LoginFailure(INITIATOR_ERROR, "the login does not end")
        if request.version_min > 0:
            raise LoginFailure(UNSUPPORTED_VERSION, "version 0 is the only one")
        if self._stage < 0:
            self.isid, self._stage = request.isid, request.current_stage
        if request.current_stage != self._stage or (request.more and request.transit):
            raise LoginFailure(INITIATOR_ERROR, "the stage does not follow")
        if self._stage not in (SECURITY_STAGE, OPERATIONAL_STAGE):
            raise LoginFailure(INITIATOR_ERROR, "no such stage")
        if request.transit and request.next_stage not in (OPERATIONAL_STAGE, FULL_FEATURE_STAGE):
            raise LoginFailure(INITIATOR_ERROR, "no such next stage")
        if request.transit and request.next_stage <= self._stage:
            raise LoginFailure(INITIATOR_ERROR, "a stage is never gone back to")
        self._text += data
        if request.more:
            return None
        pairs, self._text = text.decode_pairs(self._text), b""
        answers = self._identify(dict(pairs)) if self._known is None else []
        answers += self._security(dict(pairs))
        answers += self._operational(pairs)
        if self._stage == OPERATIONAL_STAGE and not self._proven:
            raise LoginFailure(AUTHENTICATION_FAILED, "security was passed over")
        return answers

    def _identify(self, offered: dict[str, str]) -> list[tuple[str, str]]:
        """The names that the first request must hold (13.4, 13.5, 13.21)."""
        self.initiator = offered.get("InitiatorName", "")
        self.discovery = offered.get("SessionType", "Normal") == "Discovery"
        self.target = "" if self.discovery else offered.get("TargetName", "")
        if not self.initiator or not (self.target or self.discovery):
            raise LoginFailure(MISSING_PARAMETER, "InitiatorName and TargetName are needed")
        self._known = self._access(self.initiator, self.target)
        if self._known is None:
            raise LoginFailure(TARGET_NOT_FOUND, f"{self.initiator} has no target {self.target}")
        self._proven = self._known.incoming is None
        return [] if self.discovery else [("TargetPortalGroupTag", str(self._tag))]

    def _security(self, offered: dict[str, str]) -> list[tuple[str, str]]:
        """AuthMethod and CHAP (12.1, 12.1.3)."""
        if self._known is None:
            return []
        answers: list[tuple[str, str]] = []
        if "AuthMethod" in offered:
            wanted = "None" if self._known.incoming is None else "CHAP"
            if wanted not in offered["AuthMethod"].split(","):
                raise LoginFailure(AUTHENTICATION_FAILED, f"{wanted} was not offered")
            answers.append(("AuthMethod", wanted))
        if "CHAP_A" in offered:
            answers += self._challenge_pairs(offered["CHAP_A"].split(","))
        if "CHAP_R" in offered:
            answers += self._check_response(offered)
        return answers

    def _challenge_pairs(self, algorithms: list[str]) -> list[tuple[str, str]]:
        common = [code for code in _HASHES if code in algorithms]
        if not common:
            raise LoginFailure(AUTHENTICATION_FAILED, "no CHAP algorithm in common")
        self._algorithm = common[0]
        self._challenge = self._random_bytes(CHALLENGE_BYTES)
        self._identifier = self._random_bytes(1)[0]
        return [
            ("CHAP_A", self._algorithm),
            ("CHAP_I", str(self._identifier)),
            ("CHAP_C", f"0x{self._challenge.hex()}"),
        ]

    def _check_response(self, offered: dict[str, str]) -> list[tuple[str, str]]:
        known = self._known
        if known is None or known.incoming is None or not self._challenge:
            raise LoginFailure(INITIATOR_ERROR, "a CHAP response without a challenge")
        expected = known.incoming.response(self._algorithm, self._identifier, self._challenge)
        right = hmac.compare_digest(expected, text.binary(offered["CHAP_R"]))
        named = hmac.compare_digest(
            known.incoming.user.encode(), offered.get("CHAP_N", "").encode()
        )
        if not (right and named):
            raise LoginFailure(AUTHENTICATION_FAILED, "wrong user or secret")
        challenge, self._challenge = self._challenge, b""  # a challenge serves once
        self._proven = True
        if "CHAP_C" not in offered:
            return []
        theirs = text.binary(offered["CHAP_C"])
        # 12.1.3: reflecting our own challenge must not make us answer it for them.
        if known.outgoing is None or theirs == challenge:
            raise LoginFailure(AUTHENTICATION_FAILED, "mutual CHAP is not set up")
        identifier = text.number(offered.get("CHAP_I", ""), 0, 255)
        proof = known.outgoing.response(self._algorithm, identifier, theirs)
        return [("CHAP_N", known.outgoing.user), ("CHAP_R", f"0x{proof.hex()}")]

    def _operational(self, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
        answers: list[tuple[str, str]] = []
        for key, value in pairs:
            if key in _DECLARED or key.startswith("CHAP_") or key == "AuthMethod":
                continue
            if key in self._seen:
                raise LoginFailure(INITIATOR_ERROR, f"{key} was offered twice")
            self._seen.add(key)
            reply, self.parameters = text.answer(key, value, self.parameters)
            answers.append((key, reply))
        return answers

    def _may_leave(self, request: LoginRequest) -> bool:
        """Security ends only when the initiator has proven who it is."""
        if self._stage == SECURITY_STAGE and not self._proven:
            return False
        return request.next_stage in (OPERATIONAL_STAGE, FULL_FEATURE_STAGE)


_DECLARED = frozenset(
    ["InitiatorName", "InitiatorAlias", "TargetName", "SessionType", "TargetAlias", "TargetAddress"]
)


class InitiatorLogin:
    """The initiator's side of a login.

    Attributes:
        complete: the full feature phase has begun.
        tsih: the target's handle for the session.
        parameters: what holds for the connection.
    """

    def __init__(
        self,
        *,
        initiator: str,
        target: str,
        own: text.Parameters,
        isid: int,
        random_bytes: Callable[[int], bytes],
        chap: Chap | None = None,
        mutual: Chap | None = None,
    ) -> None:
        """Set up; an empty ``target`` asks for a discovery session.

        Args:
            initiator: our name.
            target: the target's name.
            own: what this side would like.
            isid: our session identifier.
            random_bytes: source of the challenge for ``mutual``.
            chap: who we prove to be when asked.
            mutual: whom the target must prove to be.
        """
        self._names = {"InitiatorName": initiator}
        # Normal is the default (13.21), and Linux's target insists on hearing it.
        self._names["SessionType"] = "Normal" if target else "Discovery"
        if target:
            self._names["TargetName"] = target
        self._isid = isid
        self._random_bytes = random_bytes
        self._chap = chap
        self._mutual = mutual
        self._stage = SECURITY_STAGE
        self._text = b""
        self._exchanges = 0
        self._own_challenge = b""
        self._own_identifier = 0
        self._algorithm = ""
        self._offered = False
        self._proven = chap is None
        self.complete = False
        self.tsih = 0
        self.parameters = own

    def first(self) -> tuple[LoginRequest, bytes]:
        """The request that opens the login."""
        methods = "CHAP" if self._mutual else "CHAP,None" if self._chap else "None"
        pairs = {**self._names, "AuthMethod": methods}
        # Without a secret there is nothing to prove, and security is left at once.
        return self._request(transit=self._chap is None), text.encode_pairs(pairs)

    def receive(self, response: LoginResponse, data: bytes) -> tuple[LoginRequest, bytes] | None:
        """One login response in; the next request out, None when the login is complete.

        Raises:
            TransportError: the target refuses, or does not prove who it is.
            RemoteScsiError: the response does not follow the protocol.
        """
        status = (response.status_class, response.status_detail)
        if status != SUCCESS:
            reason = STATUS_TEXT.get(status, f"status {status[0]:02X}{status[1]:02X}h")
            raise TransportError(
                f"login refused: {reason}",
                hint="Check the target's name, the access it grants and the CHAP credentials",
            )
        self._exchanges += 1
        if self._exchanges > MAX_EXCHANGES or len(self._text) + len(data) > text.MAX_TEXT_BYTES:
            raise RemoteScsiError("the target does not end the login")
        self._text += data
        if response.more:
            return self._request(transit=False), b""
        pairs, self._text = text.decode_pairs(self._text), b""
        if self._stage == SECURITY_STAGE:
            reply = self._security(dict(pairs))
        else:
            reply = {}
            for key, value in pairs:
                self.parameters = text.accept(key, value, self.parameters)
        if response.transit:
            if self._own_challenge:
                raise TransportError("the target did not prove who it is", hint=_MUTUAL_HINT)
            self._stage, self.tsih = response.next_stage, response.tsih
            if self._stage == FULL_FEATURE_STAGE:
                self.complete = True
                return None
        offered = []
        if self._stage == OPERATIONAL_STAGE and not self._offered:
            self._offered, offered = True, text.offer(self.parameters)
        leave = self._stage == OPERATIONAL_STAGE or self._proven
        return self._request(transit=leave), text.encode_pairs([*reply.items(), *offered])

    def _request(self, *, transit: bool) -> LoginRequest:
        following = OPERATIONAL_STAGE if self._stage == SECURITY_STAGE else FULL_FEATURE_STAGE
        return LoginRequest(
            initiator_task_tag=0,
            transit=transit,
            current_stage=self._stage,
            next_stage=following if transit else 0,
            isid=self._isid,
            tsih=self.tsih,
            command_sn=1,
        )

    def _security(self, answers: dict[str, str]) -> dict[str, str]:
        if self._own_challenge and "CHAP_R" in answers:
            self._check_target(answers)
            return {}
        if "CHAP_C" in answers:
            return self._prove(answers)
        if answers.get("AuthMethod") == "CHAP" and self._chap:
            return {"CHAP_A": ",".join(_HASHES)}
        self._proven = self._mutual is None  # the target asks for nothing
        return {}

    def _prove(self, answers: dict[str, str]) -> dict[str, str]:
        if self._chap is None:
            raise TransportError("the target asks for CHAP", hint="Set a user and a secret")
        self._algorithm = answers.get("CHAP_A", "")
        challenge = text.binary(answers["CHAP_C"])
        identifier = text.number(answers.get("CHAP_I", ""), 0, 255)
        proof = self._chap.response(self._algorithm, identifier, challenge)
        self._proven = True
        reply = {"CHAP_N": self._chap.user, "CHAP_R": f"0x{proof.hex()}"}
        if self._mutual:
            self._own_challenge = self._random_bytes(CHALLENGE_BYTES)
            self._own_identifier = self._random_bytes(1)[0]
            reply["CHAP_I"] = str(self._own_identifier)
            reply["CHAP_C"] = f"0x{self._own_challenge.hex()}"
        return reply

    def _check_target(self, answers: dict[str, str]) -> None:
        if self._mutual is None:
            return
        expected = self._mutual.response(self._algorithm, self._own_identifier, self._own_challenge)
        right = hmac.compare_digest(expected, text.binary(answers["CHAP_R"]))
        if not right or answers.get("CHAP_N") != self._mutual.user:
            raise TransportError("the target did not prove who it is", hint=_MUTUAL_HINT)
        self._own_challenge = b""


_MUTUAL_HINT = "Check the mutual CHAP user and secret on both sides"
