"""The error tree: each class has its own exit code and shows one line."""

import pytest

from sbtk import errors


def test_every_class_has_an_exit_code_of_its_own():
    codes = [cls.exit_code for cls in errors.error_classes()]
    assert len(codes) == len(set(codes))
    assert min(codes) == 2
    assert 0 not in codes
    assert 1 not in codes


def test_line_joins_message_and_hint():
    error = errors.LocationNotFoundError("a.img does not exist", hint="Check the path")
    assert error.line == "a.img does not exist. Check the path"
    assert errors.SbtkError("only this").line == "only this"


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.LocationNotFoundError, FileNotFoundError),
        (errors.LocationPermissionError, PermissionError),
        (errors.DeviceReadError, OSError),
        (errors.QuietTimeoutError, TimeoutError),
        (errors.TransportError, ConnectionError),
    ],
)
def test_errors_are_the_builtin_ones_too(cls, builtin):
    error = cls("message", hint="hint")
    assert isinstance(error, builtin)
    assert error.line == "message. hint"
    assert error.hint == "hint"
