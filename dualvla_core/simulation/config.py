"""What the recording of demonstrations can be told."""

from __future__ import annotations

from pydantic import Field, model_validator

from dualvla_core.errors import ConfigError
from dualvla_core.params import Params
from dualvla_core.simulation.scenes import EVALUATION_IDS, TaskName, suite_name


class CaptureConfig(Params):
    """How one demonstration is recorded; a demonstration is fully named by this, its task and its seed."""

    image_size: int = Field(96, ge=32, le=480, multiple_of=2, description="Side of the third-person image (px).")
    wrist_image_size: int = Field(96, ge=32, le=480, multiple_of=2, description="Side of the wrist image (px).")
    frames_after_success: int = Field(5, ge=0, description="Frames kept from the first successful one on (frames).")
    max_steps: int = Field(200, ge=1, le=499, description="The expert gives up after this many control steps.")
    video_crf: int = Field(18, ge=0, le=51, description="H.264 constant rate factor; lower is better and larger.")
    video_gop: int = Field(10, ge=1, description="Longest distance between two key-frames of a video (frames).")
    questions_per_episode: int = Field(4, ge=0, description="Visual questions asked about one episode (questions).")
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of the images that go with questions.")


class RecordConfig(CaptureConfig):
    """Which demonstrations are recorded, and how."""

    tasks: tuple[TaskName, ...] = Field(
        ("reach", "drawer-open", "door-open", "button-press-topdown", "drawer-close", "window-open"),
        min_length=1,
        description="Meta-World tasks, without their version suffix, or SimplerEnv's WidowX tasks.",
    )
    episodes_per_task: int = Field(20, ge=1, description="Demonstrations attempted per task (episodes).")
    first_seed: int = Field(1000, ge=0, description="Seed of the first attempt of each task; the others count up.")

    @model_validator(mode="after")
    def _apart(self) -> RecordConfig:
        suite = suite_name(self.tasks)
        if suite == "simpler_original":
            raise ConfigError(f"Nothing is recorded in the original SimplerEnv; {self.tasks[0]!r} can only be played.")
        if suite == "simpler_env" and self.first_seed < EVALUATION_IDS:
            raise ConfigError(
                f"first_seed = {self.first_seed} would record the {EVALUATION_IDS} episodes SimplerEnv is evaluated "
                f"on; begin at {EVALUATION_IDS} or later."
            )
        return self

    @property
    def seeds(self) -> range:
        """The seeds attempted for each task."""
        return range(self.first_seed, self.first_seed + self.episodes_per_task)

    @property
    def capture(self) -> CaptureConfig:
        """The part that a recorded batch depends on: asking for more episodes leaves it unchanged."""
        return CaptureConfig.model_validate(self.model_dump(include=set(CaptureConfig.model_fields)))
