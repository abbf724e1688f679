"""Numbers and moments as people say them."""

import math
from datetime import datetime


def plural(number: float, noun: str) -> str:
    """A number of things: `1 answer`, `1,095 answers`."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def clock(moment: datetime) -> str:
    """A moment to the second, with its time zone."""
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"


def percent(share: float) -> str:
    """A share in percent with two digits: 3.1%, 0.04%, 99,900%."""
    return f"{100 * share:,.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"


def percent_at_most(share: float) -> str:
    """An upper limit in percent with two digits, never below the share itself: 0.00612 is 0.62%."""
    if not 0 < share < 1:
        return "0%" if share <= 0 else "100%"
    digits = max(1 - math.floor(math.log10(100 * share)), 0)
    return f"{math.ceil(round(100 * share * 10**digits, 6)) / 10**digits:.{digits}f}%"
