"""Whether an interval holds a value, also where many draws have it."""

import numpy as np
import pytest

from hyperlaw.intervals import held


@pytest.mark.parametrize("level", [50, 80, 90])
@pytest.mark.parametrize("end", [np.inf, 0.8, 0.3, 0.02])
def test_intervals_hold_as_often_as_they_say_whatever_is_read_at_an_end(level, end):
    rng = np.random.default_rng(0)
    draws = np.minimum(rng.uniform(size=(4000, 1)), end)
    values = np.minimum(rng.uniform(size=2000), end)
    assert held(draws, values, level).mean() == pytest.approx(level / 100, abs=0.04)


def test_a_value_beyond_all_draws_is_not_held():
    draws = np.linspace(0, 1, 101)[:, None]
    np.testing.assert_array_equal(held(draws, np.array([-1.0, 0.5, 2.0])), [0, 1, 0])
