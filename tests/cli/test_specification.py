"""`list`, `info` and `scale`: arithmetic on data, in a moment, without torch."""

import json
import resource
import subprocess
import sys

import pytest

from tests.fitted import refusal, triscale
from triscale.spec import families
from triscale.spec.aliases import ALIASES
from triscale.spec.cost import cost
from triscale.spec.families.efficientdet import DETECTOR_ALIASES
from triscale.spec.files import network_from_dict, read_network, write_network

LIGHT = (
    ("list",),
    ("info", "efficientnet_b0", "--blocks"),
    ("scale", "efficientnet_b0", "--to", "macs<=1G, params<=8M"),
    ("--help",),
)
BUDGET_SECONDS = 0.5
PROGRAM = """
import sys
from triscale.cli.main import main
code = main(sys.argv[1:])
heavy = {"torch", "PIL", "numpy", "onnx", "openvino", "rich.progress"} & set(sys.modules)
sys.exit(code or bool(heavy) and f"imported {heavy}")
"""


@pytest.mark.parametrize("arguments", LIGHT, ids=lambda each: each[0])
def test_the_light_commands_take_little_time_and_never_import_torch(arguments):
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (done.returncode, done.stderr) == (0, "")
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Of the processor, because other tests run at the same time; benchmarks/startup.py measures the wall.
    assert min(taken) < 3 * BUDGET_SECONDS


def test_list_shows_every_network_with_its_cost():
    lines = triscale("list").out.splitlines()
    assert lines[0].split() == ["name", "pixels", "params", "MACs", "activations", "memory", "top-1", "of"]
    until = lines.index("")
    assert [line.split()[0] for line in lines[1:until]] == families.list_networks()
    b0 = ["efficientnet_b0", "224", "5.29M", "386M", "6.75M", "27.2", "MB", "78.8", "Google,", "NoisyStudent"]
    assert lines[1].split() == b0


def test_list_as_json_has_exact_counts():
    found = json.loads(triscale("list", "efficientnet_b0", "--json").out)
    own = cost(families.network("efficientnet_b0"))
    assert found == [
        {
            "name": "efficientnet_b0",
            "resolution": [224, 224],
            "params": 5_288_548,
            "macs": own.macs,
            "activations": 6_747_036,
            "memory": own.memory,
            "best_top1": {
                "top1": 78.8,
                "source": "Google",
                "weights": "NoisyStudent",
                "top5": None,
                "pixels": None,
                "extra": True,
            },
        }
    ]


def test_list_takes_a_pattern_and_refuses_one_that_matches_nothing():
    names = [each["name"] for each in json.loads(triscale("list", "efficientnet_lite?", "--json").out)]
    assert names == [f"efficientnet_lite{number}" for number in range(5)]
    assert "no network is called 'vgg*'" in refusal("list", "vgg*")


def test_list_shows_the_names_of_other_libraries_and_whose_they_are():
    lines = triscale("list", "--aliases").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*ALIASES, *DETECTOR_ALIASES]
    rows = json.loads(triscale("list", "tf_mobilenetv3_large_100", "--aliases", "--json").out)
    assert rows == [
        {
            "name": "tf_mobilenetv3_large_100",
            "network": "mobilenet_v3_large",
            "owner": "Google",
            "numerics": {"padding": "same", "eps": 1e-3, "momentum": 0.01},
        }
    ]
    assert "no network is called 'b0'" in refusal("list", "b0", "--aliases")


def test_info_shows_every_published_accuracy_with_its_source_and_where_the_owners_differ():
    told = triscale("info", "efficientnet_b2").out
    assert "80.1    94.9   EfficientNet paper  AutoAugment\n" in told
    assert "80.608  95.31  torchvision         IMAGENET1K_V1 at 288 px\n" in told
    assert "EfficientNet paper: https://arxiv.org/abs/1905.11946v5, tables 2 and 3\n" in told
    assert "  padding: timm and torchvision symmetric, Google same\n" in told
    assert "  evaluation size: timm and torchvision 288 px, Google 260 px\n" in told
    document = json.loads(triscale("info", "efficientnet_b2", "--json").out)
    assert len(document["published"]) == 10
    assert document["published"][0]["top1"] == 80.1
    assert document["published"][0]["url"].startswith("https://arxiv.org/abs/1905.11946v5")
    assert document["preprocessing"]["size"] == [288, 288]
    assert len(document["differences"]) == 6


def test_info_takes_the_names_of_other_libraries_and_says_ours():
    assert "our name: mnasnet_b1" in triscale("info", "mnasnet1_0").out
    assert triscale("info", "efficientnet_b0.ra_in1k").out == triscale("info", "efficientnet_b0").out.replace(
        "abs/1905.11946\n", "abs/1905.11946; our name: efficientnet_b0\n"
    )


@pytest.mark.parametrize(("name", "depth"), [("efficientnet_b0", 82), ("efficientnet_b7", 274)])
def test_info_counts_convolution_and_linear_layers(name, depth):
    assert f"{name} at" in triscale("info", name).out
    assert f"{depth} convolution and linear layers" in triscale("info", name).out.splitlines()[0]
    assert json.loads(triscale("info", name, "--json").out)["depth"] == depth


def test_info_blocks_are_the_rows_of_table_1():
    """Tan & Le 2019, https://arxiv.org/abs/1905.11946, which prints no strides."""
    rows = [line.split("  ") for line in triscale("info", "efficientnet_b0", "--blocks").out.splitlines()[7:]]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [tuple(row[1:6]) for row in cells] == [
        ("Conv3x3", "224 x 224", "2", "32", "1"),
        ("MBConv1, k3x3", "112 x 112", "1", "16", "1"),
        ("MBConv6, k3x3", "112 x 112", "2", "24", "2"),
        ("MBConv6, k5x5", "56 x 56", "2", "40", "2"),
        ("MBConv6, k3x3", "28 x 28", "2", "80", "3"),
        ("MBConv6, k5x5", "14 x 14", "1", "112", "3"),
        ("MBConv6, k5x5", "14 x 14", "2", "192", "4"),
        ("MBConv6, k3x3", "7 x 7", "1", "320", "1"),
        ("Conv1x1 & Pooling & FC", "7 x 7", "1", "1280", "1"),
    ]


def test_info_layers_add_up_to_the_whole():
    found = json.loads(triscale("info", "efficientnet_lite0", "--layers", "--json").out)
    for word in ("params", "macs", "activations"):
        assert sum(each[word] for each in found["operations"]) == found[word]
    assert len(triscale("info", "efficientnet_lite0", "--layers").out.splitlines()) > len(found["operations"])


def test_info_at_another_size_costs_more():
    small, large = (json.loads(triscale("info", "efficientnet_b0", "--size", *size, "--json").out)
                    for size in (("64",), ("64", "128")))  # fmt: skip
    assert (small["size"], large["size"]) == ([64, 64], [64, 128])
    assert small["macs"] < large["macs"] < 2.1 * small["macs"]


def test_info_draws_a_picture(tmp_path):
    done = triscale("info", "efficientnet_b0", "--picture", tmp_path / "b0.svg")
    assert done.out.endswith(f"picture: {tmp_path / 'b0.svg'}\n")
    assert (tmp_path / "b0.svg").read_text().lstrip().startswith("<svg")
    assert "--picture writes SVG" in refusal("info", "efficientnet_b0", "--picture", tmp_path / "b0.png")


def test_info_reads_network_files_model_files_and_runs(tmp_path, run):
    write_network(families.network("efficientnet_lite0"), tmp_path / "mine.json")
    assert triscale("info", tmp_path / "mine.json").out.startswith("efficientnet_lite0 at 224 x 224 px")
    of_run = triscale("info", run).out
    assert of_run.startswith("efficientnet_b0@macs30M,params2M at 32 x 32 px, 3 classes")
    assert triscale("info", run / "model.safetensors").out == of_run


def test_scale_by_multipliers_by_phi_and_to_a_budget(tmp_path):
    wide = json.loads(triscale("scale", "efficientnet_b0", "--width", "2", "--resolution", "0.5", "--json").out)
    assert network_from_dict(wide["network"]).resolution == (112, 112)
    compound = json.loads(triscale("scale", "efficientnet_b0", "--phi", "1", "--json").out)
    assert network_from_dict(compound["network"]).resolution == (258, 258)
    done = triscale("scale", "efficientnet_b0", "--to", "macs<=1G, params<=8M", "--out", tmp_path / "mine.json")
    own = cost(read_network(tmp_path / "mine.json"))
    assert own.macs <= 1e9
    assert own.params <= 8e6
    assert done.out.splitlines()[-1] == f"written to {tmp_path / 'mine.json'}"
    assert "params: " in done.out
    assert "of 8M" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("info", "b0"), "no network is called 'b0'"),
        (("info", "efficientnet-b0"), "did you mean efficientnet_b0"),
        (("info", "missing.json"), "missing.json: no such file"),
        (("info", "missing.safetensors"), "missing.safetensors: no such file"),
        (("info", "model.onnx"), "is an exported file; give the run"),
        (("info", "/"), "/: is a folder without network.json"),
        (("info", "efficientnet_b0", "--size", "0"), "a size is a number of pixels in 1.."),
        (("info", "efficientnet_b0", "--size", "1", "2", "3"), "--size takes one number or height and width"),
        (("scale", "efficientnet_b0"), "scale takes one of --depth, --width or --resolution; --phi; --fast; --to;"),
        (
            ("scale", "efficientnet_b0", "--phi", "1", "--to", "macs<=1G"),
            "scale takes one of --depth, --width or --resolution; --phi; --fast; --to;",
        ),
        (("scale", "efficientnet_b0", "--depth", "-1"), "needs multipliers above 0"),
        (("scale", "efficientnet_b0", "--width", "nan"), "needs multipliers above 0"),
        (("scale", "efficientnet_b0", "--phi", "1e9"), "phi=1e+09 makes what no network may be"),
        (("scale", "efficientnet_b0", "--phi", "1", "--out", "/"), "/: cannot be written"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, said):
    assert said in refusal(*arguments)


def test_a_name_that_is_empty_is_never_the_folder_one_stands_in():
    assert "NAME is empty; `triscale list` shows all names." in refusal("info", "")


def test_a_file_of_another_kind_is_told_what_would_be_one(tmp_path):
    path = tmp_path / "photograph.jpg"
    path.write_bytes(b"not a network")
    assert "is no network; expected a name, a network file (.json)" in refusal("info", path)
