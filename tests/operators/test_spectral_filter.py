"""Functions of A^H A against dense eigendecompositions."""

import pytest
import torch
from operator_cases import BATCH, CASES, DensePosterior, as_rows

KNOWN = [case for case in CASES if not case.has_cg]


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case.name)
def test_it_is_the_function_of_the_normal_matrix(case):
    x = case.images(2, BATCH, seed=1)
    filtered = case.operator().spectral_filter(x, lambda gain: (1 + 3 * gain).rsqrt() - 0.2)
    for i in (0, 5):
        matrix = DensePosterior.of(case, i).matrix
        values, vectors = torch.linalg.eigh(matrix.T @ matrix)
        function = vectors * ((1 + 3 * values).rsqrt() - 0.2) @ vectors.T
        assert torch.allclose(as_rows(filtered[:, i]), as_rows(x[:, i]) @ function.T, atol=1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case.has_cg], ids=lambda case: case.name)
def test_operators_without_a_spectrum_say_so(case):
    with pytest.raises(ValueError, match="spectrum"):
        case.operator().spectral_filter(case.images(BATCH, seed=1), torch.sqrt)
