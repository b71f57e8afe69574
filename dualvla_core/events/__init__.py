"""Event boundaries: where the picture's motion changes, the scene layer of the pruning rule."""

from dualvla_core.events.config import EventsConfig
from dualvla_core.events.detector import DETECTORS, BoundaryDetector, create_detector
from dualvla_core.events.metrics import match_boundaries, total_agreement
from dualvla_core.events.peaks import pick_peaks, scene_labels
from dualvla_core.events.stage import detect_event_boundaries

__all__ = [
    "DETECTORS",
    "BoundaryDetector",
    "EventsConfig",
    "create_detector",
    "detect_event_boundaries",
    "match_boundaries",
    "pick_peaks",
    "scene_labels",
    "total_agreement",
]
