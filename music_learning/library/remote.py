"""Music and libraries on an S3 server: addresses such as s3://bucket/music, listed and fetched through s3fs.

Where the server is and by which keys it is asked, the environment says, as AWS has it: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID and so on, a profile, or the role of the machine. Neither keys nor what a server answers in words
ever stand in what is raised here.
"""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np

from music_learning.errors import AudioError, ServerError, UserError
from music_learning.library.rows import AudioFile
from music_learning.library.scan import LocalFiles
from music_learning.pipeline_config import SUFFIXES

if TYPE_CHECKING:
    from s3fs import S3FileSystem

SCHEME = "s3://"
MAX_BYTES = 2_000_000_000  # of one file, which lies on the disk of whoever hears it for as long
MAX_DOWNLOAD_S = 600
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20  # without a single byte
TRIES = 3  # of a request
PATIENCE_S = 120  # with a server that is away in the middle of a run
FIRST_WAIT_S, MAX_WAIT_S = 1, 20  # between tries, twice as long each time
NEEDS_PACKAGES = "pip install 'music-learning[cluster]'"
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
_AWAY = "the server doesn't answer; check the network, and AWS_ENDPOINT_URL if it is set"
_BUSY = "the server is asked for too much; try again later"
_TROUBLED = "the server is in trouble; try again later"
_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names"
_REASONS = {
    "NoSuchBucket": "there is no such bucket; check its name, and AWS_ENDPOINT_URL if it is set",
    **dict.fromkeys(("NoSuchKey", "404"), "it is not there any more"),
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "403"),
        "these keys have no permission for it; ask its owner for s3:ListBucket and s3:GetObject, of the library also "
        "s3:PutObject",
    ),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"), f"the keys are wrong; {_KEYS}"),
    "ExpiredToken": "the keys have expired; fetch new ones",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    **dict.fromkeys(("PermanentRedirect", "301"), "the bucket is in another region; name it in AWS_REGION"),
    **dict.fromkeys(("SlowDown", "503", "ServiceUnavailable"), _BUSY),
    **dict.fromkeys(("InternalError", "500", "502", "504", "RequestTimeout"), _TROUBLED),
    "InvalidObjectState": "it is archived; restore it first",
}
_BY_TYPE = {
    "NoCredentialsError": f"there are no keys; {_KEYS}",
    "CredentialRetrievalError": f"there are no keys; {_KEYS}",
    "PartialCredentialsError": f"a part of the keys is missing; {_KEYS}",
    "ProfileNotFound": "there is no profile of the name in AWS_PROFILE; check it",
    "ParamValidationError": "no server takes such a name; check the address",
    "ValueError": "the server's address is none; check AWS_ENDPOINT_URL",
}
_PASSING = (_AWAY, _BUSY, _TROUBLED)

Answer = TypeVar("Answer")


def is_address(name: str) -> bool:
    """Whether what a user named lies on another machine."""
    return "://" in name


def bucket_and_key(address: str) -> tuple[str, str]:
    """The two parts of an address. Raises UserError where it is none; the sentence leaves out what may be a password.

    The key is what stands behind the bucket's `/`, letter by letter.
    """
    scheme, _, rest = address.partition("://")
    if f"{scheme}://" != SCHEME:
        raise UserError(
            f"only addresses with {SCHEME} can be read, not with {scheme[:20]}://; name a local folder or those"
        )
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UserError(
            f"an address is {SCHEME}bucket/folder, and this one has no bucket's name; keys and passwords go "
            "into the environment"
        )
    return bucket, key


@cache
def filesystem() -> "S3FileSystem":
    """This process's connection. Raises UserError where the packages are missing."""
    try:
        from s3fs import S3FileSystem
    except ModuleNotFoundError:
        raise UserError(f"{SCHEME} needs packages that are not installed; install them: {NEEDS_PACKAGES}") from None
    config = {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": READ_TIMEOUT_S, "retries": {"max_attempts": 0}}
    # A file is fetched by one request, and a listing of a million is not kept.
    made = S3FileSystem(skip_instance_cache=True, use_listings_cache=False, max_concurrency=1, config_kwargs=config)
    made.retries = TRIES
    made.away_since_s = None
    return made


@dataclass(frozen=True)
class RemoteFile(AudioFile):
    """A file on a server, as a listing had it. It is on this machine for as long as it is heard."""

    n_bytes: int
    modified: str

    @classmethod
    def listed(cls, address: str, n_bytes: int, modified: str) -> Self:
        return cls(Path(address), address, n_bytes, modified)

    @property
    def key(self) -> bytes:
        return self.name.encode()

    def state(self) -> tuple[int, str]:
        return self.n_bytes, self.modified

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """A copy in a temporary folder, in bounded time and space.

        Raises:
            AudioError: it can't be fetched.
            ServerError: nor can any other.
        """
        if self.n_bytes > MAX_BYTES:
            raise AudioError(f"larger than {MAX_BYTES // 10**9} GB, which is fetched at most; scan it from a folder")
        with TemporaryDirectory(prefix="music-learning-") as folder:
            path = Path(folder, f"song{PurePosixPath(self.name).suffix.lower()}")  # nothing else of its name
            try:
                patiently(lambda: filesystem().get_file(self.name[len(SCHEME) :], str(path), callback=_limits()))
            except UserError:
                raise
            except Exception as error:
                why = reason(error)
            else:
                why = None
            if why:
                _check_answers(self.name)
                raise AudioError(why)
            yield path


class RemoteFiles:
    """The audio files below addresses; they are listed anew each time they are asked for, a thousand at a time."""

    def __init__(self, addresses: list[str]) -> None:
        """Raises UserError where one can't be listed."""
        self.files: list[str] = []
        self.folders: list[str] = []
        for address in addresses:
            bucket, key = bucket_and_key(address)
            if _is_audio(key) and any(found["Key"] == key for found in _first_page(bucket, key)):
                self.files.append(address)
                continue
            folder = f"{SCHEME}{bucket}/{key}".rstrip("/") + "/"
            _first_page(*bucket_and_key(folder))  # which says what is wrong
            self.folders.append(folder)

    def __iter__(self) -> Iterator[RemoteFile]:
        for address in self.files:
            bucket, key = bucket_and_key(address)
            yield from (_file(bucket, found) for found in _first_page(bucket, key) if found["Key"] == key)
        for folder in self.folders:
            bucket, prefix = bucket_and_key(folder)
            for found in _objects(bucket, prefix):
                below = found["Key"].removeprefix(prefix)
                if _is_audio(below) and not any(part.startswith(".") and part != ".." for part in below.split("/")):
                    yield _file(bucket, found)

    @cached_property
    def count(self) -> int:
        return sum(1 for _ in self)

    def __len__(self) -> int:
        return self.count


class AllFiles:
    """Files of several places, one after the other."""

    def __init__(self, places: list[LocalFiles | RemoteFiles]) -> None:
        self.places = places
        self.folders = [folder for place in places for folder in place.folders]

    def __iter__(self) -> Iterator[AudioFile]:
        for place in self.places:
            yield from place

    def __len__(self) -> int:
        return sum(map(len, self.places))


def find_all(names: list[str]) -> AllFiles:
    """The audio files in what a user named, folders and addresses. Raises UserError where one can't be used."""
    local, remote = ([name for name in names if is_address(name) is wanted] for wanted in (False, True))
    places: list[LocalFiles | RemoteFiles] = [LocalFiles(list(map(Path, local)))] if local else []
    return AllFiles(places + ([RemoteFiles(remote)] if remote else []))


def file_of(key: bytes, n_bytes: int | None, modified: str | None) -> AudioFile:
    """The file with a key (`AudioFile.key`), as a listing had it."""
    if key.startswith(SCHEME.encode()):
        return RemoteFile.listed(key.decode(), n_bytes, modified)
    return AudioFile.at(Path(os.fsdecode(key)))


class RemoteFolder:
    """The files of a folder on a server, whose content is read and written as a whole."""

    def __init__(self, address: str) -> None:
        self.bucket, key = bucket_and_key(address)
        self.prefix = f"{key.rstrip('/')}/".removeprefix("/")
        self.name = f"{SCHEME}{self.bucket}/{self.prefix}"

    def names(self) -> list[str]:
        """What is in the folder; folders in it end in `/`."""
        found = _pages(self.bucket, self.prefix, delimiter="/")
        keys = [key for page in found for key in (*page.get("Contents", ()), *page.get("CommonPrefixes", ()))]
        names = (key.get("Key", key.get("Prefix")).removeprefix(self.prefix) for key in keys)
        return [name for name in names if name]

    def read(self, name: str) -> bytes:
        with clearly(self.name + name):
            return patiently(lambda: filesystem().cat_file(f"{self.bucket}/{self.prefix}{name}"))

    def write(self, name: str, content: bytes) -> None:
        """By one request, so that a reader finds all of it or what was there before."""
        with clearly(self.name + name):
            patiently(lambda: filesystem().pipe_file(f"{self.bucket}/{self.prefix}{name}", content))


def patiently(request: Callable[[], Answer]) -> Answer:
    """What a request returns. It is tried again while its server is away, as long as that is shorter than PATIENCE_S.

    Raises what the request does.
    """
    began_s, wait_s = None, FIRST_WAIT_S
    while True:
        try:
            answer = request()
        except Exception as error:
            if isinstance(error, UserError) or reason(error) not in _PASSING:
                raise
            connection, now_s = filesystem(), time.monotonic()
            began_s = began_s or now_s
            connection.away_since_s = connection.away_since_s or now_s  # for all threads
            if now_s - min(began_s, connection.away_since_s) > PATIENCE_S:
                raise
        else:
            filesystem().away_since_s = None
            return answer
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, MAX_WAIT_S)


def _check_answers(address: str) -> None:
    """Raise ServerError unless the server still lists what it listed, so that a file alone is to blame."""
    bucket, key = bucket_and_key(address)
    try:
        filesystem().call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
    except Exception as error:
        raise ServerError(
            f"{SCHEME}{bucket} can't be used: {reason(error)}; what was heard is kept, the same command goes on"
        ) from None


@contextmanager
def clearly(address: str) -> Iterator[None]:
    """Turn whatever s3fs and botocore raise into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{address} can't be used: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Why a request failed, in our words: those of servers and libraries may hold keys' ids and signed addresses."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    codes = [((getattr(cause, "response", None) or {}).get("Error") or {}).get("Code") for cause in causes]
    if code := next(filter(None, codes), None):
        said = code if re.fullmatch("[A-Za-z]{1,40}|[0-9]{3}", code) else "no reason"
        return _REASONS.get(code) or f"the server refuses it ({said})"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "there is no room for it on the disk of the machine that hears it; make some"
    types = [kind.__name__ for cause in causes for kind in type(cause).__mro__]
    for name, sentence in _BY_TYPE.items():
        if name in types:
            return sentence
    if {"HTTPClientError", "ConnectionError", "TimeoutError", "ClientError"} & set(types):
        return _AWAY
    if isinstance(error, FileNotFoundError):
        return _REASONS["NoSuchKey"]
    return f"unexpected: {types[0]}"


def _limits():
    """What a download reports its progress to, which ends it where it takes too much."""
    from fsspec.callbacks import Callback

    class Limits(Callback):
        end_s = time.monotonic() + MAX_DOWNLOAD_S

        def relative_update(self, inc: int = 1) -> None:
            self.value += inc
            if self.value > MAX_BYTES:
                raise AudioError(
                    f"larger than {MAX_BYTES // 10**9} GB, which is fetched at most; scan it from a folder"
                )
            if time.monotonic() > self.end_s:
                raise AudioError(f"it took more than {MAX_DOWNLOAD_S // 60} minutes to fetch; try again")

    return Limits()


def _is_audio(key: str) -> bool:
    return PurePosixPath(key).suffix.lower() in SUFFIXES and not key.endswith("/")


def _file(bucket: str, found: dict) -> RemoteFile:
    """A file as S3 lists it."""
    modified = np.datetime64(round(found["LastModified"].timestamp() * 1000), "ms")
    return RemoteFile.listed(f"{SCHEME}{bucket}/{found['Key']}", found["Size"], f"{modified}Z")


def _first_page(bucket: str, prefix: str) -> list[dict]:
    return next(_pages(bucket, prefix, n_keys=1)).get("Contents", [])


def _objects(bucket: str, prefix: str) -> Iterator[dict]:
    for page in _pages(bucket, prefix):
        yield from page.get("Contents", ())


def _pages(bucket: str, prefix: str, *, delimiter: str = "", n_keys: int = 1000) -> Iterator[dict]:
    """A listing in the order of the keys, which is in memory a page at a time, unlike fsspec's `find`."""
    asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": n_keys}
    while True:
        with clearly(f"{SCHEME}{bucket}/{prefix}"):
            ask = partial(filesystem().call_s3, "list_objects_v2", **asked)
            page = patiently(ask) if "ContinuationToken" in asked else ask()  # what is wrong at first is said at once
        yield page
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]
