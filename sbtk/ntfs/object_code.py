"""Loops that Numba compiled, called without Numba: LLVM alone loads their object code.

Importing Numba and readying its compiler takes longer than a million records, and 100 MB. It is
needed once: the object code of a loop is kept, and later processes hand it to LLVM and call it.

A loop takes arrays, named tuples of arrays and integers, returns nothing, and allocates nothing.
Numba passes it an array as (0, 0, items, bytes an item, address, *shape, *strides), a tuple as its
members, an integer as 64 bits; before them go the addresses of a result and of an exception, and
the status, 0, comes back (numba/core/callconv.py, datamodel/models.py: ArrayModel).
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numpy as np

_DIGEST_BYTES = 16
_CACHE_DIR = "NUMBA_CACHE_DIR"

Loop = Callable[..., None]


class _Code(NamedTuple):
    """A compiled loop: the name of its function, and the object file that holds it."""

    symbol: str
    code: bytes


def load_loop(
    module: str, name: str, example: tuple[Any, ...], constants: Sequence[str] = ()
) -> Loop:
    """A loop, compiled for arguments like ``example``: from what is kept, or by Numba.

    Args:
        module: where Numba's dispatcher of the loop is.
        name: of the dispatcher.
        example: arguments; arrays that the loop only reads are read-only.
        constants: other modules whose numbers become part of the code.

    Raises:
        ImportError, OSError, RuntimeError: Numba is needed, and cannot be used here.
    """
    # Who sets Numba's options (a bounds check, no compiling at all) means Numba itself.
    if any(option.startswith("NUMBA_") and option != _CACHE_DIR for option in os.environ):
        loop: Loop = getattr(import_module(module), name)
        return loop
    kinds = [_kind(value) for value in _flatten(example)]
    sources = [_source(each) for each in (module, *constants)]
    file_name = f"{sources[0].stem}.{name}-{_key(kinds, sources)}.o"
    folders = _folders(sources[0])
    found = _read(file_name, folders)
    if found is None:
        found = _compile(getattr(import_module(module), name), example)
        _keep(found, file_name, folders)
    return _NativeLoop(found, kinds)


def prepare(loop: Loop, *arguments: Any) -> Callable[[], None]:
    """A loop over arguments that stay: they are looked at once, however often it runs.

    Raises:
        TypeError: the loop was not compiled for them.
    """
    return loop.prepare(*arguments) if isinstance(loop, _NativeLoop) else partial(loop, *arguments)


class _NativeLoop:
    """Object code in memory, as something to call."""

    def __init__(self, found: _Code, kinds: list[str]) -> None:
        self._kinds = kinds
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(found.code))
        self._engine.finalize_object()
        address = self._engine.get_function_address(found.symbol)
        words = sum(5 + 2 * int(kind[-1]) if kind != "int" else 1 for kind in kinds)
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * words
        )
        self._function = kind(address)

    def __call__(self, *arguments: Any) -> None:
        """Run the loop without the interpreter's lock; raises as ``prepare`` and what it makes."""
        self.prepare(*arguments)()

    def prepare(self, *arguments: Any) -> Callable[[], None]:
        """The loop over these arguments, to be run as often as is wanted, by one thread at a time.

        Raises:
            TypeError: the arguments are not what it was compiled for.
        """
        values = list(_flatten(arguments))
        words: list[int] = []
        for value, kind in zip(values, self._kinds, strict=True):
            if _kind(value).removeprefix("const ") != kind.removeprefix("const ") or (
                isinstance(value, np.ndarray)
                and not (value.flags.writeable or kind.startswith("const "))
            ):
                raise TypeError(f"a compiled loop takes {kind}, not {_kind(value)}")
            words += _words(value)
        result, exception = ctypes.c_void_p(), ctypes.c_void_p()
        call = partial(
            self._function, ctypes.addressof(result), ctypes.addressof(exception),
            *map(ctypes.c_int64, words),
        )  # fmt: skip
        return partial(_run, call, (self, values, result, exception))


def _run(call: Callable[[], int], held: object) -> None:
    """Call a loop; ``held`` is what the addresses that it takes point into."""
    del held
    status = call()
    if status:
        raise RuntimeError(f"a compiled loop ended with status {status}")


def _flatten(arguments: tuple[Any, ...]) -> Iterator[Any]:
    for value in arguments:
        if isinstance(value, tuple):
            yield from _flatten(value)
        else:
            yield value


def _kind(value: Any) -> str:
    """What a loop is compiled for: ``int``, or ``uint8 1``, ``const`` in front if read-only."""
    if isinstance(value, np.ndarray):
        const = "" if value.flags.writeable else "const "
        order = "" if value.flags.c_contiguous and value.flags.aligned else "strided "
        return f"{const}{order}{value.dtype.str} {value.ndim}"
    return "int" if isinstance(value, int | np.integer) else type(value).__name__


def _words(value: Any) -> list[int]:
    if isinstance(value, np.ndarray):
        return [0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
    return [int(value)]


def _target_machine() -> Any:
    """A description of this processor; an engine takes it over, each needs its own."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(jit=True)


def _source(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"{module} has no file")
    return Path(spec.origin)


def _key(kinds: list[str], sources: list[Path]) -> str:
    """What the object code depends on: arguments, processor, LLVM, Numba, and the source itself."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    machine = (llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())
    compiler = (_numba_version(), llvmlite.__version__, llvm.get_process_triple())
    for part in (*kinds, *compiler, *machine):
        digest.update(part.encode() + b"\0")
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _numba_version() -> str:
    """What tells one Numba from another, without importing it."""
    spec = PathFinder.find_spec("numba")
    if spec is None or spec.origin is None:
        raise ImportError("numba is not installed")
    try:
        return Path(spec.origin).with_name("_version.py").read_text()
    except FileNotFoundError:
        from importlib.metadata import version  # takes longer than all else here

        return version("numba")


def _folders(own: Path) -> list[Path]:
    """Where object code is kept: as Numba's own, beside the source or with the user's caches."""
    if os.environ.get(_CACHE_DIR):
        return [Path(os.environ[_CACHE_DIR])]
    import platformdirs

    return [own.parent / "__pycache__", Path(platformdirs.user_cache_dir("sbtk"))]


def _read(file_name: str, folders: list[Path]) -> _Code | None:
    """The object code that is kept; None if there is none, or it is damaged."""
    for folder in folders:
        try:
            raw = (folder / file_name).read_bytes()
        except OSError:
            continue
        digest, rest = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if hashlib.blake2b(rest, digest_size=_DIGEST_BYTES).digest() == digest:
            symbol, _, code = rest.partition(b"\0")
            return _Code(symbol.decode(), code)
    return None


def _keep(found: _Code, file_name: str, folders: list[Path]) -> None:
    """Keep object code in the first folder that takes it; without any, it is compiled each time."""
    rest = found.symbol.encode() + b"\0" + found.code
    for folder in folders:
        part = folder / f"{file_name}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(hashlib.blake2b(rest, digest_size=_DIGEST_BYTES).digest() + rest)
            part.replace(folder / file_name)
            return
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()


def _compile(dispatcher: Any, example: tuple[Any, ...]) -> _Code:
    """Have Numba compile a loop, without the wrappers that need Python and Numba's runtime."""
    import numba

    options = {"nogil": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    native = numba.njit(**options)(dispatcher.py_func)
    native.compile(tuple(numba.typeof(value) for value in example))
    (compiled,) = native.overloads.values()
    _, _, (code, _) = compiled.library.serialize_using_object_code()
    return _Code(compiled.fndesc.llvm_func_name, code)
