"""BatchNorm over two processes is BatchNorm over the whole batch."""

import pytest
import torch
from torch import nn

from triscale.training.sync_norm import SyncedNorm, synced_norms
from triscale.training.world import ALONE, World

# how the 8 rows of a batch are shared
SHARES = {"even": (4, 4), "uneven": (5, 3), "one has none": (8, 0)}


def whole(shape, seed=0):
    """A batch and a gradient of what becomes of it; far from zero, where sums of squares would lose the variance."""
    dice = torch.Generator().manual_seed(seed)
    return 100 + torch.randn(shape, generator=dice), torch.randn(shape, generator=dice)


def norm_like(shape, kind=None, **settings):
    kind = kind or (nn.BatchNorm1d if len(shape) < 4 else nn.BatchNorm2d)
    norm = kind(shape[1], **settings)
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 1.5, shape[1]))
            norm.bias.copy_(torch.linspace(-1, 1, shape[1]))
    return norm


def check(world, shape, share, layout=torch.channels_last, **settings):
    """In each of two processes: what comes out, gradients and statistics are those of the usual layer."""
    x, outer = (each.to(memory_format=layout) for each in whole(shape))
    first = share[0]
    rows = slice(0, first) if world.is_main else slice(first, None)
    wanted, found = norm_like(shape, **settings).double(), norm_like(shape, SyncedNorm, **settings)
    x_whole, x_part = x.double().requires_grad_(), x[rows].clone(memory_format=layout).requires_grad_()
    y_whole, y_part = wanted(x_whole), found(x_part)
    y_whole.backward(outer.double())
    y_part.backward(outer[rows])
    torch.testing.assert_close(y_part.double(), y_whole[rows], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x_part.grad.double(), x_whole.grad[rows], rtol=1e-4, atol=1e-4)
    assert y_part.is_contiguous(memory_format=layout)
    if found.running_mean is not None:
        torch.testing.assert_close(found.running_mean.double(), wanted.running_mean, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.running_var.double(), wanted.running_var, rtol=1e-4, atol=1e-5)
        assert found.num_batches_tracked == 1
        own, other = world.gather(torch.stack([found.running_mean, found.running_var])[None])
        assert torch.equal(own, other)
    if found.affine:
        both = world.sum(torch.stack([found.weight.grad, found.bias.grad]))
        torch.testing.assert_close(
            both.double(), torch.stack([wanted.weight.grad, wanted.bias.grad]), rtol=1e-3, atol=1e-3
        )


CASES = [
    *(f"check(world, (8, 6, 5, 7), {share})" for share in SHARES.values()),
    "check(world, (8, 6, 5, 7), (5, 3), torch.contiguous_format)",
    "check(world, (8, 6), (5, 3), torch.contiguous_format)",
    "check(world, (8, 6, 9), (5, 3), torch.contiguous_format)",
    "check(world, (8, 6, 5, 7), (5, 3), affine=False, eps=1e-3)",
    "check(world, (8, 6, 5, 7), (5, 3), momentum=None)",
    "check(world, (8, 6, 5, 7), (5, 3), track_running_stats=False)",
]


def test_two_processes_normalise_as_one(forks):
    lines = "\n    ".join(CASES)
    code = f"""
from training.pairs import together
together('''
import torch
from training.test_sync_norm import check
from triscale.training.world import joined
with joined() as world:
    {lines}
''')
"""
    status, said = forks.run(code)
    assert (status, said) == (0, ""), said


def test_alone_nothing_changes_and_afterwards_the_layers_are_the_models_own():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4, affine=False)))
    own, names = list(model.modules()), list(model.state_dict())
    with synced_norms(model, ALONE):
        assert list(model.modules()) == own
    with synced_norms(model, World(0, 2)):
        assert [type(each) for each in model.modules()].count(SyncedNorm) == 2
        assert list(model.state_dict()) == names
        assert model[1].weight is own[2].weight
        model.eval()
        model(torch.zeros(1, 3, 2, 2))  # in evaluation nobody waits for another
    assert list(model.modules()) == own
    assert not own[2].training


def test_layers_come_back_after_an_error_too():
    model = nn.Sequential(nn.BatchNorm1d(3))
    with pytest.raises(KeyError), synced_norms(model, World(1, 2)):
        raise KeyError
    assert type(model[0]) is nn.BatchNorm1d
