"""An object store in a bucket of S3 or a service that speaks it, through boto3."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from s3transfer.exceptions import RetriesExceededError

from infra.local_store import replacing
from infra.object_store import (
    RESERVED_FOLDER,
    MissingObjectError,
    ObjectInfo,
    StorageError,
    check_key,
    check_prefix,
    missing_object,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MIB = 1 << 20
_TRANSFER = TransferConfig(multipart_threshold=16 * _MIB, multipart_chunksize=16 * _MIB, max_concurrency=4)
_ABSENT = {"404", "NoSuchKey"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthorizationHeaderMalformed"}
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError, ProfileNotFound)
_LOST_CREDENTIALS = (CredentialRetrievalError, SSOError, TokenRetrievalError, UnauthorizedSSOTokenError)
_NO_ANSWER = (BotoConnectionError, HTTPClientError, RetriesExceededError)
_CONFLICT_ATTEMPTS = 8


class S3ObjectStore:
    """An `ObjectStore` below ``prefix`` of a bucket; ``endpoint_url`` None is Amazon's own service.

    Requests are checksummed both ways and tried ``attempts`` times with growing, jittered pauses. An upload whose
    client is killed leaves parts that no reader sees; a lifecycle rule of the bucket removes them.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint_url: str | None = None, *, attempts: int = 5) -> None:
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint_url or "Amazon S3"
        self._conditional_writes_seen = False
        config = Config(
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": attempts},
            s3={"addressing_style": "path" if endpoint_url else "auto"},
            request_checksum_calculation="when_supported",
            response_checksum_validation="when_supported",
        )
        with self._explained("open the store"):
            session = boto3.session.Session()
            try:
                self._client: S3Client = session.client(
                    "s3", endpoint_url=endpoint_url, region_name=session.region_name or "us-east-1", config=config
                )
            except ValueError as error:
                raise StorageError(
                    f"The endpoint address {endpoint_url!r} is no web address: expected http(s)://HOST[:PORT]."
                ) from error

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing the one there."""
        with self._explained(f"write object {key!r}"):
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless the key exists (If-None-Match)."""
        with self._explained(f"write object {key!r}"):
            self._require_conditional_writes()
            return self._put_on_condition(self._name(key), data, IfNoneMatch="*")

    def replace_if(self, key: str, data: bytes, tag: str) -> bool:
        """Replace an object if it still has this ETag (If-Match)."""
        with self._explained(f"write object {key!r}"):
            self._require_conditional_writes()
            return self._put_on_condition(self._name(key), data, IfMatch=tag)

    def get(self, key: str) -> bytes:
        """The bytes of an object."""
        return self.get_tagged(key)[0]

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """The bytes of an object and its ETag."""
        with self._explained(f"read object {key!r}", key):
            response = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            return response["Body"].read(), response["ETag"]

    def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        """Upload a file, in parts beyond 16 MiB; the object appears with the last part."""
        name = self._name(key)
        try:
            with path.open("rb") as file, self._explained(f"write object {key!r}"):
                self._client.upload_fileobj(file, self._bucket, name, Config=_TRANSFER)
        except OSError as error:
            raise StorageError(
                f"Cannot read {path} to write object {key!r}: {error.strerror}; check that the file exists."
            ) from error
        if move:
            path.unlink()

    def get_file(self, key: str, path: Path) -> None:
        """Download an object to ``path`` through a temporary name beside it."""
        name = self._name(key)
        with replacing(path) as file, self._explained(f"read object {key!r}", key):
            self._client.download_fileobj(self._bucket, name, file, Config=_TRANSFER)

    def exists(self, key: str) -> bool:
        """Whether the bucket holds this key."""
        try:
            with self._explained(f"look for object {key!r}", key):
                self._client.head_object(Bucket=self._bucket, Key=self._name(key))
        except MissingObjectError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose key starts with ``prefix``, sorted here: not every service lists in the order of keys."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + check_prefix(prefix)
        )
        with self._explained(f"list {prefix!r}"):
            found = [entry for page in pages for entry in page.get("Contents", [])]
        for entry in sorted(found, key=lambda entry: entry["Key"]):
            key = entry["Key"].removeprefix(self._prefix)
            if not key.startswith(f"{RESERVED_FOLDER}/") and not key.endswith("/"):  # consoles make "folders"
                yield ObjectInfo(key, entry["Size"], entry["LastModified"].timestamp())

    def delete(self, key: str) -> None:
        """Remove an object; S3 itself does not mind an absent one."""
        with self._explained(f"delete object {key!r}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def local_path(self, key: str) -> None:
        """Nothing: the object is remote."""
        check_key(key)

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _put_on_condition(self, name: str, data: bytes, **condition: str) -> bool:
        """Put an object if the condition holds; False if it does not.

        A request whose answer was lost is sent again and then meets its own object, so each carries a mark to know it
        by. A conflict (409) means that another conditional write was under way and nothing was decided.
        """
        mark = uuid4().hex
        put: Callable[..., Any] = partial(self._client.put_object, Bucket=self._bucket, Key=name)
        for attempt in range(_CONFLICT_ATTEMPTS):
            try:
                put(Body=data, Metadata={"writer": mark}, **condition)
            except ClientError as error:
                metadata = error.response["ResponseMetadata"]
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return False
                if metadata["HTTPStatusCode"] == 412:
                    return bool(metadata.get("RetryAttempts")) and self._was_written_by(mark, name)
                if metadata["HTTPStatusCode"] != 409:
                    raise
                time.sleep(random.uniform(0.0, 0.05 * 2**attempt))
            else:
                return True
        raise StorageError(
            f"Cannot write object {name!r} to {self.uri}: {_CONFLICT_ATTEMPTS} attempts met other writers; try again."
        )

    def _was_written_by(self, mark: str, name: str) -> bool:
        return self._client.head_object(Bucket=self._bucket, Key=name)["Metadata"].get("writer") == mark

    def _require_conditional_writes(self) -> None:
        """Refuse a service that ignores If-None-Match: it would let two owners take one lease."""
        if self._conditional_writes_seen:
            return
        probe = f"{self._prefix}{RESERVED_FOLDER}/conditional-writes"
        if self._put_on_condition(probe, b"", IfNoneMatch="*") and self._put_on_condition(probe, b"", IfNoneMatch="*"):
            raise StorageError(
                f"The service at {self._endpoint} ignores the condition of conditional writes (If-None-Match), which "
                "keep two runs from overwriting each other; use one that supports them, such as Amazon S3 or SeaweedFS."
            )
        self._conditional_writes_seen = True

    @contextmanager
    def _explained(self, action: str, key: str | None = None) -> Iterator[None]:
        """Turn what boto3 and the service say into one sentence; an absent ``key`` is a `MissingObjectError`."""
        try:
            yield
        except ClientError as error:
            if key is not None and error.response["Error"]["Code"] in _ABSENT:
                raise missing_object(key, self.uri) from error
            raise StorageError(f"Cannot {action} in {self.uri}: {self._refusal(error)}.") from error
        except (BotoCoreError, RetriesExceededError) as error:
            raise StorageError(f"Cannot {action} in {self.uri}: {self._failure(error)}.") from error

    def _refusal(self, error: ClientError) -> str:
        """What the service answered, and what to do about it."""
        code = error.response["Error"].get("Code", "unknown")
        if code == "NoSuchBucket":
            return f"{self._endpoint} has no bucket {self._bucket!r}; create it or correct the store address"
        if code in _EXPIRED:
            return f"the credentials have expired ({code}); sign in again and repeat the command"
        if code in _UNKNOWN_CREDENTIALS:
            return f"{self._endpoint} does not accept the credentials ({code}); check the access key and its secret"
        if code in {"AccessDenied", "403"}:
            return f"{self._endpoint} denies access ({code}); check the credentials and their rights to this bucket"
        if code == "RequestTimeTooSkewed":
            return "the clock of this machine is wrong; set it"
        return f"{self._endpoint} answers {code}: {error.response['Error'].get('Message', '')!r}; check the service"

    def _failure(self, error: Exception) -> str:
        """Why no answer came, and what to do about it."""
        if isinstance(error, _NO_CREDENTIALS):
            return f"credentials are missing ({error}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile"
        if isinstance(error, _LOST_CREDENTIALS):
            return f"the credentials cannot be renewed ({error}); sign in again and repeat the command"
        if isinstance(error, _NO_ANSWER):
            return f"{self._endpoint} cannot be reached; check the endpoint address and that the service runs"
        return f"boto3 says {str(error)!r}; check the store address and the endpoint address"
