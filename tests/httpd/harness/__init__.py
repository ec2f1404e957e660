"""A private httpd with the module under test, the simulators next to it, and what tests ask of both."""

import sys

sys.dont_write_bytecode = True

from .errorlog import ErrorLog
from .events import Event, Pki
from .paths import BUILD, REPO, preload
from .server import ConfigRefused, Server
from .sims import Dynamics, PartnerCenter, Simulator
from .storm import Answer, deliver, post, storm
from .wait import Timeout, wait_for
from .world import World

__all__ = ["Answer", "BUILD", "ConfigRefused", "Dynamics", "ErrorLog", "Event", "PartnerCenter", "Pki", "REPO", "Server",
           "Simulator", "Timeout", "World", "deliver", "post", "preload", "storm", "wait_for"]
