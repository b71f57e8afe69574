"""Downloads the published files of the benchmarks and checks that they are the published ones."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx

from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.progress import Progress, silent
from infra.object_store import StorageError

_TIMEOUT_S = 60.0


def download_benchmark(name: str, folder: Path, progress: Progress = silent) -> Path:
    """Fetch ``<name>.tsv`` into ``folder``, unless the published file lies there already.

    Args:
        name: of the catalogue.
        folder: made where it is missing.
        progress: told the bytes that have arrived.

    Raises:
        ConfigError: for a name that is not in the catalogue.
        StorageError: when the file cannot be fetched, or is not the published one; nothing is left behind then.
    """
    known = CATALOGUE.get(name)
    if known is None:
        raise ConfigError(f"There is no benchmark {name!r} to download; expected one of {', '.join(CATALOGUE)}.")
    path = folder / f"{name}.tsv"
    if path.is_file() and _md5(path) == known.md5:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tsv.part")
    try:
        _fetch(known.url, partial, progress)
        found = _md5(partial)
        if found != known.md5:
            raise StorageError(
                f"{known.url} holds a file of MD5 {found}, expected {known.md5}; it has changed since, or the download "
                "was disturbed: try again, or get the file from somebody who has it."
            )
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _fetch(url: str, path: Path, progress: Progress) -> None:
    try:
        with (
            httpx.stream("GET", url, timeout=_TIMEOUT_S, follow_redirects=True) as response,
            path.open("wb") as file,
        ):
            response.raise_for_status()
            total = int(response.headers.get("Content-Length", 0))
            for part in response.iter_bytes():
                file.write(part)
                progress(file.tell(), total)
    except httpx.HTTPError as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StorageError(
            f"{url} cannot be fetched ({reason}); where there is no network, give the path of the file."
        ) from error


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
