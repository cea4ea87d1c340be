"""Every answer that cost a request, kept in an SQLite file, so that a stopped run goes on and asks nothing twice."""

import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from music_learning.collect.answers import fits
from music_learning.errors import UserError

MAX_AGE_S = 30 * 24 * 3600  # charts, top songs and labels change: what is older is asked again
MAX_ANSWER_BYTES = 100_000_000  # unpacked; no answer has a tenth of that
COLUMNS = ["service", "request", "answer", "asked_at"]


class ResponseCache:
    """What each service answered to each request, with the time when it was asked.

    Usable from several threads. Each change is on the disk when `put` returns, so neither kill -9 nor a power cut loses
    one. A second run on the same file is refused.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file can't be used, or where another run uses it."""
        self.path = path
        self.lock = threading.Lock()
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.database = sqlite3.connect(path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except UserError:
            self.database.close()
            raise

    def close(self) -> None:
        self.database.close()

    def count(self) -> int:
        with self.lock, self._explained():
            return self.database.execute("SELECT COUNT(*) FROM answers").fetchone()[0]

    def get(
        self, service: str, requests: Iterable[str], *, shape: Any = object, max_age_s: float = MAX_AGE_S
    ) -> dict[str, Any]:
        """The answers that are there and not too old, by request. An answer may be None: the service has none.

        Args:
            shape: what an answer must be, see `fits`; others are left out, and so are asked for again.
        """
        oldest, answers = time.time() - max_age_s, {}
        with self.lock, self._explained():
            for request in requests:
                row = self.database.execute(
                    "SELECT answer FROM answers WHERE service = ? AND request = ? AND asked_at > ?",
                    (service, request, oldest),
                ).fetchone()
                if row is not None:
                    answer = json.loads(zlib.decompressobj().decompress(row[0], MAX_ANSWER_BYTES))
                    if answer is None or fits(answer, shape):
                        answers[request] = answer
        return answers

    def put(self, service: str, answers: dict[str, Any]) -> None:
        """Keep what one request brought: all of it or, where the run is killed, nothing."""
        now = time.time()
        rows = [
            (service, request, zlib.compress(json.dumps(answer).encode(), level=3), now)
            for request, answer in answers.items()
        ]
        with self.lock, self._explained():
            self.database.execute("BEGIN")
            try:
                self.database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", rows)
                self.database.execute("COMMIT")
            except BaseException:
                if self.database.in_transaction:
                    self.database.execute("ROLLBACK")
                raise

    def _prepare(self) -> None:
        """Take the file for this run. Raises UserError where another has it, or where it is none of ours."""
        with self._explained():
            self.database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.database.execute("PRAGMA journal_mode = WAL")
            self.database.execute("PRAGMA synchronous = FULL")
            self.database.execute(
                "CREATE TABLE IF NOT EXISTS answers (service TEXT, request TEXT, answer BLOB, asked_at REAL,"
                " PRIMARY KEY (service, request)) WITHOUT ROWID"
            )
            self.database.execute("BEGIN IMMEDIATE")  # takes the lock now rather than at the first answer
            self.database.execute("COMMIT")
            columns = [row[1] for row in self.database.execute("PRAGMA table_info(answers)")]
            kind = self.database.execute("SELECT type FROM sqlite_master WHERE name = 'answers'").fetchone()
        if columns != COLUMNS or kind != ("table",):
            raise self._damaged("is of another program or version")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise UserError(f"{self.path.parent} is a file; name a folder to write to") from None
        except OSError as error:
            raise UserError(f"{self.path} can't be written: {error.strerror}") from None
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UserError(f"{self.path} is in use: another run collects into the same folder") from None
            raise UserError(f"{self.path} can't be written: {error}; the same command goes on from here") from None
        except (sqlite3.DatabaseError, zlib.error, TypeError, ValueError, RecursionError):
            raise self._damaged("is damaged") from None

    def _damaged(self, what: str) -> UserError:
        return UserError(f"{self.path} {what}; delete it and run the same command again (only requests are repeated)")
