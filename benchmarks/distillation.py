"""What distilling costs beside plain fine-tuning: time and memory of forward and backward, in one run.

    python benchmarks/distillation.py [--turns 3] [--sizes 8k 32k 152k]

Language models of three vocabularies learn from a frozen teacher of their own size: 4 x 256 tokens, all of them
supervised, float32, one thread. "Plain" is cross-entropy of logits of the whole batch, and every ratio is to it.
The programs take turns, so that a busy machine slows them all; a time is the best of its turns, in processor seconds.
Peak memory, at the last size, is that of a process of its own, less what it held before the model was made.

Liger's chunked loss is fetched into a folder of its own and imported from there; it needs nothing that is not here.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from dualvla_core.distillation.sparse import SparseTargets, sparse_targets
from dualvla_core.distillation.text_loss import DenseTargets, text_loss

LIGER = "liger-kernel==0.8.5"
SIZES = {"8k": (8192, 512, 8), "32k": (32000, 256, 4), "152k": (151936, 256, 2)}  # vocabulary, width, layers
BATCH, LENGTH, TEMPERATURE, WEIGHT = 4, 256, 2.0, 0.15
TOP, SAMPLES = 48, 16
CACHED = f"cached, {TOP} + {SAMPLES} tokens"


class Setting:
    """A student, its teacher where there is one, and a batch."""

    def __init__(self, size: str, *, teacher: bool) -> None:
        vocabulary, width, layers = SIZES[size]
        shape = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=8 * width // 3,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            num_key_value_heads=width // 64,
            tie_word_embeddings=False,
        )
        torch.manual_seed(0)
        self.student: Any = LlamaForCausalLM(shape)
        self.teacher: Any = LlamaForCausalLM(shape).requires_grad_(False) if teacher else None
        self.ids = torch.randint(vocabulary, (BATCH, LENGTH))
        self.labels = torch.randint(vocabulary, (BATCH * LENGTH,))
        self.cached: SparseTargets | None = None

    def hidden(self, model: Any) -> Tensor:
        """``[N, D]``"""
        states: Tensor = model.model(input_ids=self.ids, use_cache=False).last_hidden_state
        return states.flatten(0, 1)

    @torch.no_grad()
    def taught(self) -> Tensor:
        return self.hidden(self.teacher)

    def cache(self) -> None:
        rows = [self.teacher.lm_head.weight]
        self.cached = sparse_targets(self.taught(), rows, TEMPERATURE, TOP, SAMPLES, torch.Generator().manual_seed(0))


def plain(setting: Setting) -> Tensor:
    return cross_entropy(setting.student.lm_head(setting.hidden(setting.student)), setting.labels)


def chunked_plain(setting: Setting) -> Tensor:
    head = setting.student.lm_head
    return text_loss(setting.hidden(setting.student), [head.weight], setting.labels).total / len(setting.labels)


def dense(setting: Setting) -> Tensor:
    """Eq. 6 as it is written: log-probabilities of both over the whole vocabulary."""
    logits = setting.student.lm_head(setting.hidden(setting.student))
    with torch.no_grad():
        wanted = (setting.teacher.lm_head(setting.taught()) / TEMPERATURE).log_softmax(-1)
    found = (logits / TEMPERATURE).log_softmax(-1)
    divergence = (wanted.exp() * (wanted - found)).sum() / len(logits)
    return cross_entropy(logits, setting.labels) + WEIGHT * TEMPERATURE**2 * divergence


def ours(setting: Setting) -> Tensor:
    teacher = DenseTargets(setting.taught(), [setting.teacher.lm_head.weight])
    hidden, rows = setting.hidden(setting.student), [setting.student.lm_head.weight]
    return text_loss(hidden, rows, setting.labels, teacher, TEMPERATURE, WEIGHT).total / len(setting.labels)


def cached(setting: Setting) -> Tensor:
    hidden, rows = setting.hidden(setting.student), [setting.student.lm_head.weight]
    return text_loss(hidden, rows, setting.labels, setting.cached, TEMPERATURE, WEIGHT).total / len(setting.labels)


def liger(setting: Setting) -> Tensor:
    """Its generalised Jensen-Shannon divergence at 0, which it takes as KL(teacher || student); it has no T²."""
    chunked = importlib.import_module("liger_kernel.chunked_loss").LigerFusedLinearJSDLoss(
        weight_hard_loss=1.0,
        weight_soft_loss=WEIGHT * TEMPERATURE**2,
        beta=0.0,
        temperature=TEMPERATURE,
        compiled=False,
        chunk_size=1024,
    )
    student, teacher = setting.student, setting.teacher
    loss: Tensor = chunked(
        setting.hidden(student), student.lm_head.weight, setting.taught(), teacher.lm_head.weight, setting.labels
    )
    return loss


PROGRAMS: dict[str, Callable[[Setting], Tensor]] = {
    "plain": plain,
    "plain, chunked as ours": chunked_plain,
    "routed, as written": dense,
    "routed, ours": ours,
    LIGER.replace("==", " "): liger,
    CACHED: cached,
}
GOALS = {
    ("routed, ours", "8k: time"): 1.45,
    ("routed, ours", "32k: time"): 1.25,
    ("routed, ours", "152k: memory"): 0.60,
    **{(CACHED, f"{size}: time"): 1.10 for size in SIZES},
}
"""Largest ratios to plain fine-tuning."""
GRADIENT_GOAL = 1e-5


def learn(program: Callable[[Setting], Tensor], setting: Setting) -> float:
    """Processor seconds of one forward and backward."""
    setting.student.zero_grad(set_to_none=True)
    start = time.process_time()
    program(setting).backward()
    return time.process_time() - start


def times(size: str, turns: int) -> dict[str, float]:
    """The best of the turns of each program."""
    setting = Setting(size, teacher=True)
    setting.cache()
    found: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(turns + 1):
        for name, program in PROGRAMS.items():
            found[name].append(learn(program, setting))
            print(f"{size}, {name}: {found[name][-1]:.2f} s", file=sys.stderr, flush=True)
    return {name: min(seconds[1:]) for name, seconds in found.items()}  # the first turn warms up


def peak(size: str, name: str) -> float:
    """Bytes a process holds at most for two steps of a program, above those before the model."""
    program = PROGRAMS[name]
    importlib.import_module("liger_kernel.chunked_loss")
    torch.nn.Linear(8, 8)(torch.rand(8, 8)).sum().backward()  # what torch itself takes on first use
    before = highest_memory()
    setting = Setting(size, teacher=program not in (plain, chunked_plain, cached))
    if program is cached:
        setting.cached = SparseTargets(
            torch.randint(SIZES[size][0], (BATCH * LENGTH, TOP + SAMPLES)),
            torch.full((BATCH * LENGTH, TOP + SAMPLES), 1 / (TOP + SAMPLES)),
            torch.zeros(BATCH * LENGTH),
        )
    for _ in range(2):
        learn(program, setting)
    return highest_memory() - before


def highest_memory() -> float:
    """Most bytes this process ever held; rusage would count those of the process that started it as well."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def differences(size: str) -> dict[str, float]:
    """The largest difference to the gradient of the formula as written, relative to the largest gradient."""
    setting = Setting(size, teacher=True)
    gradients = {}
    for program in (dense, ours, liger):
        learn(program, setting)
        gradients[program] = torch.cat([weight.grad.flatten() for weight in setting.student.parameters()])
    scale = gradients[dense].abs().max()
    return {each.__name__: float((gradients[each] - gradients[dense]).abs().max() / scale) for each in (ours, liger)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "dualvla-benchmark-distillation")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)  # one measurement, in a process of its own
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not (options.cache / "liger_kernel").is_dir():
        install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", options.cache, LIGER]
        subprocess.run(install, check=True)
    sys.path.append(str(options.cache))
    if options.peak:
        print(json.dumps(peak(*options.peak)))
        return
    seconds = {size: times(size, options.turns) for size in options.sizes}
    largest = options.sizes[-1]
    columns = {f"{size}: time": seconds[size] for size in options.sizes}
    columns[f"{largest}: memory"] = {name: alone(largest, name, options.cache) for name in PROGRAMS}
    print("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for name in PROGRAMS:
        ratios = [f"{column[name] / column['plain']:.2f}" for column in columns.values()]
        print(f"| {name} | " + " | ".join(ratios) + " |", flush=True)
    for (name, column), goal in GOALS.items():
        if column in columns:
            found = columns[column][name] / columns[column]["plain"]
            print(f"{name}, {column}: {found:.2f}, goal {goal:.2f}: {'met' if found <= goal else 'MISSED'}")
    for name, difference in differences(options.sizes[0]).items():
        print(
            f"gradient of {name}, largest relative difference to the formula as written: {difference:.1e}, "
            f"goal {GRADIENT_GOAL:.0e}: {'met' if difference <= GRADIENT_GOAL else 'MISSED'}"
        )


def alone(size: str, name: str, cache: Path) -> float:
    """`peak` in a process of its own."""
    command = [sys.executable, __file__, "--cache", str(cache), "--peak", size, name]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    print(f"{size}, {name}: {float(said) / 1e6:.0f} MB", file=sys.stderr, flush=True)
    return float(said)


if __name__ == "__main__":
    main()
