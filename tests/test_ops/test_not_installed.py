"""A compiler that is not there: other backends serve, and asking for it says what to install."""

import pytest

from tests.test_imports import run_on_torch_alone


@pytest.mark.parametrize(
    ('name', 'advice'),
    [('numba', 'needs Numba: pip install'), ('triton', 'needs Triton: pip install triton')],
)
def test_without_a_compiler(name, advice):
    done = run_on_torch_alone(
        f"""
import torch
from mmseg_recall.functional import class_totals
from mmseg_recall.ops import has_{name}
call = torch.zeros(2, 3), torch.tensor([0, 1])
print(has_{name}(), class_totals(*call).support.tolist())
class_totals(*call, backend='{name}')
""",
        hidden=(name,),
    )
    assert done.stdout.splitlines()[-1] == 'False [1.0, 1.0, 0.0]'
    assert f"ImportError: backend='{name}' {advice}" in done.stderr
