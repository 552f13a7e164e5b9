import pytest

from tests.golden import golden
from triscale.spec.published_detectors import DETECTOR_SOURCES, accuracies

MODELS = golden("detection")["models"]


@pytest.mark.parametrize("name", MODELS)
def test_every_published_ap_is_the_sources(name):
    row, told = MODELS[name]["ap"], {(each.on, each.source): each.ap for each in accuracies(name)}
    if "test_dev" in row:
        expected = {("test-dev2017", "EfficientDet paper"): row["test_dev"]}
        expected |= {("val2017", "google/automl"): row["val_readme"], ("val2017", "effdet"): row["val_effdet_hard_nms"]}
    else:
        expected = {("val2017", "google/automl"): row["float"], ("val2017", "effdet"): row["val_effdet"]}
    assert told == expected
    assert {each.source for each in accuracies(name)} <= set(DETECTOR_SOURCES)
