"""How rows of classification.json without a published count were counted: the peer's model on the meta device.

Run: python -m tests.golden.count [mobilenetv2_140 torchvision:mnasnet1_3 ...]: one line of JSON for each network.
MACs are counted with a hook on every convolution and linear layer (FlopCounterMode gives twice the same number).
"""

import json
import sys

import torch
from torch import nn

from tests import peers

# Ours -> the peer's, where they have other names
NAMES = {
    "efficientnet_edgetpu_s": "efficientnet_es",
    "efficientnet_edgetpu_m": "efficientnet_em",
    "efficientnet_edgetpu_l": "efficientnet_el",
    "mobilenet_v1": "mobilenetv1_100",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_large": "mobilenetv3_large_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "mnasnet_a1": "semnasnet_100",
    "mnasnet_b1": "mnasnet_100",
    "mnasnet1_3": "torchvision:mnasnet1_3",
    **{f"efficientnetv2_b{number}": f"tf_efficientnetv2_b{number}" for number in range(4)},
}


def built(name):
    """timm's model of that name, or torchvision's where the name says so; on the meta device."""
    library, _, model = name.rpartition(":")
    with torch.device("meta"):
        made = getattr(peers.torchvision().models, model)() if library else peers.timm().create_model(model)
    return made.eval()


def counted(name, pixels=224):
    """Parameters, MACs at `pixels` and BatchNorm statistics of a peer's network, by its name here or there."""
    model, macs = built(NAMES.get(name, name)), []
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(lambda own, _, output: macs.append(output.numel() * own.weight[0].numel()))
    with torch.inference_mode():
        model(torch.empty(1, 3, pixels, pixels, device="meta"))
    statistics = [each.numel() for key, each in model.named_buffers() if key.rpartition(".")[2].startswith("running")]
    return {"params": sum(p.numel() for p in model.parameters()), "macs": sum(macs), "bn_stats": sum(statistics)}


if __name__ == "__main__":
    for each in sys.argv[1:]:
        print(json.dumps({each: counted(each)}))
