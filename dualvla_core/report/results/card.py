"""A model card per policy, in Markdown: what it is, what it learned from, what it does, and where it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import PackageLoader
from markdown_it import MarkdownIt
from markupsafe import Markup

from dualvla_core.report import formats
from dualvla_core.report.context import ReportContext, TrainedPolicy
from dualvla_core.report.measures import read_table
from dualvla_core.report.results import words
from dualvla_core.report.results.model import PolicyResult
from dualvla_core.report.templates import templates
from dualvla_core.schemas import COLLECTION

FOLDER = "cards"
_ROLES = {"action_teacher", "reasoning_teacher"}


@dataclass(frozen=True)
class ModelCard:
    """A card as it lies in the report's folder, and as the page shows it."""

    name: str
    number: int
    path: str
    html: Markup


def write_cards(
    policies: Sequence[TrainedPolicy], results: Sequence[PolicyResult], context: ReportContext, output: Path
) -> tuple[ModelCard, ...]:
    """Write ``cards/<policy>.md`` and the lists of episodes beside them into ``output``; results run parallel."""
    folder = output / FOLDER
    folder.mkdir()
    names = {policy.key: policy.name for policy in policies}
    cards = []
    for number, (policy, result) in enumerate(zip(policies, results, strict=True)):
        episodes = training_episodes(policy.collection)
        content = "".join(f"{episode}\n" for episode in episodes)
        list_file = f"episodes-{hashlib.sha256(content.encode()).hexdigest()[:12]}.txt"
        (folder / list_file).write_text(content, encoding="utf-8")
        facts = {"episodes": len(episodes), "list_file": list_file, **_made_from(policy, names)}
        text = render_card(policy, result, context, facts)
        (folder / f"{policy.name}.md").write_text(text, encoding="utf-8")
        cards.append(ModelCard(policy.name, number, f"{FOLDER}/{policy.name}.md", render_markdown(text)))
    return tuple(cards)


def training_episodes(collection: Path) -> list[str]:
    """The identities of the training split. Raises `ArtifactError` where the collection cannot be read."""
    rows = read_table(collection / "collection.parquet", COLLECTION).to_pylist()
    return [row["episode"] for row in rows if row["split"] == "train"]


def render_card(policy: TrainedPolicy, result: PolicyResult, context: ReportContext, facts: Mapping[str, Any]) -> str:
    """The card's Markdown. ``facts`` are the number and list of episodes, the base and the teachers."""
    environment = templates(PackageLoader("dualvla_core", "report/results"))
    environment.filters.update(
        counted=formats.counted,
        grouped=formats.grouped,
        short=formats.short,
        significant=formats.significant,
        spaced=formats.spaced,
        display_name=words.display_name,
        hundredfold=words.hundredfold,
        share=words.share,
        measure_name=words.MEASURES.__getitem__,
        cell=cell,
    )
    described = json.loads((policy.checkpoint / "config.json").read_text(encoding="utf-8"))
    return environment.get_template("card.md").render(
        policy=policy,
        result=result,
        description=words.description(policy.name, result.policy_type),
        datasets=", ".join(facts.name for facts in context.datasets),
        embodiment=described["embodiment"],
        cameras=described["cameras"],
        seen=_seen(policy),
        reasoning=_reasoning(policy, result),
        protocol=words.protocol_in_words(result.protocol) if result.protocol else "",
        losses=[
            (name, value)
            for name, value in result.training.items()
            if isinstance(value, float) and not name.endswith("gradient_norm")
        ],
        parameters=list(formats.flattened(policy.parameters)),
        limitations=list(_limitations(result)),
        **facts,
    )


def render_markdown(text: str) -> Markup:
    """The card as HTML two levels of headings further down; markup within the text stays text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1:]) + 2)}"
        for child in token.children or ():
            target = child.attrs.get("href")
            if isinstance(target, str):
                child.attrs["href"] = f"{FOLDER}/{target}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def cell(text: str) -> str:
    """Text of the data, made harmless within a Markdown table."""
    plain = " ".join(text.split())
    for mark in "\\`*_[]<>|":
        plain = plain.replace(mark, "\\" + mark)
    return plain


def _made_from(policy: TrainedPolicy, names: Mapping[str, str]) -> dict[str, Any]:
    def called(key: str) -> str:
        return f"{words.display_name(names[key])}, `{key}`" if key in names else f"`{key}`"

    teachers = [(role, called(key)) for role, key in policy.origins.items() if role in _ROLES]
    initial = policy.origins.get("initial")
    return {"base": "random weights" if initial is None else called(initial), "teachers": teachers}


def _seen(policy: TrainedPolicy) -> dict[str, int]:
    """How many samples of each domain its steps took, repetitions included."""
    config = policy.config
    questions = config.steps // config.multimodal_every if config.multimodal_every else 0
    return {
        "robot": (config.steps - questions) * config.robot_batch,
        "multimodal": questions * config.multimodal_batch,
    }


def _reasoning(policy: TrainedPolicy, result: PolicyResult) -> str:
    if result.policy_type == "specialist":
        return "It read none of the reasoning in them."
    rules = ", ".join(f"`{rule}`" for rule in policy.pruning)
    kept = "all of it" if set(policy.pruning) == {"none"} else f"what the pruning rule {rules} kept"
    return f"Of the reasoning in them it read {kept}."


def _limitations(result: PolicyResult) -> Iterator[str]:
    yield (
        f"It was trained once, with seed {result.seed}; another seed gives another policy, and how much it differs was "
        "not measured here."
    )
    if result.protocol is not None:
        yield (
            f"Closed loop was measured in simulation only ({result.protocol.simulator}), on the tasks named above; it "
            "says nothing about other tasks, other objects or a real robot."
        )
    if result.open_loop is not None:
        yield "Open-loop errors are not fed back, and another action may be as good as the one demonstrated."
    if result.score is not None:
        yield (
            "The rule score follows Eq. 8 of DualVLA, but programmed rules stand in for its judges: it is a proxy, "
            "comparable only with rule scores."
        )
    yield "It drives the robot named above, with those cameras, and no other."
    yield "Nothing bounds its motions but the clipping of its actions: not to be run on a robot near people."
