"""From an image folder to a verified file: train a small network, export it, hold the file against the model.

Run: python examples/train_and_ship.py    (extras train, deploy and demo; about half a minute on two cores)
"""

from dataclasses import replace

import torch

import triscale as ts
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.data.demo import mnist5k
from triscale.data.transforms import load
from triscale.deployment.export import export
from triscale.deployment.latency import measure
from triscale.deployment.verify import verify
from triscale.training.loop import train
from triscale.training.recipe import Recipe

dataset = read_dataset(mnist5k("digits"))
network = ts.fit_budget(replace(ts.network("mobilenetv3_small_050"), resolution=(32, 32)), "params<=500K")
torch.manual_seed(0)
model = ts.create_model(network, num_classes=len(dataset.classes))
model.preprocessing = replace(model.preprocessing, size=(32, 32))
recipe = Recipe(epochs=8, batch_size=64, learning_rate=6e-3, augmentation=Augmentation(flip=0.0))
result = train(model, dataset, recipe, "run")  # the same call again goes on where this one stopped
print(result.evaluation.sentence("test"))
written = export(result.model, "run/model.onnx")
images = torch.stack([load(each.path, model.preprocessing) for each in dataset.test[:32]])
check = verify(result.model, written.path, images)
check.require()
print(check.said("images"))
print(f"{written.size_bytes / 1e6:.2f} MB, {measure(written.path)}")
