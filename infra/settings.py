"""The only place that reads environment variables: where things lie on this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where this machine keeps things; every field is the environment variable ``DUALVLA_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="DUALVLA_", frozen=True, populate_by_name=True)

    home: Path = Field(default=Path(".dualvla"), description="Folder for the embedded store, server and caches.")
    store: str = Field(default="", description="Object store URI; empty for the folder 'store' in home.")
    s3_endpoint: str | None = Field(default=None, description="URL of an S3-compatible server; unset for AWS.")
    prefect_api_url: str | None = Field(
        default=None,
        validation_alias="PREFECT_API_URL",
        description="API of a Prefect server to report to; unset for the embedded one.",
    )
    server_port: int = Field(default=4200, description="Preferred port of the embedded Prefect server.")

    judge_url: str | None = Field(
        default=None, description="OpenAI-compatible endpoint of the judge of free answers, such as http://host/v1."
    )
    judge_key: str | None = Field(default=None, repr=False, description="Its API key.")

    @property
    def root(self) -> Path:
        """The home folder, absolute, so that a change of directory changes nothing."""
        return self.home.expanduser().resolve()

    @property
    def store_uri(self) -> str:
        """The object store in use."""
        return self.store or (self.root / "store").as_uri()

    @property
    def cache(self) -> Path:
        """Drafts and copies of remote payloads; may be deleted at any time."""
        return self.root / "cache"
