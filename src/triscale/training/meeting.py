"""Where processes that train together meet: a store of their own, in which nothing of an earlier attempt is left.

torchrun keeps one store for all the attempts of a run, and PyTorch writes under the same names in each. A worker that
is started again may so read where one that was killed had been listening, and is refused there, or waits for ever.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import torch.distributed as dist

PAUSE = 0.01  # seconds between two looks


def own_store(store: dist.Store, rank: int, size: int, timeout: float) -> dist.Store:
    """The part of a store that only these processes use, of this attempt.

    The first process invents a name for it. Each other one asks under a name that is new too, so that no answer to
    an earlier process can be taken for its own, and says that it has understood.
    timeout: seconds to wait for the others.
    Raises: RuntimeError (torch.distributed's) when one does not come.
    """
    own = uuid.uuid4().hex
    store.set_timeout(timedelta(seconds=timeout))
    if rank:
        store.set(f"triscale/asks/{rank}", own)
        name = store.get(f"triscale/answer/{own}").decode()
        store.set(f"triscale/{name}/{rank}", "understood")
        return dist.PrefixStore(f"triscale/{name}", store)
    waiting, end = set(range(1, size)), time.monotonic() + timeout
    while waiting:
        for other in sorted(waiting):
            if store.check([f"triscale/{own}/{other}"]):
                waiting.discard(other)
            elif store.check([f"triscale/asks/{other}"]):  # maybe one that has gone: then it asks no more
                store.set(f"triscale/answer/{store.get(f'triscale/asks/{other}').decode()}", own)
        if waiting and time.monotonic() > end:
            raise dist.DistStoreError(f"waited {timeout:.0f} s for process {', '.join(map(str, sorted(waiting)))}")
        time.sleep(PAUSE)
    return dist.PrefixStore(f"triscale/{own}", store)
