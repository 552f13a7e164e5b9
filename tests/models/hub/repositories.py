"""What the tests put on their Hub: repositories in timm's layout."""

import json

from safetensors.torch import save as to_bytes

from tests.models.helpers import randomised

# As timm writes it for efficientnet_b0.ra_in1k.
PRETRAINED = {
    "tag": "ra_in1k",
    "custom_load": False,
    "input_size": [3, 224, 224],
    "fixed_input_size": False,
    "interpolation": "bicubic",
    "crop_pct": 0.875,
    "crop_mode": "center",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "num_classes": 1000,
    "pool_size": [7, 7],
    "first_conv": "conv_stem",
    "classifier": "classifier",
}
CARD = "---\nlibrary_name: timm\nlicense: apache-2.0\ntags:\n- timm\n---\n# Model card\n"


def timm_config(architecture, **changes):
    """A config.json of timm's; `changes` of its `pretrained_cfg`."""
    table = {**PRETRAINED, **changes}
    classes = table["num_classes"]
    config = {"architecture": architecture, "num_classes": classes, "num_features": 1280, "pretrained_cfg": table}
    return json.dumps(config, indent=2).encode()


def timm_files(timm, architecture, seed=0, **changes):
    """(the peer with random weights and statistics, the files of its repository)."""
    peer = randomised(timm.create_model(architecture), seed)
    files = {"config.json": timm_config(architecture, **changes), "README.md": CARD.encode()}
    return peer, {**files, "model.safetensors": to_bytes(dict(peer.state_dict()))}
