"""The model card of a checkpoint: what it is, what it drives, what of it trained, and what it was made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dualvla_core.models.checkpoint import CONFIG_FILE, STATISTICS_FILE

_KINDS = {
    "specialist": "acts without a word (the action teacher)",
    "generalist": "reasons, answers and acts (the reasoning teacher)",
    "dualvla": "reasons where it matters and acts, distilled from both teachers",
}


def model_card(folder: Path, lineage: Sequence[str]) -> str:
    """Markdown with the hub's header, for the checkpoint in ``folder``.

    Args:
        folder: of `DualVLA.save_pretrained`.
        lineage: one line for each thing it was made from, makers first; empty where that is unknown.
    """
    description = json.loads((folder / CONFIG_FILE).read_text())
    statistics = json.loads((folder / STATISTICS_FILE).read_text())
    model, kind = description["model"], description["policy_type"]
    backbone = model["backbone"]
    signals = ", ".join(
        f"{name} [{len(values['q01'])}]"
        for name, values in statistics[description["embodiment"]].items()
        if isinstance(values, dict) and "q01" in values
    )
    rows = {
        "policy": f"{kind}: {_KINDS.get(kind, kind)}",
        "robot": description["embodiment"],
        "cameras": ", ".join(description["cameras"]),
        "signals": signals,
        "backbone": backbone.get("source") or backbone["family"],
        "adaptation of the language model": model["adaptation"]["language"],
        "action head": f"{model['action_head']}, {model['action_queries']} queries, chunks of {model['action_chunk']}",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    made = "\n".join(f"- {line}" for line in lineage) or "- not recorded: it was published from a bare folder"
    return f"""---
library_name: dualvla
pipeline_tag: robotics
tags: [robotics, vision-language-action, dualvla]
---

# {description["embodiment"]} {kind}

| | |
|---|---|
{table}

It was trained for this robot and these cameras alone; `statistics.json` holds the normalisation, without which its
actions mean nothing.

```python
from dualvla_core.models import DualVLA

policy = DualVLA.from_pretrained("owner/name", embodiment="{description["embodiment"]}")
```

## Made from

{made}
"""
