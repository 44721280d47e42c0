import pytest

from alps_exp.evaluation import estimate_flags
from alps_exp.report.names import FLAGS, estimate_name, flag_text, sampler_colors, sampler_name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("alps", "ALPS"),
        ("alps (schedule.steps=25)", "ALPS (schedule.steps=25)"),
        ("red_diff", "RED-diff"),
        ("my_LangevinX", "my_LangevinX"),
        ("Алиса (v=2)", "Алиса (v=2)"),
        ("alps_mine", "alps_mine"),
    ],
)
def test_a_sampler_has_the_name_of_its_paper_or_that_of_its_user(label, name):
    assert sampler_name(label) == name


@pytest.mark.parametrize(
    ("label", "estimate", "name"),
    [
        ("alps", "mmse", "ALPS MMSE"),
        ("alps", "sample", "ALPS sample"),
        ("map", "map", "MAP"),
        ("map (starts=4)", "map", "MAP (starts=4)"),
        ("Mine", "map", "Mine MAP"),
        ("sense", "point", "SENSE"),
    ],
)
def test_the_kind_of_an_estimate_is_named_where_it_is_not_clear(label, estimate, name):
    assert estimate_name(label, estimate) == name


def test_a_color_does_not_depend_on_the_other_samplers_of_a_figure():
    several = sampler_colors(["map", "alps", "mine", "Mine", "daps"])
    assert len(set(several.values())) == 5
    assert all(sampler_colors([label]) == {label: color} for label, color in several.items())
    assert several["mine"] == "#6cab2b" and several["alps"] == "#0072b2"


def test_settings_of_a_sampler_are_shades_of_its_color():
    colors = sampler_colors(["alps (steps=10)", "alps (steps=20)", "alps (steps=40)", "daps"])
    assert list(colors.values())[::3] == ["#0072b2", "#009e73"]
    assert colors["alps (steps=20)"] == "#4c9cc9" and colors["alps (steps=40)"] == "#99c7e0"


def test_a_flagged_estimate_has_a_mark_that_names_its_flags():
    assert flag_text([]) == ""
    assert flag_text(["misfit", "convergence", "of_a_plugin"]) == "⚑ misfit, not converged, of_a_plugin"


def test_every_flag_of_the_evaluation_has_a_label():
    flags = estimate_flags("sample", 1e9, 10, 1e9, 10, converged=False, saddle=True)
    assert {*flags, "truth"} == set(FLAGS)
