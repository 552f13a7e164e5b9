"""A module that is no Network as an ONNX graph: the same answers, any batch, quiet, nothing told of this machine."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.modules.user_code import images, write
from triscale.deployment.engine import load_engine
from triscale.deployment.export import export
from triscale.deployment.traced import traced_graph
from triscale.deployment.verify import verify
from triscale.errors import SpecError
from triscale.modules.build import build
from triscale.modules.factory import load_factory
from triscale.spec.card import ModelCard


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A user's module whose BatchNorm statistics are not those of a fresh one."""
    code = write(tmp_path_factory.mktemp("code"))
    torch.manual_seed(0)
    made = build(load_factory(f"{code}:plain"), (24, 32), classes=3).model.train()
    with torch.no_grad():
        made(images(8) * 2 + 1)
    made.card = ModelCard(classes=("apple", "bridge", "cloud"), origin="a test")
    return made.eval()


def test_an_exported_module_answers_as_it_does_for_any_batch_and_says_what_it_needs(model, tmp_path, capfd):
    model.to(memory_format=torch.channels_last)
    written = export(model, tmp_path / "net.onnx")
    assert capfd.readouterr() == ("", "")
    shown = torch.randn(5, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    assert verify(model, written.path, shown).require().max_error < 1e-5
    engine = load_engine(written.path)
    assert [len(engine.run(shown[:n].numpy())) for n in (1, 2, 5)] == [1, 2, 5]
    assert (engine.classes, engine.input_shape) == (("apple", "bridge", "cloud"), (3, 24, 32))
    assert (engine.metadata.network, engine.metadata.origin) == ("nets.py:plain", "a test")
    assert engine.preprocessing == model.preprocessing
    # The exporter notes the user's files and lines beside each operation.
    assert b"nets.py:plain" in written.path.read_bytes()
    assert b"user_code" not in written.path.read_bytes()
    assert b"forward" not in written.path.read_bytes()


def test_batchnorm_is_folded(model):
    kinds = [node.op_type for node in traced_graph(model, 3, (32, 32), "net").graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Conv") == 9


def test_openvino_reads_the_same_graph(model, tmp_path):
    pytest.importorskip("openvino")
    written = export(model, tmp_path / "net.xml")
    assert verify(model, written.path, torch.zeros(2, 3, 24, 32)).require().images == 2


class OnValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        x = x.mean((2, 3))
        return self.fc(x) if x.sum() > 0 else self.fc(-x)


class TwoImages(OnValues):
    def forward(self, x):
        return self.fc(x.mean((2, 3)).reshape(2, 3))


@pytest.mark.parametrize("module", [OnValues(), TwoImages()])
def test_what_cannot_be_traced_for_any_batch_is_one_line(module):
    with pytest.raises(SpecError, match=r"export: net cannot be traced for any batch of images: ") as refused:
        traced_graph(module, 3, (32, 32), "net")
    assert "\n" not in str(refused.value)
    assert np.array_equal(module.fc.weight.shape, (2, 3))
