"""BatchNorm over two processes is BatchNorm over the whole batch."""

import pytest
import torch
from torch import nn

from training.forks import Forks
from triscale.training.sync_norm import SyncedNorm, synced_norms
from triscale.training.world import ALONE, World

# how the 8 rows of a batch are shared
SHARES = {"even": (4, 4), "uneven": (5, 3), "one has none": (8, 0)}


def whole(shape, seed=0):
    """A batch and a gradient of what becomes of it; far from zero, where sums of squares would lose the variance."""
    dice = torch.Generator().manual_seed(seed)
    return 1000 + torch.randn(shape, generator=dice), torch.randn(shape, generator=dice)


def norm_like(shape, kind=None, **settings):
    kind = kind or (nn.BatchNorm1d if len(shape) < 4 else nn.BatchNorm2d)
    norm = kind(shape[1], **settings)
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.linspace(0.5, 1.5, shape[1]))
            norm.bias.copy_(torch.linspace(-1, 1, shape[1]))
    return norm


def check(shape, share, layout, rank, **settings):
    """In each of two processes: what comes out, gradients and statistics are those of the usual layer."""
    x, outer = (each.to(memory_format=layout) for each in whole(shape))
    first = share[0]
    rows = slice(0, first) if rank == 0 else slice(first, None)
    wanted, found = norm_like(shape, **settings), norm_like(shape, SyncedNorm, **settings)
    x_whole, x_part = x.clone().requires_grad_(), x[rows].clone(memory_format=layout).requires_grad_()
    y_whole, y_part = wanted(x_whole), found(x_part)
    y_whole.backward(outer)
    y_part.backward(outer[rows])
    torch.testing.assert_close(y_part, y_whole[rows], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x_part.grad, x_whole.grad[rows], rtol=1e-4, atol=1e-4)
    assert y_part.is_contiguous(memory_format=layout)
    if settings.get("track_running_stats", True):
        torch.testing.assert_close(found.running_mean, wanted.running_mean)
        torch.testing.assert_close(found.running_var, wanted.running_var, rtol=1e-4, atol=1e-5)
        assert found.num_batches_tracked == 1
        each = ALONE if rank is None else World(rank, 2)
        own, other = (part for part in each.gather(found.running_var[None]))
        assert torch.equal(own, other)
    if settings.get("affine", True):
        both = torch.stack([found.weight.grad, found.bias.grad])
        each.sum(both) if settings.get("track_running_stats", True) else World(rank, 2).sum(both)
        torch.testing.assert_close(both, torch.stack([wanted.weight.grad, wanted.bias.grad]), rtol=1e-3, atol=1e-3)


CASES = [
    *(f"check((8, 6, 5, 7), {share}, torch.channels_last, rank)" for share in SHARES.values()),
    "check((8, 6, 5, 7), (5, 3), torch.contiguous_format, rank)",
    "check((8, 6), (5, 3), torch.contiguous_format, rank)",
    "check((8, 6, 9), (5, 3), torch.contiguous_format, rank)",
    "check((8, 6, 5, 7), (5, 3), torch.channels_last, rank, affine=False, eps=1e-3)",
    "check((8, 6, 5, 7), (5, 3), torch.channels_last, rank, momentum=None)",
    "check((8, 6, 5, 7), (5, 3), torch.channels_last, rank, track_running_stats=False)",
]


def test_two_processes_normalise_as_one():
    with Forks("import torch.distributed") as forks:
        lines = "\n    ".join(CASES)
        code = f"""
from training.pairs import together
together('''
import torch
from training.test_sync_norm import check
from triscale.training.world import joined
with joined():
    {lines}
''')
"""
        assert forks.run(code) == (0, "")


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
