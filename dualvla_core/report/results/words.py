"""How policies, measures and protocols are called in the page and in the model cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dualvla_core.evaluation.config import SuccessMode
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.report.formats import counted
from dualvla_core.report.results.model import Measure, PolicyResult, Share

MEASURES: Mapping[Measure, str] = {
    "success": "Closed-loop success",
    "accuracy": "Right answers to held-out questions",
    "open_loop": "Open-loop action error",
    "score": "Rule score (proxy)",
}
_BY_TYPE: Mapping[PolicyType, str] = {
    "specialist": "It acts from images, instruction and state, without a word. In the method it is the action teacher.",
    "generalist": "It acts, says in words what it is about to do, and answers questions about images. In the method it "
    "is where the student begins, and the reasoning teacher.",
    "dualvla": "It acts and reasons: the student of the method, distilled from an action teacher and a reasoning "
    "teacher, with its reasoning pruned to the frames that matter.",
}
_SUCCESS: Mapping[SuccessMode, str] = {
    "final": "an episode succeeds if its task is solved at the last of them",
    "latched": "an episode succeeds if its task is solved at any of them, and is played to the last",
    "early_stop": "an episode succeeds, and ends, at the first step at which its task is solved",
}
_BLIND = (
    "It is trained as the specialist is, but its images are blank: what it reaches, it reaches without looking. It "
    "is there to be compared with, and for nothing else."
)


def display_name(policy: str) -> str:
    """How a policy is called in text."""
    return {"dualvla": "DualVLA"}.get(policy, policy[:1].upper() + policy[1:].replace("_", " "))


def description(policy: str, policy_type: PolicyType) -> str:
    """What a policy is, in a sentence or two."""
    return _BLIND if policy == "blind" else _BY_TYPE[policy_type]


def share(found: Share) -> str:
    """A share in percent with its interval."""
    return f"{100 * found.value:.1f}\u00a0% [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def hundredfold(found: Share) -> str:
    """A share on the VLA Score's scale of 0 to 100, with its interval."""
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def protocol_in_words(protocol: EvaluationProtocol) -> str:
    """Everything that has to agree for two success rates to be comparable."""
    seeds = protocol.seeds
    tasks = f"{counted(len(protocol.tasks), 'task')} ({', '.join(protocol.tasks)})"
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    played = f"{tasks}, {counted(protocol.episodes_per_task, 'episode')} each with {span}"
    ends = f"{protocol.success_mode}: {_SUCCESS[protocol.success_mode]}"
    images = f"images of {protocol.image_size} px, wrist {protocol.wrist_image_size} px"
    stand_ins = " Some objects are stand-ins: no score of the original benchmark." if protocol.stand_in_assets else ""
    return (
        f"{played}; at most {protocol.max_steps} control steps; {ends}; "
        f"{counted(protocol.execute, 'action')} carried out per decision; {images}. Simulator: {protocol.simulator}. "
        f"Harness: {protocol.harness}.{stand_ins}"
    )


def protocols_in_words(policies: Sequence[PolicyResult]) -> list[str]:
    """A sentence per protocol; where there are several, it names the policies that were measured under it."""
    members: dict[str, list[str]] = {}
    for policy in policies:
        if policy.protocol is not None:
            members.setdefault(protocol_in_words(policy.protocol), []).append(display_name(policy.name))
    if len(members) == 1:
        return [f"Protocol: {words}" for words in members]
    return [f"Protocol of {', '.join(names)}: {words}" for words, names in members.items()]


def absences_in_words(policies: Sequence[PolicyResult]) -> list[str]:
    """A sentence for every measure that was not taken, naming the policies it was not taken of."""
    members: dict[tuple[Measure, str], list[str]] = {}
    for policy in policies:
        for measure, reason in policy.absent.items():
            members.setdefault((measure, reason), []).append(display_name(policy.name))
    return [
        f"{MEASURES[measure]} of {', '.join(names)}: not measured; {reason}."
        for (measure, reason), names in members.items()
    ]
