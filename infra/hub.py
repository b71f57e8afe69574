"""Datasets by their name on the Hugging Face hub, and checkpoints published there."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from dualvla_core.errors import ConfigError, DatasetError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(@[\w./-]+)?")
_METADATA = ("meta/*", "meta_data/*", "*dataset_info.json", "*features.json")
"""The small files that tell one layout from another; a star stands for folders too."""
_WORKERS = 8  # files fetched at once


def is_hub_name(text: str) -> bool:
    """Whether a text can be ``owner/name`` or ``owner/name@revision``."""
    return _NAME.fullmatch(text) is not None


def pinned_dataset(name: str) -> str:
    """``owner/name@commit``: the state the dataset ``name`` is in now, so that a run reads one state of it throughout.

    Raises `DatasetError` as `fetch_dataset` does.
    """
    repository, _, revision = name.partition("@")
    return f"{repository}@{_snapshot(repository, revision, _METADATA).name}"


@functools.cache
def fetch_dataset(name: str) -> Path:
    """The folder of the dataset ``owner/name`` or ``owner/name@revision``, once per process.

    Files lie in the hub's own cache (``HF_HOME``) and are fetched once; what is there is used without a connection. The
    metadata comes first: a layout that is not read is refused before its videos are fetched.

    Raises `DatasetError` when the hub cannot be reached and holds nothing for us here, or refuses.
    """
    from dualvla_core.episodes.reader import readable_layout  # noqa: PLC0415 - the command line starts without it

    repository, _, revision = name.partition("@")
    metadata = _snapshot(repository, revision, _METADATA)
    if any((metadata / folder / "info.json").is_file() for folder in ("meta", "meta_data")):
        readable_layout(metadata)
    return _snapshot(repository, metadata.name)


def _snapshot(repository: str, revision: str, patterns: Sequence[str] | None = None) -> Path:
    """The files of a dataset that match ``patterns``; the folder's name is the commit."""
    from huggingface_hub import errors, snapshot_download  # noqa: PLC0415 - only datasets of the hub need it

    wanted = None if patterns is None else list(patterns)
    try:
        found = snapshot_download(
            repository, repo_type="dataset", revision=revision or None, allow_patterns=wanted, max_workers=_WORKERS
        )
    except errors.GatedRepoError as error:
        raise DatasetError(
            f"The hub dataset {repository} is gated; accept its terms on its page and run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DatasetError(
            f"There is no folder {repository!r} here and no such dataset on the hub (or it is private: "
            "`hf auth login`); correct the name."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DatasetError(f"The hub dataset {repository} has no revision {revision!r}; correct it.") from error
    except (OSError, ValueError, errors.HTTPError) as error:  # type: ignore[attr-defined] # of httpx, or httpx2 of late
        raise DatasetError(
            f"There is no folder {repository!r} here, and the hub's dataset of this name is neither complete in the "
            f"cache nor can it be fetched ({type(error).__name__}); connect, or give the folder of a copy."
        ) from error
    return Path(found)


def push_checkpoint(folder: Path, repository: str, card: str, *, private: bool) -> str:
    """Upload a checkpoint and its model ``card`` to ``owner/name``, which is made if need be; returns its address.

    What only a training needs (its record) stays here. Raises `ConfigError` when the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi, errors  # noqa: PLC0415

    if not is_hub_name(repository) or "@" in repository:
        raise ConfigError(f"The repository {repository!r} was given; expected owner/name.")
    hub = HfApi()
    try:
        address = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=["metrics.jsonl", "README.md"])
        hub.upload_file(repo_id=repository, path_or_fileobj=card.encode(), path_in_repo="README.md")
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise ConfigError(
            f"The hub did not take {repository} ({type(error).__name__}); log in with `hf auth login`, check the name "
            "and the connection."
        ) from error
    return str(address)
