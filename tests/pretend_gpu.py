"""A GPU that is none: what runs on one and nowhere else, run on a CPU, with what a GPU would refuse or wait for.

Tensors on it are torch's meta tensors to torch, with values beside them (`values`, a CPU tensor), and say that they are
on cuda:0. So a program takes its branches for GPUs, and its results can be compared with those of a CPU. While
`pretend_gpu` is entered

- an operation on tensors of both devices raises, as on a GPU (single numbers and indices may be on the CPU);
- whatever makes the processor wait for the GPU is noted, with the line of kdasr or of ESPnet that did it: values that
  are read (`item`, `tolist`, `bool`, `nonzero`, a mask as an index, `.cpu()`), and what is copied there (from memory
  that is not pinned);
- torch.cuda.CUDAGraph records operations on the tensors that they had, and runs these again; nothing is done while it
  records, and neither reading nor copying is allowed.

What it cannot show is speed, and what a GPU's own kernels round otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

GPU, META, CPU = torch.device("cuda", 0), torch.device("meta"), torch.device("cpu")
aten = torch.ops.aten
# Operations that give sizes or numbers to the processor, and how often they wait for that.
READS = {
    aten._local_scalar_dense.default: 1,
    aten.nonzero.default: 1,
    aten.masked_select.default: 1,
    aten.bincount.default: 1,
    aten.equal.default: 1,
    aten.repeat_interleave.Tensor: 1,
    aten._unique2.default: 1,
    aten._ctc_loss.Tensor: 2,  # lengths of inputs and of targets
}
# Lengths of packed sequences belong on the CPU, what goes in and what comes out.
PACKING = (aten._pack_padded_sequence.default, aten._pad_packed_sequence.default)
UNPACKING = (*PACKING, aten._pack_padded_sequence_backward.default)
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)


class Refused(RuntimeError):
    """What a GPU would raise."""


class OnGpu(torch.Tensor):
    """A tensor on the pretended GPU."""

    values: torch.Tensor
    device = property(lambda self: GPU)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    is_meta = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> OnGpu:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device="meta",
        )
        made.values = values
        return made

    def __repr__(self, **_: Any) -> str:
        return f"OnGpu({self.values})"

    def __deepcopy__(self, memo: dict[int, Any]) -> torch.Tensor:
        copy = OnGpu(self.values.clone())
        if isinstance(self, torch.nn.Parameter):
            copy = torch.nn.Parameter(copy, self.requires_grad)
        return memo.setdefault(id(self), copy)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.values.__reduce_ex__(protocol)  # a checkpoint holds the values

    # What torch does in C++ with values that it believes to be nowhere.

    def new_tensor(self, data: Any, **how: Any) -> torch.Tensor:
        return torch.tensor(data, **{"dtype": self.dtype, **how}).to(META)

    def new(self, *given: Any) -> torch.Tensor:
        return self.values.new(*given).to(META)

    def tolist(self) -> Any:
        ACTIVE[-1].note("reads", "tolist")
        return self.values.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


OWN = ("new_tensor", "new", "tolist", "numpy", "__array__")


class Seen:
    """What made the processor wait: the lines that did it, as "kdasr/search/stream.py:104 _local_scalar_dense"."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.uploads: list[str] = []

    def ours(self) -> int:
        """How often it was not ESPnet's own code."""
        return sum(not line.startswith("espnet") for line in (*self.reads, *self.uploads))

    def table(self) -> str:
        """Each of them and how often, for a message."""
        both = (("read", self.reads), ("uploaded", self.uploads))
        return "\n".join(f"{n:4} {kind} {line}" for kind, lines in both for line, n in Counter(lines).most_common())


class Gpu:
    """The pretended GPU that is entered."""

    def __init__(self) -> None:
        self.watching: list[Seen] = []
        self.graph: Graph | None = None  # that records now
        self.graphs = self.replays = 0

    @contextlib.contextmanager
    def seen(self) -> Iterator[Seen]:
        """What happens while it is entered."""
        self.watching.append(Seen())
        try:
            yield self.watching[-1]
        finally:
            self.watching.pop()

    def note(self, kind: str, what: Any, times: int = 1) -> None:
        """The processor waits: kind is "reads" or "uploads"."""
        if self.graph is not None:
            raise Refused(f"operation not permitted when stream is capturing: {what} in {_line()}")
        for seen in self.watching:
            getattr(seen, kind).extend([f"{_line()} {what}"] * times)


ACTIVE: list[Gpu] = []


class Graph:
    """torch.cuda.CUDAGraph: the operations of a block, on the very tensors that they had."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.before: list[tuple[torch.Tensor, torch.Tensor]] = []

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operation that is recorded; what it gives is taken back by `end`."""
        for place, about in enumerate(func._schema.arguments):
            x = args[place] if place < len(args) else kwargs.get(about.name)
            if about.alias_info is not None and about.alias_info.is_write and x is not None:
                self.before.append((x, x.clone()))
        given = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, given))
        return given

    def end(self) -> None:
        """Nothing has happened yet: what was changed is as before, and what was made holds no values."""
        for fresh in self._made():
            fresh.fill_(float("nan") if fresh.is_floating_point() else 0)
        for x, before in reversed(self.before):
            x.copy_(before)
        self.before = []

    def replay(self) -> None:
        """Do it all again."""
        ACTIVE[-1].replays += 1
        for func, args, kwargs, given in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(_tensors([given]), _tensors([again]), strict=True):
                if not _shares(old, args, kwargs):
                    old.copy_(new)

    def _made(self) -> Iterator[torch.Tensor]:
        for func, args, kwargs, given in self.calls:
            yield from (x for x in _tensors([given]) if not _shares(x, args, kwargs))


@contextlib.contextmanager
def _capture(graph: Graph, **_: Any) -> Iterator[None]:
    """torch.cuda.graph."""
    gpu = ACTIVE[-1]
    gpu.graph, gpu.graphs = graph, gpu.graphs + 1
    try:
        yield
    finally:
        gpu.graph = None
        graph.end()


def _shares(x: torch.Tensor, args: Any, kwargs: Any) -> bool:
    """Whether a tensor is, or is a view of, one of the arguments."""
    given = list(_tensors((*args, *kwargs.values())))
    own = x.untyped_storage().data_ptr()
    return any(one is x or (own and one.untyped_storage().data_ptr() == own) for one in given)


class _Dispatch(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # which would import torch's compiler, ten seconds of work

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_inference_mode_enabled() and func._can_decompose():  # else that is done before it comes here
            with self:
                return func.decompose(*args, **(kwargs or {}))
        return _run(func, args, kwargs or {})


class _Function(TorchFunctionMode):
    """Devices named cuda are the pretended GPU, and what torch does to numbers in C++ is done here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if func is torch.device:
            return func(*args, **kwargs)
        first = args[0] if args else None
        if name in ("tensor", "as_tensor") and _is_gpu(kwargs.get("device")):
            return func(*args, **{**kwargs, "device": "cpu"}).to(META)
        if name == "cuda" and isinstance(first, torch.Tensor):
            return first.to(META)
        if isinstance(first, OnGpu) and name in OWN:
            return getattr(OnGpu, name)(*args, **kwargs)
        return func(*(_mapped(_as_meta, x) for x in args), **{key: _mapped(_as_meta, x) for key, x in kwargs.items()})


def _is_gpu(x: Any) -> bool:
    return x.type == "cuda" if isinstance(x, torch.device) else isinstance(x, str) and x.split(":")[0] == "cuda"


def _as_meta(x: Any) -> Any:
    return META if _is_gpu(x) else x


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation, on the values."""
    tensors = list(_tensors((*args, *kwargs.values())))
    there, here = ([x for x in tensors if isinstance(x, OnGpu) is on] for on in (True, False))
    named = kwargs.get("device")
    on_gpu = named == META if named is not None else bool(there)
    if not there and not on_gpu:
        return func(*args, **kwargs)
    on_gpu = _check(func, args, kwargs, there, here, on_gpu)
    plain = [_mapped(_values, x) for x in args]
    named_plain = {key: CPU if key == "device" and x is not None else _mapped(_values, x) for key, x in kwargs.items()}
    graph = ACTIVE[-1].graph
    given = func(*plain, **named_plain) if graph is None else graph.run(func, plain, named_plain)
    if func in PACKING:
        return OnGpu(given[0]), given[1]
    if not on_gpu:
        return given
    known = {id(_values(x)): x for x in tensors} if func._schema.is_mutable else {}  # in place: the very same tensor

    def wrapped(x: Any) -> Any:
        return known[id(x)] if id(x) in known else OnGpu(x) if isinstance(x, torch.Tensor) else x

    return _mapped(wrapped, given)


def _values(x: Any) -> Any:
    return x.values if isinstance(x, OnGpu) else x


def _tensors(tree: Any) -> Iterator[torch.Tensor]:
    for x in tree:
        if isinstance(x, torch.Tensor):
            yield x
        elif type(x) in (list, tuple):
            yield from _tensors(x)


def _mapped(move: Any, x: Any) -> Any:
    """What `move` makes of the leaves of lists and tuples."""
    return type(x)(_mapped(move, one) for one in x) if type(x) in (list, tuple) else move(x)


def _check(func: Any, args: Any, kwargs: Any, there: list[Any], here: list[Any], on_gpu: bool) -> bool:
    """Whether the result is on the GPU; notes what waits, and raises what a GPU does."""
    gpu, what = ACTIVE[-1], func.__name__.partition(".")[0]
    if func in (aten._to_copy.default, aten.copy_.default):
        source, target = (args[0], on_gpu) if func is aten._to_copy.default else (args[1], isinstance(args[0], OnGpu))
        if isinstance(source, OnGpu) != target:
            gpu.note("uploads" if target else "reads", what)
        return target
    if func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is not None:
        return on_gpu
    if func in READS:
        gpu.note("reads", what, READS[func])
    if func in INDEXING:
        indices = [x for x in args[1] if x is not None]
        if any(x.dtype in (torch.bool, torch.uint8) for x in indices) and not _fills(func, args):
            gpu.note("reads", f"{what} by a mask")
        here = [x for x in here if not (isinstance(args[0], OnGpu) and any(x is one for one in indices))]
        if any(not isinstance(x, OnGpu) for x in indices) and isinstance(args[0], OnGpu):
            gpu.note("uploads", f"{what} by indices on the CPU")
    if there and any(x.dim() for x in here) and func not in UNPACKING:
        shapes = [tuple(x.shape) for x in here]
        raise Refused(f"Expected all tensors to be on the same device: {func} in {_line()} has {shapes} on the CPU")
    return on_gpu


def _fills(func: Any, args: Any) -> bool:
    """Whether it puts one number where a mask says, which torch does without counting the places."""
    return func is not aten.index.Tensor and args[2].numel() == 1 and not (len(args) > 3 and args[3])


def _line() -> str:
    """The line of kdasr or of ESPnet that is being run."""
    frame = sys._getframe(1)
    while frame is not None:
        if file := _inside(frame.f_code.co_filename):
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"  # torch's own backward pass


@functools.cache
def _inside(file: str) -> str:
    """A file of kdasr or of ESPnet from its package on, wherever that lies; "" for another."""
    for package in ("kdasr", "espnet2", "espnet"):
        root = Path(importlib.util.find_spec(package).origin).parent  # type: ignore[union-attr, arg-type]
        if Path(file).is_relative_to(root):
            return f"{package}/{Path(file).relative_to(root)}"
    return ""


class _Event:
    """torch.cuda.Event."""

    def __init__(self, **_: Any) -> None:
        pass

    def record(self, *_: Any) -> None:
        if ACTIVE[-1].graph is not None:
            raise Refused("an event with a time cannot be read from a graph")

    def synchronize(self) -> None:
        ACTIVE[-1].note("reads", "synchronize")

    def elapsed_time(self, _: _Event) -> float:
        return 1.0


def _moved(plain: Any) -> Any:
    """torch.nn.Module._apply, by which weights that are one stay one when they are moved, as on a GPU."""

    def apply(module: torch.nn.Module, *how: Any, **more: Any) -> torch.nn.Module:
        owners: dict[int, list[tuple[torch.nn.Module, str]]] = {}
        for inner in module.modules():
            for name, weight in inner._parameters.items():
                if weight is not None:
                    owners.setdefault(id(weight), []).append((inner, name))
        plain(module, *how, **more)
        for (first, name), *others in owners.values():
            for inner, other in others:
                inner._parameters[other] = first._parameters[name]
        return module

    return apply


STANDS_FOR = {
    "Event": _Event,
    "CUDAGraph": Graph,
    "graph": _capture,
    "Stream": lambda *_: mock.MagicMock(),
    "stream": lambda _: contextlib.nullcontext(),
    "current_stream": lambda *_: mock.MagicMock(),
    "is_available": lambda: True,
    "is_bf16_supported": lambda *_: False,
    "synchronize": lambda *_: None,
    "empty_cache": lambda: None,
    "max_memory_allocated": lambda *_: 0,
    "reset_peak_memory_stats": lambda *_: None,
    "get_device_name": lambda *_: "no GPU",
    "get_rng_state": lambda *_: torch.get_rng_state(),
    "set_rng_state": lambda state, *_: torch.set_rng_state(state),
}


@contextlib.contextmanager
def pretend_gpu() -> Iterator[Gpu]:
    """While it is entered, cuda:0 is there."""
    plain = torch.Generator

    class Generator:
        def __new__(cls, *_: Any) -> torch.Generator:
            return plain()

    load = torch.serialization.load

    def loaded(*args: Any, map_location: Any = None, **how: Any) -> Any:
        """To the CPU first, as each tensor of a file is moved alone."""
        if not _is_gpu(map_location):
            return load(*args, map_location=map_location, **how)
        return tree_map(
            lambda x: x.to(META) if isinstance(x, torch.Tensor) else x, load(*args, map_location=CPU, **how)
        )

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch.nn.Module, "_apply", _moved(torch.nn.Module._apply)))
        stack.enter_context(mock.patch.object(torch.serialization, "load", loaded))
        for name, stand_in in STANDS_FOR.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, stand_in))
        stack.enter_context(mock.patch.object(torch, "Generator", Generator))
        ACTIVE.append(Gpu())
        try:
            with _Function(), _Dispatch():
                yield ACTIVE[-1]
        finally:
            ACTIVE.pop()
