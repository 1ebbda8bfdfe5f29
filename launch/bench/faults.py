"""``sandlot bench faults``: every fault of the safety specification's table, injected while the robot drives.

In lockstep: the real guardian, drivers and estimator on emulated devices and the twin's physics. Each run
strikes at a random moment with random strength, and is judged by the state, the deadline and what the car
really did. Each cell is also run on robots that are defective on purpose, which it must catch. A run in which
the fault did not happen shows nothing and is counted apart.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import msgspec

from launch.bench.faults_book import Book, Line, summarise
from launch.bench.faults_campaign import Task, fly, tasks_of
from launch.bench.faults_cell import Cell, chosen
from launch.bench.faults_run import Outcome
from launch.manifest import git_revision
from launch.processes import follow_parent
from launch.supervisor import SUPERVISOR
from robot.errors import SandlotError, nearest

CHUNK = 200
"""Runs that a worker takes at a time: few enough that all workers end together."""
Progress = Callable[[Outcome, int, int], None]
"""Called with each outcome, how many of the runs to do are done, and how many there are."""


def run(
    cells: Sequence[str] = (),
    runs: int = 1000,
    defect_runs: int = 10,
    book: Path | None = None,
    workers: int = 1,
    progress: Progress = lambda outcome, done, total: None,
) -> list[Line]:
    """The campaign: ``runs`` of each cell and ``defect_runs`` of each of its defective robots, less those
    that ``book`` has already. Raises SandlotError."""
    if runs < 1 or defect_runs < 0 or workers < 1:
        raise SandlotError(
            f"runs {runs}, defect runs {defect_runs}, workers {workers}: at least 1, 0 and 1 were expected"
        )
    table = chosen(cells)
    record = Book(book)
    known = record.known()
    wanted = tasks_of(table, 0, runs, defect_runs)
    todo = [t for t in wanted if (t.cell, t.seed, t.defect) not in known]
    revision = git_revision()
    for done, outcome in enumerate(_work(todo, workers), 1):
        outcome = msgspec.structs.replace(outcome, revision=revision)
        record.add(outcome)
        progress(outcome, done, len(todo))
    shown = {(t.cell, t.seed, t.defect) for t in wanted}
    outcomes = [o for o in record.outcomes if (o.cell, o.seed, o.defect) in shown]
    return lines(table, outcomes)


def lines(table: Sequence[Cell], outcomes: Sequence[Outcome]) -> list[Line]:
    """The table."""
    return [summarise(c.name, [d.__name__ for d in c.defects], outcomes) for c in table]


def once(cell: str, seed: int, defect: str = "") -> Outcome:
    """Just this run. Raises SandlotError."""
    found = chosen([cell])[0]
    names = [d.__name__ for d in found.defects]
    if defect and defect not in names:
        raise SandlotError(f"cell {cell} has no defective robot {defect!r}; {nearest(defect, names)}")
    return next(_work([Task(cell, seed, defect)], 1))


def _work(tasks: Sequence[Task], workers: int) -> Iterator[Outcome]:
    """Outcomes as they come from ``workers`` processes, each flying one drive at a time."""
    flights: dict[int, list[Task]] = defaultdict(list)
    for task in tasks:
        flights[task.drive].append(task)
    queue = [
        (number, flight[i : i + CHUNK])
        for number, flight in sorted(flights.items())
        for i in range(0, len(flight), CHUNK)
    ]
    queue.reverse()
    context = multiprocessing.get_context("spawn")
    crew: dict[Connection, SpawnProcess] = {}
    before = os.environ.get(SUPERVISOR)
    os.environ[SUPERVISOR] = str(os.getpid())
    try:
        for _ in range(min(workers, len(queue))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_crew, args=(theirs,), daemon=False)
            process.start()
            theirs.close()
            crew[ours] = process
            _give(ours, queue)
        while crew:
            for connection in wait(list(crew)):
                assert isinstance(connection, Connection)
                try:
                    answer = connection.recv_bytes()
                except EOFError:
                    raise SandlotError(
                        "a worker of the campaign died; run the command again to go on"
                    ) from None
                if answer.startswith(b"!"):
                    raise SandlotError(answer[1:].decode())
                if answer:
                    yield msgspec.msgpack.decode(answer, type=Outcome)
                elif not _give(connection, queue):
                    crew.pop(connection).join()
                    connection.close()
    finally:
        if before is None:
            os.environ.pop(SUPERVISOR)
        else:
            os.environ[SUPERVISOR] = before
        for connection, process in crew.items():
            connection.close()
            process.terminate()
            process.join()


def _give(connection: Connection, queue: list[tuple[int, list[Task]]]) -> bool:
    """Hand out the next flight, or (False) the end."""
    if not queue:
        connection.send_bytes(b"")
        return False
    connection.send_bytes(msgspec.msgpack.encode(queue.pop()))
    return True


def _crew(connection: Connection) -> None:
    """A worker: flights in, outcomes out, an empty answer at the end of each flight."""
    follow_parent()
    folder = Path(tempfile.mkdtemp(prefix="sandlot-faults-"))
    try:
        while order := connection.recv_bytes():
            number, tasks = msgspec.msgpack.decode(order, type=tuple[int, list[Task]])
            for outcome in fly(number, tasks, folder):
                connection.send_bytes(msgspec.msgpack.encode(outcome))
            connection.send_bytes(b"")
            for left in folder.iterdir():
                shutil.rmtree(left)
    except SandlotError as error:
        connection.send_bytes(f"!{error}".encode())
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    finally:
        shutil.rmtree(folder, ignore_errors=True)
