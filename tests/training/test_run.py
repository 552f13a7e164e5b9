"""Run folders: one process, one set of arguments, nothing lost."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from triscale.errors import FileError, RunError
from triscale.training.run import RunFolder, read_log, read_run

ARGUMENTS = {"budget": "macs<=60M", "recipe": {"epochs": 3, "seed": 0}}


def test_run_json_is_there_before_anything_else(tmp_path):
    with RunFolder.open(tmp_path / "run", "fit", ARGUMENTS, data="abc"):
        written = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [each.name for each in (tmp_path / "run").iterdir() if not each.name.startswith(".")] == ["run.json"]
    assert written["command"] == "fit"
    assert written["state"] == "running"
    assert written["data"] == "abc"
    assert written["arguments"] == ARGUMENTS
    assert written["format_version"] == 1
    assert len(written["config_hash"]) == 64
    assert {"python", "torch", "triscale", "platform", "threads"} <= set(written["environment"])


def test_the_same_arguments_resume_and_then_say_that_it_is_done(tmp_path):
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        run.update(network={"name": "b0"})
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        assert not run.is_done
        assert run.record.network == {"name": "b0"}
        run.update(state="done", shipped="exports/model.onnx")
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        assert run.is_done
        assert run.record.shipped == "exports/model.onnx"


@pytest.mark.parametrize(
    ("command", "arguments", "data", "said"),
    [
        ("fit", {**ARGUMENTS, "budget": "macs<=80M"}, "", "budget was 'macs<=60M', is now 'macs<=80M'"),
        ("fit", {**ARGUMENTS, "recipe": {"epochs": 5, "seed": 0}}, "", "recipe.epochs was 3, is now 5"),
        ("fit", {"budget": "macs<=60M"}, "", "recipe.epochs was 3, is now 'not given'"),
        ("train", ARGUMENTS, "", "command was 'fit', is now 'train'"),
        ("fit", ARGUMENTS, "beef", "the data had fingerprint none, has now beef"),
    ],
)
def test_other_arguments_are_refused_with_the_difference(tmp_path, command, arguments, data, said):
    RunFolder.open(tmp_path, "fit", ARGUMENTS).close()
    with pytest.raises(RunError) as caught:
        RunFolder.open(tmp_path, command, arguments, data)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    RunFolder.open(tmp_path, "fit", ARGUMENTS).close()  # the refusal let go of the folder and left it as it was


def test_the_network_is_never_chosen_again(tmp_path):
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        run.update(network={"name": "b0"})
        with pytest.raises(RunError, match="already chosen"):
            run.update(network={"name": "b1"})


def test_a_folder_in_use_names_the_process(tmp_path):
    with RunFolder.open(tmp_path, "fit", ARGUMENTS):
        code = f"from triscale.training.run import RunFolder; RunFolder.open({str(tmp_path)!r}, 'fit', {ARGUMENTS!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert f"in use by process {os.getpid()}; wait for it, or choose another --out." in other.stderr
    RunFolder.open(tmp_path, "fit", ARGUMENTS).close()


def test_a_killed_process_leaves_the_folder_free_although_its_child_lives_on(tmp_path):
    code = textwrap.dedent(f"""
        import os, time
        from triscale.training.run import RunFolder
        run = RunFolder.open({str(tmp_path)!r}, 'fit', {ARGUMENTS!r})
        (run.path / ".run.json.1.part").write_text("torn")
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            os.close(1)
        time.sleep(30)
    """)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
            assert run.record.state == "running"
        assert not list(tmp_path.glob(".*.part"))
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [(KeyboardInterrupt(), "interrupted", ""), (RunError("the line\nmore"), "failed", "the line")],
)
def test_how_a_run_ended_is_recorded(tmp_path, error, state, text):
    with pytest.raises(type(error)), RunFolder.open(tmp_path, "fit", ARGUMENTS):
        raise error
    assert (read_run(tmp_path).state, read_run(tmp_path).error) == (state, text)


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(RunError, match=r"is not empty and no run folder \(it holds holiday.jpg\)"):
        RunFolder.open(tmp_path, "fit", ARGUMENTS)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="cannot be used as a run folder"):
        RunFolder.open(tmp_path / "run", "fit", ARGUMENTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is damaged"), ('{"format_version": 9}', "is of format 9"), ('{"command": 3}', "is damaged")],
)
def test_a_damaged_or_newer_run_json_is_one_line(tmp_path, text, said):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=said):
        read_run(tmp_path)


def test_a_torn_last_line_of_the_log_is_passed_over(tmp_path):
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        run.log("step", {"step": 1, "loss": 0.5})
        with (tmp_path / "log.jsonl").open("ab") as file:
            file.write(b'{"event": "step", "ste')
        run.log("step", {"step": 2, "loss": float("nan")})
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path)] == [(1, 0.5), (2, None)]


def test_what_a_resumed_run_does_again_counts_once(tmp_path):
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        for step, loss in [(1, 0.1), (2, 0.2), (3, 0.3)]:
            run.log("step", {"step": step, "loss": loss})
        run.log("epoch", {"step": 3, "epoch": 1})
        run.log("resumed", {"step": 1, "epochs": 0})
        run.log("step", {"step": 2, "loss": 0.2})
    assert [(line["event"], line["step"]) for line in read_log(tmp_path)] == [("step", 1), ("resumed", 1), ("step", 2)]


def test_an_epoch_that_is_evaluated_again_counts_once(tmp_path):
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        run.log("epoch", {"step": 4, "epoch": 1})
        run.log("resumed", {"step": 4, "epochs": 0})
        run.log("epoch", {"step": 4, "epoch": 1})
    assert [line["event"] for line in read_log(tmp_path)] == ["resumed", "epoch"]


def test_a_full_disk_stops_the_log_in_one_line_and_keeps_what_was_written(tmp_path):
    code = textwrap.dedent(f"""
        import resource
        from triscale.errors import FileError
        from triscale.training.run import RunFolder
        run = RunFolder.open({str(tmp_path)!r}, 'fit', {{}})
        run.log("step", {{"step": 1}})
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            for _ in range(100):
                run.log("step", {{"text": "x" * 1000}})
        except FileError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert (
        "log.jsonl: cannot be written: File too large; free some space and run the same command again." in done.stdout
    )
    assert read_log(tmp_path)[0]["step"] == 1


def test_importing_and_opening_a_run_never_needs_torch(tmp_path):
    code = f"import sys; from triscale.training.run import RunFolder; RunFolder.open({str(tmp_path)!r}, 'fit', {{}}); "
    done = subprocess.run(
        [sys.executable, "-c", code + "print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr


def test_json_files_of_a_run_are_whole_or_old(tmp_path):
    with RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        run.write_json("metrics.json", {"top1": 0.5})
        with pytest.raises(FileError):
            run.write_json("run.json/metrics.json", {"top1": 0.6})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"top1": 0.5}


@pytest.mark.parametrize("error", [RunError("an impossible budget"), KeyboardInterrupt()])
def test_a_run_that_came_to_nothing_is_begun_anew_with_any_arguments(tmp_path, error):
    with pytest.raises(type(error)), RunFolder.open(tmp_path, "fit", ARGUMENTS, data="abc"):
        raise error
    with RunFolder.open(tmp_path, "fit", {"budget": "macs<=80M"}, data="def") as run:
        assert (run.record.arguments, run.record.data) == ({"budget": "macs<=80M"}, "def")
        assert (run.record.state, run.record.error) == ("running", "")


def test_what_only_repeats_the_arguments_makes_no_run(tmp_path):
    with pytest.raises(RunError), RunFolder.open(tmp_path, "train", {"freeze": "stam"}) as run:
        run.write_config({"recipe": {"freeze": ["stam"]}})
        run.write_json("network.json", {})
        raise RunError("no module 'stam'")
    with RunFolder.open(tmp_path, "train", {"freeze": "stem"}):
        assert [each.name for each in tmp_path.iterdir() if not each.name.startswith(".")] == ["run.json"]


def test_a_run_that_made_something_keeps_its_arguments(tmp_path):
    with pytest.raises(RunError), RunFolder.open(tmp_path, "fit", ARGUMENTS) as run:
        run.write_json("choice.json", {})
        raise RunError("a full disk")
    with pytest.raises(RunError, match="is a run of other arguments"):
        RunFolder.open(tmp_path, "fit", {})


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    RunFolder.open(tmp_path, "fit", ARGUMENTS).close()
    for left in (".run.json.7.part", "exports/.model.xml.7.part/model.bin", "checkpoints/.step.7.part"):
        (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / left).write_text("half")
    RunFolder.open(tmp_path, "fit", ARGUMENTS).close()
    assert list(tmp_path.rglob("*.part")) == []
