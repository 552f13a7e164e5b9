"""`triscale search`: coefficients of compound scaling, or the best network inside a budget, on one's own images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

from triscale.cli.folders import run_folder
from triscale.cli.names import resolve_subject
from triscale.cli.output import print_json
from triscale.cli.searching import Options, do_budget, do_coefficients
from triscale.cli.workers import Workers
from triscale.errors import BudgetError, SpecError
from triscale.modules.reference import is_reference
from triscale.spec.detector import Detector
from triscale.spec.files import read_json
from triscale.spec.limits import COUNTED, Budget, parse
from triscale.spec.network import Network, Size, as_size

if TYPE_CHECKING:
    from triscale.search.candidate import Baseline

ALONE = Workers()

search_app = cyclopts.App(
    name="search",
    help="Search for a network: coefficients of compound scaling, the best one inside a budget.",
    help_format="plaintext",
)


@search_app.command
def coefficients(
    data: str,
    *,
    baseline: str = "mobilenetv3_small_100",
    preset: Literal["tiny", "small", "paper"] = "tiny",
    constraint: Literal["counted", "formula"] = "counted",
    size: int | None = None,
    honesty: Literal["now", "later"] = "now",
    out: Path | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    workers: Annotated[Workers, Parameter(name="*")] = ALONE,
) -> int:
    """Find alpha, beta and gamma for a baseline on your images, scale it with them, and hold that against its rivals.

    The same command again goes on where it stopped: every training is in the run's ledger.jsonl. The result is
    network.json (phi 1) and family/, which train, fit, scale and export take; start at report.html.

    Example: triscale search coefficients digits --baseline mobilenetv3_small_100 --preset tiny

    Parameters
    ----------
    data
        a folder with one folder of images per class (or train/, val/, test/ with those), a CSV, or shards
    baseline
        a name, a network file, or your own code as file.py:factory
    preset
        tiny: 2 cores, minutes; small: one GPU, hours; paper: a cluster, weeks
    constraint
        counted: twice the baseline's multiply-accumulates as counted after rounding; formula: alpha·beta²·gamma² of 2
    size
        pixels of the baseline's images; by default the preset's
    honesty
        later leaves out what the result is compared with; the same command with now adds it
    out
        the run's folder; runs/NAME-BASELINE by default
    seed
        of the split, and of the random search
    skip_broken
        go on without images that cannot be read
    device
        where to train; auto takes a GPU where there is one
    json
        print the result as JSON at the end
    workers
        who trains
    """
    network = _network(baseline)
    _check_spread(baseline, network, workers)
    _check_device(device, workers)

    from triscale.search.job import CoefficientJob
    from triscale.search.preset import preset as preset_of

    chosen = preset_of(preset)
    made = _baseline(baseline, network, as_size(chosen.side if size is None else size))
    job = CoefficientJob(data, made, chosen, constraint, seed, skip_broken)
    usual = run_folder(out, data, f"{made.name}-coefficients")
    folder, spread = workers.folder(usual, out is not None), workers.spread(usual.name)
    do_coefficients(job, folder, Options(baseline, honesty == "now", spread, device, quiet=json))
    if json:
        print_json(read_json(folder / "coefficients.json"))
    return 0


@search_app.command
def budget(
    data: str,
    *,
    budget: str,
    baseline: str = "mobilenetv3_small_100",
    preset: Literal["tiny", "small", "paper"] = "tiny",
    mode: Literal["dwr", "compound", "phi"] = "dwr",
    pareto: Literal["macs", "params", "activations", "memory"] | None = None,
    size: int | None = None,
    engine: Literal["onnx", "openvino"] = "onnx",
    honesty: Literal["now", "later"] = "now",
    out: Path | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    workers: Annotated[Workers, Parameter(name="*")] = ALONE,
) -> int:
    """Find depth, width and resolution of a baseline that score best inside hard limits, and hold that against rivals.

    Only networks inside the limits are ever trained. The same command again goes on where it stopped: every training
    is in the run's ledger.jsonl. The result is network.json, which train, fit, scale and export take; start at
    report.html.

    Example: triscale search budget digits --budget "macs<=20M, params<=2M"

    Parameters
    ----------
    data
        a folder with one folder of images per class (or train/, val/, test/ with those), a CSV, or shards
    budget
        hard limits: macs, params, activations (K M G), memory, size (KB MB GB), latency (us ms s)
    baseline
        a name, a network file, or your own code as file.py:factory
    preset
        tiny: 2 cores, minutes; small: one GPU, hours; paper: a cluster, weeks
    mode
        dwr: depth, width and resolution freely; compound: alpha, beta, gamma at least 1 and phi; phi: the published
        family alone
    pareto
        seek score against this cost rather than the best score alone
    size
        pixels of the baseline's images; by default the preset's
    engine
        of the exported file that latency and size are measured on
    honesty
        later leaves out what the result is compared with; the same command with now adds it
    out
        the run's folder; runs/NAME-BASELINE-budget by default
    seed
        of the split and of what is proposed
    skip_broken
        go on without images that cannot be read
    device
        where to train; auto takes a GPU where there is one
    json
        print the result as JSON at the end
    workers
        who trains
    """
    limits = parse(budget)
    network = _network(baseline)
    _check_spread(baseline, network, workers)
    _check_device(device, workers)
    _check_measured(limits, network, workers)

    from triscale.search.budget.job import BudgetJob
    from triscale.search.budget.process import require_scipy
    from triscale.search.preset import preset as preset_of

    require_scipy()
    chosen = preset_of(preset)
    made = _baseline(baseline, network, as_size(chosen.side if size is None else size))
    job = BudgetJob(data, made, limits, chosen, mode, pareto, seed, skip_broken, engine)
    usual = run_folder(out, data, f"{made.name}-budget")
    folder, spread = workers.folder(usual, out is not None), workers.spread(usual.name)
    do_budget(job, folder, Options(baseline, honesty == "now", spread, device, quiet=json))
    if json:
        print_json(read_json(folder / "search.json"))
    return 0


def _network(name: str) -> Network | None:
    """What a baseline's name means; None for code. Raises: SpecError for a detector."""
    network = None if is_reference(name) else resolve_subject(name)
    if isinstance(network, Detector):
        raise SpecError(f"{network.name} is a detector; a search takes a network.")
    return network


def _baseline(name: str, network: Network | None, size: Size) -> Baseline:
    """A network, or the module of a factory, at a size in pixels."""
    from triscale.search.candidate import NetworkBaseline

    if network is not None:
        return NetworkBaseline(replace(network, resolution=size))
    from triscale.modules.factory import load_factory
    from triscale.search.own import ModuleBaseline

    return ModuleBaseline(load_factory(name), size)


def _check_spread(baseline: str, network: Network | None, workers: Workers) -> None:
    """Refuse code of the user's own on other machines, which cannot import it. Raises: SpecError."""
    if network is None and workers.on is not None:
        raise SpecError(f"--on {workers.on}: {baseline} is a file of this machine alone; spread it with --storage.")


def _check_device(device: Literal["auto", "cpu", "cuda"], workers: Workers) -> None:
    """Refuse a GPU that is not there, before any data is read. Raises: SpecError, TrainingError."""
    if device == "auto":
        return
    if workers.on is not None:
        raise SpecError(f"--device {device}: on a Ray cluster --gpus says what a training gets; leave --device out.")
    from triscale.training.device import chosen_device

    chosen_device(device)


def _check_measured(limits: Budget, network: Network | None, workers: Workers) -> None:
    """Refuse limits that must be measured where they cannot be. Raises: BudgetError."""
    words = [word for word in limits.limits if word not in COUNTED]
    if words and network is None:
        raise BudgetError(f"budget {limits}: {words[0]} of code of your own is not searched for; limit macs or params.")
    if words and workers.storage is not None:
        raise BudgetError(
            f"budget {limits}: {words[0]} is measured on one device, and the workers of a --storage may differ; limit "
            f"macs or params, or leave --storage out."
        )
