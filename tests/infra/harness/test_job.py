from __future__ import annotations

import pytest

from dualvla_core.evaluation.policy import PolicyError
from infra.harness.job import PolicySpec


def spec(factory: str, **arguments: int) -> PolicySpec:
    return PolicySpec(factory=factory, arguments=arguments, policy_type="specialist", identity="x")


def test_a_policy_is_made_by_import_path_and_arguments() -> None:
    policy = spec("tests.infra.harness.policies:RandomPolicy", chunk=5).load()
    policy.reset(3)
    first = policy.act({"images": {}, "state": None}, "push").actions
    policy.reset(3)
    assert first.shape == (5, 4)
    assert (policy.act({"images": {}, "state": None}, "push").actions == first).all()


@pytest.mark.parametrize("factory", ["no.such.module:Policy", "tests.infra.harness.policies:Nobody", "nothing", ""])
def test_a_factory_that_is_not_there_is_named(factory: str) -> None:
    with pytest.raises(PolicyError, match=f"The policy '{factory}' cannot be imported"):
        spec(factory).load()
