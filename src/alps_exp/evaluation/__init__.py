"""Metrics, calibration of uncertainty, flags of implausible estimates, and exact posteriors for comparison."""

from alps_exp.evaluation.calibration import (
    credible_interval,
    kernel_stein_discrepancy,
    samples_needed,
    sliced_wasserstein,
)
from alps_exp.evaluation.exact import ExactPosterior, compare_with_exact, exact_posterior
from alps_exp.evaluation.flags import estimate_flags
from alps_exp.evaluation.guards import setting_warnings
from alps_exp.evaluation.lpips import LPIPS, load_lpips, lpips_numbers
from alps_exp.evaluation.metrics import complex_nmse, image_metrics, nmse, psnr, spread_and_error, ssim
from alps_exp.evaluation.regions import region_statistics
from alps_exp.evaluation.volumes import slice_sums

__all__ = [
    "ExactPosterior",
    "LPIPS",
    "compare_with_exact",
    "complex_nmse",
    "credible_interval",
    "estimate_flags",
    "exact_posterior",
    "image_metrics",
    "kernel_stein_discrepancy",
    "load_lpips",
    "lpips_numbers",
    "nmse",
    "psnr",
    "region_statistics",
    "samples_needed",
    "setting_warnings",
    "slice_sums",
    "sliced_wasserstein",
    "spread_and_error",
    "ssim",
]
