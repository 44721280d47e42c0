#!/bin/sh
# Every sampler on six operators under priors in closed form, 16 x 16 pixels; then the budgets. Resumes where it stopped.
set -e
run() { alps calibrate -m count=64 logger=none trainer.enable_progress_bar=false sampler.schedule.sigma_min=0.01 "$@"; }
by_operator() {
    run operator=inpaint_random,gaussian_blur,motion_blur "$@"
    run operator=inpaint_box operator.mask.size=8 "$@"
    run operator=mri_4x energy.complex_valued=true teacher.complex_valued=true "$@"
    # Conjugate gradients: smaller and fewer images.
    run operator=mri_2d energy.complex_valued=true teacher.complex_valued=true count=8 energy.size=8 teacher.size=8 "$@"
}

for prior in gaussian mixture; do
    prior="energy=$prior teacher=$prior output_root=outputs/closed_form"
    by_operator $prior sampler=alps sampler.annealing=diffused,static
    by_operator $prior sampler=alps sampler.noise=independent
    by_operator $prior sampler=alps_teacher,alps_paper,daps,diffpir,pigdm,mmps,csgm
    by_operator $prior sampler=daps sampler.langevin_steps=0
    by_operator $prior sampler=dps sampler.step_size=1
    run $prior operator=inpaint_random,gaussian_blur,motion_blur sampler=ddnm
    run $prior operator=inpaint_box operator.mask.size=8 sampler=ddnm
    run $prior operator=mri_4x energy.complex_valued=true teacher.complex_valued=true sampler=ddnm
done

budgets="energy=gaussian teacher=gaussian operator=inpaint_random,gaussian_blur output_root=outputs/budgets"
run $budgets sampler=alps_teacher sampler.schedule.sigma_max=2.5 sampler.schedule.steps=8,17,33,83
run $budgets sampler=alps_teacher sampler.schedule.sigma_max=2.5 sampler.moment_matching=0 sampler.annealing=diffused,static sampler.schedule.steps=25,50,100,250
run $budgets sampler=diffpir,ddnm,csgm sampler.schedule.steps=25,50,100,250
run $budgets sampler=daps sampler.langevin_steps=0 sampler.schedule.scales=25,50,100,250
run $budgets sampler=pigdm,mmps sampler.schedule.steps=12,25,50,125
run $budgets sampler=dps sampler.step_size=1 sampler.schedule.scales=12,25,50,125

alps table runs=outputs/closed_form/calibrate output=outputs/closed_form figures=false
alps table runs=outputs/budgets/calibrate output=outputs/budgets figures=false
