"""Automations of the Prefect server: dead runs are found and begun again, failures are told."""

from __future__ import annotations

from datetime import timedelta

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

DEPLOYED = "dualvla-deployed"
"""The tag of deployments, whose runs a worker can begin again."""

_DEAD_AFTER = timedelta(seconds=120)  # four heartbeats
_BEGIN_AGAIN_AFTER = timedelta(seconds=30)
_ENDED = ("Completed", "Failed", "Cancelled", "Crashed")
_OURS = {"prefect.resource.id": "prefect.tag.dualvla", "prefect.resource.role": "tag"}
_DEPLOYED_ONLY = {"prefect.resource.id": f"prefect.tag.{DEPLOYED}", "prefect.resource.role": "tag"}


def mark_dead_runs() -> AutomationCore:
    """A run whose heartbeats stop without an end is Crashed: its machine is gone, or it was killed.

    It counts from the state Running on, which the server knows of: a run may be killed before its first heartbeat.
    """
    heartbeat = "prefect.flow-run.heartbeat"
    return AutomationCore(
        name="dualvla: mark dead runs",
        description="A run that sends no heartbeat for two minutes and has not ended is dead.",
        trigger=EventTrigger(
            after={heartbeat, "prefect.flow-run.Running"},
            expect={heartbeat, *(f"prefect.flow-run.{state}" for state in _ENDED)},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_DEAD_AFTER,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat for two minutes.")],
    )


def begin_crashed_runs_again() -> AutomationCore:
    """A crashed run of a deployment is begun again as the same run; it executes only what is not committed.

    Half a minute later, if nobody else has: a process worker of Prefect 3.8 ends when a run comes back to it before it
    has let go of its slot.
    """
    return AutomationCore(
        name="dualvla: begin crashed runs again",
        description="Killed is not failed: what is committed is found, the rest is executed.",
        trigger=EventTrigger(
            after={"prefect.flow-run.Crashed"},
            expect={f"prefect.flow-run.{state}" for state in ("AwaitingRetry", "Scheduled", "Pending", "Running")},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_DEPLOYED_ONLY,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_BEGIN_AGAIN_AFTER,
        ),
        actions=[ChangeFlowRunState(name="AwaitingRetry", state=StateType.SCHEDULED, message="Begun again.")],
    )


def tell_failures(block: str, client: SyncPrefectClient) -> AutomationCore:
    """Send a notification through the block SLUG/NAME when a run fails."""
    slug, _, name = block.partition("/")
    document = client.read_block_document_by_name(name, slug)
    return AutomationCore(
        name="dualvla: tell failures",
        description=f"Failures are told through the block {block}.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=_OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=document.id,
                subject="{{ flow_run.name }} failed",
                body="{{ flow_run.state.message }}\n{{ flow_run | ui_url }}\n"
                "What is committed is kept: press Retry there, or run `dualvla resume`.",
            )
        ],
    )


def webhook_block(url: str) -> str:
    """Save a block that posts notifications to a web address as JSON; its name as SLUG/NAME."""
    block = CustomWebhookNotificationBlock(
        name="dualvla", url=url, method="POST", json_data={"text": "{{subject}}\n{{body}}"}
    )
    block.save("dualvla-failures", overwrite=True)
    return f"{CustomWebhookNotificationBlock.get_block_type_slug()}/dualvla-failures"


def install(client: SyncPrefectClient, automations: list[AutomationCore]) -> None:
    """Create automations, replacing those of the same names."""
    for automation in automations:
        for old in client.read_automations_by_name(automation.name):
            client.delete_automation(old.id)
        client.create_automation(automation)
