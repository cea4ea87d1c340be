"""How a request can go wrong, and what that means for the run."""

from music_learning.errors import UserError

TRIES = 8  # with the waits between them a minute and a half: a service that is down for a minute ends no run


class Throttled(Exception):
    """The service wants a pause: `seconds`, or as long as we see fit. Never a reason to do without its answer."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__()
        self.seconds = seconds


class Failed(Exception):
    """An attempt that may go well next time: no connection, a broken answer, a server's own error."""

    tries = TRIES


class Malformed(Failed):
    """An answer that is not what the service's documentation says."""

    tries = 4


class TooSlow(Failed):
    """An answer that began and was not whole in time."""

    tries = 4


class BadDownload(Failed):
    """A download that arrived and can't be used. Tried again, since a transfer may be cut short unnoticed."""

    def __init__(self, reason: str, *, tries: int = 5, remember: bool = True) -> None:
        super().__init__(reason)
        self.tries = tries
        self.remember = remember  # so that the next run doesn't try again


class Skip(Exception):
    """Do without the answer to this one request: the service works, but can't give it. The next run asks again."""


class RetryLater(UserError):
    """End the run: a service needs a longer rest than the user wants to wait for. The same command goes on later."""


class Stopped(Exception):
    """The run is ending; raised in the threads that wait."""
