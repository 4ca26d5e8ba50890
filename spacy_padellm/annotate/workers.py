"""Annotate batches in this process or in several worker processes; results are in order.

spaCy's own `nlp.pipe(n_process=…)` waits forever if one of its processes is killed, and an error of
a document there loses the whole batch.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from .job import Job

if TYPE_CHECKING:
    from .annotator import AnnotatedBatch
    from .items import Item

JOIN_SECONDS = 5.0
MAX_PENDING = 2  # maximum number of batches per process that are sent but not yet yielded
Annotate = Callable[[Sequence["Item"]], "AnnotatedBatch"]


class LostWorker(RuntimeError):
    """A worker process ended before its batch was annotated."""


class WorkerError(RuntimeError):
    """A worker process can't annotate; the message is its error."""


def annotate_sequentially(job: Job, batches: Iterable[Sequence[Item]]) -> Iterator[AnnotatedBatch]:
    """Annotate in this process.

    job (Job): Settings of the run.
    batches (Iterable[Sequence[Item]]): The batches.
    YIELDS (AnnotatedBatch): The result of each batch, in order.
    RAISES (ValueError, OSError, ImportError): The pipeline can't be loaded.
    RAISES (BrokenPipeline): The pipeline fails on any text.
    """
    from .annotator import Annotator

    yield from map(Annotator(job.load(), job), batches)


def annotate_in_parallel(
    job: Job, batches: Iterable[Sequence[Item]], n_process: int
) -> Iterator[AnnotatedBatch]:
    """Annotate in worker processes, each with its own pipeline. The processes end with this
    generator, and with this process even if it is killed.

    job (Job): Settings of the run.
    batches (Iterable[Sequence[Item]]): The batches.
    n_process (int): Number of processes.
    YIELDS (AnnotatedBatch): The result of each batch, in order.
    RAISES (LostWorker): A process was killed.
    RAISES (WorkerError): A process can't load the pipeline, or its pipeline fails on any text.
    """
    workers = [_Worker(job, n_process) for _ in range(n_process)]
    try:
        yield from _in_order(workers, iter(batches))
    finally:
        for worker in workers:
            worker.stop()


def _in_order(
    workers: list[_Worker], batches: Iterator[Sequence[Item]]
) -> Iterator[AnnotatedBatch]:
    results: dict[int, AnnotatedBatch] = {}  # by number of the batch
    n_sent = n_yielded = 0
    more = True
    while more or n_yielded < n_sent:
        for worker in workers:
            if more and worker.number is None and n_sent < n_yielded + MAX_PENDING * len(workers):
                batch = next(batches, None)
                more = batch is not None
                if batch is not None:
                    worker.send(n_sent, batch)
                    n_sent += 1
        for worker in _wait_for_results(workers):
            number, result = worker.receive()
            results[number] = result
        while n_yielded in results:
            yield results.pop(n_yielded)
            n_yielded += 1


def _wait_for_results(workers: list[_Worker]) -> list[_Worker]:
    """RETURNS (list[_Worker]): The busy workers that have sent a result or ended; waits until there
    is at least one of them."""
    busy = [worker for worker in workers if worker.number is not None]
    if not busy:
        return []
    handles = [handle for worker in busy for handle in (worker.connection, worker.process.sentinel)]
    ready = wait(handles)
    return [
        worker for worker in busy if worker.connection in ready or worker.process.sentinel in ready
    ]


class _Worker:
    """A process that annotates one batch at a time."""

    def __init__(self, job: Job, n_process: int) -> None:
        # A forked process would hang on torch's threads and could not use the parent's GPU context.
        context = multiprocessing.get_context("spawn")
        self.connection, child_connection = context.Pipe()
        self.process = context.Process(
            target=_work,
            args=(child_connection, job, n_process),
            name="padellm annotate",
            daemon=True,
        )
        self.process.start()
        child_connection.close()  # so that the pipe closes when the process ends
        self.number: int | None = None  # number of the batch in progress

    def send(self, number: int, batch: Sequence[Item]) -> None:
        self.number = number
        try:
            self.connection.send(batch)
        except OSError as error:  # a closed pipe
            raise self._lost() from error

    def receive(self) -> tuple[int, AnnotatedBatch]:
        number, self.number = self.number, None
        assert number is not None
        try:
            result: Any = self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if result is None:
            raise self._lost()
        if isinstance(result, str):
            raise WorkerError(result)
        return number, result

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join(JOIN_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _lost(self) -> LostWorker:
        self.process.join(JOIN_SECONDS)
        code = self.process.exitcode
        end = f"ended with exit code {code}"
        if code is not None and code < 0:
            end = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        hint = ""
        if code == -9:
            hint = (
                " The system does so when memory runs out: each process has its own pipeline, so "
                "try fewer (--n-process)."
            )
        return LostWorker(f"The worker process {self.process.pid} {end}.{hint}")


def _work(connection: Connection, job: Job, n_process: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole process group
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        annotate = _annotator(job, n_process)
        while True:
            try:
                batch = connection.recv()
            except EOFError:  # the parent process ended
                return
            connection.send(annotate(batch))
    except BrokenPipeError:
        return
    except Exception as error:
        connection.send(str(error) or type(error).__name__)


def _annotator(job: Job, n_process: int) -> Annotate:
    import torch

    from .annotator import Annotator

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // n_process))
    return Annotator(job.load(), job)
