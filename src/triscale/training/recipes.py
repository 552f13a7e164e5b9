"""The recipes that have a name, and what the published ones change from network to network."""

from __future__ import annotations

from dataclasses import replace

from triscale.data.augment import Augmentation
from triscale.data.detection.augment import BoxAugmentation
from triscale.errors import TrainingError
from triscale.training.detection.settings import DetectionSettings
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe

IMAGENET, COCO = 1_281_167, 118_287  # training images

# tensorflow/tpu, models/official/efficientnet: main.py, utils.py, preprocessing.py, README; Tan & Le 2019,
# https://arxiv.org/abs/1905.11946, section 5.2. Dropout, 0.2 to 0.5, is the network's own. AutoAugment is that of the
# published B0 to B4.
V1 = Recipe(
    epochs=350,
    batch_size=2048,
    optimiser="rmsprop_tf",  # decay 0.9, eps 0.001: its defaults
    learning_rate=0.016,  # 0.128 at 2,048, and the paper's 0.256 at 4,096
    warmup_epochs=5,
    schedule="staircase",
    decay_rate=0.97,
    decay_epochs=2.4,
    momentum=0.9,
    weight_decay=1e-5,
    decay_biases=True,
    label_smoothing=0.1,
    ema_decay=0.9999,
    drop_connect=0.2,  # survival 0.8 in the last block
    augmentation=Augmentation(crop_area=(0.08, 1.0), autoaugment=True),
    norm_momentum=0.01,  # 0.99 in TensorFlow's sense
    reference_images=IMAGENET,
)

# google/automl, efficientnetv2: hparams.py, effnetv2_configs.py, main.py, preprocessing.py; Tan & Le 2021,
# https://arxiv.org/abs/2104.00298, section 5. These are the settings of V2-S; larger ones are below.
V2 = replace(
    V1,
    batch_size=4096,
    decay_biases=False,
    norm_momentum=0.1,  # 0.9 in TensorFlow's sense as released; the paper says 0.99
    augmentation=Augmentation(crop_area=(0.05, 1.0), randaugment_layers=2, randaugment_magnitude=10),
    progressive=Progressive(stages=4, smallest=128, first="above", randaugment=(5, 10)),
)

# The same with the paper's table 6 where the released code differs: the first stage at 128 pixels, stronger
# RandAugment, dropout that grows, no CutMix.
V2_PAPER = replace(
    V2,
    norm_momentum=0.01,
    augmentation=replace(V2.augmentation, randaugment_magnitude=15),
    progressive=Progressive(stages=4, smallest=128, first="at", randaugment=(5, 15), dropout=(0.1, 0.3)),
)

# google/automl, efficientdet: hparams_config.py, det_model_fn.py, dataloader.py; Tan, Pang & Le 2020,
# https://arxiv.org/abs/1911.09070, section 5.1. Mirrored, 0.1 to 2 times as large, all boxes that still show. D7 took
# 600 epochs. The released cosine does not count from its own warm-up's end, and begins somewhat lower than here; its
# momentum is not Nesterov's, and each tensor's gradient is clipped before that of all.
EFFICIENTDET = Recipe(
    epochs=300,
    batch_size=64,
    optimiser="sgd",
    learning_rate=0.32,  # 0.08 at 64, and the paper's 0.16 at 128
    warmup_epochs=1,
    final_rate=0.0,
    momentum=0.9,
    weight_decay=4e-5,
    label_smoothing=0.0,
    clip=10.0,
    ema_decay=0.9998,
    norm_momentum=0.01,  # 0.99 in TensorFlow's sense
    reference_images=COCO,
    detection=DetectionSettings(augmentation=BoxAugmentation(scale=(0.1, 2.0), visible=0.0, least_side=0.0)),
)

# For sets that are far smaller than COCO, from a trained backbone or from nothing: AdamW, whose rate asks for less
# tuning than SGD's, statistics that follow a short training, sizes that vary less.
DETECTION = Recipe(
    epochs=20,
    least_steps=1000,
    batch_size=16,
    learning_rate=6e-3,  # 1.5e-3 at 16
    warmup_epochs=1,
    weight_decay=0.02,
    label_smoothing=0.0,
    clip=10.0,
    detection=DetectionSettings(augmentation=BoxAugmentation(scale=(0.6, 1.5))),
)

RECIPES: dict[str, Recipe] = {
    "efficientnet-v1": V1,
    "efficientnet-v2": V2,
    "efficientnet-v2-paper": V2_PAPER,
    # From pretrained weights: few epochs, little distortion.
    "finetune": Recipe(epochs=8, least_steps=300, augmentation=Augmentation(crop_area=(0.5, 1.0))),
    # From scratch on few or small images: longer, warmer, with more regularisation.
    "small-data": Recipe(
        epochs=60,
        least_steps=2000,
        learning_rate=4e-3,
        warmup_epochs=5,
        weight_decay=0.05,
        augmentation=Augmentation(crop_area=(0.35, 1.0), randaugment_layers=1, randaugment_magnitude=7),
    ),
    # To see that everything works.
    "quick": Recipe(epochs=2, warmup_epochs=0.5, augmentation=Augmentation(crop_area=(0.5, 1.0))),
    "detection": DETECTION,
    "efficientdet": EFFICIENTDET,
}


def _v1_randaugment(magnitude: float) -> Recipe:
    augmentation = replace(V1.augmentation, autoaugment=False, randaugment_layers=2, randaugment_magnitude=magnitude)
    return replace(V1, augmentation=augmentation)


def _v2(base: Recipe, magnitude: float, mixup: float, cutmix: float, dropout: float | None = None) -> Recipe:
    """A larger V2. Regularisers of 0 stay None, so that a recipe says only what it does."""
    assert base.progressive is not None
    growing = replace(
        base.progressive,
        randaugment=(5, magnitude),
        mixup=(0, mixup),
        cutmix=(0, cutmix) if cutmix else None,
        dropout=None if dropout is None else (0.1, dropout),
    )
    augmentation = replace(base.augmentation, randaugment_magnitude=magnitude)
    return replace(base, augmentation=augmentation, progressive=growing)


# B0 to B3 of the second generation: AutoAugment in the first one's way, and only the size grows.
_V2_B = replace(V2, augmentation=V1.augmentation, progressive=Progressive(stages=4, smallest=128, first="above"))

# Settings that belong to one network, by recipe and the network's name without `tf_`.
BY_NETWORK: dict[str, dict[str, Recipe]] = {
    # RandAugment of the released checkpoints: README of tensorflow/tpu's efficientnet.
    "efficientnet-v1": {
        "efficientnet_b5": _v1_randaugment(17),
        "efficientnet_b7": _v1_randaugment(28),
        "efficientnet_b8": _v1_randaugment(28),
    },
    # effnetv2_configs.py
    "efficientnet-v2": {
        "efficientnetv2_b0": _V2_B,
        "efficientnetv2_b1": _V2_B,
        "efficientnetv2_b2": _V2_B,
        "efficientnetv2_b3": _V2_B,
        "efficientnetv2_m": _v2(V2, 15, 0.2, 0.2),
        "efficientnetv2_l": _v2(V2, 20, 0.5, 0.5),
        "efficientnetv2_xl": _v2(V2, 20, 0.5, 0.5),
    },
    # table 6; transcriptions of it differ on mixup for L, 0.4 or 0.5, and the released code says 0.5
    "efficientnet-v2-paper": {
        "efficientnetv2_m": _v2(V2_PAPER, 20, 0.2, 0.0, dropout=0.4),
        "efficientnetv2_l": _v2(V2_PAPER, 25, 0.5, 0.0, dropout=0.5),
    },
}


def recipe(name: str, network: str = "") -> Recipe:
    """A recipe by its name, as it is for one network where the published settings differ between them.

    network: a network's name, "tf_" or not; another one takes the recipe as it is for the smallest.
    Raises: TrainingError listing the names.
    """
    if name not in RECIPES:
        raise TrainingError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}.")
    return BY_NETWORK.get(name, {}).get(network.removeprefix("tf_"), RECIPES[name])
