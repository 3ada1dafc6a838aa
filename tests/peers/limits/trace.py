"""What `limits` (PyPI) decides under a clock that is moved by hand, as a trace that Rust replays.

    python3 -m venv venv && venv/bin/pip install limits==5.8.0
    venv/bin/python tests/peers/limits/trace.py > crates/ratelimit/tests/peers/limits.json

`crates/ratelimit/tests/peers/limits.rs` reads it. Times are microseconds. The seed is fixed, so the same release writes the same
trace.

Traffic keeps away from where the two differ by design:

* A fixed window of `limits` begins with the first hit after the one before it, ours are counted from 1970: here the first hit of
  each window comes at its start.
* `limits` counts refused hits into a fixed window, ours do not: here a hit is made only when `test` says that it fits.
* In a moving window of `limits` a hit counts for one instant longer than the window: here no two are exactly a window apart.
* A sliding window of `limits` is estimated in floats: here times are such that the estimate is exact in binary. It is rounded down,
  ours is rounded up; the replay reckons with that, by the counts that each event carries.
"""

import json
import random
import sys
import time
from importlib.metadata import version

now = 0
time.time = lambda: now / 1_000_000

from limits import RateLimitItemPerSecond  # noqa: E402  (the clock comes first)
from limits.storage import MemoryStorage  # noqa: E402
from limits.strategies import (  # noqa: E402
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    SlidingWindowCounterRateLimiter,
)

SECOND = 1_000_000
START = 1_000_000 * SECOND
EVENTS = 250
KEY = "key"


class Storage(MemoryStorage):
    """Without the thread that expires by the wall: reads look at the time anyway."""

    def _MemoryStorage__schedule_expiry(self):
        pass


def fixed(chance, limit, seconds):
    """Hits at the start of a window and at random within it; some windows have none."""
    global now
    limiter, item = FixedWindowRateLimiter(Storage()), RateLimitItemPerSecond(limit, seconds)
    window, events = START // (seconds * SECOND), []
    while len(events) < EVENTS:
        window += chance.choice([1, 1, 1, 2, 5])
        within = sorted(chance.randrange(1, seconds * 1000) * 1000 for _ in range(chance.randrange(12)))
        for offset in [0, *within]:
            now, cost = window * seconds * SECOND + offset, chance.randint(1, limit)
            admitted = limiter.test(item, KEY, cost=cost) and limiter.hit(item, KEY, cost=cost)
            events.append([now, cost, admitted])
    return events


def moving(chance, limit, seconds):
    global now
    limiter, item = MovingWindowRateLimiter(Storage()), RateLimitItemPerSecond(limit, seconds)
    at, seen, events = START, set(), []
    while len(events) < EVENTS:
        at += chance.choice([0, 1, chance.randrange(seconds * 300), chance.randrange(seconds * 1500)]) * 1000
        if at - seconds * SECOND in seen:
            continue
        seen.add(at)
        now, cost = at, chance.randint(1, max(1, limit // 2))
        events.append([now, cost, limiter.hit(item, KEY, cost=cost)])
    return events


def sliding(chance, limit, seconds):
    """Each event has what the window before and its own had used, besides."""
    global now
    storage, item = Storage(), RateLimitItemPerSecond(limit, seconds)
    limiter = SlidingWindowCounterRateLimiter(storage)
    at, events = START, []
    while len(events) < EVENTS:
        at += chance.choice([0, 1, 2, chance.randrange(seconds), chance.randrange(seconds * 6)]) * SECOND // 4
        now, cost = at, chance.randint(1, max(1, limit // 3))
        before, _, current, _ = storage.get_sliding_window(item.key_for(KEY), item.get_expiry())
        events.append([now, cost, before, current, limiter.hit(item, KEY, cost=cost)])
    return events


def main():
    chance = random.Random(4)
    kinds = {
        "fixed_window": (fixed, [(1, 1), (5, 10), (30, 60)]),
        "moving_window": (moving, [(1, 2), (7, 10), (40, 60)]),
        # Powers of two, so that every part of a window is exact.
        "sliding_window": (sliding, [(1, 4), (9, 16), (100, 64)]),
    }
    print("{")
    print(f'"limits": "{version("limits")}",')
    for last, (kind, (run, limits)) in zip([False, False, True], kinds.items()):
        print(f'"{kind}": [')
        for number, (limit, seconds) in enumerate(limits):
            events = ",\n  ".join(json.dumps(event) for event in run(chance, limit, seconds))
            end = "" if number + 1 == len(limits) else ","
            print(f'{{"limit": {limit}, "seconds": {seconds}, "events": [\n  {events}\n]}}{end}')
        print("]" if last else "],")
    print("}")


if __name__ == "__main__":
    sys.exit(main())
