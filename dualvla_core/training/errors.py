"""What can go wrong in a training."""

from __future__ import annotations

from dualvla_core.errors import UserError


class TrainingError(UserError):
    """A training that cannot go on."""
