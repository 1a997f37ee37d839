"""Colours of data: told apart by eyes that see few of them, on light and on dark ground.

Source: Okabe and Ito, "Color Universal Design", 2008; the yellow is left out, as it vanishes on white.
"""

from __future__ import annotations

BLUE, ORANGE, GREEN, RED, SKY, PINK, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#8a8f98",
)  # fmt: skip
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED, GREY)
BUSY, IDLE = GREEN, RED
OF_GROUP = {
    "storage": BLUE,
    "prep": ORANGE,
    "dataset": "#a6761d",
    "delivery": PINK,
    "transfer": SKY,
    "rules": "#7570b3",
    "start_up": "#b3a700",
    "step_sync": "#3b7a57",
    "checkpoint": "#5d4037",
    "host_late": "#6b6b6b",
    "unexplained": GREY,
}
"""Of each group of idle causes."""
