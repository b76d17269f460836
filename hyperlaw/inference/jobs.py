"""`outcomes`, `as_finished`, `in_order`: one function over many jobs, in this process or by an executor's workers.

There is no scheduler here. An executor is any `concurrent.futures.Executor`: a pool of processes on this machine, or
Dask's, whose workers may be on others. A job and what it returns are pickled, and a job is all that its result depends
on, so that results do not depend on who worked.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import closing
from functools import partial

from hyperlaw.progress import track
from hyperlaw.quote import quote

# NumPyro keeps one stack of handlers for all threads of a process, so that two traces at a time would mix. Fits in
# several threads are made one by one, and a worker with several (Dask's may have them) takes its jobs so; the chains of
# a fit have threads of their own.
ALONE = threading.RLock()


def check_executor(executor: object) -> None:
    """Refuse what cannot work.

    Raises
    ------
    TypeError
        When it is neither None nor a `concurrent.futures.Executor`.
    ValueError
        When it forks this process, whose threads of JAX its workers would wait for.
    """
    if executor is None:
        return
    if not isinstance(executor, Executor):
        raise TypeError(
            "executor must be a concurrent.futures.Executor, or None to work in this process; received "
            f"{quote(executor)}. "
            'Pass ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")), or of a Dask client '
            "client.get_executor()."
        )
    context = getattr(executor, "_mp_context", None) if isinstance(executor, ProcessPoolExecutor) else None
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "executor must not fork this process, received a ProcessPoolExecutor that does: JAX has threads here that "
            "its workers would wait for without end. Allowed are the start methods spawn and forkserver: pass "
            'ProcessPoolExecutor(..., mp_context=multiprocessing.get_context("spawn")).'
        )


def outcomes[J, R](
    function: Callable[[J], R], jobs: Sequence[J], executor: Executor | None
) -> Generator[tuple[int, R | Exception]]:
    """The position of each job and what the function returned of it, or the exception that it raised.

    Parameters
    ----------
    function
        With an executor it and what it returns must be picklable: a function of a module, or a `functools.partial`.
    jobs
        What it is called with, one after the other.
    executor
        Whose workers call it; in this process, in the order of the jobs, when None.

    Yields
    ------
    tuple
        In the order in which they finish. When nobody asks any further, jobs that have not begun are cancelled.
    """
    if executor is None:
        yield from ((position, _result(partial(function, job))) for position, job in enumerate(jobs))
        return
    waiting: dict[Future[R], int] = {}
    try:
        for position, job in enumerate(jobs):
            waiting[executor.submit(_alone, function, job)] = position
        for future in as_completed(list(waiting)):
            yield waiting.pop(future), _result(future.result)
            del future  # it holds its result, of which there may be many
    finally:
        for future in waiting:
            future.cancel()


def as_finished[J, R](
    function: Callable[[J], R], jobs: Sequence[J], executor: Executor | None
) -> Iterator[tuple[int, R]]:
    """As `outcomes`, but the first exception is raised."""
    with closing(outcomes(function, jobs, executor)) as found:
        for position, outcome in found:
            if isinstance(outcome, Exception):
                raise outcome
            yield position, outcome


def in_order[J, R](
    function: Callable[[J], R], jobs: Sequence[J], executor: Executor | None, description: str, *, progress: bool = True
) -> list[R]:
    """What the function returned of each job, in the order of the jobs; a bar shows how many are done."""
    finished = as_finished(function, jobs, executor)
    found = dict(track(finished, description, total=len(jobs), disable=not progress or not jobs))
    return [found[position] for position in range(len(jobs))]


def _alone[J, R](function: Callable[[J], R], job: J) -> R:
    """One job at a time in this process."""
    with ALONE:
        return function(job)


def _result[R](call: Callable[[], R]) -> R | Exception:
    try:
        return call()
    except Exception as error:
        return error
