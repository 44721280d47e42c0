#!/bin/sh
# Conformal bounds on held-out faces: 300 images calibrate, 200 others are restored. Resumes where it stopped.
set -e
FACES="logger=none data=faces operator=inpaint_random num_samples=4 sampler.schedule.steps=10 output_root=outputs/conformal"
alps calibrate $FACES images=data count=300 'data.test.indices=[8500,8800]'
alps restore $FACES 'data.test.indices=[8800,9000]' conformal="$(ls outputs/conformal/calibrate/*/*/conformal.json)"
alps table runs=outputs/conformal output=outputs/conformal/table
