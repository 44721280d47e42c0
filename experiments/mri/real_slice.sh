#!/bin/sh
# Every sampler and the classical reconstructions on the real 8-coil slice at 2x, 4x, 8x (lines) and 6x (points).
# Resumes where it stopped. The model is the first argument, brain128 (default) or brain64. Conjugate gradients make the
# points slow: half the samples there, and no ALPS with the energy.
set -e
model=${1:-brain128}
data="data=kspace data.test.path=outputs/kspace teacher=$model energy=$model"
run() { alps restore -m $data antithetic=false logger=none trainer.enable_progress_bar=false output_root=outputs/real_slice_$model "$@"; }

alps prepare reader=arrays source="${ALPS_DATA:-data}/kspace" output=outputs/kspace
lines=operator=retrospective_2x,retrospective_4x,retrospective_8x
classical=sampler=zero_filled,sense,l1_wavelet,total_variation
run $lines $classical
run $lines sampler=alps,alps_teacher,map,daps num_samples=4
run $lines sampler=dps sampler.schedule.scales=25 sampler.step_size=10 num_samples=4
run operator=retrospective_2d $classical
run operator=retrospective_2d sampler=map
run operator=retrospective_2d sampler=alps_teacher,daps num_samples=2
run operator=retrospective_2d sampler=dps sampler.schedule.scales=25 sampler.step_size=10 num_samples=2

alps table runs=outputs/real_slice_$model/restore output=outputs/real_slice_$model
