#!/bin/sh
# Distillation against denoising score matching: ./run.sh STEPS; a greater number goes on from a smaller one.
# Network, images, order, noise, optimizer and start are the same; from random weights and from those of the teacher.
set -e
steps=${1:-300}
here=$(dirname "$0")
out=outputs/distillation
mkdir -p $out

# name verb key start: one training, which keeps a checkpoint every 50 steps with the processor time up to there
train() {
    PYTHONPATH="$here" alps $2 name=$1 data=$data data.batch_size=8 data.validation=null \
        optimizer@$3.optimizer=budget $3.optimizer.decay_fraction=0 $3.optimizer.learning_rate=5e-4 \
        $3.optimizer.warmup_steps=50 $3.sigma.mean=$mean $3.sigma.std=1.5 "$3.start=$4" \
        callbacks=checkpoint callbacks.checkpoint.every_n_steps=50 '+callbacks.clock={_target_: clock.ProcessorTime}' \
        'callbacks.ema={_target_: alps_exp.training.RampedAveraging, decay: 0.995}' \
        trainer.max_steps=$steps trainer.val_check_interval=10 trainer.accelerator=cpu logger=csv output_root=$out
}

for model in faces64 brain64; do
    case $model in
        faces64) data=faces mean=-1.8 test="data=faces data.test.indices=[8500,8508] operator=inpaint_random" ;;
        brain64) data=brain_training mean=-2.0 test="data=brain operator=mri_4x" ;;
    esac
    python "$here/initialize.py" $model $out/$model-random.safetensors
    random="{_target_: alps_exp.priors.load_energy, name: $out/$model-random.safetensors}"
    teacher="{_target_: alps_exp.priors.load_teacher, name: $model}"
    train $model-random-distilled "distill teacher=$model" distillation "$random"
    train $model-random-dsm "train training=energy" training "$random"
    train $model-teacher-distilled "distill teacher=$model" distillation null
    train $model-teacher-dsm "train training=energy" training "$teacher"
    checkpoints=$(ls -d $out/*/$model-*/*/checkpoints/step*.ckpt | paste -sd,)
    alps restore -m $test name=$model energy=file energy.name=$model,$checkpoints sampler=alps num_samples=4 \
        logger=none output_root=$out
done
