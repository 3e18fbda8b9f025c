"""How many examples a property is tried with: `@examples(100)` above `@given(...)`.

Usually these are the same ones everywhere, so that a red run says something about the change and not about luck.
`make nightly` sets KDASR_EXAMPLES=30: thirty times as many, and new ones each time. What it finds is printed as
`@example(...)` lines, which are committed above the property.
"""

import os

from hypothesis import HealthCheck, Phase, settings

TIMES = int(os.environ.get("KDASR_EXAMPLES", "1"))
# No verdict depends on how busy the machine is.
SETTINGS = {"derandomize": TIMES == 1, "deadline": None, "print_blob": True}
# A failing example is made as small as possible, unless one only wants to know that there is one (tools/mutants.py).
if os.environ.get("KDASR_SHRINK") == "0":
    SETTINGS["phases"] = (Phase.explicit, Phase.generate)
SETTINGS["suppress_health_check"] = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def load():
    """Make these the settings of every property, 100 examples for those that do not say how many."""
    settings.register_profile("kdasr", max_examples=100 * TIMES, **SETTINGS)
    settings.load_profile("kdasr")


def examples(number):
    """So many examples, or TIMES as many."""
    return settings(max_examples=number * TIMES)
