"""Standard output and error that never fail: where they take no more, the printing ends, but not the work."""

import errno
import io
import os
from typing import TextIO


class _LastingFile(io.FileIO):
    """A file that takes whatever is written; `lost` says why it is not there."""

    lost: OSError | None = None

    def write(self, data: bytes) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            self.lost = error
            return memoryview(data).nbytes


def lasting(stream: TextIO | None) -> TextIO:
    """A stream that never fails in place of standard output or error; what its encoding lacks becomes `?`."""
    if stream is None:  # closed, as by `>&-`: else what is opened next would take its place
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        file = _LastingFile(descriptor, "w")
        file.lost = OSError(errno.EBADF, "it is closed")
        return io.TextIOWrapper(io.BufferedWriter(file), "utf-8", "replace")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    raw = _raw(stream)
    if not isinstance(raw, io.FileIO):  # Windows' console, a notebook's, a test's
        return stream
    stream.flush()
    file = _LastingFile(raw.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        file if raw is stream.buffer else io.BufferedWriter(file),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def why_lost(stream: TextIO) -> OSError | None:
    """Why what was printed, to a stream of `lasting`, is not all there; None where it is."""
    stream.flush()
    return getattr(_raw(stream), "lost", None)


def _raw(stream: TextIO) -> object:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)
