"""What event-boundary detection can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dualvla_core.params import Params


class Span(Params):
    """A length of time in seconds, capped at a fraction of the trajectory.

    Seconds make one setting fit every frame rate. The cap keeps it meaningful for simulated demonstrations that are
    over in a second; judging boundaries relative to the duration is also what the GEBD benchmark does.
    """

    seconds: float = Field(gt=0, description="Length of time (s).")
    fraction: float = Field(gt=0, le=1, description="Upper limit as a fraction of the trajectory's duration.")

    def within(self, duration: float) -> float:
        """The span in seconds for a trajectory of ``duration`` seconds."""
        return min(self.seconds, self.fraction * duration)

    def frames(self, length: int, fps: float) -> int:
        """The span in whole frames, at least one, for a trajectory of ``length`` frames at ``fps`` Hz."""
        return max(1, round(self.within(length / fps) * fps))


class OpticalFlowConfig(Params):
    """The training-free detector on dense optical flow."""

    working_size: int = Field(128, ge=32, description="Longer image side that flow is computed at (px).")
    preset: Literal["ultrafast", "fast", "medium"] = Field("ultrafast", description="Quality preset of DIS flow.")
    grid: int = Field(4, ge=1, le=16, description="The image is cut into grid x grid cells, one mean velocity each.")
    window: Span = Field(
        Span(seconds=0.5, fraction=0.1), description="Motion is compared over this time before and after a frame."
    )
    samples_per_window: int = Field(5, ge=1, description="Frames looked at in each window, if the frame rate allows.")
    noise_floor: float = Field(
        0.005, gt=0, description="Changes of this speed or below count as noise (image sides per second)."
    )


class EventsConfig(Params):
    """Event-boundary detection: the scene layer of the pruning rule."""

    detector: str = Field("optical_flow", description="Name of the detector.")
    camera: str | None = Field(None, description="Camera that is watched; none means the first of the episode.")
    optical_flow: OpticalFlowConfig = Field(OpticalFlowConfig(), description="Settings of the optical-flow detector.")
