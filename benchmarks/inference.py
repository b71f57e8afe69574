"""Decisions per processor second and reasoning tokens an episode: text at every decision, now and then, or where due.

    python benchmarks/inference.py CHECKPOINT [CHECKPOINT ...] --shard SHARD [--episodes 3] [--execute 6] [--every 5]

Each policy decides at every few recorded frames of the episodes, as if it had executed the actions between, alone and
on one thread. `always` has to speak at each decision; `cached` at every fifth, as the paper's base model does now and
then; `adaptive` may speak at each decision and is silent where it emits its first action query at once. Give the
student trained on pruned reasoning beside one trained on all of it to see what pruning buys.
"""

from __future__ import annotations

import argparse
import statistics
import time
from itertools import groupby, islice
from pathlib import Path

import torch

from dualvla_core.evaluation.policy import PolicyObservation
from dualvla_core.models.batches import image_tensor
from dualvla_core.models.drafting import reason_from_drafts
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.models.inference import InferenceConfig
from dualvla_core.models.policy import ModelPolicy
from dualvla_core.shards.dataset import RobotFrame, ShardDataset


def episodes_of(shard: Path, model: DualVLA, count: int, execute: int) -> list[list[RobotFrame]]:
    dataset = ShardDataset([shard], model.config.action_chunk)
    frames = (dataset[index] for index in range(len(dataset)))
    return [list(each)[::execute] for _, each in islice(groupby(frames, lambda frame: frame.episode), count)]


def measure(model: DualVLA, config: InferenceConfig, episodes: list[list[RobotFrame]]) -> str:
    policy = ModelPolicy(model, config)
    seconds, tokens, spoken = [], [], 0
    for number, frames in enumerate(episodes):
        policy.reset(number)
        told = 0
        for frame in frames:
            seen: PolicyObservation = {"images": frame.images, "state": frame.state}
            start = time.process_time()
            decision = policy.act(seen, frame.instruction)
            seconds.append(time.process_time() - start)
            told += decision.reasoning_tokens
            spoken += decision.reasoning_tokens > 0
        tokens.append(told)
    share = spoken / len(seconds)
    return f"{1 / statistics.mean(seconds):.1f} | {statistics.mean(tokens):.0f} | {100 * share:.0f} %"


def drafting(model: DualVLA, episodes: list[list[RobotFrame]]) -> str:
    """Processor time of reasoning from nothing and from what was said last, and how often both say the same."""
    seconds, agreed, decisions = [0.0, 0.0], 0, 0
    for frames in episodes:
        draft = ""
        for frame in frames:
            images = image_tensor([frame.images[camera] for camera in model.cameras], model.config.image_size)[None]
            start = time.process_time()
            (plain,) = model.reason(images, [frame.instruction])
            between = time.process_time()
            (draft,) = reason_from_drafts(model, images, [frame.instruction], [draft])
            seconds = [seconds[0] + between - start, seconds[1] + time.process_time() - between]
            agreed, decisions = agreed + (plain == draft), decisions + 1
    plain_s, drafted_s = (each / decisions for each in seconds)
    return f"{plain_s:.3f} s | {drafted_s:.3f} s | {plain_s / drafted_s:.2f}x | {agreed} of {decisions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="*")
    parser.add_argument("--shard", type=Path)
    parser.add_argument("--episodes", type=int, default=3)
    parser.add_argument("--execute", type=int, default=6, help="frames from one decision to the next")
    parser.add_argument("--every", type=int, default=5, help="decisions from one reasoning to the next, for `cached`")
    options = parser.parse_args()
    if not options.checkpoints or options.shard is None:
        print("No checkpoint and shard were given, so nothing is measured; train some with `dualvla demo`.")
        return
    torch.set_num_threads(1)
    modes = {
        "always": InferenceConfig(reasoning="always"),
        "cached": InferenceConfig(reasoning="always", reason_every=options.every),
        "adaptive": InferenceConfig(reasoning="adaptive"),
        "never": InferenceConfig(reasoning="never"),
    }
    for checkpoint in options.checkpoints:
        model = DualVLA.from_pretrained(checkpoint)
        episodes = episodes_of(options.shard, model, options.episodes, options.execute)
        print("| policy | reasoning | decisions per processor second | tokens an episode | decisions with new text |")
        print("|---|---|---|---|---|")
        for name, config in modes.items():
            print(f"| {checkpoint.name} ({model.policy_type}) | {name} | {measure(model, config, episodes)} |")
        print("\n| reasoning | from nothing | from the last text | ratio | same text |\n|---|---|---|---|---|")
        print(f"| {checkpoint.name} ({model.policy_type}) | {drafting(model, episodes)} |\n")


if __name__ == "__main__":
    main()
