"""Which deployments `make soak` is asked for, and which servers it needs for them."""

from __future__ import annotations

import pytest

from tests.faults import shapes
from tests.faults.shapes import LARGE, SMALL, Shape
from tests.install import POSTGRES, REDIS


@pytest.mark.parametrize(
    ("variables", "chosen", "needs"),
    [
        ({}, [SMALL, LARGE], [POSTGRES, REDIS]),
        ({"DATABASE": "", "PROCESSES": "", "REDIS": ""}, [SMALL, LARGE], [POSTGRES, REDIS]),
        ({"DATABASE": "sqlite"}, [SMALL], []),
        ({"DATABASE": "postgresql"}, [LARGE], [POSTGRES, REDIS]),
        ({"DATABASE": "postgresql", "PROCESSES": "2", "REDIS": "1"}, [LARGE], [POSTGRES, REDIS]),
        ({"DATABASE": "postgresql", "PROCESSES": "1"}, [Shape("postgresql", 1, False)], [POSTGRES]),
        ({"PROCESSES": "3"}, [Shape("sqlite", 3, True)], [REDIS]),
        ({"REDIS": "1"}, [Shape("sqlite", 1, True)], [REDIS]),
    ],
)
def test_a_shape_needs_what_it_is_made_of_and_no_more(variables, chosen, needs):
    assert shapes.choose(variables) == chosen
    assert shapes.needs(chosen) == needs


@pytest.mark.parametrize(
    "variables", [{"DATABASE": "oracle"}, {"PROCESSES": "2", "REDIS": "0"}, {"PROCESSES": "two"}, {"PROCESSES": "0"}]
)
def test_what_describes_no_deployment_is_refused_in_words(variables):
    with pytest.raises(SystemExit, match="DATABASE is sqlite or postgresql"):
        shapes.choose(variables)
