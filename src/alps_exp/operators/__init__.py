"""Linear forward operators and their exact Gaussian posterior steps."""

from alps_exp.operators.base import LinearOperator
from alps_exp.operators.blur import Blur, GaussianBlur, MotionBlur
from alps_exp.operators.denoising import Denoising
from alps_exp.operators.inpainting import Inpainting
from alps_exp.operators.joint import JointOperator
from alps_exp.operators.mri import MultiCoilMRI
from alps_exp.operators.super_resolution import SuperResolution

__all__ = [
    "Blur",
    "Denoising",
    "GaussianBlur",
    "Inpainting",
    "JointOperator",
    "LinearOperator",
    "MotionBlur",
    "MultiCoilMRI",
    "SuperResolution",
]
