"""Values of every layout for property tests: whatever its annotations allow, and nothing else."""

from dataclasses import replace
from typing import get_type_hints

from hypothesis import strategies as st

from sbtk.scsi import (  # noqa: F401 - layouts enter themselves when their module is imported
    cdb,
    copy_results,
    copy_vpd,
    inquiry,
    log,
    mode,
    mode_pages,
    reports,
    sbc,
    ssc,
    xcopy,
)
from sbtk.scsi import segments as seg
from sbtk.scsi.layout import Bits, Flag, Layout, Raw, UInt


def all_layouts() -> list[type[Layout]]:
    """Every layout with a length of its own; iSCSI's PDUs have their own tests."""
    found, pending = [], Layout.__subclasses__()
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.__module__.startswith("sbtk.scsi.iscsi"):
            continue
        if cls.SIZE_BYTES and "__dataclass_fields__" in dir(cls) and cls not in found:
            found.append(cls)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


def field(place):
    if isinstance(place, Flag):
        return st.booleans()
    if isinstance(place, Bits):
        return st.integers(0, (1 << (place.high - place.low + 1)) - 1)
    if isinstance(place, Raw):
        return st.binary(min_size=place.width, max_size=place.width)
    bits = 8 * place.width
    if place.signed:
        return st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    return st.integers(0, (1 << bits) - 1)


def fields_of(cls: type[Layout]) -> dict:
    hints = get_type_hints(cls, include_extras=True)
    return {
        name: field(mark)
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if isinstance(mark, UInt | Bits | Flag | Raw)
    }


def values(cls: type[Layout]):
    """A strategy for ``cls``, with its counts agreeing with its tails."""
    parts = fields_of(cls)
    if cls.__name__ == "IdentificationCscd":
        parts["designator_bytes"] = st.integers(0, 20)
    if issubclass(cls, seg.VariableSegment):
        tails = st.binary(max_size=64).map(lambda raw: raw + bytes(-len(raw) % 4))
        return tails.flatmap(
            lambda tail: st.builds(
                cls, **{**parts, cls.COUNT_NAME: st.integers(0, len(tail))}, tail=st.just(tail)
            )
        )
    if cls is copy_results.StatusLid4:
        parts["sense"] = st.binary(max_size=252)
    if cls is copy_results.OperatingParameters:
        parts["types"] = st.sets(st.integers(0, 255)).map(lambda codes: tuple(sorted(codes)))
    return st.builds(cls, **parts)


def segments():
    """Segments of every layout, with a type code that belongs to it, with and without digest."""
    kinds = sorted(set(seg.SEGMENTS.values()), key=lambda cls: cls.__name__)

    def of(cls):
        codes = [code + extra for code in cls.TYPES for extra in (0, seg.DIGEST_BASE)]
        codes = [code for code in codes if code < 0xE0 and seg.base_type(code) in cls.TYPES]
        return st.tuples(values(cls), st.sampled_from(codes)).map(with_code)

    return st.one_of([of(cls) for cls in kinds])


def with_code(pair):
    return replace(pair[0], type_code=pair[1])
