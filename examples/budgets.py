"""One network at a ladder of budgets: what depth, width and resolution become, and what is left unused.

Counts are arithmetic, so this takes milliseconds and needs no torch.
Run: python examples/budgets.py
"""

import triscale as ts

net = ts.network("efficientnet_b0")
print(f"{'budget':>24}  {'blocks':>6}  {'channels':>8}  {'pixels':>6}  {'MACs':>8}  {'params':>7}  used")
for macs, params in ((100, 3), (200, 4), (400, 6), (800, 8), (1600, 12)):
    made = ts.fit_budget(net, f"macs<={macs}M, params<={params}M")
    cost = ts.cost(made)
    blocks = sum(len(stage.blocks) for stage in made.stages)
    used = max(cost.macs / (1e6 * macs), cost.params / (1e6 * params))
    print(
        f"{f'{macs}M MACs, {params}M params':>24}  {blocks:>6}  {made.stages[-1].channels:>8}  {made.resolution[0]:>6}"
        f"  {cost.macs / 1e6:>7.0f}M  {cost.params / 1e6:>6.2f}M  {used:.1%}"
    )
