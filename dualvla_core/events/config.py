"""What event-boundary detection can be told."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field

from dualvla_core.params import Params

DetectorName: TypeAlias = Literal["optical_flow", "novelty", "ddm_net", "motion_net"]
TRAINED: frozenset[DetectorName] = frozenset({"ddm_net", "motion_net"})
"""The detectors that have to be trained."""


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


class BackboneConfig(Params):
    """The image network whose features detectors look at."""

    network: str = Field(
        "efficientnet_lite0",
        description="efficientnet_lite0 (ImageNet weights from an installed package), or the hub name or folder of a "
        "transformers ResNet, such as microsoft/resnet-50.",
    )
    image_size: int = Field(128, ge=32, description="Side that images are resized to (px); DDM-Net: 224.")
    grid: int = Field(
        2, ge=1, le=8, description="Each level is averaged over grid x grid cells of the image; DDM-Net: 1."
    )


class NoveltyConfig(Params):
    """The training-free detector on the self-similarity of backbone features."""

    backbone: BackboneConfig = Field(BackboneConfig(), description="Whose features are compared.")
    compares: Literal["changes", "features"] = Field(
        "changes", description="What is compared: how features change from frame to frame, or the features (Foote)."
    )
    window: Span = Field(
        Span(seconds=0.5, fraction=0.2), description="Frames are compared over this time before and after a frame."
    )
    samples_per_window: int = Field(5, ge=1, description="Frames looked at in each window, if the frame rate allows.")
    noise_floor: float = Field(1e-3, gt=0, description="Novelty of this much or less counts as noise.")


class DDMNetworkConfig(Params):
    """The sizes of DDM-Net behind its backbone; these learn on a CPU, the preset `paper` has the published ones."""

    radius: int = Field(5, ge=1, description="Frames of the window before and after the candidate.")
    width: int = Field(64, ge=8, multiple_of=8, description="Width of the sequences and of the decoders.")
    map_channels: tuple[int, ...] = Field(
        (16, 32, 64), min_length=1, description="Channels of the difference maps' encoder, block by block."
    )
    queries: int = Field(5, ge=1, description="Learnable queries of each decoder.")
    layers: int = Field(2, ge=1, description="Layers of each decoder.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    feed_forward: int = Field(128, ge=8, description="Inner width of the decoders' feed-forward networks.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout of the decoders in training.")
    centred: bool = Field(
        True,
        description="Take away each window's mean features, so that what never moves does not count; DDM-Net: no.",
    )

    @property
    def frames(self) -> int:
        """Frames in a window."""
        return 2 * self.radius + 1


class DDMNetConfig(Params):
    """DDM-Net, a trained detector; sizes as published."""

    backbone: BackboneConfig = Field(BackboneConfig(), description="Whose features the windows are made of.")
    network: DDMNetworkConfig = Field(DDMNetworkConfig(), description="The network behind the backbone.")
    step: Span = Field(
        Span(seconds=0.1, fraction=0.0375), description="Time between two frames of a window (DDM-Net: 0.1 s)."
    )
    stride: Span = Field(
        Span(seconds=0.1, fraction=0.0125), description="Time between two candidates; scores between are interpolated."
    )


class TemporalNetConfig(Params):
    """Dilated convolutions over the frames of whole episodes, and how they are trained."""

    width: int = Field(48, ge=4, description="Channels of the convolutions.")
    kernel: Literal[3, 5, 7] = Field(3, description="Frames that each convolution looks at.")
    dilations: tuple[int, ...] = Field(
        (1, 2, 4, 8), min_length=1, description="Steps between those frames, convolution by convolution (frames)."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout in training.")
    steps: int = Field(400, ge=1, description="Optimiser steps of each network's training.")
    episodes_per_step: int = Field(16, ge=1, description="Episodes in each step.")
    learning_rate: float = Field(3e-3, gt=0, description="Learning rate of AdamW at the start of a cosine to zero.")
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW.")


class MotionNetConfig(Params):
    """The motion network, a trained detector: optical flow -> the arm's velocity -> event boundaries."""

    flow: OpticalFlowConfig = Field(
        OpticalFlowConfig(preset="medium"), description="Whose working size, preset and grid are used."
    )
    odometry: TemporalNetConfig = Field(
        TemporalNetConfig(width=64, dilations=(1, 2), dropout=0.2, steps=600),
        description="The networks that read the arm's velocity off the flow; they learn from recorded motion.",
    )
    boundaries: TemporalNetConfig = Field(
        TemporalNetConfig(kernel=5), description="The networks that find boundaries in the velocity, and in the flow."
    )
    flow_share: float = Field(
        0.25, ge=0, le=1, description="Weight of what is found in the flow itself beside what is found in the velocity."
    )
    members: int = Field(3, ge=1, description="Networks of each kind, whose outputs are averaged.")
    noise: float = Field(
        0.2, ge=0, description="Noise on the velocities and flow that boundaries are learned from (their spread)."
    )


class DetectorTrainingConfig(Params):
    """How a detector is trained on labelled event boundaries; motion_net has its own settings for what says DDM-Net."""

    without_tasks: tuple[str, ...] = Field((), description="Tasks whose episodes are not learned from.")
    steps: int = Field(500, ge=1, description="Optimiser steps (DDM-Net).")
    windows_per_class: int = Field(16, ge=1, description="Windows with and without boundary in each step (DDM-Net).")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW (DDM-Net).")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay of AdamW (DDM-Net).")
    warmup_steps: int = Field(50, ge=0, description="Steps of linear warm-up, before a cosine to zero (DDM-Net).")
    positive: Span = Field(
        Span(seconds=0.15, fraction=0.0125), description="Frames within this time of a boundary are positives."
    )
    seed: int = Field(0, ge=0, description="Of initial weights, dropout and the order of windows or episodes.")


class CalibrationConfig(Params):
    """How a detector's threshold, peak scope and scene tolerance are chosen on labelled episodes."""

    tolerance_frames: int = Field(3, ge=0, description="A detection this near to a boundary is right (frames).")
    calibration_fraction: float = Field(0.2, gt=0, lt=1, description="Share of the labelled episodes to calibrate on.")
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share of the labelled episodes to test on.")

    @property
    def parts(self) -> dict[str, float]:
        """What decides which episodes serve for what."""
        return {"calibration_fraction": self.calibration_fraction, "test_fraction": self.test_fraction}


class EventsConfig(Params):
    """Event-boundary detection: the scene layer of the pruning rule."""

    detector: DetectorName = Field("optical_flow", description="optical_flow and novelty need no training.")
    cameras: tuple[str, ...] = Field(
        (), description="Cameras that are watched, side by side; none means the first of the episode."
    )
    trained: str | None = Field(
        None,
        description="Folder of a trained and calibrated detector, as `dualvla events train` exports it; none = "
        "train ddm_net or motion_net on demonstrations recorded for it, and use other detectors as they come.",
    )
    use_calibration: bool = Field(
        True,
        description="A calibrated detector's threshold, peak scope and tolerance replace pruning.boundary_threshold, "
        "pruning.peak_scope and pruning.scene_tolerance; no = those of pruning are used.",
    )
    optical_flow: OpticalFlowConfig = Field(OpticalFlowConfig(), description="Settings of the optical-flow detector.")
    novelty: NoveltyConfig = Field(NoveltyConfig(), description="Settings of the novelty detector.")
    ddm_net: DDMNetConfig = Field(DDMNetConfig(), description="Settings of DDM-Net.")
    motion_net: MotionNetConfig = Field(MotionNetConfig(), description="Settings of the motion network.")

    @property
    def learns(self) -> bool:
        """Whether the chosen detector has to be trained."""
        return self.detector in TRAINED

    @property
    def settings(self) -> dict[str, Any]:
        """What the chosen detector's scores depend on besides its camera; nothing for one that is trained.

        That one's folder holds the settings it was trained with.
        """
        if self.learns:
            return {}
        chosen: Params = getattr(self, self.detector)
        return chosen.model_dump(mode="json")


class EventsTrainingConfig(Params):
    """Training, calibration and comparison of event-boundary detectors, on labelled episodes of their own."""

    labels: str | None = Field(
        None,
        description="File of boundaries labelled by hand, for a dataset of one's own; none = the phases of simulated "
        "demonstrations, recorded for this.",
    )
    first_seed: int = Field(30000, ge=0, description="Seed of each task's first such demonstration.")
    episodes_per_task: int = Field(30, ge=5, description="Such demonstrations attempted per task (episodes).")
    training: DetectorTrainingConfig = Field(DetectorTrainingConfig(), description="How a detector learns.")
    calibration: CalibrationConfig = Field(CalibrationConfig(), description="How a detector is calibrated.")
    held_out_tasks: tuple[str, ...] = Field(
        ("door-open", "window-open"), description="Tasks no compared detector has learned from or been calibrated on."
    )
