"""The same function over many items in any number of processes, the results in the items' order."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pipelines.text.errors import TextError

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    prepare: Callable[..., Callable[[Item], Result]],
    arguments: tuple[Any, ...],
    items: Iterable[Item],
    workers: int,
) -> Iterator[Result]:
    """``prepare(*arguments)`` applied to every item; each process prepares once.

    One worker is this process itself. At most two items a worker are under way, so memory is
    bounded whatever the number of items. Both functions' values travel between processes; what
    they raise arrives here. TextError if a process dies.
    """
    if workers == 1:
        yield from map(prepare(*arguments), items)
        return
    # Not forked: a fork of a process with threads (Arrow, BPE) may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start, (workers, prepare, arguments))
    waiting: deque[Future[Result]] = deque()
    items = iter(items)
    try:
        for item in itertools.islice(items, 2 * workers):
            waiting.append(pool.submit(_work, item))
        while waiting:
            result = waiting.popleft().result()
            for item in itertools.islice(items, 1):
                waiting.append(pool.submit(_work, item))
            yield result
    except BrokenProcessPool:
        raise TextError(
            "a worker process died, perhaps for want of memory; run again, with fewer workers"
            f" than {workers} (DRAGON_WORKERS)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_function: Callable[[], Callable[[Any], Any]]


def _start(workers: int, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """In a new process: it leaves with its parent, shares the cores, and prepares when it must."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends its workers
    end_with_parent()
    os.environ["RAYON_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    # With the first item: what this raises must reach the parent, and from here it could not.
    _function = functools.cache(functools.partial(prepare, *arguments))


def end_with_parent() -> None:
    """End this process when the one that had it started dies: killed, it cannot end its own.

    The parent is who asked ``multiprocessing`` for the process, also where a server forked it.
    For a process that was started in another way this does nothing.
    """
    parent, name = multiprocessing.parent_process(), "end with parent"
    if parent is not None and all(thread.name != name for thread in threading.enumerate()):
        threading.Thread(target=_leave_with, args=(parent,), name=name, daemon=True).start()


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)  # at once: nobody is left who wants the rest


def _work(item: Any) -> Any:
    return _function()(item)
