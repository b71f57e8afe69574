"""Curated data for other trainers: a LeRobot v3.0 dataset, or ranges of frames beside the original."""

from dualvla_core.exports.config import ExportConfig
from dualvla_core.exports.keep_ranges import export_keep_ranges
from dualvla_core.exports.lerobot import export_lerobot
from dualvla_core.exports.source import PrunedSegment

__all__ = ["ExportConfig", "PrunedSegment", "export_keep_ranges", "export_lerobot"]
