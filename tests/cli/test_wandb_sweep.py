"""The sweep of W&B that is shipped: what an agent makes of it is a request that logs the metric which it asks for."""

from pathlib import Path

import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from alps_exp.runs.objective import direction_of

SWEEP = Path(__file__).parents[2] / "experiments" / "sweeps" / "sigma_max.yaml"


def command_of(sweep, **values):
    """Return the command of an agent for chosen values, as `wandb agent` fills it in."""
    args = {key: {"value": parameter.get("value", values.get(key))} for key, parameter in sweep["parameters"].items()}
    filled = create_sweep_command_args({"args": args})
    words = []
    for word in create_sweep_command(sweep["command"]):
        words += filled["args_no_hyphens"] if word == "${args_no_hyphens}" else [word]
    return words


def test_an_agent_runs_a_request_that_logs_the_metric(alps, tmp_path):
    sweep = yaml.safe_load(SWEEP.read_text())
    words = command_of(sweep, **{"sampler.schedule.sigma_max": 3.7})
    start = words.index("alps")
    status, out, err = alps(
        *words[start + 1 :], "dry_run=true", f"output_root={tmp_path}", f"objective={sweep['metric']['name']}"
    )
    assert status == 0 and "not begun" in out, err
    assert sweep["metric"]["goal"] == direction_of(sweep["metric"]["name"])
    assert "sampler.schedule.sigma_max=3.7" in words and "logger=wandb" in words
