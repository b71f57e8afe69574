"""The only place that reads environment variables: where things lie on this machine."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
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
    simpler_assets: Path | None = Field(
        default=None,
        description="SimplerEnv's assets, a folder as MS_ASSET_DIR names one, for `make simulator`; unset to download.",
    )
    simpler_python: Path | None = Field(
        default=None,
        description="Python interpreter that has the original SimplerEnv; rollouts in it are played there.",
    )
    serve_token: SecretStr | None = Field(
        default=None, description="What clients of `dualvla serve` must show; unset = nothing."
    )
    judge_url: str | None = Field(
        default=None, description="OpenAI-compatible endpoint of all judges, such as http://host/v1."
    )
    judge_key: SecretStr | None = Field(default=None, description="Its key; unset for servers that ask for none.")
    judge_concurrency: int = Field(default=4, ge=1, description="Trajectories the vlm judge is asked about at once.")
    judge_timeout_s: float = Field(default=120.0, gt=0, description="Longest time for one answer, s.")
    judge_patience_s: float = Field(default=900.0, ge=0, description="Longest wait for an endpoint to recover, s.")
    judge_input_price: float = Field(default=0.0, ge=0, description="Price of a million tokens sent, any currency.")
    judge_output_price: float = Field(default=0.0, ge=0, description="Price of a million tokens received.")

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
