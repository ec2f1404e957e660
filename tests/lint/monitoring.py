#!/usr/bin/python3
"""conf/monitoring against the code and a live page: every metric and alert documented, every metric that rules and dashboard use there, and Prometheus's own
promtool content with all of it. `--write` makes the tables of metrics.md anew.

promtool comes from Debian's package prometheus, unpacked below build/ and never installed; without network and without it that part is skipped, and said so.
"""

import json
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "httpd"))
MONITORING = os.path.join(ROOT, "conf", "monitoring")
PACKAGE = os.path.join(ROOT, "build", "prometheus")
SCOPES = {"SERVER": "", "SITE": "site", "UPSTREAM": "site, upstream"}
# Families that no table of the code has: (name, type, labels, help as the page tells it).
SPECIAL = [
    ("cosell_build_info", "gauge", "version", "always 1; the version is its label"),
    ("cosell_accept_seconds", "histogram", "outcome", "how long senders of notices waited for their answer"),
    ("cosell_lag_seconds", "histogram", "direction", "time from a change's notice, or from when a poll found it, to the other side"),
    ("cosell_upstream_calls_total", "counter", "site, upstream, outcome", "requests to upstreams by how they ended; a batch is one request"),
    ("cosell_alert", "gauge", "site, what, level", "1 for each alert that is on; the status page has its text and what to do"),
    ("cosell_alerts", "gauge", "level", "alerts that are on, by level"),
]
failures = []


def fail(text):
    failures.append(text)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def x_macro(text, name):
    """Arguments of the lines of an X macro, as text; adjacent strings are joined."""
    body = re.search(r"#define %s\(X\)\s*\\\n((?:.*\\\n)*.*\n)" % name, text).group(1).replace("\\\n", "\n")
    lines = []
    for match in re.finditer(r"X\(((?:[^()\"]|\"(?:[^\"\\]|\\.)*\"|\([^)]*\))*)\)", body):
        parts = re.findall(r"((?:\"(?:[^\"\\]|\\.)*\"\s*)+|[^,\"]+)", match.group(1))
        lines.append(["".join(json.loads(s) for s in re.findall(r"\"(?:[^\"\\]|\\.)*\"", part)) if '"' in part else part.strip()
                      for part in parts if part.strip()])
    return lines


def families():
    """{name: (type, labels, help)} as the code says."""
    found = {name: (kind, labels, text) for name, kind, labels, text in SPECIAL}
    for _, name, text in x_macro(read("mod_cosell", "base", "counter.h"), "CS_COUNTERS"):
        found["cosell_%s_total" % name] = ("counter", "", text)
    for _, scope, form, name, text in x_macro(read("mod_cosell", "base", "gauge.h"), "CS_GAUGES"):
        found["cosell_" + name] = ("counter" if form == "TOTAL" else "gauge", SCOPES[scope], text)
    return found


def alert_keys():
    """Keys of alerts in the code; one that a name follows ends in a colon."""
    judged = read("mod_cosell", "engine", "alert.c")
    keys = re.findall(r"\bfind\(\s*&?j,\s*(?:s->site|\"\"),\s*(?:named\(\s*)?\"([a-z:]+)\"", judged)
    keys += re.findall(r"push_own\(\s*list,\s*\"([a-z]+)\"", read("mod_cosell", "base", "gauge_alert.c"))
    return sorted(set(keys))


def table_of(found):
    lines = ["| Metric | Type | Labels | What it shows |", "|---|---|---|---|"]
    for name in sorted(found):
        kind, labels, text = found[name]
        lines.append("| `%s` | %s | %s | %s |" % (name, kind, labels, text.replace("|", "\\|")))
    return "\n".join(lines)


def check_document(found, write):
    path = os.path.join(MONITORING, "metrics.md")
    text = read("conf", "monitoring", "metrics.md")
    wanted = re.sub(r"(<!-- metrics -->\n).*(\n<!-- end -->)", lambda m: m.group(1) + table_of(found) + m.group(2), text, flags=re.S)
    if write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(wanted)
    elif text != wanted:
        fail("conf/monitoring/metrics.md does not have the metrics of the code: tests/lint/monitoring.py --write")
    documented = set(re.findall(r"^\| `([a-z:]+)(?:NAME)?` \| (?:error|warning)", wanted, re.M))
    for key in alert_keys():
        if key not in documented:
            fail("metrics.md does not have the alert \"%s\"" % key)
    for key in documented - set(alert_keys()):
        fail("metrics.md has the alert \"%s\", the code has not" % key)


def used_metrics(text):
    return set(re.findall(r"\bcosell_[a-z0-9_]+", text))


def exists(name, found):
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return name in found or (base in found and found[base][0] == "histogram")


def dashboard_texts(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel.get("title", "?"), target["expr"]
    for variable in dashboard.get("templating", {}).get("list", []):
        if isinstance(variable.get("query"), dict):
            yield "variable " + variable["name"], variable["query"]["query"]


def check_dashboard(found):
    dashboard = json.loads(read("conf", "monitoring", "cosell-dashboard.json"))
    used = set()
    for title, expression in dashboard_texts(dashboard):
        names = used_metrics(expression)
        used |= names
        if not names:
            fail("dashboard, %s: \"%s\" names no metric" % (title, expression))
        for name in names:
            if not exists(name, found):
                fail("dashboard, %s: there is no metric %s" % (title, name))
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        fail("dashboard: a panel's id is used twice")
    for panel in dashboard["panels"]:
        if panel["type"] != "row" and not panel.get("description"):
            fail("dashboard, %s: no description" % panel.get("title"))
    return used


def check_rules(found):
    rules = read("conf", "monitoring", "cosell-alerts.yml")
    for name in used_metrics(re.sub(r"#.*", "", rules)):
        if not exists(name, found):
            fail("cosell-alerts.yml: there is no metric %s" % name)


def promtool():
    """Its path; None = it could not be had."""
    path = os.path.join(PACKAGE, "usr", "bin", "promtool")
    if not os.access(path, os.X_OK):
        os.makedirs(PACKAGE, exist_ok=True)
        got = subprocess.run(["apt-get", "download", "prometheus"], cwd=PACKAGE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        packages = [os.path.join(PACKAGE, name) for name in os.listdir(PACKAGE) if name.endswith(".deb")]
        if got.returncode or not packages:
            return None
        subprocess.run(["dpkg-deb", "-x", packages[0], PACKAGE], check=True)
        os.unlink(packages[0])
    return path


def ask_promtool(tool, *arguments, text=None):
    done = subprocess.run([tool, "check", *arguments], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=MONITORING)
    if done.returncode or (text is not None and done.stdout.strip()):
        fail("promtool check %s:\n%s" % (" ".join(arguments), done.stdout.strip()))


def live_page():
    """The text of a running server's page."""
    from harness import World
    with World("lint-metrics") as world:
        world.server.locations += ['<Location "/metrics">', "  SetHandler cosell-metrics", "</Location>"]
        world.start().ready()
        referral = world.refer()
        world.looked(referral)
        reply = world.server.get("/metrics")
        world.server.stop()
        return reply.body.decode()


def check_page(page, found):
    told = dict(re.findall(r"^# HELP (\S+) (.*)$", page, re.M))
    kinds = dict(re.findall(r"^# TYPE (\S+) (.*)$", page, re.M))
    for name in sorted(set(told) ^ set(found)):
        fail("%s is %s" % (name, "on the page and not in the code's tables" if name in told else "not on the page"))
    for name in set(told) & set(found):
        if told[name].replace("\\\\", "\\") != found[name][2] or kinds[name] != found[name][0]:
            fail("%s: the page says \"%s\" (%s)" % (name, told[name], kinds[name]))
        labels = {label for sample in re.findall(r"^%s(?:_bucket|_sum|_count)?\{(.*)\} " % re.escape(name), page, re.M)
                  for label in re.findall(r'(?:^|,)([a-z]+)="', sample)} - {"le"}
        if labels and labels != set(found[name][1].replace(" ", "").split(",")):
            fail("%s: the page has the labels %s" % (name, sorted(labels)))


def main():
    write = "--write" in sys.argv
    found = families()
    if len(found) < 40 or len(alert_keys()) < 15:
        fail("found only %d metrics and %d alerts in the code" % (len(found), len(alert_keys())))
    check_document(found, write)
    check_rules(found)
    used = check_dashboard(found)
    page = live_page()
    check_page(page, found)
    tool = promtool()
    if tool:
        ask_promtool(tool, "metrics", text=page)
        ask_promtool(tool, "rules", "cosell-alerts.yml")
        ask_promtool(tool, "config", "prometheus.yml")
    for text in failures:
        print(text)
    print("%d metrics, %d alerts; the dashboard shows %d; promtool %s" %
          (len(found), len(alert_keys()), len(used), "agrees" if tool else "SKIPPED: Debian's package prometheus could not be downloaded"))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
