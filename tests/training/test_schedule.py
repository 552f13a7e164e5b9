"""The learning rate of each step, against the numbers of the papers."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.training.plan import plan_of, schedule_of
from triscale.training.recipes import IMAGENET, recipe
from triscale.training.schedule import SCHEDULES, Schedule


def test_the_rate_rises_linearly_and_falls_like_a_cosine():
    schedule = Schedule(peak=1.0, warmup_steps=4, total_steps=12)
    rates = [schedule.rate(step) for step in range(13)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[8] == pytest.approx(0.5)  # half way
    assert rates[12] == pytest.approx(0.0)
    assert Schedule(1.0, 4, 12, final_share=0.1).rate(12) == pytest.approx(0.1)


def test_a_constant_rate_stays_after_the_warm_up():
    schedule = Schedule(peak=0.5, warmup_steps=3, total_steps=10, kind="constant")
    assert [schedule.rate(step) for step in (0, 2, 3, 9)] == pytest.approx([0.125, 0.375, 0.5, 0.5])


def test_stairs_are_counted_from_the_first_step():
    """0.97 every 2.4 epochs of 5 steps, that is 12 steps; the warm-up of 25 steps hides the first two."""
    schedule = Schedule(1.0, warmup_steps=25, total_steps=100, kind="staircase", decay_rate=0.97, decay_steps=12.0)
    assert schedule.rate(24) == pytest.approx(25 / 26)
    assert [schedule.rate(step) for step in (25, 35, 36, 47, 48)] == pytest.approx(
        [0.97**2, 0.97**2, 0.97**3, 0.97**3, 0.97**4]
    )


@pytest.mark.parametrize("name", ["efficientnet-v1", "efficientnet-v2"])
def test_the_published_rate_is_0256_at_a_batch_of_4096(name):
    """Tan & Le 2019, section 5.2: 0.256, times 0.97 every 2.4 epochs; tensorflow/tpu: 0.016 for 256 images."""
    wanted = replace(recipe(name), batch_size=4096)
    plan = plan_of(wanted, IMAGENET)
    schedule = schedule_of(wanted, plan)
    assert (plan.steps_per_epoch, plan.warmup_steps, plan.total_steps) == (312, 1560, 109_200)
    assert plan.learning_rate == pytest.approx(0.256)
    assert schedule.rate(1560) == pytest.approx(0.256 * 0.97**2)  # 5 epochs are two whole stairs of 2.4
    assert schedule.rate(109_199) == pytest.approx(0.256 * 0.97**145)  # 350 / 2.4 = 145.8
    assert plan_of(replace(wanted, batch_size=2048), IMAGENET).learning_rate == pytest.approx(0.128)


def test_a_stair_begins_at_its_own_step_also_where_its_length_is_no_whole_number():
    """2.4 epochs of 312 steps are 748.8 steps: ten of them are 7488, and rounding must not make that 7489."""
    schedule = Schedule(1.0, 0, 10**6, kind="staircase", decay_rate=0.5, decay_steps=2.4 * 312)
    assert [schedule.rate(step) for step in (748, 749, 7487, 7488)] == [1.0, 0.5, 0.5**9, 0.5**10]


@given(st.sampled_from(SCHEDULES), st.integers(0, 50), st.integers(51, 500), st.floats(1e-6, 10), st.floats(0, 1))
def test_rates_are_positive_never_above_the_peak_and_fall_after_the_warm_up(kind, warmup, total, peak, final):
    schedule = Schedule(peak, warmup, total, kind, final_share=final, decay_steps=7.2)
    rates = [schedule.rate(step) for step in range(total)]
    assert all(0 < rate <= peak * (1 + 1e-12) for rate in rates)
    assert all(after > before for before, after in itertools.pairwise(rates[:warmup]))
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(rates[warmup:]))


def test_added_epochs_stretch_the_stairs():
    """A small set is gone through more often; its stairs are then as many, and longer."""
    wanted = replace(recipe("efficientnet-v1"), epochs=24, batch_size=64, least_steps=2400)
    plan = plan_of(wanted, 640)
    assert (plan.epochs, plan.total_steps) == (240, 2400)
    schedule = schedule_of(wanted, plan)
    assert schedule.decay_steps == pytest.approx(240)  # a tenth of all, as with 24 epochs
    assert schedule.rate(2399) == pytest.approx(plan.learning_rate * 0.97**9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_comes_before_the_schedule_is_at_its_peak_and_moves_it(name):
    plain = Schedule(peak=1.0, warmup_steps=4, total_steps=12, kind=name, decay_steps=3)
    later = replace(plain, begins=5)
    assert [later.rate(step) for step in range(5)] == [1.0] * 5
    assert [later.rate(step + 5) for step in range(12)] == [plain.rate(step) for step in range(12)]
