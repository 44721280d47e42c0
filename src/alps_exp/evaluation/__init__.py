"""Image metrics: how close an estimate is to the truth, and how honest its uncertainty is."""

from alps_exp.evaluation.metrics import image_metrics, nmse, psnr, spread_and_error, ssim

__all__ = ["image_metrics", "nmse", "psnr", "spread_and_error", "ssim"]
