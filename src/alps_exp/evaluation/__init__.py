"""How close an estimate is to the truth, how honest its uncertainty is, and exact posteriors to compare with."""

from alps_exp.evaluation.exact import ExactPosterior, exact_posterior
from alps_exp.evaluation.metrics import image_metrics, nmse, psnr, spread_and_error, ssim

__all__ = ["ExactPosterior", "exact_posterior", "image_metrics", "nmse", "psnr", "spread_and_error", "ssim"]
