"""`preload` and `residency` of image.yaml become variables of the image, and change nothing of other images."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoints.settings import read_settings
from prebake.errors import SpecInvalid
from prebake.plan.image_config import container_config
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.render.build_options import BuildOptions, options_lines
from tests.unit.plan.test_serving import copy_image

SETTINGS = """
preload: [zimage]
residency: {pin: [zimage, minilm/minilm], idle_seconds: 300, host_memory: 4Gi, device_memory: 20Gi}
"""


def test_an_image_without_them_is_what_it_was(tmp_path: Path) -> None:
    plans = [
        make_plan(copy_image(tmp_path / str(number), text), Options())
        for number, text in enumerate(("", "preload: all\nresidency: {}"))
    ]
    assert plans[0].layers == plans[1].layers
    assert container_config(plans[0]) == container_config(plans[1])


def test_each_becomes_a_setting_of_the_container(tmp_path: Path) -> None:
    for first in ("minilm", "zimage"):
        copy_image(tmp_path, "", first)
    plan = make_plan(copy_image(tmp_path, SETTINGS, "duo"), Options())
    found = read_settings(container_config(plan).env)
    assert found.preload == ("zimage",)
    assert found.pin == ("zimage", "minilm/minilm")
    assert (found.idle_seconds, found.host_memory, found.device_memory) == (300, 4 << 30, 20 << 30)
    without = make_plan(copy_image(tmp_path / "without", "", "minilm"), Options())
    assert not {name for name in container_config(without).env if name.startswith("PREBAKE_P")}


def test_performance_mode_is_a_variable_and_its_memory_is_in_the_plan(tmp_path: Path) -> None:
    plan = make_plan(copy_image(tmp_path, "mode: performance"), Options())
    settings = read_settings({**container_config(plan).env, "PREBAKE_IDLE_SECONDS": "5", "PREBAKE_HOST_MEMORY": "1Gi"})
    assert settings.mode == "performance"
    assert (settings.preload, settings.idle_seconds, settings.host_memory) == (("all",), 0, 0)
    (line,) = [line for line in options_lines(plan, BuildOptions()) if "performance mode" in line]
    assert line.endswith("prepacked weights allocate at most 86.7 MiB")
    standard = make_plan(copy_image(tmp_path / "standard", ""), Options())
    assert "PREBAKE_MODE" not in container_config(standard).env
    assert not any("performance mode" in line for line in options_lines(standard, BuildOptions()))


def test_names_that_the_image_lacks(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid) as caught:
        copy_image(tmp_path, "preload: [minilm]\nresidency: {pin: [minilmm], host_memory: 2GB}")
    text = str(caught.value)
    assert "the image has one model" in text
    assert "did you mean 'minilm'?" in text
    assert "host_memory" in text
