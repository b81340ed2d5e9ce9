"""Artifacts in S3-compatible storage, with copies on this machine of those that were used here.

Invariant: what is written is in the bucket before its name is given out; a copy is checked at every load, and made
anew where it is missing or damaged; bytes that are not those of the name never become a copy.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from ratchet import clock
from ratchet.errors import ArtifactCorrupt, ArtifactMissing, ArtifactsUnreachable
from ratchet.store.artifacts import Artifacts, Stored

if TYPE_CHECKING:
    from obstore.store import S3Store

# Together some seconds where nobody listens, and at most this long where somebody answers that it is busy.
RETRIES = 4
RETRY_SECONDS = 60
CONNECT_SECONDS = 5
SILENCE_SECONDS = 60
REQUEST_SECONDS = 900
IN_USE_SECONDS = 3600.0
_WORKSPACES = "workspaces"
_POSTED = "posted"
_ONE_IN = 16
_REASON_LENGTH = 200
_REFUSED = ("PermissionDeniedError", "UnauthenticatedError")
# The process in which the library's threads run, once they do: they belong to all its clients, and survive no fork.
_running_in: list[int] = []


class BucketArtifacts(Artifacts):
    """A bucket of artifacts, and a folder with the copies that this machine has used last.

    Args:
        bucket: Its name.
        prefix: What all names in it begin with, ``""`` for nothing.
        cache: The folder of copies; it may be deleted at any time.
        cache_bytes: How large it may grow; what was used within the last hour stays in any case.
    """

    def __init__(self, bucket: str, prefix: str, *, cache: Path, cache_bytes: int) -> None:
        super().__init__(cache, address=bucket_address(bucket, prefix, cache=cache, cache_bytes=cache_bytes))
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = prefix
        self._cache_bytes = cache_bytes
        self._client: S3Store | None = None

    def write(self, content: bytes) -> str:
        """Store bytes and return their sha256, as 64 hexadecimal digits."""
        sha256 = hashlib.sha256(content).hexdigest()
        self._send(sha256, content)
        # A full disk here is no reason to fail: the artifact is where it belongs.
        with suppress(OSError):
            super().write(content)
            self._trim_sometimes(sha256, len(content))
        return sha256

    def write_file(self, source: Path) -> str:
        """Store a copy of a file and return its sha256; one gigabyte needs some megabytes of memory."""
        # Copied first: what is sent is what was hashed, whoever writes to the source meanwhile.
        sha256 = super().write_file(source)
        copy = self.path(sha256)
        try:
            self._send(sha256, copy)
        except BaseException:
            with suppress(FileNotFoundError):
                copy.unlink()
            raise
        self._trim_sometimes(sha256, copy.stat().st_size)
        return sha256

    def read(self, sha256: str) -> bytes:
        """Return an artifact's bytes after checking them.

        Raises:
            ArtifactMissing: The bucket has no such artifact.
            ArtifactCorrupt: Its bytes are not those that were stored.
            ArtifactsUnreachable: It is needed from the bucket, which does not answer.
        """
        with suppress(ArtifactMissing, ArtifactCorrupt):
            content = super().read(sha256)
            self._used(sha256)
            return content
        self._fetch(sha256)
        return super().read(sha256)

    def checked_path(self, sha256: str) -> Path:
        """Return the path of a copy after checking its bytes, for readers that want a file.

        Raises:
            ArtifactMissing: The bucket has no such artifact.
            ArtifactCorrupt: Its bytes are not those that were stored.
            ArtifactsUnreachable: It is needed from the bucket, which does not answer.
        """
        with suppress(ArtifactMissing, ArtifactCorrupt):
            path = super().checked_path(sha256)
            self._used(sha256)
            return path
        self._fetch(sha256)
        return self.path(sha256)

    def exists(self, sha256: str) -> bool:
        """Tell whether the bucket has an artifact; its bytes are checked when it is loaded."""
        try:
            self._ask("head", _key(sha256))
        except FileNotFoundError:
            return False
        return True

    def all(self) -> Iterator[str]:
        """List the artifacts by sha256, sorted."""
        yield from sorted(one.sha256 for one in self.listed())

    def listed(self) -> Iterator[Stored]:
        """List the artifacts with their sizes and ages."""
        for found in self._names():
            shelf, _, sha256 = found["path"].rpartition("/")
            if shelf == sha256[:2]:
                written = found["last_modified"].timestamp()
                yield Stored(sha256=sha256, size_bytes=found["size"], written_seconds=written)

    def delete(self, sha256: str, *, written_before: float) -> bool:
        """Remove an artifact, unless somebody has written it since.

        Between the last look and the removal there is one request's time, in which a writer of the same bytes would
        lose them; whoever reads them then is told that they are missing.
        """
        try:
            found = self._ask("head", _key(sha256))
        except FileNotFoundError:
            return False
        if found["last_modified"].timestamp() >= written_before:
            return False
        self._ask("delete", _key(sha256))
        with suppress(FileNotFoundError):
            self.path(sha256).unlink()
        return True

    def tidy(self, *, older_than_seconds: float) -> None:
        """Clear away leftovers among the copies, and copies that were not used for longest where there are too many."""
        super().tidy(older_than_seconds=older_than_seconds)
        self._trim()

    def enter(self, workspace: str, *, seq: int = 0) -> None:
        """Leave word that a workspace keeps artifacts here, so that no other one removes them.

        Args:
            workspace: Its name.
            seq: How long its ledger was; a copy of it that is older knows less of what is needed.
        """
        self._ask("put", f"{_WORKSPACES}/{workspace}", b"%d" % seq)

    def seq_of(self, workspace: str) -> int:
        """Return how long a workspace's ledger was when it left word last, 0 where it never did."""
        try:
            return int(bytes(self._ask("get", f"{_WORKSPACES}/{workspace}").bytes()) or 0)
        except FileNotFoundError:
            return 0

    def workspaces(self) -> list[str]:
        """Return the workspaces that keep artifacts here, sorted."""
        return sorted(found["path"].rpartition("/")[2] for found in self._names(_WORKSPACES))

    def post(self, name: str, content: bytes) -> None:
        """Leave word under a name of letters, digits and dashes; what was left under it before is replaced."""
        self._ask("put", f"{_POSTED}/{name}", content)

    def posted(self, name: str) -> bytes | None:
        """Return the word that was left under a name, ``None`` where there is none."""
        try:
            return bytes(self._ask("get", f"{_POSTED}/{name}").bytes())
        except FileNotFoundError:
            return None

    def unpost(self, name: str) -> None:
        """Take away the word that was left under a name, if there is one."""
        with suppress(FileNotFoundError):
            self._ask("delete", f"{_POSTED}/{name}")

    # ---- the bucket

    def _send(self, sha256: str, content: bytes | Path) -> None:
        # Sent also where it is there: its writer counts on it from now on, so it must be young, and whole.
        self._ask("put", _key(sha256), content)

    def _fetch(self, sha256: str) -> None:
        try:
            reply = self._ask("get", _key(sha256))
            temporary = self._temporary()
            try:
                found = self._copy(reply, temporary)
                if found != sha256:
                    raise ArtifactCorrupt(sha256=sha256, found=found, path=f"{self.url}/{_key(sha256)}")
                temporary.replace(self._place(sha256))
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()
        except FileNotFoundError as error:
            raise ArtifactMissing(sha256=sha256, path=f"{self.url}/{_key(sha256)}") from error
        self._trim_sometimes(sha256, self.path(sha256).stat().st_size)

    def _copy(self, reply: Any, target: Path) -> str:
        digest = hashlib.sha256()
        with target.open("wb") as file:
            try:
                for chunk in reply.stream():
                    digest.update(chunk)
                    file.write(chunk)
            except Exception as error:
                raise self._refusal(error) from error
        return digest.hexdigest()

    def _names(self, prefix: str = "") -> Iterator[Any]:
        try:
            for found in self._store().list(prefix=prefix or None):
                yield from found
        except Exception as error:
            raise self._refusal(error) from error

    def _ask(self, verb: str, key: str, *rest: Any) -> Any:
        """Carry out one request.

        Raises:
            FileNotFoundError: There is nothing of this name.
            ArtifactsUnreachable: The storage does not answer, or refuses.
        """
        try:
            return getattr(self._store(), verb)(key, *rest)
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._refusal(error) from error
            raise
        except ArtifactsUnreachable:
            raise
        except Exception as error:
            raise self._refusal(error) from error

    def _store(self) -> "S3Store":
        """Return the client, made at the first request: the threads behind it would not survive a fork."""
        if _running_in and _running_in[0] != os.getpid():
            problem = "this process was forked from one that had used it already"
            remedy = "Load what you need before the fork, or start processes with the method 'spawn'."
            raise ArtifactsUnreachable(address=self.url, problem=problem, remedy=remedy)
        if self._client is not None:
            return self._client
        try:
            from obstore.store import S3Store
        except ImportError as error:
            problem = "it needs 'obstore', which is not installed"
            remedy = "Install it: pip install 'mlratchet[s3]'."
            raise ArtifactsUnreachable(address=self.url, problem=problem, remedy=remedy) from error
        self._client = S3Store(
            self._bucket,
            prefix=self._prefix or None,
            client_options={
                # An endpoint is asked over plain HTTP only where its URL, which the person wrote, says so.
                "allow_http": _endpoint().startswith("http://"),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "read_timeout": timedelta(seconds=SILENCE_SECONDS),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        )
        _running_in[:] = [os.getpid()]
        return self._client

    def _refusal(self, error: Exception) -> ArtifactsUnreachable:
        endpoint = _endpoint() or "Amazon S3"
        reason = _reason(str(error))
        if "NoSuchBucket" in str(error):
            reason, remedy = f"{endpoint} has no bucket '{self._bucket}'", "Make it, or mend [project] artifacts."
        elif type(error).__name__ in _REFUSED or "Missing AccessKeyId" in reason:
            reason = f"{endpoint} does not let this process in ({reason})"
            remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of somebody who may list, read, write and delete."
        else:
            remedy = f"Does {endpoint} run, and can it be reached from here? AWS_ENDPOINT_URL names another one."
        return ArtifactsUnreachable(address=self.url, problem=reason, remedy=remedy)

    # ---- the copies

    def _used(self, sha256: str) -> None:
        with suppress(OSError):
            os.utime(self.path(sha256))

    def _trim_sometimes(self, sha256: str, size_bytes: int) -> None:
        # Looking at all copies takes longer than making a small one; names are as good as chance.
        if int(sha256[:4], 16) % _ONE_IN == 0 or size_bytes * _ONE_IN > self._cache_bytes:
            self._trim()

    def _trim(self) -> None:
        """Remove the copies that were not used for longest, until the rest has room."""
        copies = sorted(super().listed(), key=lambda one: one.written_seconds)
        too_many = sum(one.size_bytes for one in copies) - self._cache_bytes
        in_use = clock.real_seconds() - IN_USE_SECONDS
        for one in copies:
            # A path that was given out is opened a moment later, by a reader that does not know of this.
            if too_many <= 0 or one.written_seconds >= in_use:
                return
            with suppress(FileNotFoundError):
                self.path(one.sha256).unlink()
            too_many -= one.size_bytes


def bucket_address(bucket: str, prefix: str, *, cache: Path, cache_bytes: int) -> str:
    """Return what another process on this machine opens the same store by, copies included."""
    return f"s3://{bucket}/{prefix}?{urlencode({'cache': cache, 'cache_bytes': cache_bytes})}"


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def _reason(message: str) -> str:
    """Return what a message of the library says, without the addresses and settings around it."""
    if "HTTP error: " in message:
        return f"no answer in {RETRIES + 1} tries"
    status = re.search(r"status code: (\d{3} [A-Za-z ]+)", message)
    code = re.search(r"<Code>(\w+)</Code>", message)
    if status:
        return f"it answered {status[1].strip()}" + (f" ({code[1]})" if code else "")
    return " ".join(message.partition("\n")[0].split())[:_REASON_LENGTH].rstrip(".: ")


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
