from __future__ import annotations

import base64
import io

import av
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.trajectory import Frame, Utterance
from dualvla_core.report.config import ReportParams
from dualvla_core.report.results.rollouts import draw_rollouts, encode_video, timeline

from .conftest import MakePolicy, jpeg


def test_the_first_of_each_outcome_is_shown_where_it_exists(make_policy: MakePolicy) -> None:
    policies = [
        make_policy("specialist", outcomes={"reach": "fSfS", "drawer-open": "SSSS"}),
        make_policy("dualvla", "dualvla", {"reach": "ffff", "drawer-open": "Sfff"}),
        make_policy("silent"),
    ]
    shown = draw_rollouts(policies, ReportParams())
    assert [entry.task for entry in shown] == ["reach", "drawer-open"]
    assert [[(clip.policy, clip.success, clip.seed) for clip in entry.clips] for entry in shown] == [
        [("specialist", True, 50001), ("specialist", False, 50000), ("dualvla", False, 50000)],
        [("specialist", True, 50000), ("dualvla", True, 50000), ("dualvla", False, 50001)],
    ]


def test_only_so_many_tasks_are_shown(make_policy: MakePolicy) -> None:
    policies = [make_policy(name, outcomes={"reach": "S", "drawer-open": "S"}) for name in ("one", "two")]
    (entry,) = draw_rollouts(policies, ReportParams(rollout_tasks=1))
    assert (entry.task, [clip.policy for clip in entry.clips]) == ("reach", ["one", "two"])
    assert draw_rollouts(policies, ReportParams(rollout_tasks=0)) == ()


def test_the_video_holds_the_recorded_moments_in_a_format_browsers_play(make_policy: MakePolicy) -> None:
    ((entry,),) = (draw_rollouts([make_policy("dualvla", "dualvla", {"reach": "S"})], ReportParams()),)
    (clip,) = entry.clips
    assert clip.moments == (0, 3, 6, 9, 12)
    head, _, data = clip.video.partition(",")
    assert head == "data:video/mp4;base64"
    with av.open(io.BytesIO(base64.b64decode(data))) as video:
        stream = video.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 5)
        shades = [frame.to_ndarray(format="gray").mean() for frame in video.decode(stream)]
    assert len(shades) == 5
    assert shades == sorted(shades)  # each moment is brighter than the one before
    assert [(said.start, said.stop, said.text) for said in clip.said] == [
        (3, 9, "Reach down."),
        (9, 12, "Close the gripper."),
    ]
    assert [(said.left, said.width) for said in clip.said] == [(25.0, 50.0), (75.0, 25.0)]


def test_the_same_images_give_the_same_video() -> None:
    frames = [Frame(step, jpeg(40 * step)) for step in range(5)]
    assert encode_video(frames, 5, 23) == encode_video(frames, 5, 23)


def test_a_timeline_ends_a_text_where_another_begins() -> None:
    said = timeline([Utterance(0, "Up."), Utterance(6, "Up."), Utterance(12, "Down."), Utterance(18, "Up.")], 24)
    assert [(each.start, each.stop, each.text) for each in said] == [(0, 12, "Up."), (12, 18, "Down."), (18, 24, "Up.")]
    assert timeline([], 24) == ()


@pytest.mark.parametrize("image", [b"", b"no picture"])
def test_an_image_that_is_none(image: bytes) -> None:
    with pytest.raises(ArtifactError, match="The image at step 7 of a rollout cannot be decoded"):
        encode_video([Frame(7, image)], 5, 23)
