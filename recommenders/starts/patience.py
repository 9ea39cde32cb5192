"""How long candidates are tried: by the processor, so that a busy machine chooses as an idle one.

Seconds are those of the processor in the thread that chooses. On an idle machine they are the
clock's: candidates are held out on the processor even where fitting then runs on a GPU, and linear
algebra on several threads keeps this one busy, too. Nobody waits for ever on a machine with no
time to give: the clock ends it, later.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

LONGEST = 3.0
"""The clock may run so many times as long as the processor may work."""


@dataclass(frozen=True)
class Patience:
    """A bound on the time of one choice, which begins when this is made.

    Args:
        seconds: of the processor in this thread; infinity for no bound.
        spent: of the processor when it began.
        began: the clock when it began.

    >>> Patience().over(), Patience(0.0).over()
    (False, True)
    """

    seconds: float = math.inf
    spent: float = field(default_factory=time.thread_time)
    began: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Whether the time is spent."""
        if time.thread_time() - self.spent >= self.seconds:
            return True
        return time.monotonic() - self.began >= LONGEST * self.seconds
