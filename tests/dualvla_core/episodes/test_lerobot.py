from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.reader import EpisodeReader, open_dataset
from dualvla_core.errors import ConfigError, DatasetError, EpisodeError
from dualvla_core.schemas import SIGNALS, check_schema

Make = Callable[..., Any]
CAMERA = "observation.images.front"


def reds(reader: EpisodeReader, index: int) -> list[int]:
    """Which frame each image is: its red channel was written as 40 * (frame + 1)."""
    return [round(float(image[..., 0].mean()) / 40) - 1 for image in reader.frames(index, CAMERA)]


def edit_info(folder: Path, **changes: Any) -> Path:
    file = folder / "meta" / "info.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


def features(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "meta" / "info.json").read_text())["features"]
    return found


def test_both_layouts_read_the_same(write_dataset: Make, merge: Make, demo: Make) -> None:
    extra = {"task_name": "push", "initial_condition": "push/7"}
    source = write_dataset([demo(length=4, seed=1), demo(length=6, seed=2, task=1, metadata=extra), demo(seed=3)])
    second = [open_dataset(folder) for folder in (source, merge(source, [1, 2]), merge(source, [1], "one"))]
    for reader in second:
        table = reader.signals(1)
        check_schema(table.schema, SIGNALS, "test")
        assert table.equals(second[0].signals(1))
        assert table["instruction"].to_pylist() == ["open the drawer"] * 6
        np.testing.assert_array_equal(np.array(table["state"].to_pylist(), np.float32), demo(seed=2).state())
        np.testing.assert_array_equal(np.array(table["action"].to_pylist(), np.float32), -demo(seed=2).state())
        facts = reader.facts(1)
        assert (facts.length, facts.task, facts.instruction) == (6, "push", "open the drawer")
        assert facts.initial_condition == "push/7"
        assert reds(reader, 1) == [0, 1, 2, 3, 4, 5]
        packets, expected = list(reader.packets(1, CAMERA)), list(second[0].packets(1, CAMERA))
        assert [data for _, data in packets] == [data for _, data in expected]
        assert [time for time, _ in packets] == pytest.approx([time for time, _ in expected], abs=1e-9)
    assert second[1].episode_indices() == [1, 2]


def test_facts_fall_back_to_the_instruction(write_dataset: Make) -> None:
    facts = open_dataset(write_dataset(1)).facts(0)
    assert (facts.task, facts.instruction, facts.initial_condition) == ("push the block", "push the block", None)


def test_real_gr1_traps(real_dataset: Callable[[str], Path]) -> None:
    """No frame_index, clock from 0.05, a declared camera without files, splits beyond the data, 'valid' as a task."""
    folder = real_dataset("gr1_sim_lerobot_v20")
    reader = open_dataset(folder)
    assert reader.cameras == ["observation.images.ego_view"]
    assert reader.warnings == [
        "The camera 'observation.images.egoview' is declared but has no files; it is left out.",
        "The split 'train' (0:100) reaches beyond the 5 episodes; splits are not used.",
    ]
    table = reader.signals(4)
    assert table["timestamp"].to_pylist() == (np.arange(328) / 20).tolist()
    assert set(table["instruction"].to_pylist()) == {"pick the cupcake from the counter and place it in the plate"}
    assert len(table["joints"][0]) == 14
    frames = reader.frames(4, reader.cameras[0])
    with av.open(str(reader.files(4)[1])) as container:
        pairs = zip(frames, container.decode(video=0), strict=True)
        assert all(np.array_equal(image, frame.to_ndarray(format="rgb24")) for image, frame in list(pairs)[:5])


def test_real_aloha_second_episode_starts_at_its_own_frame(real_dataset: Callable[[str], Path]) -> None:
    reader = open_dataset(real_dataset("aloha_sim_lerobot_v30"))
    camera = reader.cameras[0]
    assert [len(list(reader.packets(index, camera))) for index in reader.episode_indices()] == [500, 400, 400]
    first = next(iter(reader.frames(1, camera)))
    with av.open(str(reader.files(1)[1])) as container:
        container.seek(10 * av.time_base)
        expected = next(frame for frame in container.decode(video=0) if frame.time == 10)
    np.testing.assert_array_equal(first, expected.to_ndarray(format="rgb24"))
    assert len(reader.signals(1)["gripper"][0]) == 2


def test_a_row_without_frame_index_is_kept_in_file_order(write_dataset: Make, demo: Make) -> None:
    reader = open_dataset(write_dataset([demo(drop=["frame_index", "timestamp"])]))
    assert reader.signals(0)["timestamp"].to_pylist() == (np.arange(6) / 10).tolist()


def test_rows_are_ordered_by_frame_index(write_dataset: Make, demo: Make) -> None:
    backwards = np.arange(6)[::-1]
    reader = open_dataset(
        write_dataset([demo(columns={"frame_index": pa.array(backwards), "timestamp": pa.array(backwards / 10)})])
    )
    np.testing.assert_array_equal(reader.signals(0)["state"][0].as_py(), demo().state()[5])


def test_recorded_times_are_used_where_they_deviate(write_dataset: Make, demo: Make) -> None:
    times = pa.array([0.0, 0.1, 0.25, 0.3, 0.4, 0.5])
    reader = open_dataset(write_dataset([demo(columns={"timestamp": times})]))
    assert reader.signals(0)["timestamp"].to_pylist() == pytest.approx(times.to_pylist())
    assert reds(reader, 0) == [0, 1, 2, 3, 4, 5]


def test_a_longer_video_is_read_by_time(write_dataset: Make, demo: Make) -> None:
    times = pa.array(np.array([0, 2, 4], np.float32) / 10)
    reader = open_dataset(write_dataset([demo(length=3, video_frames=6, columns={"timestamp": times})]))
    assert reds(reader, 0) == [0, 2, 4]


def test_a_one_frame_episode(write_dataset: Make, demo: Make) -> None:
    reader = open_dataset(write_dataset([demo(length=1)]))
    assert reader.signals(0).num_rows == 1
    assert reds(reader, 0) == [0]


def test_both_names_of_the_task_text(write_dataset: Make, merge: Make) -> None:
    source = write_dataset(1)
    for name in ("task", "__index_level_0__"):
        assert open_dataset(merge(source, [0], name, text_column=name)).tasks[1] == "open the drawer"
    with pytest.raises(DatasetError, match=r"meta/tasks.parquet has the columns \['task_index', 'text'\]"):
        open_dataset(merge(source, [0], "wrong", text_column="text"))


def test_an_unknown_task_index_takes_the_episodes_own_text(write_dataset: Make, demo: Make) -> None:
    unknown = {"task_index": pa.array([9] * 6)}
    folder = write_dataset([demo(columns=unknown), demo(columns=unknown, metadata={"tasks": []})])
    reader = open_dataset(folder)
    assert reader.facts(0).instruction == "push the block"
    with pytest.raises(EpisodeError, match="task_index 9 has no text and the episode names no task"):
        reader.signals(1)


def test_no_action(write_dataset: Make, demo: Make) -> None:
    folder = write_dataset([demo(drop=["action"])])
    edit_info(folder, features={name: value for name, value in features(folder).items() if name != "action"})
    reader = open_dataset(folder)
    assert reader.signals(0)["action"].null_count == 6
    assert reader.warnings == ["There is no column 'action'; episodes are read without actions."]


def test_nested_names_and_unknown_keys_are_ignored(write_dataset: Make) -> None:
    folder = write_dataset(1, info={"tools": [1], "splits": {"train": "None"}})
    assert features(folder)["observation.state"]["names"][0][0] == "motor_0"
    assert open_dataset(folder).warnings == []


def test_language_columns_become_reasoning(write_dataset: Make, demo: Make) -> None:
    row = {"role": "assistant", "content": "go", "style": "plan", "timestamp": 0.2, "camera": None, "tool_calls": None}
    reader = open_dataset(write_dataset([demo(columns={"language_persistent": pa.array([[row]] * 6)})]))
    found = reader.signals(0)["reasoning"].to_pylist()
    assert found[1] == []
    assert found[2] == [{"style": "plan", "content": "go", "question": None}]


def test_path_templates_that_are_right_for_episode_0_only(write_dataset: Make) -> None:
    folder = write_dataset(2, info={"data_path": "data/chunk-{episode_index:03d}/episode_{episode_index:06d}.parquet"})
    reader = open_dataset(folder)
    assert reader.signals(1).num_rows == 6
    assert "info.json's data_path" in reader.warnings[0]
    edit_info(folder, data_path="data/{nonsense}.parquet")
    with pytest.raises(DatasetError, match=r"path template 'data/\{nonsense\}.parquet'"):
        open_dataset(folder)


def test_a_template_of_the_datasets_own_is_followed(write_dataset: Make) -> None:
    folder = write_dataset(1, info={"data_path": "rows/{episode_index}.parquet"})
    (folder / "rows").mkdir()
    (folder / "data" / "chunk-000" / "episode_000000.parquet").rename(folder / "rows" / "0.parquet")
    reader = open_dataset(folder)
    assert (reader.signals(0).num_rows, reader.warnings) == (6, [])


def test_images_inside_the_data_file(write_dataset: Make, merge: Make, demo: Make) -> None:
    encoded = [
        {"bytes": cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes(), "path": "x.png"}
        for image in demo().images()
    ]
    folder = write_dataset([demo(columns={CAMERA: pa.array(encoded)}), demo(seed=1)])
    edit_info(folder, features={**features(folder), CAMERA: {"dtype": "image", "shape": [48, 64, 3]}})
    reader = open_dataset(folder)
    pairs = list(zip(reader.frames(0, CAMERA), demo().images(), strict=True))
    assert all(np.array_equal(image, expected) for image, expected in pairs)
    assert [round(time, 9) for time, _ in reader.packets(0, CAMERA)] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert len(reader.files(0)) == 1
    with pytest.raises(EpisodeError, match="does not hold an encoded image in every row"):
        reader.packets(1, CAMERA)


def test_an_image_that_is_none(write_dataset: Make, demo: Make) -> None:
    folder = write_dataset([demo(columns={CAMERA: pa.array([b"no image"] * 6)})])
    edit_info(folder, features={**features(folder), CAMERA: {"dtype": "image", "shape": [48, 64, 3]}})
    with pytest.raises(EpisodeError, match=f"Camera {CAMERA!r}: an image is neither PNG nor JPEG"):
        list(open_dataset(folder).frames(0, CAMERA))


@pytest.mark.parametrize("statistics", [True, False])
def test_an_episode_over_several_row_groups(statistics: bool, write_dataset: Make, merge: Make, demo: Make) -> None:
    folder = merge(write_dataset([demo(length=5, seed=i) for i in range(3)]), [0, 1, 2])
    file = folder / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(file), file, row_group_size=4, write_statistics=statistics)
    found = open_dataset(folder).signals(1)["state"].to_pylist()
    np.testing.assert_array_equal(np.array(found, np.float32), demo(length=5, seed=1).state())


def test_rows_without_episode_index_all_belong_to_the_files_episode(write_dataset: Make, demo: Make) -> None:
    reader = open_dataset(write_dataset([demo(), demo(seed=1, drop=["episode_index"])]))
    np.testing.assert_array_equal(reader.signals(1)["state"][0].as_py(), demo(seed=1).state()[0])


def test_depth_maps_are_left_out_and_said(write_dataset: Make) -> None:
    folder = write_dataset(1)
    depth = {"dtype": "video", "shape": [48, 64, 1], "info": {"video.is_depth_map": True}}
    edit_info(folder, features={**features(folder), "observation.images.depth": depth})
    reader = open_dataset(folder)
    assert reader.cameras == [CAMERA]
    assert reader.warnings == ["The depth map 'observation.images.depth' is not read."]


def test_a_dataset_without_any_images_is_refused(write_dataset: Make, demo: Make) -> None:
    with pytest.raises(DatasetError, match="No camera of the dataset has any images"):
        open_dataset(write_dataset([demo(video_frames=0)]))


def test_totals_are_not_trusted(write_dataset: Make) -> None:
    reader = open_dataset(write_dataset(2, info={"total_episodes": 9}))
    assert reader.warnings == ["info.json counts 9 episodes, the metadata lists 2; these are read."]


def test_an_embodiment_can_be_given(write_dataset: Make) -> None:
    folder = write_dataset(1, robot_type="mine")
    assert open_dataset(folder).embodiment.name == "generic_joints"
    assert open_dataset(folder, "metaworld_sawyer").embodiment.name == "metaworld_sawyer"
    with pytest.raises(ConfigError, match="holds 7 numbers"):
        open_dataset(folder, "aloha")


def test_a_folder_name_that_looks_like_a_partition_adds_no_column(write_dataset: Make) -> None:
    reader = open_dataset(write_dataset(1, name="action=3"))
    assert len(reader.signals(0)["action"][0]) == 7


def test_an_episodes_share_of_a_shared_file(write_dataset: Make, merge: Make, demo: Make) -> None:
    source = write_dataset([demo(length=2), demo(length=6)])
    reader = open_dataset(merge(source, [0, 1]))
    assert [reader.share(1, file) for file in reader.files(1)] == [0.75, 0.75]
    reader = open_dataset(source)
    assert [reader.share(1, file) for file in reader.files(1)] == [1, 1]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda root: (root / "meta/tasks.jsonl").unlink(), r"no meta/tasks.jsonl; restore its metadata"),
        (lambda root: (root / "meta/tasks.jsonl").write_text("\n{]"), r"Line 2 of meta/tasks.jsonl"),
        (lambda root: (root / "meta/tasks.jsonl").write_text('{"task_index": 0}'), r"'task_index' and 'task'"),
        (lambda root: (root / "meta/episodes.jsonl").write_text("{}"), r"Line 1 .*with 'episode_index'"),
        (
            lambda root: (root / "meta/episodes.jsonl").write_bytes(b'{"episode_index": "\xff"}'),
            r"Line 1 .*JSON object",
        ),
        (lambda root: edit_info(root, fps=float("nan")), r"the frame rate nan, expected a positive number"),
        (
            lambda root: edit_info(root, chunks_size="many"),
            r"metadata of the LeRobot v2 dataset .*\(ValueError: .*many",
        ),
    ],
)
def test_broken_v2_metadata(write_dataset: Make, spoil: Callable[[Path], object], sentence: str) -> None:
    folder = write_dataset(1)
    spoil(folder)
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("meta/tasks.parquet", r"meta/tasks.parquet is missing or not readable"),
        ("meta/episodes/chunk-000/file-000.parquet", r"no meta/episodes/\*/\*.parquet"),
    ],
)
def test_missing_v3_metadata(write_dataset: Make, merge: Make, name: str, sentence: str) -> None:
    folder = merge(write_dataset(1), [0])
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(folder)


def test_a_task_may_hold_any_end_of_line(write_dataset: Make) -> None:
    assert open_dataset(write_dataset(1, tasks=("push\u2028the block",))).tasks == {0: "push\u2028the block"}


def test_v3_metadata_without_episodes(write_dataset: Make, merge: Make) -> None:
    folder = merge(write_dataset(1), [0])
    file = folder / "meta/episodes/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["episode_index"]), file)
    with pytest.raises(DatasetError, match=r"file-000.parquet has no column 'episode_index'; restore it"):
        open_dataset(folder)


def test_v3_metadata_without_a_place(write_dataset: Make, merge: Make) -> None:
    folder = merge(write_dataset(2), [0, 1])
    file = folder / "meta/episodes/chunk-000/file-000.parquet"
    entries = pq.read_table(file).to_pylist()
    entries[0]["data/file_index"] = None
    entries[1][f"videos/{CAMERA}/to_timestamp"] = None
    pq.write_table(pa.Table.from_pylist(entries), file)
    reader = open_dataset(folder)
    with pytest.raises(EpisodeError, match="episode 0 does not say in which file its data lies"):
        reader.signals(0)
    with pytest.raises(EpisodeError, match="episode 1 does not say where in videos/"):
        reader.packets(1, CAMERA)


def test_v3_places_that_are_missing_do_not_touch_other_episodes(write_dataset: Make, merge: Make) -> None:
    folder = merge(write_dataset(2), [0, 1])
    file = folder / "meta/episodes/chunk-000/file-000.parquet"
    entries = pq.read_table(file).to_pylist()
    entries[0][f"videos/{CAMERA}/file_index"] = None
    pq.write_table(pa.Table.from_pylist(entries), file)
    reader = open_dataset(folder)
    assert reds(reader, 1) == [0, 1, 2, 3, 4, 5]
    assert [reader.share(1, path) for path in reader.files(1)] == [1, 1]
