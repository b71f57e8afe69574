"""The errors a user can cause; each message says what was found, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake in the user's data, configuration or environment, told in one sentence."""


class ConfigError(UserError):
    """A configuration value, override or preset that cannot be used."""


class DatasetError(UserError):
    """A whole dataset that cannot be read (unknown layout, missing metadata)."""


class EpisodeError(UserError):
    """One episode that cannot be read; it is listed with this reason and the others go on.

    ``about`` names the check of `dualvla doctor` that the reason belongs to: structure, counts, time, alignment,
    values, language, video or images.
    """

    def __init__(self, message: str, about: str = "structure") -> None:
        super().__init__(message)
        self.about = about


class ArtifactError(UserError):
    """An artifact that is missing, corrupt, or of a format this version cannot read."""


class DependencyError(UserError):
    """A system library or optional package that the requested work needs and this machine lacks."""


def in_one_line(error: BaseException) -> str:
    """An error of somebody else's code by its type and what it says, to be put into a sentence of ours."""
    said = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


@contextmanager
def one_episode() -> Iterator[None]:
    """What goes wrong inside costs one episode: an error nobody foresaw becomes an `EpisodeError` that names it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise EpisodeError(f"The episode cannot be read ({in_one_line(error)}).") from error
