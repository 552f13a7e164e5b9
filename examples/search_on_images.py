"""A search by training: which depth, width and resolution read digits best within 2 million multiply-accumulates?

Six brief trainings from a few images, so that it ends within a minute; a search that is meant takes more of both.
What was trained is in search/ledger.jsonl: started again, this trains nothing.
Run: python examples/search_on_images.py    (extras train, search and demo)
"""

from dataclasses import replace
from pathlib import Path

import triscale as ts
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.data.demo import mnist5k
from triscale.search.asking import Asker
from triscale.search.budget.search import Plan, search_budget
from triscale.search.candidate import NetworkBaseline
from triscale.search.ledger import Ledger
from triscale.search.proxy import TrainingScore, for_search
from triscale.spec.limits import parse
from triscale.training.recipe import Recipe

STEPS = 80
dataset = for_search(read_dataset(mnist5k("digits")), per_class=20, most_judged=300)
network = replace(ts.network("mobilenetv3_small_050"), resolution=(48, 48), classes=len(dataset.classes))
baseline = NetworkBaseline(network)
recipe = Recipe(
    batch_size=40, learning_rate=6e-3, warmup_epochs=1.0, augmentation=Augmentation(crop_area=(0.6, 1.0), flip=0.0)
)
score = TrainingScore(baseline, dataset, recipe)
Path("search").mkdir(exist_ok=True)
ask = Asker(score, Ledger(Path("search/ledger.jsonl"), {"data": dataset.fingerprint, "baseline": network.name}))
found = search_budget(baseline, parse("macs<=2M"), ask, Plan(trials=6, steps=STEPS, first=4))
for each in found.scored:
    used = ", ".join(f"{word} {share:.0%}" for word, share in each.used.items())
    print(f"{each.candidate.multipliers}: {each.score or 0:.1%} after {STEPS} steps; of the budget {used}")
print(f"the best of them, without noise: {found.winner.candidate.multipliers}; one score has ±{found.noise:.1%}")
ts.write_network(found.winner.candidate.network, "found.json")
