"""`triscale scale`: the rules, the table of what was released, and the pictures."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from tests.fitted import refusal, triscale
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.files import network_from_dict, read_network, write_network
from triscale.spec.rules import RULES
from triscale.spec.scaling import scale


def answer(*arguments):
    return json.loads(triscale("scale", *arguments, "--json").out)


def test_fast_scaling_says_its_rule_and_what_it_multiplied():
    found = answer("efficientnet_b0", "--fast", "4")
    assert found["scaling"] == pytest.approx(
        {"rule": "fast", "alpha": 2**0.1, "beta": 2**0.4, "gamma": 2**0.05,
         "depth": 4**0.1, "width": 4**0.4, "resolution": 4**0.05}
    )  # fmt: skip
    assert network_from_dict(found["network"]) == scale(network("efficientnet_b0"), 4**0.1, 4**0.4, 4**0.05)
    lines = triscale("scale", "efficientnet_b0", "--fast", "4").out.splitlines()
    assert "rule: fast; depth x1.149, width x1.741, resolution x1.072" in lines
    assert lines[2].startswith("efficientnet_b0-fast4 ")


def test_the_share_of_width_in_fast_scaling_can_be_chosen():
    found = answer("efficientnet_b0", "--fast", "4", "--alpha", "1")["scaling"]
    assert (found["depth"], found["width"], found["resolution"]) == pytest.approx((1, 2, 1))


@pytest.mark.parametrize("rule", RULES)
def test_a_budget_is_met_by_any_rule(rule, tmp_path):
    out = tmp_path / "mine.json"
    lines = triscale("scale", "efficientnet_b0", "--to", "macs<=1.2G", "--rule", rule, "--out", out).out.splitlines()
    own = cost(read_network(out))
    assert 1e9 < own.macs <= 1.2e9
    assert any(line.startswith(f"rule: {rule}; depth x") for line in lines)
    assert lines[-2].startswith("macs: ")
    assert lines[-1] == f"written to {out}"


def test_phi_goes_along_any_rule_and_any_coefficients():
    assert answer("efficientnet_b0", "--phi", "2", "--rule", "width")["scaling"]["width"] == pytest.approx(2)
    found = answer("efficientnet_b0", "--phi", "2", "--alpha", "1.3", "--beta", "1.0")["scaling"]
    assert (found["depth"], found["width"], found["resolution"]) == pytest.approx((1.69, 1, 1.15**2))


def test_plain_multipliers_name_no_rule():
    assert answer("efficientnet_b0", "--depth", "2")["scaling"] == {"depth": 2, "width": 1, "resolution": 1}
    assert "multipliers: depth x2, width x1, resolution x1" in triscale("scale", "efficientnet_b0", "--depth", "2").out


def test_the_table_shows_released_networks_beside_the_rule():
    lines = triscale("scale", "efficientnet_b0", "--table").out.splitlines()
    cells = {line.split()[0]: line.split() for line in lines if line.startswith("efficientnet_")}
    released = next(line.split() for line in lines if line.startswith("efficientnet_b7 "))
    assert released[1:7] == ["3.100", "2.000", "600", "55", "66.3M", "37.7G"]
    needed = cells["efficientnet_b7"]
    assert needed[1:] == ["6.21", "7.27", "7.05", "6.61", "6.63"]  # depth, width, pixels, MACs; the best
    ruled = lines[lines.index(next(line for line in lines if line.startswith("efficientnet_b7 "))) + 1].split()
    assert ruled[:4] == ["rule", "6.63", "3.349", "1.881"]
    assert "-0.0 %" not in "\n".join(lines)


def test_the_table_as_json_has_exact_counts():
    found = answer("efficientnet_lite1", "--table")
    assert found["baseline"] == "efficientnet_lite0"
    assert [each["name"] for each in found["released"]] == [f"efficientnet_lite{number}" for number in range(1, 5)]
    for each in found["released"]:
        own = cost(network(each["name"]))
        assert (each["released"]["params"], each["released"]["macs"]) == (own.params, own.macs)
        assert each["difference"]["macs"] == pytest.approx(own.macs / each["rule"]["macs"] - 1)
    assert found["paper"] == []


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "resnet50", "efficientnet_b0"])
def test_the_table_shows_the_papers_rows_and_says_what_does_not_reproduce(name):
    out = triscale("scale", name, "--table").out
    found = answer(name, "--table")
    rows = {row["way"]: row for row in found["paper"]}
    assert set(rows) <= {"baseline", "depth", "width", "resolution", "compound"}
    for row in rows.values():
        assert row["difference"] == pytest.approx(row["macs"] / row["paper_macs"] - 1)
        assert f"{row['macs'] / 1e9:.3f}G" in out
    assert found["notes"] and all(note in out for note in found["notes"])


def test_names_of_other_libraries_and_numerics_have_the_same_table():
    assert answer("tf_efficientnet_b3", "--table")["released"][0]["name"] == "tf_efficientnet_b1"
    assert answer("tf_efficientnet_b0", "--table")["paper"] == answer("efficientnet_b0", "--table")["paper"]
    assert answer("mobilenetv2_100", "--table")["baseline"] == "mobilenet_v2"


def test_a_file_that_only_borrowed_its_name_has_no_table(tmp_path):
    changed = dataclasses.replace(network("efficientnet_b0"), classes=10)
    write_network(changed, tmp_path / "mine.json")
    assert "nothing scaled was released of it" in refusal("scale", tmp_path / "mine.json", "--table")


def test_a_network_with_neither_is_refused_with_those_that_have_a_table():
    said = refusal("scale", "detnas_coco_fpn_300m", "--table")
    assert "detnas_coco_fpn_300m: nothing scaled was released of it" in said
    assert "efficientnet_b0, efficientnet_lite0" in said and "resnet50" in said


@pytest.mark.parametrize("option", ["--curve", "--panels"])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_pictures_are_written(option, suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    assert triscale("scale", "efficientnet_lite0", option, path).out == f"picture: {path}\n"
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


def test_a_curve_as_json_is_its_numbers(tmp_path):
    found = answer("efficientnet_lite0", "--curve", tmp_path / "out.png")
    assert {point["rule"] for point in found} == set(RULES)
    wide = next(point for point in found if point["rule"] == "width" and math.isclose(point["factor"], 4))
    assert wide["params"] == cost(scale(network("efficientnet_lite0"), width=2)).params


def test_the_pictures_and_the_table_need_no_torch(tmp_path):
    script = (
        "import sys\nfrom triscale.cli.main import main\n"
        f"codes = [main(['scale', 'efficientnet_b0', '--curve', {str(tmp_path / 'c.png')!r}])]\n"
        f"codes += [main(['scale', 'efficientnet_b0', '--panels', {str(tmp_path / 'p.png')!r}])]\n"
        "codes += [main(['scale', 'efficientnet_b0', '--table'])]\n"
        "sys.exit(f'{codes} {\"torch\" in sys.modules}')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[0, 0, 0] False"


def test_photographs_are_shown_to_every_member_with_weights(tmp_path):
    path = tmp_path / "photographs.svg"
    triscale("scale", "efficientnet_lite0", "--curve", path, "--photographs", "coffee")
    said = path.read_text()
    assert all(f">efficientnet_lite{number}</text>" in said for number in range(3))
    assert said.count(">espresso</text>") == 3  # of all three, the first answer
    assert ">95.1\u00a0%</text>" in said  # of Lite0, as its owner's code gives it


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fast", "0"), "fast_compound needs a factor in 1e-06..1e+06, got 0.0"),
        (("--fast", "2", "--phi", "1"), "got --phi and --fast"),
        (("--fast", "2", "--alpha", "3"), "alpha is width's share of the growth, 0..1; got 3.0"),
        (("--fast", "2", "--beta", "3"), "fast takes only --alpha, width's share of the growth"),
        (("--phi", "1", "--rule", "depth", "--alpha", "2"), "those of compound scaling; depth takes none of them"),
        (("--phi", "1", "--rule", "quick"), 'Choose from: "compound", "fast", "depth", "width", "resolution"'),
        (("--depth", "2", "--rule", "fast"), "--rule says how --phi, --to, --table, --curve and --panels grow"),
        (("--fast", "2", "--rule", "depth"), "--rule says how --phi, --to, --table, --curve and --panels grow"),
        (("--to", "params<=8M", "--rule", "resolution"), "params do not depend on resolution"),
        (("--to", "macs<=1G", "--alpha", "0.5"), "alpha, beta and gamma must be in 1..10"),
        (("--table", "--phi", "1"), "got --phi and --table"),
        (("--table", "--out", "x.json"), "--out writes one network, but --table shows many"),
        (("--table", "--alpha", "1", "--beta", "1", "--gamma", "1"), "gamma^2 above 1, got 1, 1 and 1"),
        (("--curve", "out.pdf"), "--curve writes PNG or SVG, got 'out.pdf'"),
        (("--curve", "out"), "--curve writes PNG or SVG, got 'out'"),
        (("--panels", "out.jpg"), "--panels writes PNG or SVG, got 'out.jpg'"),
        (("--curve", "out.png", "--beta", "-1"), "need alpha, beta and gamma above 0"),
        (("--table", "--photographs", "coffee"), "--photographs belongs to --curve FILE.png"),
        (("--curve", "/nowhere/x/c.png", "--photographs", "nobody"), "no photograph of scikit-image's: astronaut"),
        (("--curve", "c.png", "--photographs", "nobody.png"), "nobody.png"),
        (("--to", "macs<=1G", "--threads", "1"), "--threads says how a latency is measured"),
        (("--phi", "1", "--threads", "1"), "--threads says how a latency is measured"),
        (("--to", "latency<=5ms", "--threads", "0"), "threads must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_one_line(arguments, said):
    assert said in refusal("scale", "efficientnet_lite0", *arguments)


def test_a_network_for_one_thread_is_sought_with_one_thread(monkeypatch):
    pytest.importorskip("onnxruntime")
    from triscale.deployment import on_device

    asked = []

    def solved(base, budget, engine, *, rule, threads, progress):
        asked.append((engine, threads))
        return on_device.OnDevice(base, RULES["compound"].multipliers(0), {"latency": 1e-3})

    monkeypatch.setattr(on_device, "solve_on_device", solved)
    done = triscale("scale", "efficientnet_lite0", "--to", "latency<=2ms", "--threads", 1, "--engine", "openvino")
    assert done.code == 0 and "latency: 1ms of 2ms (50.0%)" in done.out, done.err
    assert asked == [("openvino", 1)]


def test_a_family_without_weights_here_is_refused_by_name(tmp_path):
    said = refusal("scale", "mobilenet_v2", "--curve", tmp_path / "c.png", "--photographs", "coffee")
    assert "mobilenet_v2 has no pretrained weights on this machine" in said
    assert not (tmp_path / "c.png").exists()


def test_a_picture_where_nothing_can_be_written_is_one_line():
    assert "/proc/nowhere/c.png: cannot be written" in refusal(
        "scale", "mobilenet_v2", "--curve", "/proc/nowhere/c.png"
    )
