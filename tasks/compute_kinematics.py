"""Computes velocity, acceleration, jerk and gripper transitions of each segment: the action layer."""

from __future__ import annotations

from dualvla_core.kinematics import compute_kinematics as compute
from dualvla_core.kinematics.config import KinematicsConfig
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage


@stage("compute_kinematics", version=2)
def compute_kinematics(_run: RunContext, config: KinematicsConfig, segment: ArtifactRef) -> Work:
    """Kinematics of every frame of a segment."""
    return Work(
        params=config.model_dump(mode="json"),
        inputs={"segment": segment},
        body=lambda job: compute(config, job.store.folder(segment), job.output, job.progress),
    )
