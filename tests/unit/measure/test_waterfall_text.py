"""The layout of a start as the terminal draws it."""

from __future__ import annotations

import pytest

from prebake.io.terminal import Screen
from prebake.measure.report.waterfall import lay_out
from prebake.measure.report.waterfall_text import draw_waterfall
from tests.support.measure.start_phases import PHASES, START, phase

GOLDEN = """\
## critical path (ready waited for these phases)   == at the same time
                         seconds  0.0            0.2            0.4
Engine
  container start          0.100  ########
server process: live after 0.32 s
  launch                   0.100          #######
  bind                     0.001                 #
  import asyncio           0.095                 ========
  import h11               0.005                         =
model process
  read ahead libraries     0.005                  =
  manifest                 0.005                  #
  import numpy             0.080                   ######
  verify                   0.060                         ====
  import model             0.100                         #######
  open net                 0.080                         ======
  warm-up                  0.200                                ###############
  verify what is not used >0.060                                           =====
"""


def test_the_terminal_shows_one_line_for_each_phase() -> None:
    assert "\n".join(draw_waterfall(START, Screen(80))) + "\n" == GOLDEN


@pytest.mark.parametrize("columns", [80, 81, 100, 140, 300])
def test_no_line_is_longer_than_the_screen_and_a_long_name_is_shortened(columns: int) -> None:
    name = "open a component of a name that is much too long"
    lines = draw_waterfall(lay_out([*PHASES, phase(name, 0.1, 0.5)], 0.61, 0.1), Screen(columns))
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("  open a compone.. much too long ") for line in lines)


def test_characters_and_colours_are_those_that_the_screen_has() -> None:
    blocks, plain = draw_waterfall(START, Screen(120, blocks=True)), draw_waterfall(START, Screen(120))
    assert "\n".join(plain).isascii()
    assert "\n".join(blocks).replace("█", "#").replace("▒", "=") == "\n".join(plain)
    coloured = "\n".join(draw_waterfall(START, Screen(120, color=True)))
    for code in ("\x1b[1;36m", "\x1b[2m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == "\n".join(plain)


def test_a_narrow_terminal_gets_a_table() -> None:
    lines = draw_waterfall(START, Screen(79))
    assert lines[:5] == [
        "    begin  seconds  (* critical path)",
        "Engine",
        "*   0.000    0.100  container start",
        "server process: live after 0.32 s",
        "*   0.100    0.100  launch",
    ]
    assert max(map(len, lines)) < 60


def test_of_a_start_without_phases_the_head_alone_is_drawn() -> None:
    assert len(draw_waterfall(lay_out([], 0.0, 0.0), Screen())) == 2
