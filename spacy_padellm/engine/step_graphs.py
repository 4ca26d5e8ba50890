"""Decode passes as CUDA graphs: a pass of a given shape is captured once and replayed."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any, NamedTuple

import numpy as np
import torch

from ..prompts.tree import PADDING
from ..tokenization.arrays import Ints
from .buckets import rounded_up
from .kv_cache import PAD_SLOT
from .kv_rows import N_INPUTS, TREE, Forward, KVRows
from .logsumexp import logsumexp
from .partial_logits import PartialRequest
from .step import StepOutput
from .transfer import on_device

MAX_GRAPHS = 256
MAX_BYTES = 1 << 30  # of all KV rows together; on a GPU a share of its memory
GPU_SHARE = 0.25
MAX_TOKENS = 16384  # of a captured pass: a larger one takes longer than its launches
CAPTURE_AT = 2  # the use of a shape that captures it: a shape that is used once is not worth it
SLOTS = 64  # capacities are multiples of so many slots
LOGSUMEXP_ROWS = 256  # rows of logits up to which a captured pass computes their logsumexp
MIN_SIZE = 8  # tokens per row, and rows of logits: fewer cost the same


class PassInput(NamedTuple):
    """The host arrays of one pass.

    inputs (Ints): Token ids, the parts of Paths, slots [7, rows, length].
    logits_indices (Ints): Indices into the flattened [rows * length] [n].
    partial_indices (Ints): Indices of positions with partial logits [positions].
    partial_token_ids (Ints): Their tokens of the vocabulary [tokens].
    """

    inputs: Ints
    logits_indices: Ints
    partial_indices: Ints
    partial_token_ids: Ints

    @property
    def sizes(self) -> tuple[int, int, int]:
        """RETURNS (tuple[int, int, int]): Rows of logits; rows and columns of partial logits."""
        return len(self.logits_indices), len(self.partial_indices), len(self.partial_token_ids)


class _Captured(NamedTuple):
    given: torch.Tensor  # on the host, pinned: all arrays of a PassInput, int64
    inputs: torch.Tensor  # the same on the device
    output: StepOutput
    graph: torch.cuda.CUDAGraph | None
    copied: torch.cuda.Event | None  # recorded when `given` has been read


class StepGraphs:
    """Captured passes of one network, over KV rows whose memory stays in place.

    Passes are padded to one of few shapes. Graphs read the weights in place: updates take effect,
    and weights that have moved (a loaded checkpoint, another adapter) drop all graphs.

    On a CPU the same shapes run without capture, which is for tests.
    """

    def __init__(self) -> None:
        self._kv_rows: OrderedDict[tuple[int, int], KVRows] = OrderedDict()
        self._captured: OrderedDict[tuple[int, ...], _Captured] = OrderedDict()
        self._uses: Counter[tuple[int, ...]] = Counter()
        self._placement: object = None
        self._slot_bytes = 0
        self._pool: Any = None

    def __len__(self) -> int:
        return len(self._captured)

    @property
    def n_bytes(self) -> int:
        """RETURNS (int): Bytes of all KV rows."""
        return sum(kv.n_bytes for kv in self._kv_rows.values())

    def follow(self, placement: object) -> None:
        """Drop all graphs where the weights have moved since they were captured.

        placement (object): Changes with the forward pass and the placement of its weights.
        """
        if placement != self._placement:
            self.drop()
            self._placement = placement

    def drop(self) -> None:
        """Drop all graphs and KV rows."""
        self._captured.clear()
        self._kv_rows.clear()
        self._uses.clear()
        self._pool = None

    def empty_rows(self, device: torch.device, n_rows: int, capacity: int) -> KVRows:
        """KV rows whose memory stays in place, valid until the next ones of their shape.

        device (torch.device): The network's device.
        n_rows (int): Rows of the batch.
        capacity (int): Slots per row.
        RETURNS (KVRows): At least as many rows and slots, empty.
        """
        shape = rounded_up(n_rows), SLOTS * rounded_up(-(-capacity // SLOTS))
        kv = self._kv_rows.get(shape)
        if kv is None:
            self._make_room(device, shape[0] * shape[1])
            kv = self._kv_rows[shape] = KVRows(device, *shape)
        else:
            kv.clear()
        self._kv_rows.move_to_end(shape)
        return kv

    def run(self, forward: Forward, kv: KVRows, given: PassInput, used: int) -> StepOutput:
        """Run one pass; as `KVRows.run`, but over all slots where its shape is a captured one.

        forward (Forward): The network's forward pass.
        kv (KVRows): Rows from `empty_rows`.
        given (PassInput): The pass.
        used (int): Slots in use.
        RETURNS (StepOutput): The logits.
        """
        n_rows, slots = kv.shape
        length = _rounded(given.inputs.shape[2])
        if n_rows * length > MAX_TOKENS:
            shape = _PassShape(n_rows, given.inputs.shape[2], *given.sizes)
            return _run(forward, kv, shape, on_device(shape.filled(given), kv.device), used)
        shape = _PassShape(n_rows, length, *(_rounded(n) if n else 0 for n in given.sizes))
        key = (n_rows, slots, *shape[1:])
        self._uses[key] += 1
        captured = self._captured.get(key)
        if captured is None:
            if self._uses[key] < CAPTURE_AT:
                inputs = on_device(shape.filled(given), kv.device)
                output = _run(forward, kv, shape, inputs, slots)
                return output.without_padding(*given.sizes)
            captured = self._capture(forward, kv, key, shape)
        self._captured.move_to_end(key)
        if captured.copied is not None:
            captured.copied.synchronize()
        shape.fill(captured.given.numpy(), given)
        captured.inputs.copy_(captured.given, non_blocking=True)
        if captured.copied is not None:
            captured.copied.record()
        if captured.graph is None:
            captured.output.copy_(_run(forward, kv, shape, captured.inputs, slots, True))
        else:
            captured.graph.replay()
        return captured.output.without_padding(*given.sizes)

    def _make_room(self, device: torch.device, n_slots: int) -> None:
        """Drop the least recently used KV rows, and their graphs."""
        for (rows, slots), kv in self._kv_rows.items():
            self._slot_bytes = max(self._slot_bytes, kv.n_bytes // (rows * slots))
        most = MAX_BYTES
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            most = int(GPU_SHARE * total)
        while self._kv_rows and self.n_bytes + n_slots * self._slot_bytes > most:
            dropped, _ = self._kv_rows.popitem(last=False)
            # Where KV rows evict each other by turns, no shape is worth a capture each time.
            for key in [key for key in self._uses if key[:2] == dropped]:
                self._captured.pop(key, None)
                del self._uses[key]

    def _capture(
        self, forward: Forward, kv: KVRows, key: tuple[int, ...], shape: _PassShape
    ) -> _Captured:
        device, slots = kv.device, kv.shape[1]
        while len(self._captured) >= MAX_GRAPHS:
            oldest, _ = self._captured.popitem(last=False)
            del self._uses[oldest]
        # Padding alone: the contents of the KV rows stay as they are.
        given = torch.from_numpy(shape.padding())
        if device.type != "cuda":
            inputs = given.clone()
            output = _run(forward, kv, shape, inputs, slots, True)
            captured = _Captured(given, inputs, output, None, None)
        else:
            given = given.pin_memory()
            inputs = given.to(device)
            stream = torch.cuda.Stream(device)
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                # Libraries allocate and choose kernels at first use, which can't be captured.
                for _ in range(2):
                    _run(forward, kv, shape, inputs, slots, True)
            torch.cuda.current_stream(device).wait_stream(stream)
            if not self._captured:  # a pool without graphs has been freed
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                output = _run(forward, kv, shape, inputs, slots, True)
            captured = _Captured(given, inputs, output, graph, torch.cuda.Event())
        self._captured[key] = captured
        return captured


class _PassShape(NamedTuple):
    """Padded sizes of a pass. All that it reads is one array, and so one copy to the device."""

    rows: int
    length: int
    n_logits: int
    n_partial: int
    n_partial_tokens: int

    def padding(self) -> Ints:
        """RETURNS (Ints): A pass of padding tokens alone, with index 0 for all logits."""
        none = np.zeros(0, dtype=np.int64)
        return self.filled(PassInput(none.reshape(N_INPUTS, 0, 0), none, none, none))

    def filled(self, given: PassInput) -> Ints:
        """RETURNS (Ints): The arrays of a pass of this size or smaller, padded and joined."""
        size = N_INPUTS * self.rows * self.length
        size += self.n_logits + self.n_partial + self.n_partial_tokens
        joined = np.empty(size, dtype=np.int64)
        self.fill(joined, given)
        return joined

    def fill(self, joined: Ints, given: PassInput) -> None:
        """Overwrite an array with a pass and its padding."""
        inputs = given.inputs
        n_inputs = N_INPUTS * self.rows * self.length
        padded = joined[:n_inputs].reshape(N_INPUTS, self.rows, self.length)
        padded[:] = 0
        padded[1 + TREE] = PADDING
        padded[6] = PAD_SLOT
        padded[:, : inputs.shape[1], : inputs.shape[2]] = inputs
        rest = joined[n_inputs:]
        rest[:] = 0
        for start, indices in ((0, given.logits_indices), (self.n_logits, given.partial_indices)):
            if len(indices):
                row, column = np.divmod(indices, inputs.shape[2])
                rest[start : start + len(indices)] = row * self.length + column
        start = self.n_logits + self.n_partial
        rest[start : start + len(given.partial_token_ids)] = given.partial_token_ids

    def split(
        self, joined: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, PartialRequest | None]:
        """RETURNS (tuple): Inputs [7, rows, length], logits indices [n], partial logits."""
        n_inputs = N_INPUTS * self.rows * self.length
        sizes = [n_inputs, self.n_logits, self.n_partial, self.n_partial_tokens]
        inputs, indices, partial_indices, token_ids = joined.split(sizes)
        partial = PartialRequest(partial_indices, token_ids) if self.n_partial else None
        return inputs.view(N_INPUTS, self.rows, self.length), indices, partial


def _run(
    forward: Forward,
    kv: KVRows,
    shape: _PassShape,
    joined: torch.Tensor,
    used: int,
    captured: bool = False,
) -> StepOutput:
    inputs, indices, partial = shape.split(joined)
    output = kv.run(forward, inputs, indices, used, partial)
    if captured and len(output.logits) <= LOGSUMEXP_ROWS:
        return output._replace(logsumexp=logsumexp(output.logits))
    return output


def _rounded(number: int) -> int:
    """RETURNS (int): The next of 8, 12, 16, 24, 32, 48, …: two per octave."""
    size = MIN_SIZE
    while size < number:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
