"""Waiting for a condition, never for a time."""

import time


class Timeout(AssertionError):
    pass


def wait_for(condition, deadline=10.0, what=None, every=0.02):
    """Calls condition() until it returns something true, which is returned; AssertionErrors in it count as "not yet"."""
    end = time.monotonic() + deadline
    problem = None
    while True:
        try:
            value = condition()
            problem = None
            if value:
                return value
        except AssertionError as error:
            value, problem = None, error
        if time.monotonic() >= end:
            name = what or getattr(condition, "__name__", "condition")
            raise Timeout("not within %.1f s: %s; last seen: %s" % (deadline, name, problem or repr(value)[:2000]))
        time.sleep(every)
