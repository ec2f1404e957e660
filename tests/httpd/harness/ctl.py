"""cosellctl as a user runs it: a home of its own, a netrc, no environment that says anything else."""

import json
import os
import select
import subprocess
import time

from .paths import BUILD, private_directory

CTL = os.environ.get("COSELLCTL", os.path.join(BUILD, "cosellctl"))


def read_until(stream, text, deadline=30):
    """Lines of a running program until one has the text; all of them."""
    said, end = "", time.monotonic() + deadline
    while text not in said:
        left = end - time.monotonic()
        assert left > 0 and select.select([stream], [], [], left)[0], "%r was not said: %s" % (text, said)
        more = os.read(stream.fileno(), 65536).decode("utf-8", "replace")
        assert more, "%r was not said: %s" % (text, said)
        said += more
    return said


class Said:
    """What came of a run."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return "exit %d\n--- stdout\n%s--- stderr\n%s" % (self.status, self.out, self.err)

    @property
    def json(self):
        return json.loads(self.out)


class Ctl:
    def __init__(self, url, user="alice", password="wonder", program=None):
        self.url = url
        self.program = program or CTL
        self.home = private_directory("ctl")
        if user:
            self.write(".netrc", "machine 127.0.0.1 login %s password %s\n" % (user, password), 0o600)

    def write(self, name, text, mode=0o644):
        path = os.path.join(self.home, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def environment(self, **more):
        env = {"HOME": self.home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "xterm"}
        if self.url:
            env["COSELL_URL"] = self.url
        env.update(more)
        return env

    def start(self, *arguments, **env):
        return subprocess.Popen([self.program, *arguments], env=self.environment(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, encoding="utf-8", errors="replace")

    def run(self, *arguments, deadline=60, **env):
        process = self.start(*arguments, **env)
        try:
            out, err = process.communicate(timeout=deadline)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError("cosellctl %s: not done after %d s\n%s%s" % (" ".join(arguments), deadline, out, err)) from None
        return Said(process.returncode, out, err)

    def __call__(self, *arguments, status=0, deadline=60, **env):
        """A run that must end so."""
        said = self.run(*arguments, deadline=deadline, **env)
        assert said.status == status, "cosellctl %s: %r" % (" ".join(arguments), said)
        return said
