"""The state file of a model machine: what it is, how it stands, and what was done.

One command's effect is there for the next. A change is one transaction: a
process killed anywhere in it leaves the machine as it was before or after.
"""

import sqlite3
import uuid
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from memhp.core.errors import MachineLocked, NoSuchObject
from memhp.model.codec import CodecError
from memhp.model.description import Description, parse_description, start
from memhp.model.kernel import Kernel
from memhp.model.persist import decode_kernel, encode_kernel
from memhp.model.steps import KernelRefusal
from memhp.model.store_database import create_database, judged, open_database
from memhp.model.store_holder import drop_holder, note_holder
from memhp.model.store_log import Deed, LogRow, deed_of, read_rows, write_row
from memhp.model.store_pages import read_pages, save_pages
from memhp.model.store_place import built_beside
from memhp.model.store_served import ServedNote, refuse_served

_BOOTED = "boot"
_DONE = "done"
_WAIT_SECONDS = 5.0

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time of day, for the log."""
    return datetime.now(UTC)


class StateFile:
    """A model machine, and its guests, in a file. Close it, or use it in ``with``.

    Every method may raise ``StateFileError``, and ``MachineLocked`` where
    another process is in the middle of a change for longer than was waited.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, clock: Clock) -> None:
        self._path = path
        self._connection = connection
        self._clock = clock
        self._outcome = _DONE
        self._notes: dict[str, ServedNote] = {}
        # Whoever opens a machine by its address has no place to close it at.
        self._close = weakref.finalize(self, connection.close)

    @classmethod
    def create(
        cls, path: str | Path, description_text: str, *, file: str = "", clock: Clock = utc_now
    ) -> Self:
        """Make a machine from a description's TOML, boot it and its guests, and open it.

        ``file`` is where the text is from, for errors. Raises
        ``DescriptionError``, and ``StateFileError`` where something is at the
        path already or nothing can be; then, as after a kill, nothing was made.
        """
        target = Path(path)
        description = parse_description(description_text, file or target.name)
        with built_beside(target) as new, judged(target):
            _fill(new, description, (_storable(file or target.name), description_text), clock)
        return cls.open(path, clock=clock)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        wait_seconds: float = _WAIT_SECONDS,
        clock: Clock = utc_now,
        one_thread: bool = True,
    ) -> Self:
        """Open a machine; raises ``NoSuchMachine`` or ``StateFileError``.

        With ``one_thread`` off, any thread may use it, one at a time.
        """
        target = Path(path)
        return cls(target, open_database(target, wait_seconds, one_thread=one_thread), clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, and of what is served from it."""
        while self._notes:
            self._notes.popitem()[1].take_away()
        self._close()

    @property
    def description(self) -> Description:
        """What the machine was made from."""
        with judged(self._path):
            file, text = _described(self._connection)
        return parse_description(text, file)

    def described(self, part: str) -> Description:
        """What the machine, or a guest of it, was made from; raises ``NoSuchObject``."""
        described = self.description
        machines = {"": described} | {guest.name: guest for guest in described.guests}
        if part not in machines:
            raise self._no_such(part)
        return machines[part]

    @property
    def identity(self) -> str:
        """The machine's own identity, another after every boot."""
        return self.identity_of("")

    def identity_of(self, part: str) -> str:
        """The identity of a guest, or of the machine itself; raises ``NoSuchObject``."""
        with judged(self._path):
            rows = self._connection.execute(
                "SELECT uuid, boots FROM machine WHERE part = ?", (part,)
            ).fetchall()
        for name, boots in rows:
            return f"{name}:{boots}"
        raise self._no_such(part)

    def parts(self) -> tuple[str, ...]:
        """The names of the machine's guests."""
        with judged(self._path):
            rows = self._connection.execute("SELECT part FROM machine ORDER BY part").fetchall()
            if not all(isinstance(part, str) for (part,) in rows):
                raise CodecError("the name of a guest is none")
        return tuple(part for (part,) in rows if part)

    def load(self, part: str = "") -> Kernel:
        """Read the machine, or a guest of it, to look at.

        Raises ``NoSuchObject``, and ``MachineLocked`` at once while it is served.
        """
        self._refuse_served(part)
        with judged(self._path):
            return self._decode(part, self._read(part))

    @contextmanager
    def change(self, what: str, part: str = "") -> Iterator[Kernel]:
        """Change the machine, or a guest of it, while nobody else can.

        When the block ends, what changed is saved with one row in the log. A
        ``KernelRefusal`` is saved too before it goes on, for a kernel that
        refuses may have changed (a stored online type stays stored). After any
        other exception everything is as it was.
        """
        with self._exclusively(what, part):
            with judged(self._path):
                before = self._read(part)
                kernel = self._decode(part, before)
            refusal: KernelRefusal | None = None
            try:
                yield kernel
            except KernelRefusal as err:
                self._outcome = f"refused: {err}"
                refusal = err
            with judged(self._path):
                self._save(kernel, part, what, before)
        if refusal is not None:
            raise refusal

    def serve(self, part: str, folder: str) -> None:
        """Keep everybody else from this machine until this is closed; it is served at ``folder``.

        Raises ``MachineLocked`` and ``NoSuchObject``.
        """
        self.identity_of(part)
        self._notes[part] = ServedNote(self._path, part, folder)
        try:
            # A change that had begun before is waited for.
            with self._exclusively("serve it", part):
                pass
        except BaseException:
            self._notes.pop(part).take_away()
            raise

    def keep(self, kernel: Kernel, deed: Deed) -> None:
        """Save a machine that is served as it stands, with a row in the log for what was done."""
        with self._exclusively(deed.asked, deed.part), judged(self._path):
            self._write(kernel, deed, self._read(deed.part))

    def came_of_it(self, outcome: str) -> None:
        """Say what came of the change that is under way; the log keeps it."""
        self._outcome = outcome

    def restart(self, part: str = "") -> None:
        """Boot the machine, or a guest of it, anew, as it was described."""
        kernel = start(self.described(part))
        with self._exclusively(_BOOTED, part), judged(self._path):
            self._save(kernel, part, _BOOTED, {})
            self._connection.execute("UPDATE machine SET boots = boots + 1 WHERE part = ?", (part,))

    def log(self) -> tuple[LogRow, ...]:
        """Everything that was done, the oldest first."""
        with judged(self._path):
            return read_rows(self._connection)

    @contextmanager
    def _exclusively(self, what: str, part: str) -> Iterator[None]:
        """Hold the file: nobody else can begin a change; all of it is kept, or nothing."""
        self._refuse_served(part)
        self._begin()
        self._outcome = _DONE
        try:
            # Once more: who serves it may have come while this waited.
            self._refuse_served(part)
            note_holder(self._path, what, self._clock().strftime("%H:%M:%SZ"))
            yield
            drop_holder(self._path)
            with judged(self._path):
                self._connection.execute("COMMIT")
        except BaseException:
            drop_holder(self._path)
            self._roll_back()
            raise

    def _refuse_served(self, part: str) -> None:
        if part not in self._notes:
            refuse_served(self._path, part)

    def _roll_back(self) -> None:
        """Undo the change; where even that fails, whoever opens the file next does it."""
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        if self._connection.in_transaction:
            raise MachineLocked(
                machine=str(self._path), problem="is being changed by this very command"
            )
        with judged(self._path):
            self._connection.execute("BEGIN IMMEDIATE")

    def _read(self, part: str) -> dict[str, str]:
        rows = self._connection.execute(
            "SELECT name, value, crc FROM state WHERE part = ?", (part,)
        ).fetchall()
        if not rows:
            self.identity_of(part)
            raise CodecError("its state is missing")
        for name, value, crc in rows:
            if not isinstance(value, str) or zlib.crc32(value.encode()) != crc:
                raise CodecError(f"the part '{name}' is not what was written")
        return {name: value for name, value, _ in rows}

    def _decode(self, part: str, state: Mapping[str, str]) -> Kernel:
        kernel = decode_kernel(state)
        read_pages(self._connection, self._path, part, kernel)
        return kernel

    def _save(self, kernel: Kernel, part: str, asked: str, before: Mapping[str, str]) -> None:
        deed = deed_of(kernel, part=part, asked=asked, outcome=self._outcome)
        self._write(kernel, deed, before)

    def _write(self, kernel: Kernel, deed: Deed, before: Mapping[str, str]) -> None:
        _save_state(self._connection, deed.part, encode_kernel(kernel), before)
        save_pages(self._connection, deed.part, kernel)
        write_row(self._connection, deed, self._clock())

    def _no_such(self, part: str) -> NoSuchObject:
        guests = ", ".join(self.parts())
        return NoSuchObject(
            machine=str(self._path),
            name=f"guest '{part}'",
            advice=f"its guests are {guests}" if guests else "it has no guests",
        )


def _fill(path: Path, description: Description, source: tuple[str, str], clock: Clock) -> None:
    """Write a new file: the description, and each machine as it has booted."""
    connection = create_database(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        file, text = source
        row = (file, text, zlib.crc32(text.encode()))
        connection.execute("INSERT INTO description VALUES (?, ?, ?)", row)
        for part, machine in [("", description), *((g.name, g) for g in description.guests)]:
            kernel = start(machine)
            connection.execute("INSERT INTO machine VALUES (?, ?, 1)", (part, str(uuid.uuid4())))
            _save_state(connection, part, encode_kernel(kernel), {})
            save_pages(connection, part, kernel)
            write_row(connection, deed_of(kernel, part=part, asked=_BOOTED, outcome=_DONE), clock())
        connection.execute("COMMIT")
    finally:
        connection.close()


def _described(connection: sqlite3.Connection) -> tuple[str, str]:
    """The file that the description is from, and its text."""
    row = connection.execute("SELECT file, text, crc FROM description").fetchone()
    if row is None:
        raise CodecError("the description is missing")
    file, text, crc = row
    if not isinstance(text, str) or zlib.crc32(text.encode()) != crc:
        raise CodecError("the description is not what was written")
    return str(file), text


def _storable(name: str) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return name.encode("utf-8", "backslashreplace").decode()


def _save_state(
    connection: sqlite3.Connection, part: str, after: Mapping[str, str], before: Mapping[str, str]
) -> None:
    """Write the parts that are not what they were."""
    connection.executemany(
        "INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)",
        [
            (part, name, value, zlib.crc32(value.encode()))
            for name, value in after.items()
            if before.get(name) != value
        ],
    )
