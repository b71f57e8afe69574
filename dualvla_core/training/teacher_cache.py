"""Teachers asked once about every sample, and their answers given to a training in their place.

Teacher and student must see the same: a cache fixes each sample's augmentation and noise by the sample's number, for
every training that uses it, whatever its batches, steps or learning rate.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import pad

from dualvla_core.distillation.action_terms import BinTerms, FlowTerms
from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.distillation.losses import FlowNoise, draw_flow_noise
from dualvla_core.distillation.objective import Batch, Policy, plain_actions, supervised_targets
from dualvla_core.distillation.recorded import TaughtBinsBatch, TaughtMultimodalBatch, TaughtRobotBatch
from dualvla_core.distillation.sparse import SparseTargets, sparse_distribution, sparse_targets
from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.models.batches import WHOLE, RobotBatch, Share, TextBatch
from dualvla_core.models.config import AugmentationConfig
from dualvla_core.models.prompts import IGNORED
from dualvla_core.params import Summary
from dualvla_core.schemas import RECORDED_DISTRIBUTIONS, RECORDED_VELOCITIES, check_schema
from dualvla_core.training.data import Samples, Source
from dualvla_core.training.schedule import DOMAINS, Domain, derived_seed

_AUGMENTATION, _NOISE, _TOKENS = range(3)
_TERMS_FILE = "terms.json"
_BATCH = 32

ActionHead: TypeAlias = Literal["flow", "discrete"]

AnyBatch = TypeVar("AnyBatch", bound=Any)


@dataclass(frozen=True)
class Recorder:
    """Asks teachers about all samples of their domains.

    Args:
        config: what is kept.
        augmentation: of the training that will use the cache.
        action_head: of the action teacher.
        padding: the tokenizer's padding token.
        device: where the teachers are.
        progress: called with samples done and all of them.
    """

    config: DistillationConfig
    augmentation: AugmentationConfig | None
    action_head: ActionHead
    padding: int
    device: torch.device
    progress: Callable[[int, int], None]

    def write(self, sources: Mapping[Domain, Source[Any]], teachers: Mapping[Domain, Policy], output: Path) -> Summary:
        """Write ``robot.arrow``, ``multimodal.arrow`` (of the domains with a teacher) and their terms."""
        total, done = sum(len(sources[domain].samples) for domain in teachers), 0
        summary: Summary = {}
        for domain, teacher in teachers.items():
            source = fixed(sources[domain], domain, self.config.cache.seed, self.padding)
            sampled, schema = [], _schema(domain, self.action_head)
            with pa.ipc.new_file(str(output / f"{domain}.arrow"), schema) as file:
                for first in range(0, len(source.samples), _BATCH):
                    indices = range(first, min(first + _BATCH, len(source.samples)))
                    batch = source.batch(indices, torch.Generator(), WHOLE).to(self.device)
                    rows = [*self._answers(teacher, batch, indices)]
                    sampled += [row["sampled_mass"] for row in rows if "sampled_mass" in row]
                    file.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                    done += len(rows)
                    self.progress(done, total)
            summary[f"{domain}_samples"] = len(source.samples)
            if sampled:
                name = "sampled_mass" if domain == "multimodal" else "sampled_bin_mass"
                summary[name] = round(float(np.mean(sampled)), 6)
        terms = self.config.cache_terms(self.augmentation)
        (output / _TERMS_FILE).write_text(json.dumps(terms, indent=1, sort_keys=True) + "\n")
        return summary

    @torch.no_grad()
    def _answers(self, teacher: Policy, batch: Batch, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        if isinstance(batch, RobotBatch):
            answers = self._bins if self.action_head == "discrete" else self._velocities
            yield from answers(teacher, batch, indices)
            return
        cache = self.config.cache
        targets, counts = supervised_targets(teacher, batch), (batch.labels[:, 1:] != IGNORED).sum(1).tolist()
        for index, hidden in zip(indices, torch.split(targets.hidden, counts), strict=True):
            draw = torch.Generator(self.device).manual_seed(derived_seed(cache.seed, _TOKENS, index))
            said = sparse_targets(hidden, targets.rows, self.config.temperature, cache.tokens, cache.samples, draw)
            yield _row(said, cache.samples)

    def _bins(self, teacher: Policy, batch: RobotBatch, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        cache = self.config.cache
        logits = plain_actions(teacher, batch, BinTerms(batch.actions, batch.is_padding)).float()
        for index, own in zip(indices, logits / self.config.temperature, strict=True):
            draw = torch.Generator(self.device).manual_seed(derived_seed(cache.seed, _NOISE, index))
            yield _row(sparse_distribution(own.flatten(0, 1), cache.tokens, cache.samples, draw), cache.samples)

    def _velocities(self, teacher: Policy, batch: RobotBatch, indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        cache = self.config.cache
        shape = (cache.draws, *batch.actions.shape[1:])
        seeds = [derived_seed(cache.seed, _NOISE, index) for index in indices]
        drawn = [draw_flow_noise(shape, torch.Generator().manual_seed(seed)) for seed in seeds]
        noise = torch.stack([each.noise for each in drawn], 1)  # [M, B, T, A], as repeated actions are ordered
        time = torch.stack([each.time for each in drawn], 1)
        flow = FlowNoise(noise.flatten(0, 1).to(self.device), time.flatten().to(self.device))
        terms = FlowTerms(batch.actions.repeat(cache.draws, 1, 1), batch.is_padding.repeat(cache.draws, 1), flow)
        velocity = plain_actions(teacher, batch, terms).float().cpu().view_as(noise)
        for place in range(len(seeds)):
            yield {
                "noise": noise[:, place].flatten().tolist(),
                "time": time[:, place].tolist(),
                "velocity": velocity[:, place].flatten().tolist(),
            }


def taught_sources(
    sources: Mapping[Domain, Source[Any]],
    folder: Path,
    config: DistillationConfig,
    augmentation: AugmentationConfig | None,
    action_head: ActionHead,
    padding: int,
) -> dict[Domain, Source[Any]]:
    """The same samples with what the teachers of the cache in ``folder`` said about them.

    A domain the configuration leaves without a teacher stays as it is. Raises `ConfigError` for a cache made on other
    terms, `ArtifactError` for one of other samples.
    """
    terms, cached = config.cache_terms(augmentation), json.loads((folder / _TERMS_FILE).read_text())
    other = [f"{name} {cached.get(name)}, not {terms[name]}" for name in terms if cached.get(name) != terms[name]]
    if other:
        raise ConfigError(f"The teachers were cached with {'; '.join(other)}; cache them anew, or train as they were.")
    wanted = {"robot": config.action_teacher, "multimodal": config.reasoning_teacher}
    return {
        domain: _taught(source, domain, _read(folder, domain, len(source.samples), action_head), config, padding)
        if wanted[domain]
        else source
        for domain, source in sources.items()
    }


def fixed(source: Source[Any], domain: Domain, seed: int, padding: int) -> Source[Any]:
    """The source with each sample's augmentation drawn by its number, instead of by its place in a batch."""

    def collate(rows: Sequence[tuple[int, Any]], _generator: torch.Generator, _share: Share) -> Batch:
        alone = [
            source.collate([raw], torch.Generator().manual_seed(_seed(seed, domain, index)), WHOLE)
            for index, raw in rows
        ]
        return _merged(alone, padding)

    return Source(_Numbered(source.samples), collate)


def _seed(seed: int, domain: Domain, index: int) -> int:
    return derived_seed(seed, _AUGMENTATION, DOMAINS.index(domain), index)


@dataclass(frozen=True)
class _Numbered:
    """Samples with their numbers."""

    samples: Samples[Any]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, self.samples[index]

    def name(self, index: int) -> str:
        """Where the sample comes from."""
        return self.samples.name(index)


def _taught(
    source: Source[Any], domain: Domain, table: pa.Table, config: DistillationConfig, padding: int
) -> Source[Any]:
    plain = fixed(source, domain, config.cache.seed, padding)
    lists = [field.name for field in table.schema if pa.types.is_list(field.type)]

    def collate(rows: Sequence[tuple[int, Any]], generator: torch.Generator, share: Share) -> Batch:
        batch = plain.collate(rows, generator, share)
        said = [{name: table.column(name)[index].values.to_numpy() for name in lists} for index, _ in rows]
        columns = {name: [torch.from_numpy(np.array(row[name])) for row in said] for name in lists}
        given = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
        if isinstance(batch, RobotBatch) and "ids" in columns:
            entropy = torch.stack(columns["negative_entropy"])
            ids, mass = (torch.stack(columns[name]).view(*entropy.shape, -1) for name in ("ids", "mass"))
            return TaughtBinsBatch(**given, ids=ids.long(), mass=mass, negative_entropy=entropy)
        if isinstance(batch, RobotBatch):
            shape = (-1, config.cache.draws, *batch.actions.shape[1:])
            given |= {name: torch.stack(columns[name]).view(shape) for name in ("noise", "velocity")}
            return TaughtRobotBatch(**given, time=torch.stack(columns["time"]))
        entropy = torch.cat(columns["negative_entropy"])
        ids, mass = (torch.cat(columns[name]).view(len(entropy), -1) for name in ("ids", "mass"))
        return TaughtMultimodalBatch(**given, ids=ids.long(), mass=mass, negative_entropy=entropy)

    return Source(plain.samples, collate)


def _row(said: SparseTargets, samples: int) -> dict[str, Any]:
    return {
        "ids": said.ids.flatten().tolist(),
        "mass": said.mass.flatten().tolist(),
        "negative_entropy": said.negative_entropy.tolist(),
        "sampled_mass": float(said.mass[:, -samples:].sum(-1).mean()),
    }


def _schema(domain: Domain, action_head: ActionHead) -> pa.Schema:
    return RECORDED_VELOCITIES if domain == "robot" and action_head == "flow" else RECORDED_DISTRIBUTIONS


def _read(folder: Path, domain: Domain, samples: int, action_head: ActionHead) -> pa.Table:
    path = folder / f"{domain}.arrow"
    if not path.is_file():
        raise ArtifactError(f"The cache of the teachers has no {path.name}; cache the {domain} samples as well.")
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    check_schema(table.schema, _schema(domain, action_head), path.name)
    if len(table) != samples:
        raise ArtifactError(
            f"The teachers were cached on {len(table)} {domain} samples, but there are {samples}; cache them anew."
        )
    return table.combine_chunks()


def _merged(batches: Sequence[AnyBatch], padding: int) -> AnyBatch:
    """Batches one after another, their text padded on the right to one length."""
    fills = {"input_ids": padding, "attention_mask": 0, "labels": IGNORED, "query_mask": False}
    first = batches[0]
    values: dict[str, Any] = {}
    for name in (field.name for field in dataclasses.fields(first)):
        parts = [getattr(batch, name) for batch in batches]
        if isinstance(parts[0], TextBatch):
            values[name] = _merged(parts, padding)
        elif parts[0] is None:
            values[name] = None
        else:
            values[name] = torch.cat(_padded(parts, fills[name]) if name in fills else parts)
    merged: AnyBatch = type(first)(**values)
    return merged


def _padded(parts: Sequence[Tensor], fill: int) -> list[Tensor]:
    length = max(part.shape[1] for part in parts)
    return [pad(part, (0, length - part.shape[1]), value=fill) for part in parts]
