from __future__ import annotations

from tests.dualvla_core.models.conftest import config, policy, statistics, tokenizer

__all__ = ["config", "policy", "statistics", "tokenizer"]
